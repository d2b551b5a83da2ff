package dev.gyre.kernels.op;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class GivensTest {
    @Test
    void aPowerOfTwoHalvesFromStageToStage() {
        assertThat(Givens.stages(8)).containsExactly(new Givens.Stage(1, 4, 0), new Givens.Stage(2, 2, 4),
                new Givens.Stage(4, 1, 6));
    }

    @Test
    void anOddLeftoverPassesOn() {
        // 7 features: (0,1) (2,3) (4,5); then of 0 2 4 6: (0,2) (4,6); then (0,4)
        assertThat(Givens.stages(7)).containsExactly(new Givens.Stage(1, 3, 0), new Givens.Stage(2, 2, 3),
                new Givens.Stage(4, 1, 5));
        assertThat(Givens.stages(1)).isEmpty();
    }

    @Test
    void everyFeatureButTheFirstLosesExactlyOnce() {
        for (int d = 1; d <= 200; d++) {
            List<Givens.Stage> stages = Givens.stages(d);
            assertThat(stages).hasSize(d == 1 ? 0 : 32 - Integer.numberOfLeadingZeros(d - 1));
            boolean[] out = new boolean[d];
            int first = 0;
            for (Givens.Stage s : stages) {
                assertThat(s.first()).isEqualTo(first);
                first += s.pairs();
                for (int j = 0; j < s.pairs(); j++) {
                    int p = 2 * s.stride() * j;
                    int q = p + s.stride();
                    assertThat(q).isLessThan(d);
                    assertThat(out[p] || out[q]).as("d %d: %d meets %d", d, p, q).isFalse();
                    out[q] = true;
                }
            }
            assertThat(first).isEqualTo(d - 1);
            assertThat(out[0]).isFalse();
        }
    }
}
