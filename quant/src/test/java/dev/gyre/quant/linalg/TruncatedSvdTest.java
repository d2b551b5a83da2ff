package dev.gyre.quant.linalg;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.quant.DoubleQuant;
import dev.gyre.quant.Golden;
import dev.gyre.quant.Nf4;
import dev.gyre.quant.linalg.TruncatedSvd.Options;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The oracle is Commons Math's dense SVD; products run on the double-precision reference backend.
class TruncatedSvdTest {
    private static final TruncatedSvd.Progress SILENT = (products, residual) -> {
    };

    private static Options exact(double tolerance) {
        return new Options(tolerance, 8, 20, Integer.MAX_VALUE, 1);
    }

    private static Options iterative(double tolerance, int oversampling) {
        return new Options(tolerance, oversampling, 20, 0, 1);
    }

    @ParameterizedTest
    @CsvSource({"40,30,5", "30,40,30", "17,17,17", "1,9,1", "9,1,1", "64,3,2"})
    void aSmallMatrixIsDecomposedLikeCommonsMathDoesIt(int n, int d, int r) {
        float[] w = gaussian(n, d, 3);
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), n, d, r, exact(1e-6), new RefBackend(), SILENT);
        check(w, n, d, svd);
        SingularValueDecomposition oracle = oracle(w, n, d);
        for (int i = 0; i < r; i++)
            assertThat(svd.s()[i]).isCloseTo(oracle.getSingularValues()[i], within(1e-12 * oracle.getNorm()));
        assertThat(svd.products()).isZero();
        assertThat(svd.converged()).isTrue();
        double next = r < Math.min(n, d) ? oracle.getSingularValues()[r] : 0;
        assertThat(svd.nextSingularValue()).isCloseTo(next, within(1e-12 * oracle.getNorm()));
    }

    /// Spectra that weights have, and ones that break iterations: steep, flat, spikes over a flat floor, clusters.
    @ParameterizedTest
    @CsvSource({"power,90,70,8", "power,70,90,8", "gaussian,90,110,6", "gaussian,110,90,6", "spikes,100,80,10",
        "steep,80,80,12", "pairs,80,60,6", "power,61,40,40", "gaussian,50,70,50", "power,60,50,1"})
    void theIterationFindsTheSubspaceOfTheOracle(String kind, int n, int d, int r) {
        float[] w = matrix(kind, n, d);
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), n, d, r, iterative(1e-5, 6), new RefBackend(),
                SILENT);
        assertThat(svd.products()).isPositive();
        assertThat(svd.converged()).isTrue();
        check(w, n, d, svd);
        SingularValueDecomposition oracle = oracle(w, n, d);
        double[] exact = oracle.getSingularValues();
        double norm = frobenius(w);
        for (int i = 0; i < r; i++)
            assertThat(svd.s()[i]).as("s_%d", i).isCloseTo(exact[i], within(svd.residual() * norm));
        // F32 factors: 1e-6 of rounding beside the bound; 1.5 because the bound rests on an estimated gap.
        double sine = sine(svd, oracle);
        if (r < Math.min(n, d))
            assertThat(sine).isLessThanOrEqualTo(1e-6 + 1.5 * svd.angleBound());
        double held = Arrays.stream(exact).limit(r).map(s -> s * s).sum() / (norm * norm);
        assertThat(svd.captured()).isCloseTo(held, within(1e-6));
    }

    /// PEFT's factors have the signs of its SVD, so each pair may be turned as one. Its SVD ran in F32.
    @ParameterizedTest
    @CsvSource({"default_r6,18,24,6,6", "strict_r4,20,16,4,4", "scaled_r4_alpha8,12,16,4,8"})
    void goldenPrincipalFactorsAreFoundUpToSign(String name, int n, int d, int r, int alpha) {
        Golden golden = Golden.open("psoft-factors.safetensors");
        float[] w = golden.floats(name + "/W");
        float[] a = golden.floats(name + "/A");
        float[] b = golden.floats(name + "/B");
        for (Options o : List.of(exact(1e-5), iterative(1e-6, 6))) {
            TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), n, d, r, o, new RefBackend(), SILENT);
            float[] vt = svd.vt();
            float[] u = svd.u();
            for (int i = 0; i < r; i++) {
                double sign = 0;
                for (int j = 0; j < d; j++)
                    sign += vt[i * d + j] * a[i * d + j];
                sign = Math.signum(sign);
                for (int j = 0; j < d; j++)
                    assertThat(sign * vt[i * d + j]).as("A[%d,%d]", i, j).isCloseTo(a[i * d + j], within(5e-5));
                for (int j = 0; j < n; j++)
                    assertThat(sign * u[j * r + i] * svd.s()[i] * r / alpha).as("B[%d,%d]", j, i)
                            .isCloseTo(b[j * r + i], within(5e-5));
            }
        }
    }

    /// In F32, as it runs for users, and with more work: the stated residual is checked in double all the same.
    @ParameterizedTest
    @CsvSource({"power,301,270,24", "gaussian,270,301,17"})
    void theCpuBackendMeetsTheToleranceToo(String kind, int n, int d, int r) {
        float[] w = matrix(kind, n, d);
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), n, d, r, Options.defaults(r, 1), new CpuBackend(2),
                SILENT);
        assertThat(svd.products()).isPositive();
        assertThat(svd.converged()).isTrue();
        check(w, n, d, svd);
        TruncatedSvd whole = TruncatedSvd.leading(new HostData.F32(w), n, d, r, exact(1e-6), new CpuBackend(2),
                SILENT);
        for (int i = 0; i < r; i++)
            assertThat(svd.s()[i]).isCloseTo(whole.s()[i], within(svd.residual() * frobenius(w)));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3})
    void aMatrixOfLowerRankThanAskedForKeepsOrthonormalFactors(int rank) {
        int n = 50;
        int d = 40;
        float[] w = lowRank(n, d, rank);
        for (Options o : List.of(exact(1e-5), iterative(1e-5, 6))) {
            TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), n, d, 7, o, new RefBackend(), SILENT);
            check(w, n, d, svd);
            assertThat(svd.converged()).isTrue();
            for (int i = rank; i < 7; i++)
                assertThat(svd.s()[i]).isLessThanOrEqualTo(1e-6 * frobenius(w));
            assertThat(svd.captured()).isCloseTo(1, within(1e-6));
        }
    }

    @Test
    void anOrthogonalMatrixHasNoPreferredSubspaceAndSaysSo() {
        double[][] q = Rows.gaussian(60, 60, 5);
        Rows.orthonormalize(q);
        float[] w = new float[60 * 60];
        for (int i = 0; i < w.length; i++)
            w[i] = (float) q[i / 60][i % 60];
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), 60, 60, 9, iterative(1e-5, 6), new RefBackend(),
                SILENT);
        check(w, 60, 60, svd);
        assertThat(svd.converged()).isTrue();
        assertThat(svd.gap()).isLessThan(1e-5);
        assertThat(svd.angleBound()).isGreaterThan(0.01);
    }

    @Test
    void theSameSeedGivesTheSameBitsAndAnotherTheSameSubspace() {
        float[] w = matrix("power", 70, 90);
        TruncatedSvd a = seeded(w, 1);
        TruncatedSvd b = seeded(w, 1);
        TruncatedSvd c = seeded(w, 2);
        assertThat(b.vt()).isEqualTo(a.vt());
        assertThat(b.u()).isEqualTo(a.u());
        assertThat(b.s()).isEqualTo(a.s());
        assertThat(c.vt()).isNotEqualTo(a.vt());
        double[][] rows = rows(a);
        double[][] others = rows(c);
        for (int i = 0; i < 8; i++)
            assertThat(Rows.dot(rows[i], others[i])).as("signs and vectors agree").isCloseTo(1, within(1e-5));
    }

    private static TruncatedSvd seeded(float[] w, long seed) {
        return TruncatedSvd.leading(new HostData.F32(w), 70, 90, 8, new Options(1e-6, 6, 20, 0, seed),
                new RefBackend(), SILENT);
    }

    @Test
    void storedFormsAreDecomposedAsTheyDecode() {
        float[] w = matrix("power", 64, 48);
        HostData.NF4 nf4 = DoubleQuant.of(Nf4.quantize(w, 64));
        short[] bits = new short[w.length];
        float[] upper = new float[w.length];
        for (int i = 0; i < w.length; i++) {
            bits[i] = (short) (Float.floatToIntBits(w[i]) >>> 16);
            upper[i] = Float.intBitsToFloat(bits[i] << 16);
        }
        for (Options o : List.of(exact(1e-5), iterative(1e-5, 6))) {
            check(Nf4.dequantize(nf4), 64, 48, TruncatedSvd.leading(nf4, 64, 48, 5, o, new RefBackend(), SILENT));
            check(upper, 64, 48,
                    TruncatedSvd.leading(new HostData.BF16(bits), 64, 48, 5, o, new RefBackend(), SILENT));
        }
    }

    @Test
    void aToleranceBelowF32IsMissedHonestly() {
        float[] w = matrix("gaussian", 60, 60);
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(w), 60, 60, 5, iterative(1e-12, 6), new RefBackend(),
                SILENT);
        assertThat(svd.converged()).isFalse();
        assertThat(svd.residual()).isBetween(1e-12, 1e-6);
        check(w, 60, 60, svd);
    }

    @Test
    void progressReportsAFallingResidual() {
        List<Double> residuals = new ArrayList<>();
        List<Integer> products = new ArrayList<>();
        TruncatedSvd svd = TruncatedSvd.leading(new HostData.F32(matrix("gaussian", 90, 90)), 90, 90, 6,
                iterative(1e-5, 6), new RefBackend(), (count, residual) -> {
                    products.add(count);
                    residuals.add(residual);
                });
        assertThat(residuals).hasSizeGreaterThan(1).isSortedAccordingTo((a, b) -> Double.compare(b, a));
        assertThat(products).isSorted();
        assertThat(svd.products()).isGreaterThan(products.getLast());
        assertThat(residuals.getLast()).isLessThanOrEqualTo(1e-5);
    }

    @Test
    void plainPowerStepsComeCloserWithEveryStep() {
        float[] w = matrix("power", 80, 60);
        double previous = Double.POSITIVE_INFINITY;
        for (int niter : new int[] {0, 2, 10}) {
            TruncatedSvd svd = TruncatedSvd.lowrank(new HostData.F32(w), 80, 60, 6, niter, 0, new RefBackend());
            check(w, 80, 60, svd);
            assertThat(svd.residual()).isLessThan(previous / 2);
            assertThat(svd.nextSingularValue()).isNaN();
            assertThat(svd.angleBound()).isNaN();
            previous = svd.residual();
        }
    }

    @Test
    void whatCannotBeDecomposedIsRefused() {
        HostData w = new HostData.F32(new float[12]);
        assertThatThrownBy(() -> TruncatedSvd.leading(w, 3, 4, 4, exact(1e-5), new RefBackend(), SILENT))
                .isInstanceOf(InputException.class).hasMessageContaining("rank 4 is not in 1..3");
        assertThatThrownBy(() -> TruncatedSvd.lowrank(w, 3, 5, 1, 2, 0, new RefBackend()))
                .isInstanceOf(InputException.class).hasMessageContaining("15");
        HostData nan = new HostData.F32(new float[] {1, Float.NaN});
        assertThatThrownBy(() -> TruncatedSvd.leading(nan, 1, 2, 1, exact(1e-5), new RefBackend(), SILENT))
                .isInstanceOf(InputException.class).hasMessageContaining("NaN");
    }

    /// What every result must be: orthonormal factors, the sign rule, and a stated residual that is the true one.
    private static void check(float[] w, int n, int d, TruncatedSvd svd) {
        int r = svd.r();
        float[] u = svd.u();
        float[] vt = svd.vt();
        double[] s = svd.s();
        for (int i = 0; i < r; i++)
            for (int j = 0; j <= i; j++) {
                double uu = 0;
                double vv = 0;
                for (int p = 0; p < n; p++)
                    uu += (double) u[p * r + i] * u[p * r + j];
                for (int p = 0; p < d; p++)
                    vv += (double) vt[i * d + p] * vt[j * d + p];
                assertThat(uu).as("U'U[%d,%d]", i, j).isCloseTo(i == j ? 1 : 0, within(3e-7));
                assertThat(vv).as("V'V[%d,%d]", i, j).isCloseTo(i == j ? 1 : 0, within(3e-7));
            }
        double sum = 0;
        for (int i = 0; i < r; i++) {
            if (i > 0)
                assertThat(s[i]).isLessThanOrEqualTo(s[i - 1]);
            assertThat(s[i]).isNotNegative();
            float largest = 0;
            for (int p = 0; p < d; p++)
                if (Math.abs(vt[i * d + p]) > Math.abs(largest))
                    largest = vt[i * d + p];
            assertThat(largest).as("sign of row %d", i).isPositive();
            for (int p = 0; p < n; p++) {
                double av = 0;
                for (int q = 0; q < d; q++)
                    av += (double) w[p * d + q] * vt[i * d + q];
                sum += Math.pow(av - s[i] * u[p * r + i], 2);
            }
            for (int q = 0; q < d; q++) {
                double ua = 0;
                for (int p = 0; p < n; p++)
                    ua += (double) w[p * d + q] * u[p * r + i];
                sum += Math.pow(ua - s[i] * vt[i * d + q], 2);
            }
        }
        double norm = frobenius(w);
        double residual = norm == 0 ? 0 : Math.sqrt(sum) / norm;
        // The stated one may differ by the rounding of its products to F32, 1e-7 of the norm.
        assertThat(svd.residual()).isCloseTo(residual, within(2e-7 + 1e-6 * residual));
    }

    /// Sine of the largest angle between the computed and the exact right subspace: `||(I - V V^T) V_computed||`.
    private static double sine(TruncatedSvd svd, SingularValueDecomposition oracle) {
        double[][] rows = rows(svd);
        int d = svd.d();
        double[][] rest = new double[svd.r()][];
        for (int i = 0; i < svd.r(); i++) {
            rest[i] = rows[i].clone();
            for (int j = 0; j < svd.r(); j++) {
                double[] v = Arrays.copyOf(oracle.getV().getColumn(j), d);
                Rows.axpy(-Rows.dot(rows[i], v), v, rest[i]);
            }
        }
        double[][] gram = new double[rest.length][rest.length];
        for (int i = 0; i < rest.length; i++)
            for (int j = 0; j < rest.length; j++)
                gram[i][j] = Rows.dot(rest[i], rest[j]);
        return Math.sqrt(new SingularValueDecomposition(new Array2DRowRealMatrix(gram)).getNorm());
    }

    private static double[][] rows(TruncatedSvd svd) {
        double[][] rows = new double[svd.r()][svd.d()];
        float[] vt = svd.vt();
        for (int i = 0; i < vt.length; i++)
            rows[i / svd.d()][i % svd.d()] = vt[i];
        return rows;
    }

    private static SingularValueDecomposition oracle(float[] w, int n, int d) {
        double[][] a = new double[n][d];
        for (int i = 0; i < w.length; i++)
            a[i / d][i % d] = w[i];
        return new SingularValueDecomposition(new Array2DRowRealMatrix(a));
    }

    private static double frobenius(float[] w) {
        double s = 0;
        for (float v : w)
            s += (double) v * v;
        return Math.sqrt(s);
    }

    private static float[] gaussian(int n, int d, long seed) {
        Random random = new Random(seed);
        float[] w = new float[n * d];
        for (int i = 0; i < w.length; i++)
            w[i] = (float) random.nextGaussian() * 0.02f;
        return w;
    }

    private static float[] lowRank(int n, int d, int rank) {
        double[] s = new double[Math.min(n, d)];
        Arrays.fill(s, 0, rank, 1);
        return rank == 0 ? new float[n * d] : spectrum(n, d, s);
    }

    private static float[] matrix(String kind, int n, int d) {
        double[] s = new double[Math.min(n, d)];
        for (int i = 0; i < s.length; i++)
            s[i] = switch (kind) {
                case "power" -> 1 / (1.0 + i);
                case "steep" -> Math.pow(10, -i / 4.0);
                case "spikes" -> i < 4 ? 100.0 / (i + 1) : 1 - i * 0.002;
                case "pairs" -> 1 - i / 2 * 0.05;
                default -> Double.NaN;
            };
        return kind.equals("gaussian") ? gaussian(n, d, 9) : spectrum(n, d, s);
    }

    /// A matrix of these singular values between random bases.
    private static float[] spectrum(int n, int d, double[] s) {
        double[][] u = Rows.gaussian(s.length, n, 11);
        double[][] v = Rows.gaussian(s.length, d, 12);
        Rows.orthonormalize(u);
        Rows.orthonormalize(v);
        float[] w = new float[n * d];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < d; j++) {
                double sum = 0;
                for (int k = 0; k < s.length; k++)
                    sum += s[k] * u[k][i] * v[k][j];
                w[i * d + j] = (float) sum;
            }
        return w;
    }
}
