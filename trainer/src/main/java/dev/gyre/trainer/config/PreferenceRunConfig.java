package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import dev.gyre.model.transformer.PreferenceLoss;
import dev.gyre.model.weights.Storage;
import org.jspecify.annotations.Nullable;

/// A run.yaml with a section `preference`: a language model trained on pairs of answers, of which one was preferred.
public record PreferenceRunConfig(
        @Key(doc = "the model to start from") RunConfig.Model model,
        @Key(doc = "the loss of a pair of answers") Preference preference,
        @Key(doc = "what is trained") Tuning adapter,
        @Key(doc = "pairs of answers") Data data,
        @Key(doc = "steps, batches and the optimiser") RunConfig.Train train,
        @Key(doc = "evaluation during training") TaskRunConfig.Eval eval,
        @Key(doc = "the run directory") RunConfig.Output output,
        @Key(doc = "where to compute: cpu, opencl:N, cuda:N, ptx:N, jvm, or auto", def = "auto") String device,
        @Key(doc = "how large matrices are multiplied on cuda:N with cuBLAS: f32, tf32 or bf16; elsewhere only f32",
                def = "f32") Precision precision,
        @Key(doc = "on a device other than the CPU: compute the first step on the CPU as well, and stop where the two differ",
                def = "true") boolean checkDevice,
        @Key(doc = "seed of everything random: adapter start, order of the data", def = "1", min = 0) long seed)
        implements TuningSettings {

    public PreferenceRunConfig {
        if (adapter instanceof Full && model.base() != Storage.AS_STORED && model.base() != Storage.F32)
            throw new Conflict("adapter", "full trains the weights themselves, in 32 bits, so model.base must be"
                    + " as_stored or f32");
        if (data.valid == null)
            eval = new TaskRunConfig.Eval(0, 0, RunConfig.Result.LAST);
    }

    @Override
    public int evaluateEvery() {
        return eval.every();
    }

    @Override
    public int patience() {
        return eval.patience();
    }

    @Override
    public RunConfig.Result result() {
        return eval.result();
    }

    public record Preference(
            @Key(doc = "dpo (the model before training is the reference) or orpo (fine-tuning on the chosen answer and the"
                    + " odds ratio, no reference)") Kind loss,
            @Key(doc = "strength: of dpo how far the model may move from the reference (smaller is further), of orpo the"
                    + " weight of the odds ratio", def = "0.1", min = 1e-6) double beta,
            @Key(doc = "of dpo: share of pairs whose order is taken to be wrong, below 0.5", def = "0",
                    min = 0, max = 0.49) double labelSmoothing) {
        public Preference {
            if (labelSmoothing != 0 && loss == Kind.ORPO)
                throw new Conflict("label_smoothing", "orpo has none; take it out, or set loss: dpo");
        }

        public PreferenceLoss of() {
            return switch (loss) {
                case DPO -> new PreferenceLoss.Dpo(beta, labelSmoothing);
                case ORPO -> new PreferenceLoss.Orpo(beta);
            };
        }
    }

    public enum Kind {
        DPO, ORPO
    }

    public record Data(
            @Key(doc = "training pairs, lines of JSON: prompt, chosen and rejected", example = "data/train.jsonl",
                    input = true) String train,
            @Key(doc = "validation pairs; without them nothing is evaluated", def = "null",
                    example = "data/valid.jsonl", input = true) @Nullable String valid) {
    }
}
