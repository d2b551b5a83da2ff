package dev.gyre.trainer.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.junit.jupiter.api.Test;

class LrFinderTest {
    /// A loss that falls by a logistic curve around 1e-3 and climbs around 1e-1, on batches of differing difficulty.
    private static double[] loss(double[] lr, double noise) {
        Random random = new Random(3);
        double[] out = new double[lr.length];
        for (int i = 0; i < lr.length; i++) {
            double x = Math.log10(lr[i]);
            out[i] = 1 + 8 / (1 + Math.exp(4 * (x + 3))) + 6 / (1 + Math.exp(-6 * (x + 1)))
                    + noise * random.nextGaussian();
        }
        return out;
    }

    private static double[] ramp(int n) {
        double[] lr = new double[n];
        for (int i = 0; i < n; i++)
            lr[i] = Math.pow(10, -5 + 5.0 * i / (n - 1));
        return lr;
    }

    @Test
    void whereTheLossFallsFastestIsFoundThroughTheNoiseOfBatches() {
        for (double noise : new double[] {0, 0.1, 0.3}) {
            double[] lr = ramp(100);
            LrFinder.Found f = LrFinder.of(lr, loss(lr, noise), 4, true);
            assertThat(Math.log10(f.steepest())).as("noise " + noise).isCloseTo(-3, within(0.25));
            assertThat(Math.log10(f.lowest())).as("noise " + noise).isCloseTo(-1.75, within(0.3));
        }
    }

    @Test
    void theNoiseOfBatchesIsNoClimbAndAClimbIsSeen() {
        Random random = new Random(5);
        for (int trial = 0; trial < 50; trial++) {
            LrFinder.Climb c = new LrFinder.Climb();
            for (int i = 0; i < 60; i++)
                assertThat(c.add(6.5 + 0.8 * random.nextGaussian())).as("step " + i).isFalse();
            boolean seen = false;
            for (int i = 0; i < 30; i++)
                seen |= c.add(6.5 + 0.3 * i + 0.8 * random.nextGaussian());
            assertThat(seen).isTrue();
        }
    }

    @Test
    void aLossThatNeverFallsGivesNoLearningRate() {
        double[] lr = ramp(20);
        double[] rising = new double[20];
        for (int i = 0; i < 20; i++)
            rising[i] = 2 + 0.1 * i;
        assertThat(LrFinder.of(lr, rising, 1, true).steepest()).isNaN();
    }
}
