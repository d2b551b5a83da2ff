package dev.gyre.trainer.config;

import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What PEFT, transformers, TRL and their tools call the keys and methods of `run.yaml`, so that a message can say what they
/// are called here.
final class Synonyms {
    private static final Map<String, String> KEYS = keys();
    private static final Map<String, String> METHODS = Map.of("oftv2", "oftv2 is method: oft", "oft_v2",
            "OFTv2 is method: oft", "qoft", "QOFT is method: oft with model.base: nf4", "qlora",
            "QLoRA is method: lora with model.base: nf4", "qdora", "QDoRA is method: dora with model.base: nf4",
            "full_finetuning", "that is method: full", "none",
            "without an adapter all weights are trained, method: full");

    private Synonyms() {
    }

    private static Map<String, String> keys() {
        Map<String, String> all = new HashMap<>();
        put(all, "model.path", "model_name_or_path", "base_model", "model_name", "model_id", "pretrained_model");
        put(all, "model.base: nf4", "load_in_4bit", "quantization", "quantization_bit", "bnb_4bit_quant_type");
        put(all, "model.base", "dtype", "torch_dtype");
        put(all, "adapter.method", "peft_type", "finetuning_type", "peft_method");
        put(all, "adapter.targets", "target_modules", "lora_target", "lora_target_modules");
        put(all, "adapter.exclude", "exclude_modules");
        put(all, "adapter.layers", "layers_to_transform");
        put(all, "adapter.r", "rank", "lora_r", "lora_rank");
        put(all, "adapter.alpha", "lora_alpha");
        put(all, "adapter.dropout", "lora_dropout", "module_dropout");
        put(all, "adapter.block_size", "oft_block_size");
        put(all, "data.train", "dataset", "datasets", "dataset_name", "train_file", "train_data");
        put(all, "data.valid", "eval_dataset", "validation_file", "test_datasets", "valid_file");
        put(all, "data.packing", "sample_packing");
        put(all, "data.train_on: all", "train_on_inputs", "train_on_input");
        put(all, "train.lr", "learning_rate");
        put(all, "train.micro_batch", "batch_size", "micro_batch_size", "per_device_train_batch_size");
        put(all, "train.accumulate", "gradient_accumulation_steps", "accumulate_grad_batches");
        put(all, "train.seq_len", "max_seq_length", "max_length", "sequence_len", "cutoff_len", "context_length");
        put(all, "train.epochs", "num_epochs", "num_train_epochs");
        put(all, "train.steps", "max_steps", "num_steps", "iters");
        put(all, "train.warmup", "warmup_steps", "lr_warmup_steps");
        put(all, "train.schedule", "lr_scheduler_type", "lr_scheduler");
        put(all, "train.clip", "max_grad_norm", "gradient_clip_val");
        put(all, "train.beta1", "adam_beta1");
        put(all, "train.beta2", "adam_beta2");
        put(all, "train.eps", "adam_epsilon");
        put(all, "eval.every", "eval_steps", "evals_per_epoch");
        put(all, "eval.patience", "early_stopping_patience");
        put(all, "output.dir", "output_dir");
        put(all, "output.checkpoint_every", "save_steps");
        put(all, "output.keep", "save_total_limit");
        put(all, "output.log_every", "logging_steps");
        return Map.copyOf(all);
    }

    private static void put(Map<String, String> all, String ours, String... theirs) {
        for (String t : theirs)
            all.put(t, ours);
    }

    /// Where what others call `key` is set here; null for a word that nobody uses.
    static @Nullable String key(String key) {
        return KEYS.get(key);
    }

    /// What to write for a method by another name; null for one that nobody uses.
    static @Nullable String method(String word) {
        return METHODS.get(word.toLowerCase(Locale.ROOT));
    }
}
