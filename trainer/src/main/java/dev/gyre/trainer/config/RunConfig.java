package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.hub.HubName;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.format.DateTimeParseException;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// `run.yaml` of a fine-tuning run. Paths are relative to the directory in which Gyre is started.
public record RunConfig(
        @Key(doc = "the model to start from") Model model,
        @Key(doc = "what is trained") Tuning adapter,
        @Key(doc = "examples") Data data,
        @Key(doc = "steps, batches and the optimiser") Train train,
        @Key(doc = "evaluation during training") Eval eval,
        @Key(doc = "what base model and result are measured on after training") Results results,
        @Key(doc = "the run directory") Output output,
        @Key(doc = "where to compute: cpu, opencl:N, cuda:N, ptx:N, jvm, or auto", def = "auto") String device,
        @Key(doc = "how large matrices are multiplied on cuda:N with cuBLAS: f32, tf32 or bf16; elsewhere only f32. Without it"
                + " bf16 on cuda:N if the base is in bf16 or nf4, else f32",
                def = "null") @Nullable Precision precision,
        @Key(doc = "on a device other than the CPU: compute the first step on the CPU as well, and stop where the two differ",
                def = "true") boolean checkDevice,
        @Key(doc = "seed of everything random: adapter start, order of the data", def = "1", min = 0) long seed)
        implements RunSettings, TuningSettings {

    public RunConfig {
        if (adapter instanceof Full && model.base != Storage.AS_STORED && model.base != Storage.F32)
            throw new Conflict("adapter", "full trains the weights themselves, in 32 bits, so model.base must be"
                    + " as_stored or f32");
        if (data.valid == null)
            eval = eval.onlyAtTheEnd();
    }

    public record Model(
            @Key(doc = "Hugging Face model directory (config.json, model.safetensors or shards, tokenizer), the name of"
                    + " a model on its hub (Qwen/Qwen3-0.6B, Qwen/Qwen3-0.6B@REVISION), or a GGUF file",
                    example = "examples/small-llama", input = true, model = true) String path,
            @Key(doc = "how frozen weights are stored: as_stored, f32, bf16, nf4 (QOFT, QLoRA) or nf4_double",
                    def = "as_stored") Storage base) {
        /// Where its files are: a name of the hub stands for a folder of the cache.
        public Path directory() {
            return Hub.directory(Path.of(path));
        }

        /// The name that PEFT's files give the model, which others may have to find.
        public String name() {
            HubName name = HubName.of(Path.of(path));
            return name == null || Files.exists(Path.of(path)) ? path : name.id();
        }
    }

    public record Data(
            @Key(doc = "training examples: a file, a folder, a pattern such as data/*.jsonl, or a list of them, read in this"
                    + " order, those of a folder or pattern by name; JSON lines or lists, CSV, Parquet, plain text, or"
                    + " these packed with gzip (docs/data.md)",
                    example = "data/train.jsonl", input = true) DataFiles train,
            @Key(doc = "validation examples, or how many of the training examples are held out for it, such as 10% or 200;"
                    + " without them nothing is evaluated",
                    def = "null",
                    example = "data/valid.jsonl", input = true) @Nullable DataFiles valid,
            @Key(doc = "further validation sets with curves of their own, {name: file}, such as {old: data/old.jsonl}",
                    def = "{}", input = true) Map<String, DataFiles> alsoValid,
            @Key(doc = "auto (by file name), jsonl (also a JSON list), csv, parquet or text",
                    def = "auto") Format format,
            @Key(doc = "names of the data's columns where they have others than Gyre knows, such as"
                    + " {prompt: question, completion: answer}",
                    def = "{}") Map<String, String> keys,
            @Key(doc = "tokens that count in the loss: completion (answers only) or all",
                    def = "completion") TrainOn trainOn,
            @Key(doc = "several short examples in one row, attention kept inside each; false: one example a row, padded",
                    def = "true") boolean packing,
            @Key(doc = "examples longer than seq_len: truncate, drop, or split (running text only)",
                    def = "truncate") TooLong tooLong,
            @Key(doc = "a new order every epoch", def = "true") boolean shuffle,
            @Key(doc = "megabytes of tokens that a set keeps in memory, at most an eighth of the heap; a larger one is read"
                    + " from a file of tokens, with the same result",
                    def = "256", min = 0, max = 4096) int memory,
            @Key(doc = "folder for files of tokens, which are made once for the same data and tokenizer; null: gyre/tokens"
                    + " in the user's cache folder",
                    def = "null") @Nullable String cache,
            @Key(doc = "what a chat template shows that asks for today's date (strftime_now), such as 2025-07-26 or"
                    + " 2025-07-26T14:30:00, so that a run can be repeated; without it the template has no date",
                    def = "null") @Nullable String date) {
        public Data {
            try {
                day(date);
            } catch (DateTimeParseException e) {
                throw new Conflict("date", "date '" + date
                        + "' is not a date; write 2025-07-26 or 2025-07-26T14:30:00");
            }
            if (valid == null && !alsoValid.isEmpty())
                throw new Conflict("also_valid",
                        "also_valid needs valid: the set that decides which checkpoint is best");
            for (String name : alsoValid.keySet())
                if (!name.matches("[A-Za-z0-9_.-]+"))
                    throw new Conflict("also_valid", "also_valid: '" + name
                            + "' is no name for a curve; use letters, digits, _ . -");
            if (train.split() != null)
                throw new Conflict("train",
                        "train: " + train + " names no file; data.valid takes a part of the examples");
            DataFiles.Split s = valid == null ? null : valid.split();
            if (s != null && (s.count() < 0 || s.count() == 0 && !(s.share() > 0 && s.share() < 1)))
                throw new Conflict("valid", "valid: " + valid + " must be above 0 % and below 100 %, or a number of"
                        + " examples above 0");
            alsoValid.forEach((name, files) -> {
                if (files.split() != null)
                    throw new Conflict("also_valid", "also_valid: " + name + ": " + files
                            + " names no file; only data.valid can be a part of the training examples");
            });
            for (Map.Entry<String, String> e : keys.entrySet()) {
                if (!KEYS.contains(e.getKey()))
                    throw new Conflict("keys", "keys: '" + e.getKey() + "' is no name that Gyre reads; those are "
                            + String.join(", ", KEYS) + " (write {prompt: question} for a column 'question' that is"
                            + " the prompt)");
                if (e.getValue().isEmpty())
                    throw new Conflict("keys", "keys: the column of '" + e.getKey() + "' has no name");
            }
            alsoValid = Collections.unmodifiableMap(new TreeMap<>(alsoValid));
            keys = Collections.unmodifiableMap(new TreeMap<>(keys));
        }

        /// What a row of data can have, under these names or those that `keys` gives.
        public static final List<String> KEYS = List.of("text", "prompt", "completion", "messages", "conversations",
                "instruction", "input", "output", "system", "history", "tools");

        /// Validation examples in files of their own; null where there are none, or where they are a part of the training
        /// examples.
        public @Nullable DataFiles validFiles() {
            return valid == null || valid.split() != null ? null : valid;
        }

        /// The part of the training examples that is held out for validation; null where there is none.
        public DataFiles.@Nullable Split split() {
            return valid == null ? null : valid.split();
        }

        /// The date, at midnight where no time is given.
        public @Nullable LocalDateTime day() {
            return day(date);
        }

        /// @throws DateTimeParseException if it is neither a date nor null
        public static @Nullable LocalDateTime day(@Nullable String date) {
            return date == null ? null
                    : date.contains("T") ? LocalDateTime.parse(date) : LocalDate.parse(date).atStartOfDay();
        }
    }

    public enum Format {
        AUTO, JSONL, CSV, PARQUET, TEXT
    }

    public enum TrainOn {
        COMPLETION, ALL
    }

    public enum TooLong {
        TRUNCATE, DROP, SPLIT
    }

    public record Train(
            @Key(doc = "optimiser steps; or give epochs", def = "null", min = 1) @Nullable Integer steps,
            @Key(doc = "passes over the data in place of steps; 1 when neither is given", def = "null",
                    min = 0, max = 1e6) @Nullable Double epochs,
            @Key(doc = "tokens in a row", def = "512", min = 1, max = 1048576) int seqLen,
            @Key(doc = "shorter rows in addition to seq_len, such as [64, 128]: a micro-batch takes the shortest that holds its rows",
                    def = "[]", min = 1, max = 1048576) List<Integer> buckets,
            @Key(doc = "rows computed at once", def = "4", min = 1, max = 65536) int microBatch,
            @Key(doc = "micro-batches added up before an optimiser step; the loss is averaged over all their trained tokens",
                    def = "1", min = 1) int accumulate,
            @Key(doc = "peak learning rate", def = "4e-4", min = 0) double lr,
            @Key(doc = "learning rate after warm-up: constant, linear or cosine decay",
                    def = "cosine") Schedule schedule,
            @Key(doc = "steps of linear warm-up", def = "0", min = 0) int warmup,
            @Key(doc = "learning rate at the end as a fraction of lr", def = "0", min = 0, max = 1) double minLrRatio,
            @Key(doc = "largest gradient norm; larger gradients are scaled down; 0: off", def = "1.0",
                    min = 0) double clip,
            @Key(doc = "decoupled weight decay of AdamW", def = "0", min = 0) double weightDecay,
            @Key(doc = "AdamW's decay of the mean of gradients", def = "0.9", min = 0, max = 0.999999) double beta1,
            @Key(doc = "AdamW's decay of the mean of squared gradients", def = "0.999", min = 0,
                    max = 0.9999999) double beta2,
            @Key(doc = "AdamW's eps", def = "1e-8", min = 1e-30) double eps,
            @Key(doc = "layers keep only their inputs and run forward again in the backward pass: about a third more time,"
                    + " less memory, the same gradients",
                    def = "false") boolean gradientCheckpointing,
            @Key(doc = "stop when the loss averaged over 20 steps is this far above its lowest average; 0: never",
                    def = "3",
                    min = 0) double divergence) {
        public Train {
            for (int b : buckets)
                if (b >= seqLen)
                    throw new Conflict("buckets", "buckets: " + b + " is not shorter than seq_len " + seqLen);
            buckets = buckets.stream().distinct().sorted().toList();
            if ((long) microBatch * seqLen > MOST)
                throw new Conflict("micro_batch", "micro_batch " + microBatch + " times seq_len " + seqLen
                        + " is more than " + MOST + " tokens at once; lower one of them, and raise accumulate");
            if ((long) microBatch * accumulate > MOST)
                throw new Conflict("accumulate", "accumulate " + accumulate + " times micro_batch " + microBatch
                        + " is more than " + MOST + " rows in a step");
            if (steps != null && epochs != null)
                throw new Conflict("epochs", "steps and epochs exclude each other; give one of them");
            if (steps == null && epochs == null)
                epochs = 1.0;
            if (epochs != null && !(epochs > 0))
                throw new Conflict("epochs", "epochs must be above 0");
            if (steps != null && warmup >= steps)
                throw new Conflict("warmup",
                        "warmup " + warmup + " is as long as the run or longer (steps " + steps + ")");
        }

        /// Tokens of a micro-batch and rows of a step: an array has no more.
        private static final int MOST = Integer.MAX_VALUE;

        /// What a run opens its session for.
        public Set<TrainSession.Use> uses() {
            Set<TrainSession.Use> uses = EnumSet.of(TrainSession.Use.TRAIN, TrainSession.Use.EVALUATE);
            if (gradientCheckpointing)
                uses.add(TrainSession.Use.GRADIENT_CHECKPOINTING);
            return uses;
        }

        /// The same for another number of steps, without what watches or shapes a run of its own length.
        public Train withSteps(int n) {
            return new Train(n, null, seqLen, buckets, microBatch, accumulate, lr, schedule, 0, minLrRatio, clip,
                    weightDecay, beta1, beta2, eps, gradientCheckpointing, 0);
        }
    }

    public enum Schedule {
        CONSTANT, LINEAR, COSINE
    }

    public record Eval(
            @Key(doc = "steps between evaluations on data.valid; 0: only at the end", def = "50", min = 0) int every,
            @Key(doc = "micro-batches per evaluation while training, at most, their rows spread evenly over data.valid; 0: all of it",
                    def = "0", min = 0) int batches,
            @Key(doc = "early stopping: end the run after this many evaluations without a new best; 0: never",
                    def = "0",
                    min = 0) int patience,
            @Key(doc = "tasks of data.valid (prompt + completion, or the last answer of messages) to answer at each"
                    + " evaluation, to be read in log.txt and report.html; 0: none",
                    def = "0", min = 0) int samples,
            @Key(doc = "what becomes the result: the parameters of the last step, or those of the best validation loss",
                    def = "last") Result result) {
        /// Without validation data there is nothing to look at on the way.
        Eval onlyAtTheEnd() {
            return new Eval(0, batches, 0, 0, Result.LAST);
        }
    }

    public record Results(
            @Key(doc = "tasks of data.valid (prompt + completion, or the last answer of messages) to answer; 0: none",
                    def = "100",
                    min = 0) int answers,
            @Key(doc = "examples of what the base model knows, to see what is forgotten", def = "null",
                    example = "data/old.jsonl", input = true) @Nullable DataFiles forgetting,
            @Key(doc = "examine the result for report.html: answers, energy of the weights, times of operations, merging",
                    def = "true") boolean report) {
    }

    public enum Result {
        LAST, BEST
    }

    public record Output(
            @Key(doc = "run directory; must be new or empty unless --resume is given",
                    example = "runs/my-run") String dir,
            @Key(doc = "steps between checkpoints; 0: only at the end and on Ctrl-C", def = "100",
                    min = 0) int checkpointEvery,
            @Key(doc = "newest checkpoints to keep; the best by validation loss is kept besides; 0: all", def = "2",
                    min = 0) int keep,
            @Key(doc = "steps between progress rows", def = "10", min = 1) int logEvery,
            @Key(doc = "also write TensorBoard event files, into tb/", def = "true") boolean tensorboard) {
    }

    /// The same with another section `train`.
    public RunConfig with(Train t) {
        return new RunConfig(model, adapter, data, t, eval, results, output, device, precision, checkDevice, seed);
    }

    /// Rows computed for one optimiser step.
    public int rowsPerStep() {
        return Math.multiplyExact(train.microBatch, train.accumulate);
    }
}
