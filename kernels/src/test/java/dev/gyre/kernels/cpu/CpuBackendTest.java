package dev.gyre.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;
import static org.assertj.core.api.Assertions.tuple;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.TokenOps;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

class CpuBackendTest {
    private static final Backend SCALAR = new CpuBackend(1, SimdChoice.SCALAR);
    private static final Backend VECTOR = new CpuBackend(1, SimdChoice.VECTOR);
    private static final Backend THREADS = new CpuBackend(3, SimdChoice.VECTOR);

    @Test
    void describesThreadsAndLanes() {
        assertThat(VECTOR.describe()).contains("1 thread, Vector API, ").doesNotContain("\n");
        assertThat(SCALAR.describe()).contains("scalar loops");
        assertThat(VECTOR.name()).isEqualTo("cpu");
    }

    @Test
    void runWithoutNumbersOfAWeightNamesIt() {
        Buf w = Buf.weight("layer.weight", DType.F32, 4);
        Buf y = Buf.output("y", 4);
        Program p = Program.builder("p").add(new ElementOps.Copy(w, y)).build();
        try (Session s = VECTOR.open(List.of(p))) {
            assertThatThrownBy(() -> s.run(p)).isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("layer.weight");
            float[] numbers = {1, 2, 3, 4};
            s.bind(w, new HostData.F32(numbers));
            s.run(p);
            assertThat(s.read(y)).containsExactly(1, 2, 3, 4);
            numbers[2] = 9;
            s.run(p);
            assertThat(s.read(y)).as("bound numbers are used in place").containsExactly(1, 2, 9, 4);
        }
    }

    @Test
    void timesOperationsOnlyWhenAsked() {
        Buf a = Buf.param("a", 3, 5);
        Buf c = Buf.output("layer/y", 3, 3);
        Program p = Program.builder("p").add(new ElementOps.Fill(a, 2f))
                .add(new ProductOps.MatMul(ProductOps.MatMul.Form.NT, a, a, c, 3, 3, 5, 1f, false)).build();
        Program never = Program.builder("never").add(new ElementOps.Fill(c, 0f)).build();
        try (Session s = VECTOR.open(List.of(p, never))) {
            s.run(p);
            assertThat(s.timings()).isEmpty();
            assertThat(s.time(true)).isTrue();
            s.run(p);
            s.run(p);
            s.time(false);
            s.run(p);
            List<OpTime> t = s.timings();
            assertThat(t).extracting(OpTime::program, OpTime::kind, OpTime::label, OpTime::calls,
                    OpTime::flops).containsExactly(tuple("p", "Fill", "a", 2L, 0L),
                            tuple("p", "MatMul NT", "layer/y", 2L, 2L * 2 * 3 * 3 * 5));
            assertThat(t).allMatch(x -> x.nanos() > 0);
            List<OpTime> byKind = OpTime.byKind(List.of(t.get(0), t.get(1), t.get(0)));
            assertThat(byKind).filteredOn(x -> x.kind().equals("Fill"))
                    .containsExactly(new OpTime("p", "Fill", "", 4, 2 * t.get(0).nanos(), 0));
            s.time(true);
            assertThat(s.timings()).as("counts start anew").isEmpty();
        }
    }

    /// Sizes of several blocks of the inner index, with remainders of the register tile in all directions.
    @Test
    void productsAreTheSameToTheBitWhateverTheThreads() {
        for (DType type : List.of(DType.F32, DType.BF16))
            for (ProductOps.MatMul.Form form : ProductOps.MatMul.Form.values()) {
                if (type == DType.BF16 && form == ProductOps.MatMul.Form.TN)
                    continue;
                for (int[] z : new int[][] {{207, 702, 901}, {61, 33, 1600}, {6, 1003, 40}, {1003, 12, 900}}) {
                    float[] one = product(1, form, type, z[0], z[1], z[2]);
                    for (int threads : new int[] {2, 3, 7})
                        assertThat(product(threads, form, type, z[0], z[1], z[2])).as("%s %s %d threads", form, type,
                                threads).isEqualTo(one);
                }
            }
    }

