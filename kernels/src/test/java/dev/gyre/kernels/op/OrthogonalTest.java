package dev.gyre.kernels.op;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.op.Orthogonal.Form;
import dev.gyre.kernels.op.Orthogonal.Skew;
import org.junit.jupiter.api.Test;

class OrthogonalTest {
    @Test
    void coefficientsOfPeftsPolynomial() {
        assertThat(Orthogonal.neumann(-3).coefficients()).containsExactly(1);
        assertThat(Orthogonal.neumann(0).coefficients()).containsExactly(1);
        assertThat(Orthogonal.neumann(1).coefficients()).containsExactly(1);
        assertThat(Orthogonal.neumann(2).coefficients()).containsExactly(1, 2);
        assertThat(Orthogonal.neumann(3).coefficients()).containsExactly(1, 2, 2, 1);
        assertThat(Orthogonal.neumann(4).coefficients()).containsExactly(1, 2, 2, 1);
        assertThat(Orthogonal.neumann(5).coefficients()).containsExactly(1, 2, 2, 2, 1);
        assertThat(Orthogonal.neumann(8).coefficients()).containsExactly(1, 2, 2, 2, 2, 2, 2, 1);
    }

    @Test
    void coefficientsOfTheOlderPolynomialAreAllTwo() {
        assertThat(Orthogonal.of(Form.NEUMANN_LEGACY, 1).coefficients()).containsExactly(1);
        assertThat(Orthogonal.of(Form.NEUMANN_LEGACY, 2).coefficients()).containsExactly(1, 2);
        assertThat(Orthogonal.of(Form.NEUMANN_LEGACY, 5).coefficients()).containsExactly(1, 2, 2, 2, 2);
        assertThatThrownBy(() -> Orthogonal.of(Form.CAYLEY_PLUS, 0).coefficients())
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void sizeOfTheOrthogonalityDefectOnOnePlane() {
        // algorithms: singular value of R where Q has +-i theta; columns p = 4, 3, 5
        double[][] table = {{0.1, 0.99990, 1.0000005, 1.0000000}, {0.3, 0.9919, 1.00036, 1.000003},
            {0.5, 0.9375, 1.0078, 1.0005}, {0.7, 0.760, 1.057, 1.014}, {1.0, 0, 1.414, 1.414}};
        int[] terms = {5, 4, 6};
        for (double[] row : table)
            for (int k = 0; k < terms.length; k++)
                assertThat(singularValue(Orthogonal.neumann(terms[k]).coefficients(), row[0]))
                        .isCloseTo(row[k + 1], within(5e-4));
    }

    /// `|sum c_j (i theta)^j|`
    private static double singularValue(float[] c, double theta) {
        double re = 0;
        double im = 0;
        double power = 1;
        for (int j = 0; j < c.length; j++) {
            double term = c[j] * power * (j % 4 >= 2 ? -1 : 1);
            if (j % 2 == 0)
                re += term;
            else
                im += term;
            power *= theta;
        }
        return Math.hypot(re, im);
    }

    @Test
    void sixNewtonSchulzIterationsAreExactUpToTheTunedRange() {
        // measured: 3e-1, 7e-2, 4e-3, 9e-6, 7e-11, 2e-16 after 1..6 iterations
        double[] limit = {0.31, 0.07, 4e-3, 1e-5, 1e-10, 1e-15};
        for (int iterations = 1; iterations <= 6; iterations++)
            for (double theta = 0; theta <= 3.87; theta += 0.01)
                assertThat(newtonSchulz(iterations, theta)).as("%d iterations, theta %f", iterations, theta)
                        .isCloseTo(1, within(limit[iterations - 1]));
    }

    @Test
    void newtonSchulzStillConvergesBelowTheSquareRootOfTwentyOne() {
        double theta = Math.sqrt(20.9 - 1);
        assertThat(newtonSchulz(30, theta)).isCloseTo(1, within(1e-6));
        assertThat(Math.abs(newtonSchulz(30, Math.sqrt(21.1 - 1)) - 1)).isGreaterThan(0.1);
    }

    /// What becomes of the singular value `sqrt(1 + theta^2)` of `I + Q`.
    private static double newtonSchulz(int iterations, double theta) {
        double x = Math.sqrt(1 + theta * theta);
        for (double[] ab : Orthogonal.newtonSchulz(iterations))
            x = ab[0] * x + ab[1] * x * x * x;
        return x;
    }

    @Test
    void storedNumbersOfABlock() {
        assertThat(Orthogonal.neumann(5).stored(1)).isZero();
        assertThat(Orthogonal.neumann(5).stored(32)).isEqualTo(496);
        assertThat(new Orthogonal(Form.CAYLEY_MINUS, 0, 0, Skew.FULL).stored(4)).isEqualTo(16);
    }

    @Test
    void newtonSchulzWithoutIterationsIsRejected() {
        assertThatIllegalArgumentException().isThrownBy(() -> Orthogonal.of(Form.NEWTON_SCHULZ, 0))
                .withMessageContaining("NEWTON_SCHULZ with 0 terms");
    }
}
