package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Op;
import dev.gyre.model.llama.Batch;
import dev.gyre.model.llama.BatchShape;
import dev.gyre.model.llama.Decoder;
import dev.gyre.model.llama.Llama;
import dev.gyre.model.llama.TrainSession;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ExampleReader;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;

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
    public static Loss loss(Llama model, Backend backend, TokenizedSet set, int B, int T) {
        return loss(model, backend, Batches.inOrder(set, B, T, true, 0));
    }

    /// Loss on batches of one shape.
    public static Loss loss(Llama model, Backend backend, List<Batches.Micro> all) {
        double sum = 0;
        long tokens = 0;
        Garbage.collect();
        try (TrainSession s = new TrainSession(model, backend, List.of(all.getFirst().batch().shape()), false,
                EnumSet.of(TrainSession.Use.EVALUATE))) {
            for (Batches.Micro m : all) {
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
    /// @param rightTokens tokens of the answers, their ends included, that are the likeliest behind the right ones before
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

    /// Tokens of an answer that is written out, at most.
    private static final int ANSWER_TOKENS = 64;
    /// Logits that are looked at together, at most (16 MB here, and as much in the session).
    private static final int LOGITS = 1 << 22;

    /// Answers to the examples that have a prompt and a completion. No token needs to be generated for that: greedy
    /// decoding gives an answer exactly when each of its tokens is the likeliest behind the right ones before it, which
    /// one pass over prompt and answer shows. The end of an answer counts for models that have a token for it.
    public static Answers answers(Llama model, Backend backend, List<? extends Example> examples, ModelText text) {
        List<ModelText.Task> tasks = text.tasks(examples).stream().filter(t -> t.prompt().length > 0).toList();
        if (tasks.isEmpty())
            return new Answers(0, 0, 0, 0);
        int T = 1;
        for (ModelText.Task t : tasks)
            T = Math.max(T, t.prompt().length + t.answer().length);
        int V = model.config().vocabSize();
        int B = (int) Math.clamp(LOGITS / ((long) T * V), 1, Math.min(32, tasks.size()));
        int known = Math.min(V, text.tokenizer().vocabSize());
        int[] labels = new int[B * T];
        Arrays.fill(labels, Op.CrossEntropy.IGNORE);
        int right = 0;
        long rightTokens = 0;
        long tokens = 0;
        Garbage.collect();
        float[] logits = new float[Math.multiplyExact(Math.multiplyExact(B, T), V)];
        try (TrainSession s = new TrainSession(model, backend, List.of(new BatchShape(B, T)), false,
                EnumSet.of(TrainSession.Use.LOGITS))) {
            for (int first = 0; first < tasks.size(); first += B) {
                int n = Math.min(B, tasks.size() - first);
                int[] ids = new int[B * T];
                for (int b = 0; b < n; b++) {
                    ModelText.Task t = tasks.get(first + b);
                    System.arraycopy(t.prompt(), 0, ids, b * T, t.prompt().length);
                    System.arraycopy(t.answer(), 0, ids, b * T + t.prompt().length, t.answer().length);
                }
                s.logits(Batch.rows(B, T, ids, labels), logits);
                for (int b = 0; b < n; b++) {
                    ModelText.Task t = tasks.get(first + b);
                    int of = t.answer().length + (text.stops().isEmpty() ? 0 : 1);
                    int got = rightTokens(t, text, logits, b * T + t.prompt().length - 1, V, known);
                    tokens += of;
                    rightTokens += got;
                    if (got == of)
                        right++;
                }
            }
        }
        return new Answers(right, tasks.size(), rightTokens, tokens);
    }

    /// The first `most` tasks of a file.
    static List<Example.Completion> tasks(Path file, RunConfig.Format format, int most) {
        List<Example.Completion> out = new ArrayList<>();
        if (most > 0)
            ExampleReader.read(file, format, (e, _) -> {
                if (e instanceof Example.Completion t && out.size() < most)
                    out.add(t);
            });
        return out;
    }

    /// Longest sequence when the tasks are answered.
    static int room(List<Example.Completion> tasks, int context, ModelText text) {
        int longest = tasks.stream().mapToInt(t -> text.prompt(t.prompt()).length).max().orElse(1);
        return Math.min(longest + ANSWER_TOKENS, context);
    }

    /// What a model answers greedily, token by token.
    static List<String> given(Llama model, Backend backend, List<Example.Completion> tasks, ModelText text) {
        int room = room(tasks, model.config().maxPositionEmbeddings(), text);
        Garbage.collect();
        try (Decoder decoder = new Decoder(model, backend, room)) {
            return given(decoder, room, tasks, text);
        }
    }

    /// @param room positions of the decoder
    static List<String> given(Decoder decoder, int room, List<Example.Completion> tasks, ModelText text) {
        List<String> out = new ArrayList<>();
        for (Example.Completion t : tasks) {
            int[] prompt = text.prompt(t.prompt());
            StringBuilder s = new StringBuilder();
            StreamDecoder stream = text.stream();
            Generator.run(decoder, prompt, Math.clamp(room - prompt.length, 0, ANSWER_TOKENS), text.stops(),
                    Sampler.greedy(text.tokenizer().vocabSize()), token -> {
                        s.append(stream.add(token));
                        return true;
                    });
            out.add(s.append(stream.finish()).toString());
        }
        return out;
    }

    /// @param row of the logits behind the prompt
    private static int rightTokens(ModelText.Task t, ModelText text, float[] logits, int row, int V, int known) {
        int right = 0;
        for (int i = 0; i <= t.answer().length; i++) {
            int at = (row + i) * V;
            int best = 0;
            for (int v = 1; v < known; v++)
                if (logits[at + v] > logits[at + best])
                    best = v;
            if (i < t.answer().length ? best == t.answer()[i] : text.stops().contains(best))
                right++;
        }
        return right;
    }
}