    /// More columns than are packed at once, and more blocks of the inner index; both sizes odd.
    @Test
    void productsBeyondAllThatIsPackedAtOnceAgreeWithPlainLoops() {
        for (ProductOps.MatMul.Form form : ProductOps.MatMul.Form.values())
            for (int[] z : new int[][] {{61, 401, 6301}, {5, 701, 6301}}) {
                int M = z[0];
                int N = z[1];
                int K = z[2];
                // both fills follow the one generator of `product`
                Random random = new Random(5);
                double[] x = new double[M * K];
                for (int i = 0; i < x.length; i++)
                    x[i] = random.nextFloat() - 0.5f;
                double[] w = new double[N * K];
                for (int i = 0; i < w.length; i++)
                    w[i] = random.nextFloat() - 0.5f;
                float[] got = product(2, form, DType.F32, M, N, K);
                for (int i = 0; i < M; i++)
                    for (int j = 0; j < N; j++) {
                        double sum = 0;
                        for (int k = 0; k < K; k++)
                            sum += x[form == ProductOps.MatMul.Form.TN ? k * M + i : i * K + k]
                                    * w[form == ProductOps.MatMul.Form.NT ? j * K + k : k * N + j];
                        // run twice and added each time
                        if (!(Math.abs(got[i * N + j] - 1.5 * sum) <= 1e-4))
                            fail("%s %d %d: %s, not %s", form, i, j, got[i * N + j], 1.5 * sum);
                    }
            }
    }

    private static float[] product(int threads, ProductOps.MatMul.Form form, DType type, int M, int N, int K) {
        Random random = new Random(5);
        Buf a = Buf.param("a", M, K);
        Buf b = Buf.weight("b", type, N, K);
        Buf c = Buf.output("c", M, N);
        Program p = Program.builder("p").add(new ProductOps.MatMul(form, a, b, c, M, N, K, 0.75f, true)).build();
        float[] x = new float[M * K];
        for (int i = 0; i < x.length; i++)
            x[i] = random.nextFloat() - 0.5f;
        float[] w = new float[N * K];
        short[] bits = new short[N * K];
        for (int i = 0; i < w.length; i++) {
            w[i] = random.nextFloat() - 0.5f;
            bits[i] = (short) (Float.floatToRawIntBits(w[i]) >>> 16);
        }
        try (Session s = new CpuBackend(threads).open(List.of(p))) {
            s.bind(b, type == DType.F32 ? new HostData.F32(w) : new HostData.BF16(bits));
            s.write(a, x);
            s.run(p);
            s.run(p);
            return s.read(c);
        }
    }

    /// A base product and the low-rank ones that are added to it are one product of all their inner indices: across the ends of
    /// blocks and in the same one, odd lengths, each with its alpha.
    @Test
    void sumsOfProductsAreWhatTheProductsMakeOneAfterTheOther() {
        int[][] sizes = {{1030, 77, 300, 17}, {61, 130, 1601, 8}, {7, 1003, 900, 3}, {3, 65, 64, 2}, {200, 96, 831, 40},
            {65, 48, 17, 1100}, {130, 33, 1, 1}};
        for (ProductOps.MatMul.Form form : List.of(ProductOps.MatMul.Form.NT, ProductOps.MatMul.Form.NN))
            for (int[] z : sizes) {
                Buf x = Buf.param("x", z[0], z[2]);
                Buf w = Buf.param("w", z[1], z[2]);
                Buf h = Buf.param("h", z[0], z[3]);
                Buf b = Buf.param("b", z[1], z[3]);
                Buf t = Buf.param("t", z[3], z[0]);
                Buf b2 = Buf.param("b2", z[3], z[1]);
                Buf c = Buf.output("c", z[0], z[1]);
                List<Op> ops = List.of(new ProductOps.MatMul(form, x, w, c, z[0], z[1], z[2], 1f, false),
                        new ProductOps.MatMul(form, h, b, c, z[0], z[1], z[3], -0.75f, true),
                        new ProductOps.MatMul(ProductOps.MatMul.Form.TN, t, b2, c, z[0], z[1], z[3], 2f, true));
                Program.Builder joined = Program.builder("joined");
                ops.forEach(joined::add);
                List<Program> all = new ArrayList<>(List.of(joined.build()));
                for (Op op : ops)
                    all.add(Program.builder("alone").add(op).build());
                try (Session s = new CpuBackend(2).open(all)) {
                    Random random = new Random(3);
                    for (Buf in : List.of(x, w, h, b, t, b2)) {
                        float[] f = new float[in.length()];
                        for (int i = 0; i < f.length; i++)
                            f[i] = random.nextFloat() - 0.5f;
                        s.write(in, f);
                    }
                    s.run(all.getFirst());
                    float[] together = s.read(c);
                    for (Program p : all.subList(1, all.size()))
                        s.run(p);
                    assertThat(together).as("%s %s", form, Arrays.toString(z)).containsExactly(s.read(c),
                            Offset.offset(3e-7f * (z[2] + z[3])));
                }
            }
    }

