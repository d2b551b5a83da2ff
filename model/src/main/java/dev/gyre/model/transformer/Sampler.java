package dev.gyre.model.transformer;

import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.InputException;
import java.util.Arrays;
import java.util.SplittableRandom;

/// Draws the next token. Temperature 0 takes the most likely one; else logits are divided by the temperature and a token
/// is drawn from the smallest set of likeliest tokens whose probabilities reach `topP`. Logits beyond the tokenizer's
/// vocabulary, with which models are padded, are passed over.
public final class Sampler {
    private final double temperature;
    private final double topP;
    private final SplittableRandom random;

    private final int V;

    /// @param V number of tokens to choose from
    public Sampler(int V, double temperature, double topP, long seed) {
        this.V = V;
        if (!(temperature >= 0))
            throw new InputException("temperature " + temperature + " must be 0 or more");
        if (!(topP > 0 && topP <= 1))
            throw new InputException("top-p " + topP + " must be above 0 and at most 1");
        this.temperature = temperature;
        this.topP = topP;
        this.random = new SplittableRandom(seed);
    }

    public static Sampler greedy(int V) {
        return new Sampler(V, 0, 1, 0);
    }

    public int next(float[] logits) {
        int best = 0;
        int n = Math.min(V, logits.length);
        for (int i = 0; i < n; i++) {
            if (!Float.isFinite(logits[i]))
                throw new CheckFailedException("the model's logits hold " + logits[i]
                        + ": its weights, or those of an adapter, are not finite or too large");
            if (logits[i] > logits[best])
                best = i;
        }
        if (temperature == 0)
            return best;
        double[] p = new double[n];
        double sum = 0;
        for (int i = 0; i < p.length; i++) {
            p[i] = Math.exp((logits[i] - logits[best]) / temperature);
            sum += p[i];
        }
        double draw = random.nextDouble();
        if (topP < 1)
            return nucleus(p, sum, draw, best);
        double at = 0;
        for (int i = 0; i < p.length; i++) {
            at += p[i] / sum;
            if (draw < at)
                return i;
        }
        return best;
    }

    /// The likeliest come off a heap, until they are enough: a vocabulary of 150 000 need not be sorted for each token.
    private int nucleus(double[] p, double sum, double draw, int best) {
        int[] heap = new int[p.length];
        Arrays.setAll(heap, i -> i);
        for (int i = heap.length / 2 - 1; i >= 0; i--)
            sink(heap, i, heap.length, p);
        double mass = 0;
        int left = heap.length;
        while (left > 0 && mass < topP) {
            int top = heap[0];
            heap[0] = heap[--left];
            heap[left] = top;
            sink(heap, 0, left, p);
            mass += p[top] / sum;
        }
        double at = 0;
        for (int i = heap.length - 1; i >= left; i--) {
            at += p[heap[i]] / sum / mass;
            if (draw < at)
                return heap[i];
        }
        return best;
    }

    /// Moves the element at i down to where it belongs in a heap of n, the likeliest on top, of equal ones the first.
    private static void sink(int[] heap, int i, int n, double[] p) {
        int moved = heap[i];
        int at = i;
        while (2 * at + 1 < n) {
            int child = 2 * at + 1;
            if (child + 1 < n && before(heap[child + 1], heap[child], p))
                child++;
            if (!before(heap[child], moved, p))
                break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = moved;
    }

    private static boolean before(int a, int b, double[] p) {
        return p[a] != p[b] ? p[a] > p[b] : a < b;
    }
}
