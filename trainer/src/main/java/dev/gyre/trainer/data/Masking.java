package dev.gyre.trainer.data;

import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/// Tokens of an example and which of them the loss counts. A text is tokenised whole, as a user's prompt followed by the
/// model's answer would be read back; where the answer starts is found as the longest common prefix with the tokens of
/// the prompt alone, so that a token that joins both sides belongs to the answer.
final class Masking {
    private final TextCodec codec;
    private final TrainOn trainOn;

    Masking(TextCodec codec, TrainOn trainOn) {
        this.codec = codec;
        this.trainOn = trainOn;
    }

    record Masked(int[] tokens, BitSet target) {
    }

    Masked apply(Example example) {
        return switch (example) {
            case Example.Text t -> {
                int[] tokens = codec.framed(t.text(), true);
                yield new Masked(tokens, range(0, tokens.length));
            }
            case Example.Completion c -> {
                int[] tokens = codec.framed(c.prompt() + c.completion(), true);
                int[] prompt = codec.framed(c.prompt(), false);
                yield new Masked(tokens,
                        trainOn == TrainOn.ALL ? range(0, tokens.length)
                                : range(common(prompt, tokens), tokens.length));
            }
            case Example.Chat c -> chat(c.messages());
        };
    }

    /// A template writes special tokens itself, so nothing is added around it.
    private Masked chat(List<Example.Message> messages) {
        int[] tokens = codec.encode(codec.render(messages, false));
        if (trainOn == TrainOn.ALL)
            return new Masked(tokens, range(0, tokens.length));
        BitSet target = new BitSet();
        for (int i = 0; i < messages.size(); i++)
            if (messages.get(i).role().equals("assistant")) {
                int from = common(codec.encode(codec.render(messages.subList(0, i), true)), tokens);
                int to = i == messages.size() - 1 ? tokens.length
                        : common(codec.encode(codec.render(messages.subList(0, i + 1), false)), tokens);
                target.set(from, Math.max(from, to));
            }
        return new Masked(tokens, target);
    }

    private static BitSet range(int from, int to) {
        BitSet s = new BitSet();
        s.set(from, Math.max(from, to));
        return s;
    }

    private static int common(int[] a, int[] b) {
        int at = Arrays.mismatch(a, b);
        return at < 0 ? a.length : at;
    }
}
