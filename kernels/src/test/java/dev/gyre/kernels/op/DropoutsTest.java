package dev.gyre.kernels.op;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DropoutsTest {
    private static final int N = 100_000;

    @ParameterizedTest
    @ValueSource(floats = {0.01f, 0.1f, 0.5f, 0.9f})
    void keepsTheFractionThatItShould(float p) {
        for (int seed : new int[] {0, 1, -1, 123_456_789})
            for (int salt : new int[] {0, 1, 17}) {
                int kept = 0;
                for (int e = 0; e < N; e++)
                    kept += Dropouts.keeps(seed, salt, e, p) ? 1 : 0;
                // five standard deviations of a binomial
                assertThat(Math.abs(kept - N * (1.0 - p))).isLessThan(5 * Math.sqrt(N * p * (1.0 - p)));
            }
    }

    @Test
    void zeroProbabilityKeepsAll() {
        for (int e = 0; e < N; e++)
            assertThat(Dropouts.keeps(7, 3, e, 0f)).isTrue();
    }

    @Test
    void theNumberDependsOnlyOnSeedSaltAndElement() {
        // fixed values: a change would break resumed runs and the agreement of devices
        assertThat(Dropouts.bits24(0, 0, 0)).isEqualTo(0);
        assertThat(Dropouts.bits24(1, 2, 3)).isEqualTo(5975375);
        assertThat(Dropouts.bits24(-5, 7, 1_000_000)).isEqualTo(3440375);
    }


    @Test
    void masksOfDifferentSeedsSaltsAndShiftedElementsAreIndependent() {
        int seeds = 0;
        int salts = 0;
        int neighbours = 0;
        int saltAgainstElement = 0;
        for (int e = 0; e < N; e++) {
            boolean kept = Dropouts.keeps(5, 9, e, 0.5f);
            seeds += kept == Dropouts.keeps(6, 9, e, 0.5f) ? 1 : 0;
            salts += kept == Dropouts.keeps(5, 10, e, 0.5f) ? 1 : 0;
            neighbours += kept == Dropouts.keeps(5, 9, e + 1, 0.5f) ? 1 : 0;
            saltAgainstElement += kept == Dropouts.keeps(5, 10, e - 1, 0.5f) ? 1 : 0;
        }
        double limit = 5 * Math.sqrt(N / 4.0);
        assertThat(Math.abs(seeds - N / 2)).isLessThan((int) limit);
        assertThat(Math.abs(salts - N / 2)).isLessThan((int) limit);
        assertThat(Math.abs(neighbours - N / 2)).isLessThan((int) limit);
        assertThat(Math.abs(saltAgainstElement - N / 2)).isLessThan((int) limit);
    }
}
