package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {
    /// The nucleus is what sorting all tokens gives, ties in the order of their ids.
    @ParameterizedTest
    @ValueSource(doubles = {1e-9, 0.1, 0.5, 0.9, 0.999999, 1})
    void theNucleusIsThatOfTheSortedTokens(double topP) {
        Random random = new Random(3);
        Sampler sampler = new Sampler(1000, 0.8, topP, 5);
        SplittableRandom draws = new SplittableRandom(5);
        for (int round = 0; round < 200; round++) {
            float[] logits = new float[1 + random.nextInt(40)];
            for (int i = 0; i < logits.length; i++)
                logits[i] = random.nextInt(6); // many ties
            assertThat(sampler.next(logits)).isEqualTo(sorted(logits, topP, draws.nextDouble()));
        }
    }

    private static int sorted(float[] logits, double topP, double draw) {
        double max = IntStream.range(0, logits.length).mapToDouble(i -> logits[i]).max().orElseThrow();
        double[] p = IntStream.range(0, logits.length).mapToDouble(i -> Math.exp((logits[i] - max) / 0.8)).toArray();
        double sum = 0;
        for (double x : p)
            sum += x;
        double all = sum;
        List<Integer> order = IntStream.range(0, p.length).boxed()
                .sorted(Comparator.comparingDouble((Integer i) -> topP < 1 ? -p[i] : 0).thenComparing(i -> i)).toList();
        double mass = 0;
        int n = 0;
        while (n < p.length && (topP == 1 || mass < topP))
            mass += p[order.get(n++)] / all;
        double at = 0;
        for (int i : order.subList(0, n)) {
            at += p[i] / all / (topP == 1 ? 1 : mass);
            if (draw < at)
                return i;
        }
        return IntStream.range(0, p.length).filter(i -> logits[i] == max).findFirst().orElseThrow();
    }
}