    @Test
    void refusesWrongSizesAndTypes() {
        Buf w = Buf.weight("w", DType.F32, 4);
        Buf x = Buf.input("ids", DType.I32, 3);
        Buf y = Buf.output("y", 3, 2);
        Program p = Program.builder("p").add(new TokenOps.Embed(x, w, y, 3, 2, 2)).build();
        try (Session s = VECTOR.open(List.of(p))) {
            assertThatThrownBy(() -> s.bind(w, new HostData.F32(new float[5])))
                    .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("w (4) F32");
            assertThatThrownBy(() -> s.bind(w, new HostData.BF16(new short[4])))
                    .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("BF16");
            assertThatThrownBy(() -> s.write(x, new int[2])).isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("ids");
            assertThatThrownBy(() -> s.write(x, new float[3])).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> s.read(y, new float[5])).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> s.write(w, new float[4])).isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("bind");
        }
    }

    @Test
    void aTokenOutsideTheVocabularyIsNamedWhateverThread() {
        int N = 5000;
        Buf ids = Buf.input("ids", DType.I32, N);
        Buf table = Buf.param("table", 7, 16);
        Buf y = Buf.output("y", N, 16);
        Program p = Program.builder("p").add(new TokenOps.Embed(ids, table, y, N, 7, 16)).build();
        try (Session s = THREADS.open(List.of(p))) {
            int[] values = new int[N];
            values[N - 1] = 7;
            s.write(ids, values);
            assertThatThrownBy(() -> s.run(p)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("token id 7 at row 4999");
            values[N - 1] = 6;
            s.write(ids, values);
            s.run(p);
        }
    }

    @Test
    void persistentBuffersStartAsZerosAndAreSharedByPrograms() {
        Buf grad = Buf.grad("g", 33);
        Buf x = Buf.input("x", DType.F32, 33);
        Buf y = Buf.output("y", 33);
        Program add = Program.builder("add").add(new ElementOps.Axpy(1f, x, grad)).build();
        Program copy = Program.builder("copy").add(new ElementOps.Copy(grad, y)).build();
        try (Session s = VECTOR.open(List.of(add, copy))) {
            float[] ones = new float[33];
            Arrays.fill(ones, 1f);
            s.write(x, ones);
            s.run(add);
            s.run(add);
            s.run(copy);
            assertThat(s.read(y)).containsOnly(2f);
            assertThat(s.bytes()).isEqualTo(4L * 33 * 3);
        }
    }

    @Test
    void closingEndsTheThreads() throws InterruptedException {
        Buf y = Buf.output("y", 1 << 17);
        Program p = Program.builder("p").add(new ElementOps.Fill(y, 1f)).build();
        Set<Thread> before = threads(); // of other tests' sessions, some perhaps still ending
        Session s = new CpuBackend(4).open(List.of(p));
        s.run(p);
        Set<Thread> own = threads();
        own.removeAll(before);
        assertThat(own).hasSize(3);
        s.close();
        for (Thread t : own)
            assertThat(t.join(Duration.ofMinutes(5))).as(t.getName() + " ended").isTrue();
    }

    private static Set<Thread> threads() {
        return Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().startsWith("gyre-cpu"))
                .collect(Collectors.toSet());
    }
}
