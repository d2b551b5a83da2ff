package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.RotateOps;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A rotation that only feeds a product in BF16 is rounded where it is made.
class RoundedRotationTest {
    private static final int N = 70;
    private static final int D = 48;
    private static final int M = 20;

    /// Equal bits with and without: in a second program, the rotated rows are read once more, so they have to be there.
    @ParameterizedTest
    @CsvSource({"16, 3, false", "16, 1, true", "12, 4, false", "48, 1, true"})
    void theProductIsTheSame(int b, int stored, boolean transpose) {
        Buf x = Buf.state("x", N, D);
        Buf r = Buf.state("r", stored, b, b);
        Buf w = Buf.weight("w", DType.F32, M, D);
        Buf y = Buf.activation("y", N, D);
        Buf z = Buf.activation("z", N, D);
        Buf fused = Buf.output("fused", N, M);
        Buf plain = Buf.output("plain", N, M);
        Buf again = Buf.output("again", N, M);
        Program one =
                Program.builder("fused").add(new RotateOps.BlockRotate(x, r, y, N, D, b, stored, transpose, false))
                        .add(new ProductOps.MatMul(Form.NT, y, w, fused, N, M, D, 1f, false)).build();
        Program two =
                Program.builder("plain").add(new RotateOps.BlockRotate(x, r, z, N, D, b, stored, transpose, false))
                        .add(new ProductOps.MatMul(Form.NT, z, w, plain, N, M, D, 1f, false))
                        .add(new ProductOps.MatMul(Form.NT, z, w, again, N, M, D, 1f, false)).build();
        Random random = new Random(7);
        TornadoBackend backend = TornadoBackend.withCuBlas(HostCuBlas.device(), Precision.BF16);
        try (Session s = backend.open(List.of(one, two))) {
            s.bind(w, new HostData.F32(numbers(random, M * D)));
            s.write(x, numbers(random, N * D));
            s.write(r, numbers(random, stored * b * b));
            s.run(one);
            // the rotation, the rounding of the weight, and the count of runs; not the rounding of the rotated rows
            assertThat(s.compiled().kernels()).isEqualTo(3);
            float[] first = s.read(fused);
            s.run(two);
            assertThat(first).containsExactly(s.read(plain));
            assertThat(first).containsExactly(s.read(again));
        }
    }

    private static float[] numbers(Random random, int n) {
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = (float) random.nextGaussian();
        return a;
    }
}
