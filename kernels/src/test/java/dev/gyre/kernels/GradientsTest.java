package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.check.GradCheck;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.Tol;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The reference's gradients are the derivatives of the reference's values.
class GradientsTest {
    static List<OpCase> cases() {
        return OpCases.gradients();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientEqualsFiniteDifferences(OpCase c) {
        GradCheck.check(c);
    }

    private record WrongFactor() implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, 3);
            Buf y = s.result("y", 3);
            s.forward(new ElementOps.Copy(x, y));
            s.forward(new ElementOps.Axpy(1f, x, y));
            s.op(new ElementOps.Axpy(1.99f, s.cotangent("dY", y), s.gradient("dX", x, Tol.EXACT, true)));
        }
    }

    @Test
    void aWrongGradientIsFound() {
        assertThatThrownBy(() -> GradCheck.check(new WrongFactor())).isInstanceOf(AssertionError.class)
                .hasMessageContaining("WrongFactor: dX[0]");
    }

    private record NoGradient() implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.Copy(s.in("x", 1, 3), s.out("y", Tol.EXACT, 3)));
        }
    }

    @Test
    void aCaseWithoutGradientIsRefused() {
        assertThatThrownBy(() -> GradCheck.check(new NoGradient())).isInstanceOf(AssertionError.class)
                .hasMessageContaining("declares no gradient");
    }
}
