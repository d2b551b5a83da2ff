package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.RopeOps;
import org.junit.jupiter.api.Test;

class ProgramTest {
    private final Buf in = Buf.input("in", DType.F32, 4);
    private final Buf a = Buf.activation("a", 4);
    private final Buf b = Buf.activation("b", 4);
    private final Buf out = Buf.output("out", 4);

    private static Program program(Op... ops) {
        Program.Builder p = Program.builder("test");
        for (Op op : ops)
            p.add(op);
        return p.build();
    }

    @Test
    void readingAnActivationBeforeItIsWrittenIsRejected() {
        assertThatIllegalArgumentException().isThrownBy(() -> program(new ElementOps.Copy(a, out)))
                .withMessageContaining("a (4) F32 before it is written");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> program(new ElementOps.Copy(in, a), new ElementOps.Add(a, b, out)));
        // adding to an activation reads it
        assertThatIllegalArgumentException().isThrownBy(() -> program(new ElementOps.Axpy(1f, in, a)));
        assertThat(
                program(new ElementOps.Copy(in, a), new ElementOps.Axpy(1f, in, a), new ElementOps.Copy(a, out)).ops())
                .hasSize(3);
    }

    @Test
    void operationsWhoseActivationsNobodyReadsAreLeftOut() {
        Buf c = Buf.activation("c", 4);
        Op first = new ElementOps.Copy(in, a);
        Op view = new ElementOps.Copy(in.view("half", 0, 2), b.view("b half", 0, 2));
        Program p = program(first, new ElementOps.Copy(a, c), new ElementOps.Axpy(1f, in, c),
                new ElementOps.Copy(in, b), view,
                new ElementOps.Add(a, b, out), new ElementOps.Copy(out, c));
        assertThat(p.withoutUnread().ops()).containsExactly(first, p.ops().get(3), view, p.ops().get(5));
        Program overwritten =
                program(first, new ElementOps.Axpy(1f, in, a), new ElementOps.Fill(a, 1f), new ElementOps.Copy(a, out));
        assertThat(overwritten.withoutUnread().ops()).containsExactly(overwritten.ops().get(2),
                overwritten.ops().get(3));
    }

    @Test
    void anAccumulatingProductReadsItsResultAndAnOverwritingOneDoesNot() {
        Buf x = Buf.input("x", DType.F32, 2, 3);
        Buf w = Buf.weight("w", DType.F32, 5, 3);
        Buf y = Buf.activation("y", 2, 5);
        assertThatIllegalArgumentException()
                .isThrownBy(
                        () -> program(new ProductOps.MatMul(ProductOps.MatMul.Form.NT, x, w, y, 2, 5, 3, 1f, true)));
        assertThat(program(new ProductOps.MatMul(ProductOps.MatMul.Form.NT, x, w, y, 2, 5, 3, 1f, false)).flops())
                .isEqualTo(60);
    }

    @Test
    void writingAFrozenWeightIsRejected() {
        Buf w = Buf.weight("w", DType.F32, 8);
        assertThatIllegalArgumentException().isThrownBy(() -> program(new ElementOps.Copy(in, w.view("half", 4, 4))))
                .withMessageContaining("writes the frozen weight w (8) F32");
    }

    @Test
    void rootsAreListedOnceInOrderOfFirstUse() {
        Buf params = Buf.param("params", 8);
        Program p = program(new ElementOps.Copy(params.view("one", 0, 4), a),
                new ElementOps.Add(params.view("two", 4, 4), a, b),
                new ElementOps.Copy(b, out));
        assertThat(p.roots()).containsExactly(params, a, b, out);
    }

    @Test
    void wrongSizesAreRejectedWithTheBuffers() {
        assertThatIllegalArgumentException().isThrownBy(() -> new ElementOps.Add(in, a, Buf.output("c", 5)))
                .withMessageContaining("Add").withMessageContaining("c (5) F32");
        assertThatIllegalArgumentException().isThrownBy(() -> new RopeOps.Rope(Buf.activation("x", 2, 5),
                Buf.input("cos", DType.F32, 4, 2), Buf.input("sin", DType.F32, 4, 2),
                Buf.input("positions", DType.I32, 2), 2, 1, 5, false));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new ElementOps.Dropout(in, Buf.input("seed", DType.I32, 1), a, 0,
                        1f, false));
    }

    @Test
    void printNumbersEveryOperation() {
        String text = program(new ElementOps.Copy(in, a), new ElementOps.Copy(a, out)).print();
        assertThat(text.lines()).hasSize(3);
        assertThat(text).contains("program test: 2 operations").contains("    1  Copy[x=a (4) F32, y=out (4) F32]");
    }
}
