package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.gyre.kernels.check.Nf4Data;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.ref.RefBackend;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class RefBackendTest {
    private final Buf in = Buf.input("in", DType.F32, 2);
    private final Buf out = Buf.output("out", 2);

    @Test
    void activationsForgetWhatTheLastRunLeft() {
        Buf a = Buf.activation("a", 4);
        // the second half of a is read but never written: legal for the program, NaN in the result
        Program p = Program.builder("stale").add(new ElementOps.Copy(in, a.view("low", 0, 2)))
                .add(new ElementOps.Copy(a.view("high", 2, 2), out)).build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
            s.run(p);
            assertThat(s.readDouble(out)).containsExactly(Double.NaN, Double.NaN);
        }
    }

    @Test
    void numbersStayDoubleFromWriteToRead() {
        Program p = Program.builder("copy").add(new ElementOps.Copy(in, out)).build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
            s.writeDouble(in, new double[] {0.1, Math.PI});
            s.run(p);
            assertThat(s.readDouble(out)).containsExactly(0.1, Math.PI);
            assertThat(s.read(out)).containsExactly(0.1f, (float) Math.PI);
            assertThat(s.readDouble(out.view("second", 1, 1))).containsExactly(Math.PI);
        }
    }

    @Test
    void weightsOfEveryTypeAreWidened() {
        Buf bf16 = Buf.weight("bf16", DType.BF16, 3);
        Buf nf4 = Buf.weight("nf4", DType.NF4, 67);
        Buf y = Buf.output("y", 3);
        Buf z = Buf.output("z", 67);
        HostData.NF4 codes = Nf4Data.nested(67, 32, 2, new Random(1));
        Program p = Program.builder("decode").add(new ProductOps.Decode(bf16, y)).add(new ProductOps.Decode(nf4, z))
                .build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
            assertThatThrownBy(() -> s.run(p)).isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("bf16 (3) BF16 is not bound");
            s.bind(bf16, new HostData.BF16(new short[] {0x3f80, (short) 0xc040, 0}));
            s.bind(nf4, codes);
            s.run(p);
            assertThat(s.readDouble(y)).containsExactly(1, -3, 0);
            assertThat(s.read(z)[66]).isEqualTo(codes.value(66));
            assertThatThrownBy(() -> s.bind(nf4, codes)).isInstanceOf(IllegalStateException.class);
            assertThatIllegalArgumentException().isThrownBy(() -> s.bind(bf16, new HostData.F32(new float[3])));
        }
    }

    /// 8/3 and 1/sqrt(12) are no floats.
    @Test
    void constantsOfOperationsStayDoubles() {
        Buf a = Buf.input("a", DType.F32, 1, 1);
        Buf c = Buf.output("c", 1, 1);
        int D = 12;
        double scale = 1 / Math.sqrt(D);
        Buf q = Buf.input("q", DType.F32, 2, D);
        Buf v = Buf.input("v", DType.F32, 2, D);
        Buf start = Buf.input("start", DType.I32, 2);
        Buf mixed = Buf.output("mixed", 2, D);
        Buf lse = Buf.output("lse", 2, 1);
        Program p = Program.builder("constants")
                .add(new ProductOps.MatMul(ProductOps.MatMul.Form.NN, a, a, c, 1, 1, 1, 8.0 / 3, false))
                .add(new AttentionOps.Attention(q, q, v, start, mixed, lse, 1, 2, 1, 1, D, scale, 0)).build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
            s.write(a, new float[] {1});
            float[] queries = new float[2 * D];
            float[] values = new float[2 * D];
            for (int i = 0; i < D; i++) {
                queries[i] = i;
                queries[D + i] = i - 4;
                values[D + i] = 1;
            }
            s.write(q, queries);
            s.write(v, values);
            s.write(start, new int[2]);
            s.run(p);
            assertThat(s.readDouble(c)).containsExactly(8.0 / 3);
            // the second query sees both keys, with values 0 and 1
            double first = 0;
            double second = 0;
            for (int i = 0; i < D; i++) {
                first += (i - 4) * i;
                second += (i - 4) * (i - 4);
            }
            double weight = 1 / (1 + Math.exp(scale * (first - second)));
            assertThat(s.readDouble(mixed)[D]).isCloseTo(weight, withinPercentage(1e-10));
            assertThat(s.readDouble(lse)[1]).isCloseTo(scale * first + Math.log1p(Math.exp(scale * (second - first))),
                    withinPercentage(1e-12));
        }
    }

    @Test
    void wrongUsesAreRefused() {
        Buf w = Buf.weight("w", DType.F32, 2);
        Program p = Program.builder("p").add(new ProductOps.Decode(w, out)).build();
        Program other = Program.builder("other").add(new ElementOps.Fill(out, 1f)).build();
        try (RefBackend.RefSession s = new RefBackend().open(List.of(p))) {
            assertThatIllegalArgumentException().isThrownBy(() -> s.run(other)).withMessageContaining("other");
            assertThatIllegalArgumentException().isThrownBy(() -> s.write(out, new float[3]));
            assertThatIllegalArgumentException().isThrownBy(() -> s.write(w, new float[2]));
            assertThatIllegalArgumentException().isThrownBy(() -> s.write(out, new int[2]));
            assertThatThrownBy(() -> s.write(in, new float[2])).isInstanceOf(IllegalStateException.class);
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> s.bind(w, new HostData.F32(new float[1])));
        }
    }
}
