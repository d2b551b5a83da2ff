package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.Nf4Data;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Products by cuBLAS in each precision: on the stand-in with our own cuBLAS ([HostCuBlas]), or on the NVIDIA GPU if that is
/// the first device of a TornadoVM SDK. Operations in F32 are in [TornadoOpCasesTest].
class CuBlasTest {
    private static final int M = 20;
    private static final int N = 24;
    private static final int K = 40;

    static Stream<Arguments> products() {
        return Stream.of(Precision.values()).flatMap(p -> Stream.of(Form.values())
                .flatMap(f -> Stream.of(DType.F32, DType.BF16, DType.NF4).filter(t -> f != Form.TN || t == DType.F32)
                        .flatMap(t -> Stream.of(true, false).map(add -> Arguments.of(p, f, t, add)))));
    }

    /// TF32 rounds each factor with a relative error of at most 2^-11, BF16 with 2^-9: hence `limit`. A largest error below `rounding` would mean that nothing was rounded.
    @ParameterizedTest
    @MethodSource("products")
    void productsAreAsExactAsTheirPrecision(Precision precision, Form form, DType type, boolean accumulate) {
        Random random = new Random(1);
        Buf a = Buf.param("a", M * K);
        Buf b = Buf.weight("b", type, N * K);
        Buf c = Buf.param("c", M * N);
        float[] x = numbers(random, M * K);
        float[] old = numbers(random, M * N);
        HostData weight = switch (type) {
            case F32 -> new HostData.F32(numbers(random, N * K));
            case BF16 -> new HostData.BF16(brainFloats(random, N * K));
            case NF4 -> Nf4Data.plain(N * K, 64, random);
            case I32 -> throw new IllegalArgumentException();
        };
        float[] y = decoded(weight);
        float[] result = old.clone();
        Program p =
                Program.builder("product").add(new ProductOps.MatMul(form, a, b, c, M, N, K, 0.5f, accumulate)).build();
        try (Session s = TornadoBackend.withCuBlas(HostCuBlas.device(), precision).open(List.of(p))) {
            s.bind(b, weight);
            s.write(a, x);
            s.write(c, old);
            s.run(p);
            s.read(c, result);
        }
        double limit = switch (precision) {
            case F32 -> 1e-6;
            case TF32 -> 1.0 / 1024;
            case BF16 -> 1.0 / 256;
        };
        double rounding = precision == Precision.TF32 ? 1e-5 : precision == Precision.BF16 ? 1e-4 : 0;
        double worst = 0;
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = accumulate ? old[i * N + j] : 0;
                double size = Math.abs(sum);
                for (int k = 0; k < K; k++) {
                    double product = 0.5 * x[form == Form.TN ? k * M + i : i * K + k]
                            * y[form == Form.NT ? j * K + k : k * N + j];
                    sum += product;
                    size += Math.abs(product);
                }
                double error = Math.abs(result[i * N + j] - sum) / size;
                assertThat(error <= limit).as("%d,%d: %s for %s", i, j, result[i * N + j], sum).isTrue();
                worst = Math.max(worst, error);
            }
        assertThat(worst).isGreaterThanOrEqualTo(rounding);
    }

    private static float[] numbers(Random random, int n) {
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = (float) random.nextGaussian();
        return a;
    }

    private static short[] brainFloats(Random random, int n) {
        short[] a = new short[n];
        for (int i = 0; i < n; i++)
            a[i] = (short) (Float.floatToRawIntBits((float) random.nextGaussian()) >> 16);
        return a;
    }

    private static float[] decoded(HostData weight) {
        float[] out = new float[N * K];
        for (int i = 0; i < out.length; i++)
            out[i] = switch (weight) {
                case HostData.F32 d -> d.values[i];
                case HostData.BF16 d -> Float.intBitsToFloat(d.bits[i] << 16);
                case HostData.NF4 d -> d.value(i);
                case HostData.Stored d -> d.decode(i, 1)[0];
            };
        return out;
    }

    @ParameterizedTest
    @EnumSource
    void notANumberStaysWhereItBelongs(Precision precision) {
        Buf a = Buf.param("a", M * K);
        Buf b = Buf.param("b", N * K);
        Buf c = Buf.param("c", M * N);
        float[] x = numbers(new Random(1), M * K);
        x[3 * K + 5] = Float.NaN;
        float[] result = new float[M * N];
        Program p = Program.builder("product").add(new ProductOps.MatMul(Form.NT, a, b, c, M, N, K, 1f, false)).build();
        try (Session s = TornadoBackend.withCuBlas(HostCuBlas.device(), precision).open(List.of(p))) {
            s.write(a, x);
            s.write(b, numbers(new Random(2), N * K));
            s.run(p);
            s.read(c, result);
        }
        for (int i = 0; i < M * N; i++)
            assertThat(Float.isNaN(result[i])).as("row %d", i / N).isEqualTo(i / N == 3);
    }

    /// The bytes that a session has allocated after its first run are those that were planned before.
    @ParameterizedTest
    @EnumSource
    void workspacesAreCountedBeforehand(Precision precision) {
        TornadoBackend cuBlas = TornadoBackend.withCuBlas(HostCuBlas.device(), precision);
        TornadoBackend own = TornadoBackend.withWorkGroups(HostCuBlas.device());
        long more = 0;
        for (OpCase c : OpCases.sized(Size.XS.shape()).stream().filter(x -> x.op().equals("MatMul")).toList())
            for (TornadoBackend backend : List.of(cuBlas, own)) {
                OpCase.Setup setup = c.setup(OpCase.Layout.PLAIN);
                Program p = setup.program(c.name());
                boolean doubled = c.name().contains("nested");
                long planned = backend.bytes(List.of(p), doubled);
                assertThat(planned).isEqualTo(TornadoBackend.bytesOnGpu(List.of(p), doubled,
                        backend == cuBlas ? precision : null));
                try (Session s = backend.open(List.of(p))) {
                    setup.weights().forEach(s::bind);
                    s.run(p);
                    assertThat(planned).as(c + " on " + backend.precision()).isEqualTo(s.bytes());
                }
                more += backend == cuBlas ? planned : -planned;
            }
        assertThat(more).isPositive(); // decoded weights
    }

    /// Factors and the result are parts of larger buffers, as a chunk of the output head is; what is outside stays.
    @ParameterizedTest
    @EnumSource
    void productsOfPartsOfArrays(Precision precision) {
        int before = 3;
        int behind = 5;
        Random random = new Random(3);
        Buf a = Buf.param("a", before + M * K + behind);
        Buf b = Buf.weight("b", DType.BF16, before + N * K);
        Buf c = Buf.param("c", 2 * before + M * N + behind);
        float[] x = brains(random, (int) a.size());
        short[] w = brainFloats(random, (int) b.size());
        float[] old = numbers(random, (int) c.size());
        float[] result = new float[old.length];
        Program p = Program.builder("part")
                .add(new ProductOps.MatMul(Form.NT, a.view("x", before, M * K), b.view("w", before, N * K),
                        c.view("y", 2 * before, M * N), M, N, K, 1f, true))
                .build();
        try (Session s = TornadoBackend.withCuBlas(HostCuBlas.device(), precision).open(List.of(p))) {
            s.bind(b, new HostData.BF16(w));
            s.write(a, x);
            s.write(c, old);
            s.run(p);
            s.read(c, result);
        }
        double[] expected = new double[old.length];
        for (int i = 0; i < old.length; i++)
            expected[i] = old[i];
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
                for (int k = 0; k < K; k++)
                    expected[2 * before + i * N + j] +=
                            (double) x[before + i * K + k] * Float.intBitsToFloat(w[before + j * K + k] << 16);
        for (int i = 0; i < old.length; i++)
            assertThat((double) result[i]).as("%d", i).isCloseTo(expected[i], within(1e-4));
        assertThat(result).startsWith(Arrays.copyOf(old, 2 * before)).endsWith(
                Arrays.copyOfRange(old, old.length - behind, old.length));
    }

    /// Graphs with the same calls at other offsets are one graph, unless calls are recorded with their addresses.
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void callsTakeTheirOffsetsWhenTheyAreMade(boolean recorded) {
        TaskGraphs tasks = new TaskGraphs(true, recorded);
        FloatArray x = new FloatArray(1);
        for (int layer = 0; layer < 4; layer++) {
            tasks.library("call", new int[] {layer % 2}, (_, _) -> new LibraryTaskDescriptor(), x);
            tasks.cut();
        }
        assertThat(tasks.graphs()).hasSize(recorded ? 2 : 1);
        assertThat(tasks.finish()).extracting(TaskGraphs.Launch::graph)
                .isEqualTo(recorded ? List.of(0, 1, 0, 1) : List.of(0, 0, 0, 0));
    }

    /// As in layers: the same product at other places, more often than a graph has it.
    @Test
    void equalProductsAtManyPlaces() {
        int layers = 8;
        Random random = new Random(4);
        Buf a = Buf.param("a", layers * M * K);
        Buf b = Buf.param("b", layers * N * K);
        Buf c = Buf.param("c", layers * M * N);
        float[] x = numbers(random, layers * M * K);
        float[] y = numbers(random, layers * N * K);
        float[] result = new float[layers * M * N];
        Program.Builder program = Program.builder("layers");
        for (int l = 0; l < layers; l++)
            program.add(new ProductOps.MatMul(Form.NT, a.view("x" + l, (long) l * M * K, M * K),
                    b.view("w" + l, (long) (layers - 1 - l) * N * K, N * K), c.view("y" + l, (long) l * M * N, M * N),
                    M,
                    N, K, 1f, false));
        Program p = program.build();
        try (Session s = TornadoBackend.withCuBlas(HostCuBlas.device(), Precision.F32).open(List.of(p))) {
            s.write(a, x);
            s.write(b, y);
            s.run(p);
            s.read(c, result);
        }
        for (int i = 0; i < result.length; i++) {
            int l = i / (M * N);
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += (double) x[(i / N) * K + k] * y[((layers - 1 - l) * N + i % N) * K + k];
            assertThat((double) result[i]).as("%d", i).isCloseTo(sum, within(1e-4));
        }
    }

    /// Values that no precision rounds.
    private static float[] brains(Random random, int n) {
        short[] bits = brainFloats(random, n);
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = Float.intBitsToFloat(bits[i] << 16);
        return a;
    }

    @Test
    void aFailedCallNamesTheFunctionAndTheStatus() {
        assumeTrue(HostCuBlas.device().equals("jvm"));
        CuBlas library = CuBlas.get();
        long handle = library.create();
        try (Arena arena = Arena.ofConfined()) {
            long x = arena.allocate(4 * 4 * Float.BYTES, 16).address();
            assertThatThrownBy(() -> gemm(library, handle, x, CuBlas.R_32F, 4)).isInstanceOf(DeviceException.class)
                    .hasMessage("cublasGemmEx failed: CUBLAS_STATUS_NOT_INITIALIZED"); // no stream
            library.setStream(handle, 0);
            gemm(library, handle, x, CuBlas.R_32F, 4);
            assertThatThrownBy(() -> gemm(library, handle, x, CuBlas.R_32F, 3))
                    .hasMessage("cublasGemmEx failed: CUBLAS_STATUS_INVALID_VALUE");
            assertThatThrownBy(() -> gemm(library, handle, x, CuBlas.R_16BF, 4))
                    .hasMessage("cublasGemmEx failed: CUBLAS_STATUS_NOT_SUPPORTED");
        }
        library.destroy(handle);
        assertThatThrownBy(() -> library.setStream(handle, 0))
                .hasMessage("cublasSetStream failed: CUBLAS_STATUS_NOT_INITIALIZED");
    }

    private static void gemm(CuBlas library, long handle, long x, int type, int ld) {
        library.gemm(handle, false, false, 4, 4, 4, 1f, x, type, ld, x, CuBlas.R_32F, 4, 0f, x, CuBlas.R_32F, 4,
                CuBlas.COMPUTE_32F);
    }

    /// A session opens one handle and closes it.
    @Test
    void handlesAreClosed() throws Throwable {
        assumeTrue(HostCuBlas.device().equals("jvm"));
        MethodHandle open = Linker.nativeLinker().downcallHandle(
                CuBlas.library(HostCuBlas.load().toString()).findOrThrow("open_handles"),
                FunctionDescriptor.of(ValueLayout.JAVA_INT));
        int before = (int) open.invokeExact();
        Buf a = Buf.param("a", M * K);
        Buf b = Buf.param("b", N * K);
        Buf c = Buf.param("c", M * N);
        Program p = Program.builder("twice").add(new ProductOps.MatMul(Form.NT, a, b, c, M, N, K, 1f, false))
                .add(new ProductOps.MatMul(Form.NT, a, b, c, M, N, K, 1f, true)).build();
        try (Session s = TornadoBackend.withCuBlas("jvm", Precision.F32).open(List.of(p))) {
            s.run(p);
            s.run(p);
            assertThat((int) open.invokeExact()).isEqualTo(before + 1);
        }
        assertThat((int) open.invokeExact()).isEqualTo(before);
    }

    @Test
    void aDeviceWithoutCuBlasRefusesItsPrecisions() {
        assumeTrue(TornadoDevices.list().getFirst().name().equals("jvm"));
        assertThatThrownBy(() -> TornadoBackend.open("jvm", Precision.TF32)).isInstanceOf(DeviceException.class)
                .hasMessageContaining("precision tf32 needs cuBLAS").hasMessageContaining("jvm");
        assertThatThrownBy(() -> CuBlas.library("/nowhere/libcublas.so.13"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("the dynamic loader finds no /nowhere/libcublas.so.13 (-Dgyre.cublas)");
    }
}
