package dev.gyre.trainer.data;

import dev.gyre.kernels.GyreException;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The examples of a set of files as tokens, each with a mark whether the loss counts it as a target: at least two tokens in
/// an example, at most `T + 1` (T inputs and the last target). A small set is in memory, a large one in a file
/// ([TokenCache]); nothing else depends on which. Or a part of such a set. Used by one thread at a time.
public final class TokenizedSet {
    private final List<Path> files;
    private final String name;
    private final TokenStore store;
    /// Numbers of the examples that this part of the set has; null for all.
    private final int @Nullable [] part;
    private final Counts counts;

    private int cached = -1;
    private int[] codes = new int[0];

    private TokenizedSet(List<Path> files, String name, TokenStore store, int @Nullable [] part, Counts counts) {
        this.files = files;
        this.name = name;
        this.store = store;
        this.part = part;
        this.counts = counts;
    }

    /// What was counted while a set was read.
    ///
    /// @param read examples, dropped ones included
    /// @param targets tokens that count in the loss
    /// @param unanswered examples without anything to train on
    /// @param apart whose prompt and answer were tokenised apart
    /// @param chats conversations
    /// @param ended conversations whose last answer ends in a token at which generation stops
    record Counts(int read, long tokens, long targets, int truncated, int dropped, int tasks, int unanswered, int apart,
            int chats, int ended) {
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

    /// One file, under Gyre's own names.
    public static TokenizedSet read(Path file, Rules rules, ModelText text) {
        return read(ExampleFiles.of(file, rules.format()), rules, text, TokenCache.DEFAULT);
    }

    /// Reads all examples of `files`, or takes their tokens from the cache.
    public static TokenizedSet read(ExampleFiles files, Rules rules, ModelText text, TokenCache cache) {
        TokenCache.Entry entry = cache.entry(files, rules, text);
        TokenizedSet known = entry.find(files);
        if (known != null)
            return known.checked(rules);
        try (Builder b = new Builder(files.files(), files.name(), rules, text, entry)) {
            files.read((example, file, line) -> {
                if (files.isText(file))
                    b.stream((Example.Text) example, file);
                else
                    b.take(example, file, line);
                return true;
            });
            return b.set().checked(rules);
        } catch (TokenCache.Entry.MadeByAnother e) {
            TokenizedSet made = entry.find(files);
            if (made == null)
                throw new IllegalStateException("tokens of " + files.name(), e);
            return made.checked(rules);
        }
    }

    /// Examples that a program has; they are read once, and their place counts as their line.
    public static TokenizedSet of(Iterable<? extends Example> examples, Rules rules, ModelText text) {
        try (Builder b = new Builder(List.of(Path.of("examples")), "examples", rules, text,
                TokenCache.DEFAULT.unnamed(text))) {
            int at = 0;
            for (Example e : examples)
                b.take(e, 0, ++at);
            return b.set().checked(rules);
        }
    }

    static TokenizedSet of(List<Path> files, String name, TokenStore store, Counts counts) {
        return new TokenizedSet(files, name, store, null, counts);
    }

    private TokenizedSet checked(Rules rules) {
        if (size() == 0)
            throw new DataException(name + ": " + (counts.read == 0 ? "holds no examples"
                    : "none of its " + counts.read + " examples has a token to train on"
                            + (counts.dropped > counts.unanswered
                                    ? " within " + rules.T() + " tokens; raise train.seq_len" : "")
                            + (counts.unanswered > 0 ? ": " + counts.unanswered + " have no answer" : "")));
        return this;
    }

    /// Reads examples into a store.
    private static final class Builder implements AutoCloseable {
        private final List<Path> files;
        private final String name;
        private final Rules rules;
        private final ModelText text;
        private final TokenCache.Entry entry;
        private @Nullable HeapTokens heap = new HeapTokens();
        private FileTokens.@Nullable Writer file;

        private int read;
        private long tokens;
        private long targets;
        private int truncated;
        private int dropped;
        private int tasks;
        private int unanswered;
        private int apart;
        private int chats;
        private int ended;

        private int[] codes = new int[64];
        /// Running text that is not in a window yet, and the file that it is from.
        private int[] rest = new int[0];
        private int restFile = -1;

        Builder(List<Path> files, String name, Rules rules, ModelText text, TokenCache.Entry entry) {
            this.files = files;
            this.name = name;
            this.rules = rules;
            this.text = text;
            this.entry = entry;
        }

        void take(Example example, int file, int line) {
            read = Math.addExact(read, 1);
            if (read % 1024 == 0)
                Reading.tell(name, read);
            ModelText.Masked m;
            try {
                m = text.masked(example, rules.trainOn() == TrainOn.ALL);
            } catch (GyreException e) {
                throw new DataException(files.get(file), line, String.valueOf(e.getMessage()));
            }
            tasks += example.isTask() ? 1 : 0;
            unanswered += m.target().isEmpty() ? 1 : 0;
            apart += m.apart() ? 1 : 0;
            chats += example instanceof Example.Chat ? 1 : 0;
            ended += example instanceof Example.Chat && m.ended() ? 1 : 0;
            long content = Content.hash(example);
            if (rules.tooLong() == TooLong.SPLIT && example instanceof Example.Text) {
                int n = m.tokens().length;
                for (int from = 0; from < n - 1; from += rules.T()) {
                    int to = Math.min(n, from + rules.T() + 1);
                    add(Arrays.copyOfRange(m.tokens(), from, to), m.target().get(from, to), content,
                            new TokenStore.Place(file, line, false, false));
                }
            } else
                fit(m, content, example.isTask(), file, line);
        }

        private void fit(ModelText.Masked m, long content, boolean task, int file, int line) {
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
            add(Arrays.copyOf(m.tokens(), keep), m.target().get(0, keep), content,
                    new TokenStore.Place(file, line, tooLong, task));
        }

        /// Plain text: a file is one sequence cut into windows that overlap by one token, so that each token is a target once.
        void stream(Example.Text piece, int file) {
            if (file != restFile) {
                endOfText();
                read++;
                restFile = file;
                rest = text.prompt("");
            }
            int[] more;
            try {
                more = text.more(piece.text());
            } catch (GyreException e) {
                throw new DataException(files.get(file), String.valueOf(e.getMessage()));
            }
            int from = 0;
            int[] all = Arrays.copyOf(rest, rest.length + more.length);
            System.arraycopy(more, 0, all, rest.length, more.length);
            for (; all.length - from > rules.T(); from += rules.T())
                window(Arrays.copyOfRange(all, from, from + rules.T() + 1));
            rest = Arrays.copyOfRange(all, from, all.length);
        }

        private void endOfText() {
            if (restFile >= 0 && rest.length > 1)
                window(rest);
            rest = new int[0];
            restFile = -1;
        }

        private void window(int[] t) {
            BitSet every = new BitSet();
            every.set(1, t.length);
            add(t, every, Content.hash(t), new TokenStore.Place(restFile, 1, false, false));
        }

        private void add(int[] t, BitSet target, long content, TokenStore.Place place) {
            if (codes.length < t.length)
                codes = new int[2 * t.length];
            for (int i = 0; i < t.length; i++) {
                // the first token has nothing before it to predict it from
                boolean counts = i > 0 && target.get(i);
                codes[i] = t[i] << 1 | (counts ? 1 : 0);
                targets += counts ? 1 : 0;
            }
            tokens += t.length;
            HeapTokens h = heap;
            if (h != null && h.size() > 0 && 4L * (h.tokens() + t.length) > entry.memory()) {
                file = spilled(h);
                heap = null;
                h = null;
            }
            if (h != null)
                h.add(codes, t.length, place, content);
            else
                if (file != null)
                    file.add(codes, t.length, place, content);
        }

        private FileTokens.Writer spilled(HeapTokens h) {
            FileTokens.Writer w = entry.writer();
            int[] buffer = new int[rules.T() + 1];
            int[] at = {0};
            h.hashes(content -> {
                int i = at[0]++;
                h.read(i, buffer);
                w.add(buffer, h.length(i), h.place(i), content);
            });
            return w;
        }

        TokenizedSet set() {
            endOfText();
            Counts c = new Counts(read, tokens, targets, truncated, dropped, tasks, unanswered, apart, chats, ended);
            HeapTokens h = heap;
            if (h != null) {
                h.trim();
                return of(files, name, h, c);
            }
            return of(files, name, entry.finish(files, c), c);
        }

        @Override
        public void close() {
            entry.close();
        }
    }

    /// A set in two parts.
    record Parts(TokenizedSet train, TokenizedSet valid, HeldOut heldOut) {
    }

    /// Takes a part for validation, example by example; which ones follows from their content and the seed alone
    /// ([HeldOut]).
    Parts parts(DataFiles.Split split, long seed) {
        HeldOut h = HeldOut.of(name, store, split, seed);
        int[] train = new int[store.size() - h.size()];
        int[] valid = new int[h.size()];
        int[] n = new int[2];
        store.hashes(content -> {
            if (h.has(content))
                valid[n[1]++] = n[0] + n[1] - 1;
            else
                train[n[0]++] = n[0] + n[1] - 1;
        });
        TokenizedSet v = new TokenizedSet(files, name, store, valid, counted(valid));
        Counts rest = counted(train);
        // what was dropped or is to be told of the whole set stands with its larger part
        Counts t = new Counts(counts.read - valid.length, rest.tokens, rest.targets, rest.truncated, counts.dropped,
                rest.tasks, counts.unanswered, counts.apart, counts.chats, counts.ended);
        return new Parts(new TokenizedSet(files, name, store, train, t), v, h);
    }

    private Counts counted(int[] of) {
        long tokens = 0;
        long targets = 0;
        int truncated = 0;
        int tasks = 0;
        for (int i : of) {
            int n = load(i);
            tokens += n;
            for (int j = 0; j < n; j++)
                targets += codes[j] & 1;
            TokenStore.Place p = store.place(i);
            truncated += p.truncated() ? 1 : 0;
            tasks += p.task() ? 1 : 0;
        }
        return new Counts(of.length, tokens, targets, truncated, 0, tasks, 0, 0, 0, 0);
    }

    /// What a user should know about the examples before training on them.
    public List<String> notes() {
        List<String> out = new ArrayList<>();
        if (counts.unanswered > 0)
            out.add(name + ": " + counts.unanswered + " of " + counts.read
                    + " examples have no answer to train on and are dropped");
        if (counts.apart > 0)
            out.add(name + ": in " + counts.apart + " of " + counts.read
                    + " examples a token would join the prompt with its answer"
                    + " (a prompt that ends in a space?); the two are tokenised apart, as when the model is asked");
        if (counts.chats > 0 && counts.ended == 0)
            out.add(name + ": the chat template ends no answer with a token that stops generation, so the model does"
                    + " not learn to stop; let the template write eos_token, or add its end of turn to eos_token_id in"
                    + " generation_config.json");
        return out;
    }

    /// Examples that ask for an answer.
    public int tasks() {
        return counts.tasks;
    }

    /// What messages call the set: its file, or the first of several.
    public String name() {
        return name;
    }

    /// Number of examples.
    public int size() {
        return part == null ? store.size() : part.length;
    }

    private int number(int i) {
        return part == null ? i : part[i];
    }

    /// Tokens of example i.
    public int length(int i) {
        return store.length(number(i));
    }

    private int load(int number) {
        int n = store.length(number);
        if (cached != number) {
            if (codes.length < n)
                codes = new int[2 * n];
            store.read(number, codes);
            cached = number;
        }
        return n;
    }

    public int token(int i, int j) {
        load(number(i));
        return codes[j] >> 1;
    }

    /// Whether token j of example i counts in the loss.
    public boolean isTarget(int i, int j) {
        load(number(i));
        return (codes[j] & 1) != 0;
    }

    /// The line of its file on which example i starts.
    public int line(int i) {
        return store.place(number(i)).line();
    }

    /// The file of example i.
    public Path file(int i) {
        return files.get(store.place(number(i)).file());
    }

    /// Examples in the files, dropped ones included.
    public int read() {
        return counts.read;
    }

    public int truncated() {
        return counts.truncated;
    }

    /// Examples left out: too long under `drop`, or without a target that fits.
    public int dropped() {
        return counts.dropped;
    }

    public long tokens() {
        return counts.tokens;
    }

    public long targets() {
        return counts.targets;
    }

    /// Bytes of the heap that the set takes.
    long heapBytes() {
        return store.heapBytes() + (part == null ? 0 : 4L * part.length);
    }

    /// Whether the tokens are in a file rather than in memory.
    public boolean isInFile() {
        return store instanceof FileTokens;
    }
}
