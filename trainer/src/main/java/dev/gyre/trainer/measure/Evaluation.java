package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Generator;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/// Measures a model on examples.
public final class Evaluation {
    private Evaluation() {
    }

    /// @param loss mean over `tokens` targets
    public record Loss(double loss, long tokens) {
        public double perplexity() {
            return Math.exp(loss);
        }
    }

    /// Loss on all of a set, with the adapters that are attached to the model.
    ///
    /// @param B rows at once
    /// @param T inputs of a row
    public static Loss loss(Transformer model, Backend backend, TokenizedSet set, int B, int T) {
        return loss(model, backend, Batches.inOrder(set, B, T, true, 0));
    }

    /// Loss on batches of one shape.
    public static Loss loss(Transformer model, Backend backend, List<BatchStream.Micro<Batch>> all) {
        double sum = 0;
        long tokens = 0;
        HeapTrim.collect();
        try (TrainSession s = new TrainSession(model, backend, List.of(all.getFirst().batch().shape()), false,
                EnumSet.of(TrainSession.Use.EVALUATE))) {
            for (BatchStream.Micro<Batch> m : all) {
                sum += s.evaluate(m.batch());
                tokens += m.trained();
            }
        }
        return new Loss(sum / tokens, tokens);
    }

    /// How answers come out when the model gives them greedily.
    ///
    /// @param right tasks whose answer is exact, to its last token and its end
    /// @param all tasks
    /// @param rightTokens tokens of the answers, their ends included, that are the likeliest after the right ones before them
    /// @param tokens tokens of the answers, their ends included
    public record Answers(int right, int all, long rightTokens, long tokens) {
        /// Share of exact answers.
        public double share() {
            return all == 0 ? 0 : right / (double) all;
        }

        /// Token accuracy.
        public double tokenShare() {
            return tokens == 0 ? 0 : rightTokens / (double) tokens;
        }
    }

    /// Logits that are looked at together, at most (32 MiB here, and as much in the session), and tokens that are fed.
    private static final int LOGITS = 1 << 23;
    private static final int TOKENS = 1 << 11;

    /// A part of an answer that is looked at in one row: the tokens `from .. to - 1`, the end counting as the last. The row
    /// ends just before the last of them, so that what predicts them is at its end.
    private record Piece(ModelText.Task task, int from, int to) {
        /// Tokens to feed.
        int length() {
            return task.prompt().length + to - 1;
        }

        void put(int[] ids, int end) {
            System.arraycopy(task.prompt(), 0, ids, end - length(), task.prompt().length);
            System.arraycopy(task.answer(), 0, ids, end - to + 1, to - 1);
        }
    }

    /// Answers to the examples that ask for one: a completion, or the last answer of a conversation. No token needs to be generated for that: greedy
    /// decoding gives an answer exactly when each of its tokens is the likeliest after the right ones before it, which
    /// one pass over prompt and answer shows. The end of an answer counts where training has a token for it.
    public static Answers answers(Transformer model, Backend backend, List<? extends Example> examples,
            ModelText text) {
        return answers(model, backend, examples, text, LOGITS);
    }

    /// @param most logits that are looked at together; longer answers are looked at in pieces
    static Answers answers(Transformer model, Backend backend, List<? extends Example> examples, ModelText text,
            int most) {
        List<ModelText.Task> tasks = text.tasks(examples).stream().filter(t -> t.prompt().length > 0).toList();
        int V = model.config().vocabSize();
        int rows = Math.max(1, most / V);
        List<Piece> pieces = new ArrayList<>();
        int T = 1;
        int last = 1;
        for (ModelText.Task t : tasks) {
            int n = length(t);
            for (int from = 0; from < n; from += rows)
                pieces.add(new Piece(t, from, Math.min(n, from + rows)));
            T = Math.max(T, t.prompt().length + n - 1);
            last = Math.max(last, Math.min(n, rows));
        }
        Map<ModelText.Task, Integer> right = new IdentityHashMap<>();
        if (!pieces.isEmpty())
            count(model, backend, pieces, text, (int) Math.clamp(
                    Math.min(most / ((long) last * V), TOKENS / T), 1, Math.min(32, pieces.size())), T, last, right);
        int exact = 0;
        long rightTokens = 0;
        long tokens = 0;
        for (ModelText.Task t : tasks) {
            int got = right.getOrDefault(t, 0);
            tokens += length(t);
            rightTokens += got;
            if (got == length(t))
                exact++;
        }
        return new Answers(exact, tasks.size(), rightTokens, tokens);
    }

