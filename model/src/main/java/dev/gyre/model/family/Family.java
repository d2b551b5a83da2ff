package dev.gyre.model.family;

/// The model families whose `model_type` Gyre reads; all of them are Llama with small differences.
public enum Family {
    LLAMA("llama", "LlamaForCausalLM"),
    MISTRAL("mistral", "MistralForCausalLM"),
    QWEN2("qwen2", "Qwen2ForCausalLM"),
    QWEN3("qwen3", "Qwen3ForCausalLM");

    /// `model_type` in config.json.
    public final String modelType;
    /// Entry of `architectures` in config.json.
    public final String architecture;

    Family(String modelType, String architecture) {
        this.modelType = modelType;
        this.architecture = architecture;
    }
}
