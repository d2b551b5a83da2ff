package dev.gyre.model.transformer;

import java.util.Arrays;
import java.util.Collection;
import java.util.function.IntPredicate;

/// Continues token sequences with a [Decoder].
public final class Generator {
    private Generator() {
    }

    /// Feeds `prompt`, then draws tokens until one of `stops` (not part of the result), `most` tokens, or `sink` says no.
    ///
    /// @param sink sees each token as it comes; false ends the continuation
    public static int[] run(Decoder decoder, int[] prompt, int most, Collection<Integer> stops, Sampler sampler,
            IntPredicate sink) {
        decoder.reset();
        int[] out = new int[most];
        int n = 0;
        float[] logits = most == 0 ? new float[0] : decoder.next(prompt);
        while (n < most) {
            int token = sampler.next(logits);
            if (stops.contains(token))
                break;
            out[n++] = token;
            if (!sink.test(token) || n == most)
                break;
            logits = decoder.next(token);
        }
        return Arrays.copyOf(out, n);
    }
}