    /// Tokens to get right, the end included.
    private static int length(ModelText.Task t) {
        return t.answer().length + (t.ends() ? 1 : 0);
    }

    /// @param B pieces at once
    /// @param T tokens of the longest
    /// @param last tokens that a piece is about, at most
    /// @param right tokens of each answer that are the likeliest
    private static void count(Transformer model, Backend backend, List<Piece> pieces, ModelText text, int B, int T,
            int last,
            Map<ModelText.Task, Integer> right) {
        int V = model.config().vocabSize();
        int known = Math.min(V, text.tokenizer().vocabSize());
        int[] labels = new int[B * T];
        Arrays.fill(labels, Batch.IGNORE);
        HeapTrim.collect();
        float[] logits = new float[Math.multiplyExact(Math.multiplyExact(B, last), V)];
        try (TrainSession s = TrainSession.ofLastLogits(model, backend, new BatchShape(B, T), last)) {
            for (int first = 0; first < pieces.size(); first += B) {
                List<Piece> some = pieces.subList(first, Math.min(pieces.size(), first + B));
                int[] ids = new int[B * T];
                int[] positions = new int[B * T];
                int[] start = new int[B * T];
                for (int b = 0; b < B; b++) {
                    int length = b < some.size() ? some.get(b).length() : 0;
                    if (length > 0)
                        some.get(b).put(ids, (b + 1) * T);
                    for (int t = 0; t < T; t++) {
                        // positions before a piece see only themselves
                        positions[b * T + t] = Math.max(0, t - (T - length));
                        start[b * T + t] = Math.min(t, T - length);
                    }
                }
                s.logits(new Batch(B, T, ids, labels, positions, start), logits);
                for (int b = 0; b < some.size(); b++) {
                    Piece p = some.get(b);
                    right.merge(p.task, rightTokens(p, text, logits, (b + 1) * last, V, known), Integer::sum);
                }
            }
        }
    }

    /// What a model answers greedily, token by token.
    public static List<String> given(Transformer model, Backend backend, List<ModelText.Task> tasks,
            ModelText text) {
        int room = text.room(tasks, model.config().maxPositionEmbeddings());
        HeapTrim.collect();
        try (Decoder decoder = new Decoder(model, backend, room)) {
            return given(decoder, room, tasks, text);
        }
    }

    /// @param room positions of the decoder
    public static List<String> given(Decoder decoder, int room, List<ModelText.Task> tasks, ModelText text) {
        List<String> out = new ArrayList<>();
        for (ModelText.Task t : tasks) {
            int[] prompt = t.prompt();
            if (prompt.length >= room) {
                out.add("");
                continue;
            }
            StringBuilder s = new StringBuilder();
            StreamDecoder stream = text.stream();
            Generator.run(decoder, prompt, Math.clamp(room - prompt.length, 0, ModelText.ANSWER_TOKENS), text.stops(),
                    Sampler.greedy(text.tokenizer().vocabSize()), token -> {
                        s.append(stream.add(token));
                        return true;
                    });
            out.add(s.append(stream.finish()).toString());
        }
        return out;
    }

    /// @param end row after the logits of the piece
    private static int rightTokens(Piece p, ModelText text, float[] logits, int end, int V, int known) {
        int right = 0;
        for (int i = p.from; i < p.to; i++) {
            int at = (end - p.to + i) * V;
            int best = 0;
            for (int v = 1; v < known; v++)
                if (logits[at + v] > logits[at + best])
                    best = v;
            if (i < p.task.answer().length ? best == p.task.answer()[i] : text.stops().contains(best))
                right++;
        }
        return right;
    }
}
