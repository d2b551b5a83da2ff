package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.RotateOps;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Activations in BF16 against the double-precision reference, which gets the same rounded inputs: on the stand-in with our own
/// cuBLAS, or on the NVIDIA GPU if that is the first device of a TornadoVM SDK.
class PackedActivationsTest {
    private static final Lowering.Choice BF16 = new Lowering.Choice(true, Precision.BF16, true, false);

    /// Up to six cases of each operation that has such kernels, spread over those with few elements.
    static List<OpCase> cases() {
        return Stream.of("Copy", "Add", "SwiGlu", "SwiGluGrad", "AddBias", "RmsNorm", "MatMul", "Rope", "BlockRotate",
                "BlockRotateGrad", "Attention", "AttentionGrad").flatMap(op -> {
                    List<OpCase> some = OpCases.of(op).stream().filter(PackedActivationsTest::packs).toList();
                    assertThat(some).as(op).isNotEmpty();
                    int n = Math.min(6, some.size());
                    return IntStream.range(0, n).mapToObj(i -> some.get(i * (some.size() - 1) / Math.max(1, n - 1)));
                }).distinct().toList();
    }

    private static boolean packs(OpCase c) {
        OpCase.Setup s = c.setup(Layout.ARENA);
        int elements = s.operands().stream().mapToInt(OpCase.Operand::size).sum();
        boolean wide = s.ops().stream().anyMatch(o -> o instanceof AttentionOps.Attention a && a.T() > 70);
        return elements > 0 && elements < 30_000 && !wide && s.ops().stream().mapToLong(Op::flops).sum() < 2_000_000
                && !PackedActivations.of(List.of(s.program("case")), BF16).isEmpty();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void operationsOnPairsAgreeWithTheReference(OpCase c) {
        assertThat(OpCheck.check(TornadoBackend.inBf16(HostCuBlas.device()), c, Layout.ARENA)).isLessThanOrEqualTo(1);
    }

    @Test
    void buffersOfOddSizeAndViewsAtOddPlacesStayInF32() {
        Buf odd = Buf.activation("odd", 3, 5);
        Buf even = Buf.activation("even", 4, 6);
        Buf views = Buf.activation("views", 8);
        Buf out = Buf.output("out", 24);
        List<Program> p = List.of(Program.builder("p").add(new ElementOps.Fill(odd, 1)).add(copy(odd, out))
                .add(copy(Buf.input("in", DType.F32, 24), even)).add(copy(even, out))
                .add(copy(Buf.input("few", DType.F32, 8), views))
                .add(copy(views.view("one", 1, 4), out.view("four", 0, 4))).build());
        assertThat(PackedActivations.of(p, BF16)).containsExactly(even);
        assertThat(PackedActivations.of(p, new Lowering.Choice(true, Precision.TF32, false, false)))
                .isEmpty();
    }

    private static Op copy(Buf x, Buf y) {
        return new ElementOps.Copy(x, x.size() == y.size() ? y : y.view("part", 0, (int) x.size()));
    }

    /// A rotation reads and writes F32 or pairs, and its gradient reads them, in any combination.
    @ParameterizedTest
    @CsvSource({"true, true", "true, false", "false, true"})
    void rotationsTakeBothForms(boolean packedX, boolean packedY) {
        int N = 70;
        int d = 24;
        int b = 12;
        Buf in = Buf.state("in", N, d);
        Buf x = Buf.activation("x", N, d);
        Buf r = Buf.state("r", 2, b, b);
        Buf y = Buf.activation("y", N, d);
        Buf dR = Buf.output("dR", 2, b, b);
        Buf out = Buf.output("out", N, d);
        Program.Builder program = Program.builder("rotation").add(new ElementOps.Copy(in, x));
        if (!packedX)
            program.add(new ElementOps.Scale(1, x, x));
        program.add(new RotateOps.BlockRotate(x, r, y, N, d, b, 2, false, false));
        if (!packedY)
            program.add(new ElementOps.Scale(1, y, y));
        program.add(new RotateOps.BlockRotateGrad(x, y, dR, N, d, b, 2)).add(new ElementOps.Copy(y, out));
        Program p = program.build();
        Set<Buf> expected = new HashSet<>();
        if (packedX)
            expected.add(x);
        if (packedY)
            expected.add(y);
        assertThat(PackedActivations.of(List.of(p), BF16)).isEqualTo(expected);
        float[] xs = numbers(new Random(1), N * d);
        float[] rs = numbers(new Random(2), 2 * b * b);
        float[] ys = new float[N * d];
        float[] gradient = new float[2 * b * b];
        TornadoBackend backend = TornadoBackend.inBf16(HostCuBlas.device());
        try (Session s = backend.open(List.of(p))) {
            s.write(in, xs);
            s.write(r, rs);
            s.run(p);
            s.read(out, ys);
            s.read(dR, gradient);
            assertThat(backend.bytes(List.of(p), false)).isEqualTo(s.bytes());
        }
        double[] sum = new double[2 * b * b];
        for (int t = 0; t < N; t++)
            for (int i = 0; i < d; i++) {
                double y1 = 0;
                double size = 0;
                for (int k = 0; k < b; k++) {
                    double product = (double) xs[t * d + i / b * b + k] * rs[(i / b * b + k) * b + i % b];
                    y1 += product;
                    size += Math.abs(product);
                    sum[(i / b * b + k) * b + i % b] += (double) xs[t * d + i / b * b + k] * ys[t * d + i];
                }
                assertThat((double) ys[t * d + i]).isCloseTo(y1, within(size / 128));
            }
        double most = Arrays.stream(sum).map(Math::abs).max().orElseThrow();
        for (int i = 0; i < sum.length; i++)
            assertThat((double) gradient[i]).isCloseTo(sum[i], within(most / 128));
    }

    private static float[] numbers(Random random, int n) {
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = (float) random.nextGaussian();
        return a;
    }
}
