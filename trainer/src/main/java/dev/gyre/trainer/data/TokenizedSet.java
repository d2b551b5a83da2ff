package dev.gyre.trainer.data;

import dev.gyre.kernels.GyreException;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/// All examples of a file as tokens, each with a mark whether the loss counts it as a target. One flat array: example
/// i holds tokens `offset[i] .. offset[i+1] - 1`, at least two, at most `T + 1` (T inputs and the last target).
public final class TokenizedSet {
    private final Path file;
    private int[] tokens = new int[1024];
    private final BitSet target = new BitSet();
    private int[] offset = new int[64];
    private int[] line = new int[64];
    private int size;
    private int read;
    private int truncated;
    private int dropped;
    private int tasks;
    private int unanswered;
    private int apart;
    private int chats;
    private int ended;

    private TokenizedSet(Path file) {
        this.file = file;
    }

    /// How examples become tokens.
    ///
    /// @param T inputs of a row; an example keeps at most T + 1 tokens
    public record Rules(Format format, TrainOn trainOn, TooLong tooLong, int T) {
        /// Those of a run.
        public static Rules of(RunConfig.Data d, int T) {
            return new Rules(d.format(), d.trainOn(), d.tooLong(), T);
        }
    }

    public static TokenizedSet read(Path file, Rules rules, ModelText text) {
        TokenizedSet set = new TokenizedSet(file);
        if (ExampleReader.format(file, rules.format()) == Format.TEXT)
            set.stream(rules, text);
        else
            ExampleReader.read(file, rules.format(), (example, at) -> set.take(example, at, rules, text));
        return set.checked(rules);
    }

    /// Examples that a program has; they are read once, and their place counts as their line.
    public static TokenizedSet of(Iterable<? extends Example> examples, Rules rules, ModelText text) {
        TokenizedSet set = new TokenizedSet(Path.of("examples"));
        int at = 0;
        for (Example e : examples)
            set.take(e, ++at, rules, text);
        return set.checked(rules);
    }

    private void take(Example example, int at, Rules rules, ModelText text) {
        read++;
        ModelText.Masked m;
        try {
            m = text.masked(example, rules.trainOn() == TrainOn.ALL);
            tasks += example.isTask() ? 1 : 0;
            unanswered += m.target().isEmpty() ? 1 : 0;
            apart += m.apart() ? 1 : 0;
            chats += example instanceof Example.Chat ? 1 : 0;
            ended += example instanceof Example.Chat && m.ended() ? 1 : 0;
        } catch (GyreException e) {
            throw new DataException(file, at, String.valueOf(e.getMessage()));
        }
        if (rules.tooLong() == TooLong.SPLIT && example instanceof Example.Text)
            split(m, rules.T(), at);
        else
            fit(m, rules, at);
    }

    private TokenizedSet checked(Rules rules) {
        if (size == 0)
            throw new DataException(file, read == 0 ? "holds no examples"
                    : "none of its " + read + " examples has a token to train on"
                            + (dropped > unanswered ? " within " + rules.T() + " tokens; raise train.seq_len" : "")
                            + (unanswered > 0 ? ": " + unanswered + " have no answer" : ""));
        return this;
    }

    /// Plain text: one sequence cut into windows that overlap by one token, so that each token is a target once.
    private void stream(Rules rules, ModelText text) {
        int[][] all = {text.prompt("")};
        int[] n = {all[0].length};
        read = 1;
        ExampleReader.read(file, Format.TEXT, (example, at) -> {
            int[] t;
            try {
                t = text.more(((Example.Text) example).text());
            } catch (GyreException e) {
                throw new DataException(file, String.valueOf(e.getMessage()));
            }
            if (n[0] + t.length > all[0].length)
                all[0] = Arrays.copyOf(all[0], Math.max(Math.max(1024, 2 * all[0].length), n[0] + t.length));
            System.arraycopy(t, 0, all[0], n[0], t.length);
            n[0] += t.length;
        });
        int[] whole = Arrays.copyOf(all[0], n[0]);
        BitSet every = new BitSet();
        every.set(1, Math.max(1, whole.length));
        split(new ModelText.Masked(whole, every, false, true), rules.T(), 1);
    }

    private void split(ModelText.Masked m, int T, int at) {
        int n = m.tokens().length;
        for (int from = 0; from < n - 1; from += T) {
            int to = Math.min(n, from + T + 1);
            add(Arrays.copyOfRange(m.tokens(), from, to), m.target().get(from, to), at);
        }
    }

    private void fit(ModelText.Masked m, Rules rules, int at) {
        // tokens after the last target contribute no loss
        int n = m.target().length();
        boolean tooLong = n > rules.T() + 1;
        int keep = Math.min(n, rules.T() + 1);
        if (n < 2 || tooLong && rules.tooLong() == TooLong.DROP || m.target().get(0, keep).isEmpty()) {
            dropped++;
            return;
        }
        if (tooLong)
            truncated++;
        add(Arrays.copyOf(m.tokens(), keep), m.target().get(0, keep), at);
    }

    private void add(int[] t, BitSet targets, int at) {
        int from = offset[size];
        int to = Math.addExact(from, t.length);
        if (to > tokens.length)
            tokens = Arrays.copyOf(tokens, (int) Math.min(Integer.MAX_VALUE - 8L, Math.max(2L * tokens.length, to)));
        if (size + 2 > offset.length) {
            offset = Arrays.copyOf(offset, 2 * offset.length);
            line = Arrays.copyOf(line, 2 * line.length);
        }
        System.arraycopy(t, 0, tokens, from, t.length);
        // the first token has nothing before it to predict it from
        for (int i = targets.nextSetBit(1); i >= 0; i = targets.nextSetBit(i + 1))
            target.set(from + i);
        line[size] = at;
        offset[++size] = to;
    }

    /// What a user should know about the examples before training on them.
    public List<String> notes() {
        List<String> out = new ArrayList<>();
        if (unanswered > 0)
            out.add(file + ": " + unanswered + " of " + read + " examples have no answer to train on and are dropped");
        if (apart > 0)
            out.add(file + ": in " + apart + " of " + read + " examples a token would join the prompt with its answer"
                    + " (a prompt that ends in a space?); the two are tokenised apart, as when the model is asked");
        if (chats > 0 && ended == 0)
            out.add(file + ": the chat template ends no answer with a token that stops generation, so the model does"
                    + " not learn to stop; let the template write eos_token, or add its end of turn to eos_token_id in"
                    + " generation_config.json");
        return out;
    }

    /// Examples that ask for an answer.
    public int tasks() {
        return tasks;
    }

    public Path file() {
        return file;
    }

    /// Number of examples.
    public int size() {
        return size;
    }

    /// Tokens of example i.
    public int length(int i) {
        return offset[i + 1] - offset[i];
    }

    public int token(int i, int j) {
        return tokens[offset[i] + j];
    }

    /// Whether token j of example i counts in the loss.
    public boolean isTarget(int i, int j) {
        return target.get(offset[i] + j);
    }

    /// The line of the file on which example i starts.
    public int line(int i) {
        return line[i];
    }

    /// Examples in the file, dropped ones included.
    public int read() {
        return read;
    }

    public int truncated() {
        return truncated;
    }

    /// Examples left out: too long under `drop`, or without a target that fits.
    public int dropped() {
        return dropped;
    }

    public int tokens() {
        return offset[size];
    }

    public int targets() {
        return target.cardinality();
    }
}
