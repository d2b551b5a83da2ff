package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import dev.gyre.model.weights.Storage;
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
        @Key(doc = "the run directory") Output output,
        @Key(doc = "where to compute: cpu, opencl:N, cuda:N, ptx:N, jvm, or auto", def = "auto") String device,
        @Key(doc = "how large matrices are multiplied on cuda:N with cuBLAS: f32, tf32 or bf16; elsewhere only f32",
                def = "f32") Precision precision,
        @Key(doc = "seed of everything random: new head, adapter start, order of the data", def = "1",
                min = 0) long seed) {

    public TaskRunConfig {
        if (adapter instanceof Full && model.base() != Storage.AS_STORED && model.base() != Storage.F32)
            throw new Conflict("adapter", "full trains the weights themselves, in 32 bits, so model.base must be"
                    + " as_stored or f32");
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
            @Key(doc = "validation examples; without them nothing is evaluated", def = "null",
                    example = "data/valid.jsonl", input = true) @Nullable String valid,
            @Key(doc = "key or column of the text, or of the list of words of a row", def = "text") String text,
            @Key(doc = "key or column of a second text; null: none", def = "null") @Nullable String pair,
            @Key(doc = "key or column of the label, labels or number", def = "label") String label,
            @Key(doc = "images are mirrored at random while training", def = "false") boolean flip) {
    }

    public record Eval(
            @Key(doc = "steps between evaluations on data.valid; 0: only at the end", def = "50", min = 0) int every) {
    }

    public record Output(
            @Key(doc = "run directory; must be new or empty", example = "runs/my-task") String dir,
            @Key(doc = "steps between progress rows", def = "10", min = 1) int logEvery) {
    }
}
