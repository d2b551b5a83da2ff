package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Form;
import java.util.Random;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;
import org.junit.jupiter.api.Test;

class GeometryTest {
    /// The table of Cayley-Neumann's singular values at one plane: 0.7 gives 0.760 at five terms, 1.057 at four.
    @Test
    void defectOfOnePlaneIsThatOfThePolynomial() {
        float[] v = {0.7f};
        Geometry five = Geometry.of("m", Orthogonal.neumann(5), v, 1, 2);
        assertThat(five.skewNorm()).isCloseTo(0.7, offset(1e-6));
        assertThat(five.defect()).isCloseTo(1 - 0.7599 * 0.7599, offset(1e-4));
        assertThat(five.angle()).isCloseTo(2 * Math.toDegrees(Math.atan(0.7)), offset(1e-4));
        assertThat(Geometry.of("m", Orthogonal.neumann(4), v, 1, 2).defect()).isCloseTo(1.0572 * 1.0572 - 1,
                offset(2e-3));
        assertThat(Geometry.of("m", Orthogonal.of(Form.CAYLEY_PLUS, 0), v, 1, 2).defect()).isCloseTo(0, offset(1e-12));
        assertThat(Geometry.of("m", Orthogonal.of(Form.NEWTON_SCHULZ, 6), v, 1, 2).defect()).isLessThan(1e-6);
    }

    @Test
    void normIsTheLargestSingularValueOfTheBlocks() {
        Random random = new Random(3);
        for (int b : new int[] {2, 3, 5, 8, 32}) {
            int m = b * (b - 1) / 2;
            float[] v = new float[3 * m];
            double expected = 0;
            for (int block = 0; block < 3; block++) {
                double[][] q = new double[b][b];
                for (int i = 0, k = block * m; i < b; i++)
                    for (int j = i + 1; j < b; j++, k++) {
                        v[k] = (float) (0.1 * random.nextGaussian());
                        q[i][j] = v[k];
                        q[j][i] = -v[k];
                    }
                expected = Math.max(expected,
                        new SingularValueDecomposition(new Array2DRowRealMatrix(q)).getNorm());
            }
            assertThat(Geometry.of("m", Orthogonal.neumann(5), v, 3, b).skewNorm()).isCloseTo(expected,
                    offset(1e-3 * expected));
        }
    }

    @Test
    void zeroIsTheIdentity() {
        Geometry g = Geometry.of("m", Orthogonal.neumann(5), new float[28], 1, 8);
        assertThat(g.skewNorm()).isZero();
        assertThat(g.defect()).isZero();
        assertThat(g.angle()).isZero();
    }
}
