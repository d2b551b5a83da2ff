package dev.gyre.trainer.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Map;
import org.junit.jupiter.api.Test;

/// Scores against values worked out by hand.
class ScoresTest {
    private static float[] oneHot(int classes, int... which) {
        float[] out = new float[which.length * classes];
        for (int i = 0; i < which.length; i++)
            out[i * classes + which[i]] = 1;
        return out;
    }

    @Test
    void twoClassesAreScoredByTheSecond() {
        // hits 2, misses 1, false alarms 1, the rest 1
        Map<String, Double> s = Scores.classes(new int[] {1, 1, 1, 0, 0}, oneHot(2, 1, 1, 0, 1, 0), 2);
        assertThat(s.get("accuracy")).isEqualTo(0.6);
        assertThat(s.get("f1")).isCloseTo(2.0 * 2 / (3 + 3), within(1e-12));
        // (2 * 1 - 1 * 1) / sqrt(3 * 3 * 2 * 2)
        assertThat(s.get("matthews")).isCloseTo(1 / 6.0, within(1e-12));
    }

    @Test
    void manyClassesAreAveragedOverThoseThatOccur() {
        Map<String, Double> s = Scores.classes(new int[] {0, 0, 1, 2}, oneHot(7, 0, 1, 1, 2), 7);
        assertThat(s.get("accuracy")).isEqualTo(0.75);
        assertThat(s.get("f1")).isCloseTo((2 / 3.0 + 2 / 3.0 + 1) / 3, within(1e-12));
        // label 0 of the second row is one of six equal losers: nothing but the winner is above it
        assertThat(s.get("top5")).isEqualTo(1);
        assertThat(Scores.classes(new int[] {6}, new float[] {7, 6, 5, 4, 3, 2, 1}, 7).get("top5")).isEqualTo(0);
    }

    @Test
    void aModelThatAlwaysSaysTheSameHasNoCorrelation() {
        assertThat(Scores.classes(new int[] {0, 1}, oneHot(2, 1, 1), 2).get("matthews")).isEqualTo(0);
        assertThat(Scores.numbers(new float[] {1, 2, 3}, new float[] {5, 5, 5}).get("pearson")).isEqualTo(0);
    }

    @Test
    void severalLabels() {
        Map<String, Double> s = Scores.labels(new float[] {1, 0, 1, 1}, new float[] {2, 1, -1, 3});
        assertThat(s.get("accuracy")).isEqualTo(0.5);
        assertThat(s.get("f1")).isCloseTo(2.0 * 2 / (3 + 3), within(1e-12));
    }

    @Test
    void ranksShareTiesAndOrderIsAllThatSpearmanSees() {
        assertThat(Scores.ranks(new float[] {3, 1, 3, 2})).containsExactly(2.5, 0, 2.5, 1);
        Map<String, Double> s = Scores.numbers(new float[] {1, 2, 3, 4}, new float[] {1, 4, 9, 16});
        assertThat(s.get("spearman")).isCloseTo(1, within(1e-12));
        // means 2.5 and 7.5, products 25, squares 5 and 129
        assertThat(s.get("pearson")).isCloseTo(25 / Math.sqrt(5 * 129), within(1e-12));
        assertThat(Scores.numbers(new float[] {1, 2, 3}, new float[] {3, 2, 1}).get("spearman")).isCloseTo(-1,
                within(1e-12));
    }

    @Test
    void retrievalCountsWhatIsNearer() {
        float[] first = {1, 0, 0, 1, 0.6f, 0.8f};
        float[] second = {1, 0, 0.8f, 0.6f, 0, 1};
        // the first finds its own; the second has one nearer (0.6 < 1), the third one nearer (0.8 < 0.96)
        Map<String, Double> s = Scores.retrieval(first, second, 2);
        assertThat(s.get("recall_at_1")).isCloseTo(1 / 3.0, within(1e-12));
        assertThat(s.get("recall_at_10")).isEqualTo(1);
        assertThat(s.get("ndcg_at_10")).isCloseTo((1 + 2 * Math.log(2) / Math.log(3)) / 3, within(1e-12));
    }
}
