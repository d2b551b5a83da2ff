package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.check.GradCases;
import dev.gyre.kernels.check.GradCheck;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The reference's gradients are the derivatives of the reference's values.
class GradientsTest {
    static List<GradCheck.Case> cases() {
        return GradCases.all();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientEqualsFiniteDifferences(GradCheck.Case c) {
        GradCheck.check(c);
    }

    @Test
    void aWrongGradientIsFound() {
        GradCheck.Case wrong = new GradCheck.Case("Axpy with the wrong factor", g -> {
            Buf x = g.in("x", 1, 3);
            Buf y = g.result("y", 3);
            g.forward(new ElementOps.Copy(x, y));
            g.forward(new ElementOps.Axpy(1f, x, y));
            Buf dX = g.gradient(x, true);
            g.backward(new ElementOps.Axpy(1.99f, g.cotangent(y), dX));
        });
        assertThatThrownBy(() -> GradCheck.check(wrong)).isInstanceOf(AssertionError.class)
                .hasMessageContaining("gradient of x[0]");
    }
}
