package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.model.llama.BatchShape;
import dev.gyre.model.llama.Decoder;
import dev.gyre.model.llama.Llama;
import dev.gyre.model.llama.TrainSession;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
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
        List<Batches.Micro> all = Batches.inOrder(set, B, T, true, 0);
        double sum = 0;
        long tokens = 0;
        try (TrainSession s = new TrainSession(model, backend, List.of(new BatchShape(B, T)), false,
                EnumSet.of(TrainSession.Use.EVALUATE))) {
            for (Batches.Micro m : all) {
                sum += s.evaluate(m.batch());
                tokens += m.trained();
            }
        }
        return new Loss(sum / tokens, tokens);
    }

    /// Tasks answered exactly.
    public record Accuracy(int right, int all) {
        public double share() {
            return all == 0 ? 0 : right / (double) all;
        }
    }

    /// Continues each prompt greedily and compares with the completion, to the last token and the end of the answer.
    public static Accuracy exactMatch(Llama model, Backend backend, List<Example> examples, ModelText text) {
        List<ModelText.Task> tasks = text.tasks(examples);
        int longest = 1;
        for (ModelText.Task t : tasks)
            longest = Math.max(longest, t.prompt().length + t.answer().length + 1);
        int right = 0;
        try (Decoder decoder = new Decoder(model, backend, longest)) {
            for (ModelText.Task t : tasks) {
                int[] got = Generator.run(decoder, t.prompt(), t.answer().length + 1, text.stops(),
                        Sampler.greedy(text.tokenizer().vocabSize()),
                        _ -> true);
                if (Arrays.equals(got, t.answer()))
                    right++;
            }
        }
        return new Accuracy(right, tasks.size());
    }
}
