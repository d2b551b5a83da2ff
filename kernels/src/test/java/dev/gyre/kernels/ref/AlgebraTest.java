package dev.gyre.kernels.ref;

import static dev.gyre.kernels.ref.Matrices.identity;
import static dev.gyre.kernels.ref.Matrices.plus;
import static dev.gyre.kernels.ref.Matrices.times;
import static dev.gyre.kernels.ref.Matrices.transpose;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.op.Givens;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What must hold whatever the numbers are: identities of rotations, reflections and attention, on the reference.
class AlgebraTest {
    private static final Orthogonal PLUS = Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0);
    private static final Orthogonal MINUS = Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0);
    private static final Orthogonal NEWTON = Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6);

    private final Random random = new Random(42);

    private double[] normal(double std, int n) {
        double[] a = new double[n];
        for (int i = 0; i < n; i++)
            a[i] = std * random.nextGaussian();
        return a;
    }

    private static void assertClose(double[] got, double[] expected, double tolerance) {
        assertThat(got).hasSameSizeAs(expected);
        for (int i = 0; i < got.length; i++)
            assertThat(got[i]).as("element %d", i).isCloseTo(expected[i], within(tolerance));
    }

    private static double[] rotation(Orthogonal map, double[] v, int b) {
        return CayleyRef.rotation(map, CayleyRef.skew(map, Vec.of(v), b), b);
    }

    private static double[] gram(double[] R, int b) {
        return times(transpose(R, b), R, b);
    }

    private static double[] power(double[] Q, int p, int b) {
        double[] P = identity(b);
        for (int i = 0; i < p; i++)
            P = times(P, Q, b);
        return P;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 8, 17})
    void exactFormsAreOrthogonalAtAnyAngle(int b) {
        double[] v = normal(2.0 / Math.sqrt(b), b * (b - 1) / 2);
        assertClose(gram(rotation(PLUS, v, b), b), identity(b), 1e-12);
        assertClose(gram(rotation(MINUS, v, b), b), identity(b), 1e-12);
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 8, 17})
    void newtonSchulzIsOrthogonalWhileItsRangeHolds(int b) {
        // singular values of Q reach 2 std sqrt(b) = 2
        double[] v = normal(1 / Math.sqrt(b), b * (b - 1) / 2);
        assertClose(gram(rotation(NEWTON, v, b), b), identity(b), 1e-12);
    }

    @ParameterizedTest
    @ValueSource(ints = {3, 4, 5, 6, 9})
    void seriesIsCayleyTimesTheTruncation(int terms) {
        int b = 7;
        double[] v = normal(0.3, b * (b - 1) / 2);
        double[] Q = CayleyRef.skew(PLUS, Vec.of(v), b);
        int p = Math.max(terms, 4) - 1;
        double[] rest = plus(identity(b), -1, power(Q, p, b));
        double[] R = rotation(Orthogonal.neumann(terms), v, b);
        assertClose(R, times(rotation(PLUS, v, b), rest, b), 1e-12);
        assertClose(gram(R, b), gram(rest, b), 1e-12);
    }

    @Test
    void orderOfPackedNumbersIsRowMajorAboveTheDiagonal() {
        double[] Q = CayleyRef.skew(PLUS, Vec.of(1, 2, 3, 4, 5, 6), 4);
        assertThat(Q).containsExactly(0, 1, 2, 3, -1, 0, 4, 5, -2, -4, 0, 6, -3, -5, -6, 0);
    }

    @Test
    void twoFeaturesTurnByTwiceTheArcTangentAndNewtonSchulzByOnce() {
        double theta = 0.8;
        assertTurns(PLUS, theta, 2 * Math.atan(theta));
        assertTurns(MINUS, theta, -2 * Math.atan(theta));
        assertTurns(NEWTON, theta, Math.atan(theta));
    }

    private static void assertTurns(Orthogonal map, double theta, double angle) {
        assertClose(rotation(map, new double[] {theta}, 2),
                new double[] {Math.cos(angle), Math.sin(angle), -Math.sin(angle), Math.cos(angle)}, 1e-14);
    }

    @Test
    void minusIsPlusOfTheNegative() {
        double[] v = normal(0.5, 15);
        assertClose(rotation(MINUS, v, 6), rotation(PLUS, plus(new double[15], -1, v), 6), 1e-13);
    }

    @ParameterizedTest
    @EnumSource
    void negatingTheNumbersTransposesTheRotation(Orthogonal.Form form) {
        Orthogonal map = Orthogonal.of(form, 5);
        double[] v = normal(0.3, 15);
        assertClose(rotation(map, plus(new double[15], -1, v), 6), transpose(rotation(map, v, 6), 6), 1e-13);
        assertThat(rotation(map, v, 6)).isNotEqualTo(transpose(rotation(map, v, 6), 6));
    }

    @ParameterizedTest
    @EnumSource
    void aFullSkewBlockIsThePackedOneOfHalfTheDifference(Orthogonal.Form form) {
        double[] X = normal(0.3, 25);
        double[] v = new double[10];
        int k = 0;
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++)
                v[k++] = (X[i * 5 + j] - X[j * 5 + i]) / 2;
        assertClose(rotation(new Orthogonal(form, 5, 0, Skew.FULL), X, 5), rotation(Orthogonal.of(form, 5), v, 5),
                1e-14);
    }

    @Test
    void aNormLimitScalesOnlyBlocksBeyondIt() {
        Orthogonal limited = new Orthogonal(Orthogonal.Form.NEUMANN, 5, 0.9, Skew.PACKED);
        double[] v = {0.1, 0.2, -0.1, 3, -2, 1};
        Vec got = Vec.zeros(18);
        CayleyRef.forward(limited, Vec.of(v), got, 2, 3);
        double norm = Math.sqrt(2 * 14);
        double[] scaled = {0.1, 0.2, -0.1, 3 * 0.9 / norm, -2 * 0.9 / norm, 0.9 / norm};
        Vec expected = Vec.zeros(18);
        CayleyRef.forward(Orthogonal.neumann(5), Vec.of(scaled), expected, 2, 3);
        assertClose(got.toArray(), expected.toArray(), 1e-11);
    }

    @Test
    void coftProjectsOnlyBlocksBeyondTheLimit() {
        double[] v = {0.1, 0.2, -0.1, 3, -2, 1};
        Vec projected = Vec.of(v.clone());
        CayleyRef.coftProject(projected, 2, 3, 0.5);
        assertThat(projected.slice(0, 3).toArray()).containsExactly(0.1, 0.2, -0.1);
        double[] Q = CayleyRef.skew(PLUS, projected.slice(3, 3), 3);
        assertThat(Math.sqrt(Matrices.dot(Q, Q))).isCloseTo(0.5, within(1e-14));
        assertThat(projected.get(3) / projected.get(5)).isCloseTo(3, within(1e-14));
    }

    @Test
    void aSharedBlockEqualsRepeatedBlocksAndItsGradientIsTheirSum() {
        int N = 5;
        int d = 12;
        int b = 4;
        double[] x = normal(1, N * d);
        double[] dY = normal(1, N * d);
        double[] one = normal(1, b * b);
        double[] three = new double[3 * b * b];
        for (int i = 0; i < 3; i++)
            System.arraycopy(one, 0, three, i * b * b, b * b);
        for (boolean transpose : new boolean[] {false, true}) {
            Vec shared = Vec.zeros(N * d);
            Vec repeated = Vec.zeros(N * d);
            RotateRef.rotate(Vec.of(x), Vec.of(one), shared, N, d, b, 1, transpose, false);
            RotateRef.rotate(Vec.of(x), Vec.of(three), repeated, N, d, b, 3, transpose, false);
            assertThat(shared.toArray()).isEqualTo(repeated.toArray());
        }
        Vec gShared = Vec.zeros(b * b);
        Vec gRepeated = Vec.zeros(3 * b * b);
        RotateRef.grad(Vec.of(x), Vec.of(dY), gShared, N, d, b, 1);
        RotateRef.grad(Vec.of(x), Vec.of(dY), gRepeated, N, d, b, 3);
        double[] sum = new double[b * b];
        for (int i = 0; i < 3; i++)
            sum = plus(sum, 1, gRepeated.slice(i * b * b, b * b).toArray());
        assertClose(gShared.toArray(), sum, 1e-12);
    }

    @Test
    void rotatingByBlocksIsMultiplyingByTheBlockDiagonalMatrix() {
        int N = 5;
        int d = 12;
        double[] x = normal(1, N * d);
        double[] r = normal(1, 3 * 16);
        Vec rotated = Vec.zeros(N * d);
        Vec dense = Vec.zeros(d * d);
        Vec product = Vec.zeros(N * d);
        RotateRef.rotate(Vec.of(x), Vec.of(r), rotated, N, d, 4, 3, false, false);
        RotateRef.blockDiagonal(Vec.of(r), dense, d, 4, 3);
        ProductRef.matMul(Form.NN, Vec.of(x), dense, product, N, d, d, 1, false);
        assertClose(rotated.toArray(), product.toArray(), 1e-12);
    }

    @Test
    void theMergedWeightGivesTheOutputOfTheRotatedInput() {
        int N = 3;
        int d = 8;
        int n = 5;
        double[] x = normal(1, N * d);
        double[] W = normal(1, n * d);
        double[] R = normal(1, 2 * 16);
        Vec rotated = Vec.zeros(N * d);
        Vec y = Vec.zeros(N * n);
        RotateRef.rotate(Vec.of(x), Vec.of(R), rotated, N, d, 4, 2, false, false);
        ProductRef.matMul(Form.NT, rotated, Vec.of(W), y, N, n, d, 1, false);
        Vec merged = Vec.zeros(n * d);
        Vec yMerged = Vec.zeros(N * n);
        RotateRef.rotate(Vec.of(W), Vec.of(R), merged, n, d, 4, 2, true, false);
        ProductRef.matMul(Form.NT, Vec.of(x), merged, yMerged, N, n, d, 1, false);
        assertClose(y.toArray(), yMerged.toArray(), 1e-12);
    }

    /// The matrix M of `y = x M`.
    private static double[] givensMatrix(double[] g, int d) {
        Vec M = Vec.zeros(d * d);
        GivensRef.sweep(Vec.of(identity(d)), Vec.of(g), M, d, d);
        return M.toArray();
    }

    @Test
    void rotationsOfASweepMakeAnOrthogonalMatrixForAnyWidth() {
        for (int d = 2; d <= 40; d++) {
            Vec g = Vec.zeros(4 * (d - 1));
            GivensRef.angles(Vec.of(normal(0.5, d - 1)), g, d - 1);
            double[] M = givensMatrix(g.toArray(), d);
            assertClose(times(M, transpose(M, d), d), identity(d), 1e-12);
        }
    }

    @Test
    void aSweepIsTheProductOfItsStagesFromLastToFirst() {
        int d = 11;
        double[] g = normal(1, 4 * (d - 1));
        double[] M = identity(d);
        for (Givens.Stage stage : Givens.stages(d).reversed()) {
            double[] G = identity(d);
            for (int j = 0; j < stage.pairs(); j++) {
                int p = 2 * stage.stride() * j;
                int q = p + stage.stride();
                int at = 4 * (stage.first() + j);
                G[p * d + p] = g[at];
                G[p * d + q] = g[at + 1];
                G[q * d + p] = g[at + 2];
                G[q * d + q] = g[at + 3];
            }
            M = times(M, G, d);
        }
        assertClose(givensMatrix(g, d), M, 1e-12);
    }

    @Test
    void zeroAnglesAndIdentityPairsLeaveRowsAlone() {
        Vec g = Vec.zeros(4 * 6);
        GivensRef.angles(Vec.zeros(6), g, 6);
        assertThat(givensMatrix(g.toArray(), 7)).containsExactly(identity(7));
    }

    @Test
    void duplicatedReflectionsCancel() {
        int d = 9;
        double[] p = new double[d * 4];
        for (int i = 0; i < d; i++) {
            p[i * 4] = p[i * 4 + 1] = random.nextGaussian();
            p[i * 4 + 2] = p[i * 4 + 3] = random.nextGaussian();
        }
        assertClose(householderMatrix(p, d, 4, false), identity(d), 1e-12);
    }

    @Test
    void orthonormalReflectionsAreTheirOwnInverseAndIdentityMinusTwiceTheProjection() {
        int d = 9;
        int r = 4;
        double[] p = normal(1, d * r);
        double[] H = householderMatrix(p, d, r, true);
        assertClose(times(H, H, d), identity(d), 1e-12);
        Vec u = Vec.zeros(r * d);
        ReflectRef.vectors(Vec.of(p), u, d, r, true);
        Vec projection = Vec.zeros(d * d);
        ProductRef.matMul(Form.TN, u, u, projection, d, d, r, 1, false);
        assertClose(H, plus(identity(d), -2, projection.toArray()), 1e-12);
    }

    @Test
    void aChainOfReflectionsIsOrthogonalAndAppliedFromTheLastToTheFirst() {
        int d = 7;
        int r = 3;
        double[] p = normal(1, d * r);
        double[] M = householderMatrix(p, d, r, false);
        assertClose(gram(M, d), identity(d), 1e-12);
        double[] expected = identity(d);
        Vec u = Vec.zeros(r * d);
        ReflectRef.vectors(Vec.of(p), u, d, r, false);
        for (int i = r - 1; i >= 0; i--) {
            double[] Hi = identity(d);
            for (int a = 0; a < d; a++)
                for (int c = 0; c < d; c++)
                    Hi[a * d + c] -= 2 * u.get(i * d + a) * u.get(i * d + c);
            expected = times(expected, Hi, d);
        }
        assertClose(M, expected, 1e-12);
    }

    /// The matrix that rows are multiplied by.
    private static double[] householderMatrix(double[] p, int d, int r, boolean gramSchmidt) {
        Vec u = Vec.zeros(r * d);
        Vec H = Vec.zeros(d * d);
        ReflectRef.vectors(Vec.of(p), u, d, r, gramSchmidt);
        ReflectRef.reflect(Vec.of(identity(d)), u, H, d, d, r);
        return H.toArray();
    }

    /// Attention of one batch with 4 query heads of size 5.
    private static double[] attention(double[] q, double[] k, double[] v, int[] start, int B, int T, int KV,
            int window) {
        Vec out = Vec.zeros(B * T * 4 * 5);
        AttentionRef.forward(Vec.of(q), Vec.of(k), Vec.of(v), start, null, out, Vec.zeros(B * T * 4), B, T, 4, KV, 5,
                0.4, window, 0);
        return out.toArray();
    }

    @Test
    void packedSegmentsSeeOnlyThemselves() {
        int[] lengths = {3, 1, 5};
        int T = 9;
        double[] q = normal(1, T * 20);
        double[] k = normal(1, T * 10);
        double[] v = normal(1, T * 10);
        double[] packed = attention(q, k, v, new int[] {0, 0, 0, 3, 4, 4, 4, 4, 4}, 1, T, 2, 0);
        int at = 0;
        for (int n : lengths) {
            double[] alone = attention(Arrays.copyOfRange(q, at * 20, (at + n) * 20),
                    Arrays.copyOfRange(k, at * 10, (at + n) * 10), Arrays.copyOfRange(v, at * 10, (at + n) * 10),
                    new int[n], 1, n, 2, 0);
            assertClose(Arrays.copyOfRange(packed, at * 20, (at + n) * 20), alone, 1e-14);
            at += n;
        }
    }

    @Test
    void batchesAreIndependentSequences() {
        double[] q = normal(1, 2 * 3 * 20);
        double[] k = normal(1, 2 * 3 * 10);
        double[] v = normal(1, 2 * 3 * 10);
        double[] both = attention(q, k, v, new int[6], 2, 3, 2, 0);
        assertThat(Arrays.copyOfRange(both, 60, 120)).isEqualTo(attention(Arrays.copyOfRange(q, 60, 120),
                Arrays.copyOfRange(k, 30, 60), Arrays.copyOfRange(v, 30, 60), new int[3], 1, 3, 2, 0));
    }

    @Test
    void aWindowSeesTheLastKeysOnly() {
        int T = 6;
        double[] q = normal(1, T * 20);
        double[] k = normal(1, T * 10);
        double[] v = normal(1, T * 10);
        double[] two = attention(q, k, v, new int[T], 1, T, 2, 2);
        // a window of 2 is the start at the previous token
        assertClose(two, attention(q, k, v, new int[] {0, 0, 1, 2, 3, 4}, 1, T, 2, 0), 1e-14);
        assertThat(attention(q, k, v, new int[T], 1, T, 2, T))
                .isEqualTo(attention(q, k, v, new int[T], 1, T, 2, 0));
        // a window of 1 leaves the token itself, whose value comes out
        double[] one = attention(q, k, v, new int[T], 1, T, 2, 1);
        for (int h = 0; h < 4; h++)
            assertClose(Arrays.copyOfRange(one, h * 5, h * 5 + 5), Arrays.copyOfRange(v, h / 2 * 5, h / 2 * 5 + 5),
                    1e-14);
    }

    @Test
    void groupedHeadsShareKeysAndValues() {
        int T = 4;
        double[] q = normal(1, T * 20);
        double[] k = normal(1, T * 10);
        double[] v = normal(1, T * 10);
        assertThat(attention(q, k, v, new int[T], 1, T, 2, 0)).isEqualTo(
                attention(q, repeatedHeads(k, T), repeatedHeads(v, T), new int[T], 1, T, 4, 0));
    }

    /// Heads 0 0 1 1 of (T, 2*5).
    private static double[] repeatedHeads(double[] k, int T) {
        double[] out = new double[T * 20];
        for (int t = 0; t < T; t++)
            for (int h = 0; h < 4; h++)
                System.arraycopy(k, t * 10 + h / 2 * 5, out, t * 20 + h * 5, 5);
        return out;
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3})
    void cachedAttentionContinuesTheSequence(int window) {
        int T = 7;
        int old = 4;
        double[] q = normal(1, T * 20);
        double[] k = normal(1, T * 10);
        double[] v = normal(1, T * 10);
        double[] full = attention(q, k, v, new int[T], 1, T, 2, window);
        Vec kCache = Vec.zeros(9 * 10);
        Vec vCache = Vec.zeros(9 * 10);
        AttentionRef.cacheStore(Vec.of(k).slice(0, old * 10), Vec.of(v).slice(0, old * 10), kCache, vCache,
                new int[] {2, 2, 2, 2, 2, 3, 4, 5}, old, 10);
        AttentionRef.cacheStore(Vec.of(k).slice(old * 10, 30), Vec.of(v).slice(old * 10, 30), kCache, vCache,
                new int[] {2, 2, 2, 6, 7, 8}, 3, 10);
        Vec out = Vec.zeros(3 * 20);
        AttentionRef.cached(Vec.of(q).slice(old * 20, 60), kCache, vCache, new int[] {2, 2, 2, 6, 7, 8},
                out, 3, 4, 2, 5, 0.4, window, 0);
        assertClose(out.toArray(), Arrays.copyOfRange(full, old * 20, T * 20), 1e-14);
    }

    @Test
    void rotaryScoresDependOnDistanceOnlyAndTheInverseUndoes() {
        int D = 6;
        double[] cos = new double[20 * 3];
        double[] sin = new double[20 * 3];
        for (int p = 0; p < 20; p++)
            for (int j = 0; j < 3; j++) {
                cos[p * 3 + j] = Math.cos(p * Math.pow(10, -j));
                sin[p * 3 + j] = Math.sin(p * Math.pow(10, -j));
            }
        double[] qk = normal(1, 2 * D);
        double[] scores = new double[2];
        for (int shift = 0; shift < 2; shift++) {
            Vec x = Vec.of(qk.clone());
            int[] positions = {3 + 7 * shift, 1 + 7 * shift};
            RopeRef.rope(x, Vec.of(cos), Vec.of(sin), positions, 2, 1, D, D, false);
            scores[shift] = Matrices.dot(x.slice(0, D).toArray(), x.slice(D, D).toArray());
            assertThat(x.get(0)).isNotCloseTo(qk[0], within(1e-3));
            RopeRef.rope(x, Vec.of(cos), Vec.of(sin), positions, 2, 1, D, D, true);
            assertClose(x.toArray(), qk, 1e-14);
        }
        assertThat(scores[0]).isCloseTo(scores[1], within(1e-13));
    }

    @Test
    void rotaryTurnsTheFirstHalfTowardsTheSecond() {
        Vec x = Vec.of(1, 0, 0, 0);
        RopeRef.rope(x, Vec.of(0, 1), Vec.of(1, 0), new int[] {0}, 1, 1, 4, 4, false);
        assertThat(x.toArray()).containsExactly(0, 0, 1, 0);
    }

    @Test
    void crossEntropyOfEqualLogitsIsTheLogOfTheirNumberAndGradientsSumToZero() {
        Vec logits = Vec.of(3, 3, 3, 3, 0.1, -2, 5, 1);
        Vec loss = Vec.zeros(2);
        TokenRef.crossEntropy(logits, new int[] {2, 0}, loss, 0.5, 2, 4, true);
        assertThat(loss.get(0)).isCloseTo(Math.log(4), within(1e-15));
        assertClose(logits.slice(0, 4).toArray(), new double[] {0.125, 0.125, -0.375, 0.125}, 1e-15);
        assertThat(Arrays.stream(logits.slice(4, 4).toArray()).sum()).isCloseTo(0, within(1e-15));
    }

    @Test
    void adamWStepsOfKnownSize() {
        // first step: m/c1 = g, v/c2 = g^2, so the step is lr times the sign of g, after the decay
        double[] hp = {0.1, 0.9, 0.999, 1e-30, 1 - 0.9, 1 - 0.999, 0, 0.5};
        Vec p = Vec.of(2, 2, 2);
        OptimiserRef.step(p, Vec.of(3, -0.01, 0), Vec.zeros(3), Vec.zeros(3), Vec.of(hp), 99, true);
        assertClose(p.toArray(), new double[] {1.9 - 0.1, 1.9 + 0.1, 1.9}, 1e-12);
        // clipping by the norm is scaling the gradient, and does nothing below the limit
        hp[6] = 1;
        Vec m = Vec.zeros(1);
        Vec v = Vec.zeros(1);
        OptimiserRef.step(Vec.of(0), Vec.of(8), m, v, Vec.of(hp), 4 - 1e-6, false);
        assertThat(m.get(0)).isCloseTo(0.1 * 2, within(1e-12));
        assertThat(v.get(0)).isCloseTo(0.001 * 4, within(1e-12));
        m.set(0, 0);
        OptimiserRef.step(Vec.of(0), Vec.of(8), m, v, Vec.of(hp), 0.5, false);
        assertThat(m.get(0)).isCloseTo(0.8, within(1e-12));
    }
}
