package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import dev.gyre.model.weights.Storage;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A run.yaml with a section `task`: a model that predicts classes, labels, numbers or embeddings.
public record TaskRunConfig(
        @Key(doc = "the model to start from: an encoder, a vision transformer, or a decoder") RunConfig.Model model,
        @Key(doc = "what is predicted") Task task,
        @Key(doc = "what is trained") Tuning adapter,
        @Key(doc = "examples") Data data,
        @Key(doc = "steps, batches and the optimiser") RunConfig.Train train,
        @Key(doc = "evaluation during training") Eval eval,
        @Key(doc = "the run directory") RunConfig.Output output,
        @Key(doc = "where to compute: cpu, opencl:N, cuda:N, ptx:N, jvm, or auto", def = "auto") String device,
        @Key(doc = "how large matrices are multiplied on cuda:N with cuBLAS: f32, tf32 or bf16; elsewhere only f32",
                def = "f32") Precision precision,
        @Key(doc = "on a device other than the CPU: compute the first step on the CPU as well, and stop where the two differ",
                def = "true") boolean checkDevice,
        @Key(doc = "seed of everything random: new head, adapter start, order of the data", def = "1",
                min = 0) long seed)
        implements TuningSettings {

    public TaskRunConfig {
        if (adapter instanceof Full && model.base() != Storage.AS_STORED && model.base() != Storage.F32)
            throw new Conflict("adapter", "full trains the weights themselves, in 32 bits, so model.base must be"
                    + " as_stored or f32");
        if (data.valid == null)
            eval = new Eval(0, 0, RunConfig.Result.LAST);
    }

    @Override
    public int evaluateEvery() {
        return eval.every;
    }

    @Override
    public int patience() {
        return eval.patience;
    }

    @Override
    public RunConfig.Result result() {
        return eval.result;
    }

    public record Task(
            @Key(doc = "class (of a text, pair or image), labels (several of each), number, tokens (a class for each word),"
                    + " pairs (embeddings, each text nearest to its pair) or similarity (of pairs, from -1 to 1)") Kind kind,
            @Key(doc = "names of classes or labels in their order; empty: those of data.train, sorted",
                    def = "[]") List<String> labels) {
        public Task {
            labels = List.copyOf(labels);
        }
    }

    public enum Kind {
        CLASS, LABELS, NUMBER, TOKENS, PAIRS, SIMILARITY
    }

    public record Data(
            @Key(doc = "training examples: .jsonl or .csv, a folder of images by class, or an IDX file of images",
                    example = "data/train.jsonl", input = true) String train,
            @Key(doc = "validation examples: a file or folder, or how many of the training examples are held out for it,"
                    + " such as 10% or 200; without them nothing is evaluated", def = "null",
                    example = "data/valid.jsonl", input = true) @Nullable DataFiles valid,
            @Key(doc = "key or column of the text, or of the list of words of a row", def = "text") String text,
            @Key(doc = "key or column of a second text; null: none", def = "null") @Nullable String pair,
            @Key(doc = "key or column of the label, labels or number", def = "label") String label,
            @Key(doc = "images are mirrored at random while training", def = "false") boolean flip) {
        public Data {
            DataFiles.Split s = valid == null ? null : valid.split();
            if (s != null && (s.count() < 0 || s.count() == 0 && !(s.share() > 0 && s.share() < 1)))
                throw new Conflict("valid", "valid: " + valid + " must be above 0 % and below 100 %, or a number of"
                        + " examples above 0");
            if (valid != null && valid.names().size() > 1)
                throw new Conflict("valid", "valid: " + valid + ": give one file, or one folder of images");
        }

        /// The file or folder of validation examples; null where there is none.
        public @Nullable Path validFile() {
            return valid == null || valid.split() != null ? null : Path.of(valid.names().getFirst());
        }
    }

    public record Eval(
            @Key(doc = "steps between evaluations on data.valid; 0: only at the end", def = "50", min = 0) int every,
            @Key(doc = "early stopping: end the run after this many evaluations without a new best; 0: never",
                    def = "0",
                    min = 0) int patience,
            @Key(doc = "what becomes the result: the parameters of the last step, or those of the best validation loss",
                    def = "last") RunConfig.Result result) {
    }
}
