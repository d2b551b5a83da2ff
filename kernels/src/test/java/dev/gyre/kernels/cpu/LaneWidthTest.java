package dev.gyre.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.Nf4Data;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.assertj.core.data.Offset;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Vectors of all widths, whatever this machine prefers: the width is a static constant, so each gets the backend's
/// classes in a class loader of its own. Widths that the processor lacks run in software, slowly: small cases only.
class LaneWidthTest {
    @ParameterizedTest
    @ValueSource(ints = {128, 256, 512})
    void everyWidthPassesSmallCases(int bits) throws ReflectiveOperationException {
        Backend backend = withWidth(bits);
        assertThat(backend.describe()).contains(bits / 32 + " lanes (gyre.simd=" + bits + ")");
        Set<String> seen = new TreeSet<>();
        for (OpCase c : sample())
            if (seen.add(c.name()))
                OpCheck.check(backend, c, OpCase.Layout.GUARDED);
        assertThat(seen.size()).isGreaterThan(100);
    }

    /// Tokens that are decoded together get what each would get alone, however weights are stored, and what doubles give.
    @ParameterizedTest
    @ValueSource(ints = {128, 256, 512})
    void aRowIsTheSameAloneAndAmongOthers(int bits) throws ReflectiveOperationException {
        Backend backend = withWidth(bits);
        Random random = new Random(bits);
        int N = 21;
        for (int K : new int[] {40, 96, 192, 272}) {
            float[] a = floats(11 * K, random);
            short[] halves = new short[N * K];
            for (int i = 0; i < halves.length; i++)
                halves[i] = HostData.BF16.bits((float) random.nextGaussian());
            for (HostData b : List.of(new HostData.F32(floats(N * K, random)), new HostData.BF16(halves),
                    Nf4Data.plain(N * K, 64, random), Nf4Data.nested(N * K, 64, 256, random),
                    Nf4Data.plain(N * K, 32, random))) {
                float[] alone = new float[11 * N];
                for (int i = 0; i < 11; i++)
                    System.arraycopy(product(backend, b, Arrays.copyOfRange(a, i * K, (i + 1) * K), N, K), 0, alone,
                            i * N, N);
                for (int M : new int[] {2, 5, 11})
                    assertThat(product(backend, b, Arrays.copyOf(a, M * K), N, K)).as("%d rows of %d, %s", M, K, b)
                            .isEqualTo(Arrays.copyOf(alone, M * N));
                float[] w = b.floats();
                for (int i = 0; i < 11; i++)
                    for (int j = 0; j < N; j++) {
                        double sum = 0;
                        double size = 0;
                        for (int k = 0; k < K; k++) {
                            double v = (double) a[i * K + k] * w[j * K + k];
                            sum += v;
                            size += Math.abs(v);
                        }
                        assertThat((double) alone[i * N + j]).as("row %d, %d of %d, %s", i, j, K, b).isCloseTo(sum,
                                Offset.offset(1e-6 * size));
                    }
            }
        }
    }

    private static float[] floats(int n, Random random) {
        float[] x = new float[n];
        for (int i = 0; i < n; i++)
            x[i] = (float) random.nextGaussian();
        return x;
    }

    private static float[] product(Backend backend, HostData b, float[] a, int N, int K) {
        int M = a.length / K;
        Buf x = Buf.input("x", DType.F32, M, K);
        Buf w = Buf.weight("w", b.dtype(), N, K);
        Buf y = Buf.output("y", M, N);
        Program p = Program.builder("p")
                .add(new ProductOps.MatMul(ProductOps.MatMul.Form.NT, x, w, y, M, N, K, 1f, false)).build();
        try (Session s = backend.open(List.of(p))) {
            s.bind(w, b);
            s.write(x, a);
            s.run(p);
            return s.read(y);
        }
    }

    /// Of each operation the first cases and some more, none with large operands.
    private static List<OpCase> sample() {
        List<OpCase> out = new ArrayList<>();
        int i = 0;
        for (OpCase c : OpCases.all())
            if (i++ % 5 == 0
                    && c.setup(OpCase.Layout.GUARDED).operands().stream().mapToInt(OpCase.Operand::size).sum() < 5000)
                out.add(c);
        return out;
    }

    private static Backend withWidth(int bits) throws ReflectiveOperationException {
        String before = System.getProperty("gyre.simd");
        System.setProperty("gyre.simd", Integer.toString(bits));
        try {
            ClassLoader own = new OwnCopy(LaneWidthTest.class.getClassLoader());
            Class<?> choice = own.loadClass("dev.gyre.kernels.cpu.SimdChoice");
            Object vector = choice.getField("VECTOR").get(null);
            return (Backend) own.loadClass("dev.gyre.kernels.cpu.CpuBackend").getConstructor(int.class, choice)
                    .newInstance(2, vector);
        } catch (InvocationTargetException e) {
            throw new AssertionError(e.getCause());
        } finally {
            if (before == null)
                System.clearProperty("gyre.simd");
            else
                System.setProperty("gyre.simd", before);
        }
    }

    /// Defines the package's classes anew instead of asking its parent.
    private static final class OwnCopy extends ClassLoader {
        OwnCopy(ClassLoader parent) {
            super(parent);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith("dev.gyre.kernels.cpu."))
                return super.loadClass(name, resolve);
            synchronized (getClassLoadingLock(name)) {
                Class<?> c = findLoadedClass(name);
                return c != null ? c : define(name);
            }
        }

        private Class<?> define(String name) throws ClassNotFoundException {
            try (InputStream in = getParent().getResourceAsStream(name.replace('.', '/') + ".class")) {
                if (in == null)
                    throw new ClassNotFoundException(name);
                byte[] b = in.readAllBytes();
                return defineClass(name, b, 0, b.length);
            } catch (IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }
}
