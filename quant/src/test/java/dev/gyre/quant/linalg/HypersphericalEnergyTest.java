package dev.gyre.quant.linalg;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.quant.Nf4;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HypersphericalEnergyTest {
    @ParameterizedTest
    @CsvSource({"2,3", "17,5", "40,64", "300,7", "513,4"})
    void theSumIsThatOfItsDefinition(int n, int d) {
        float[] w = gaussian(n, d, 1);
        HypersphericalEnergy e = exact(w, n, d);
        assertThat(e.energy()).isCloseTo(plain(w, n, d), withinPercentage(1e-4));
        assertThat(e.standardError()).isZero();
        assertThat(e.sampled()).isEqualTo(n);
        assertThat(e.mean()).isCloseTo(e.energy() / n / (n - 1.0), within(1e-12));
    }

    @Test
    void twoOppositeNeuronsHaveEnergyOneWhateverTheirLength() {
        assertThat(exact(new float[] {3, 4, -30, -40}, 2, 2).energy()).isCloseTo(1, within(1e-6));
    }

    @Test
    void aRotationOfTheInputKeepsItAndALowRankUpdateDoesNot() {
        int n = 60;
        int d = 24;
        float[] w = gaussian(n, d, 2);
        double[][] q = Rows.gaussian(d, d, 3);
        Rows.orthonormalize(q);
        float[] rotated = new float[w.length];
        float[] updated = w.clone();
        float[] a = gaussian(1, d, 4);
        float[] b = gaussian(1, n, 5);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < d; j++) {
                double sum = 0;
                for (int k = 0; k < d; k++)
                    sum += w[i * d + k] * q[j][k];
                rotated[i * d + j] = (float) sum;
                updated[i * d + j] += 50 * b[i] * a[j];
            }
        double before = exact(w, n, d).energy();
        assertThat(exact(rotated, n, d).energy()).isCloseTo(before, withinPercentage(1e-4));
        assertThat(Math.abs(exact(updated, n, d).energy() / before - 1)).isGreaterThan(1e-2);
    }

    @Test
    void nearNeighboursAreMeasuredInDouble() {
        float[] w = {1, 0, 1, 1e-4f, 0, 1};
        double near = 2 * Math.sin(Math.atan(1e-4f) / 2);
        double expected = 2 / near + 2 / Math.sqrt(2) + 2 / (2 * Math.sin((Math.PI / 2 - Math.atan(1e-4f)) / 2));
        assertThat(exact(w, 3, 2).energy()).isCloseTo(expected, withinPercentage(1e-5));
    }

    @Test
    void zeroNeuronsAndCoincidentPairsAreCountedAndLeftOut() {
        float[] w = {1, 2, 0, 0, 2, 4, -1, 3};
        HypersphericalEnergy e = exact(w, 4, 2);
        assertThat(e.neurons()).isEqualTo(3);
        assertThat(e.coincident()).isEqualTo(1);
        assertThat(e.energy()).isCloseTo(4 / Math.sqrt(2 - 2 * 5 / Math.sqrt(50)), withinPercentage(1e-4));
        assertThat(exact(new float[6], 3, 2)).isEqualTo(new HypersphericalEnergy(0, 0, 0, 0, 0));
    }

    /// 200 samples of 40 of 150 neurons: the error must be of the stated size, neither boasted of nor inflated. Over
    /// several such weights the mean square came out between 0.73 (d = 64) and 1.58 (d = 8).
    @ParameterizedTest
    @CsvSource({"8", "16", "64"})
    void theStandardErrorOfASampleIsHonest(int d) {
        int n = 150;
        float[] w = gaussian(n, d, 6);
        for (int i = 0; i < n / 3; i++)
            w[i * d] += 0.05f; // a cluster, so that neurons differ in how crowded they are
        double truth = exact(w, n, d).energy();
        double squares = 0;
        double bias = 0;
        for (int seed = 0; seed < 200; seed++) {
            HypersphericalEnergy e = HypersphericalEnergy.of(new HostData.F32(w), n, d, 40, seed, new RefBackend());
            assertThat(e.sampled()).isEqualTo(40);
            double z = (e.energy() - truth) / e.standardError();
            squares += z * z / 200;
            bias += z / 200;
        }
        assertThat(squares).as("mean square of error / standard error").isBetween(0.5, 1.9);
        assertThat(Math.abs(bias)).as("mean of error / standard error").isLessThan(0.3);
    }

    @Test
    void oneSeedDrawsTheSameNeuronsBeforeAndAfter() {
        float[] w = gaussian(100, 8, 7);
        float[] scaled = w.clone();
        for (int i = 0; i < scaled.length; i++)
            scaled[i] *= 2;
        HypersphericalEnergy a = HypersphericalEnergy.of(new HostData.F32(w), 100, 8, 30, 1, new RefBackend());
        HypersphericalEnergy b = HypersphericalEnergy.of(new HostData.F32(scaled), 100, 8, 30, 1, new RefBackend());
        assertThat(b).isEqualTo(a);
        assertThat(HypersphericalEnergy.of(new HostData.F32(w), 100, 8, 30, 2, new RefBackend())).isNotEqualTo(a);
    }

    @Test
    void aQuantisedWeightIsMeasuredAsItDecodes() {
        HostData.NF4 q = Nf4.quantize(gaussian(50, 33, 8), 64);
        double energy = HypersphericalEnergy.of(q, 50, 33, 100, 0, new RefBackend()).energy();
        assertThat(energy).isCloseTo(exact(Nf4.dequantize(q), 50, 33).energy(), withinPercentage(1e-9));
    }

    @Test
    void whatHasNoEnergyIsRefused() {
        assertThatThrownBy(() -> exact(new float[] {1, Float.NaN}, 2, 1)).hasMessageContaining("NaN");
        assertThatThrownBy(() -> exact(new float[5], 2, 2)).hasMessageContaining("(2,2)");
    }

    private static HypersphericalEnergy exact(float[] w, int n, int d) {
        return HypersphericalEnergy.of(new HostData.F32(w), n, d, 4096, 0, new RefBackend());
    }

    private static double plain(float[] w, int n, int d) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double ni = 0;
                double nj = 0;
                for (int k = 0; k < d; k++) {
                    ni += (double) w[i * d + k] * w[i * d + k];
                    nj += (double) w[j * d + k] * w[j * d + k];
                }
                double square = 0;
                for (int k = 0; k < d; k++)
                    square += Math.pow(w[i * d + k] / Math.sqrt(ni) - w[j * d + k] / Math.sqrt(nj), 2);
                if (i != j)
                    sum += 1 / Math.sqrt(square);
            }
        return sum;
    }

    private static float[] gaussian(int n, int d, long seed) {
        Random random = new Random(seed);
        float[] w = new float[n * d];
        for (int i = 0; i < w.length; i++)
            w[i] = (float) random.nextGaussian() * 0.02f;
        return w;
    }
}
