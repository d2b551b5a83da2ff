package dev.gyre.model.gguf;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Activation;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.family.ModelConfig.Sight;
import dev.gyre.model.family.RopeScaling;
import dev.gyre.model.family.RopeTable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// How llama.cpp calls and arranges the tensors of a model, and what its metadata say of the shape.
///
/// In some architectures it rotates neighbouring values of a head, where transformers rotates value j with value j + D/2; the
/// rows of their query and key projections are stored in that order. Gemma's norms, which scale by 1 + w, are stored as 1 + w.
public final class GgufLayout {
    /// Architectures by model type, those whose rows are reordered.
    private static final Map<String, String> PAIRED = Map.of("llama", "llama", "mistral", "llama", "granite", "granite",
            "smollm3", "smollm3");
    private static final Map<String, String> HALVES = Map.of("qwen2", "qwen2", "qwen3", "qwen3", "gemma2", "gemma2",
            "gemma3_text", "gemma3", "phi3", "phi3", "olmo2", "olmo2");
    /// Architectures whose head llama.cpp wants to have, tied or not.
    private static final Set<String> NEEDS_HEAD = Set.of("olmo2");
    private static final Pattern LAYER = Pattern.compile("model\\.layers\\.(\\d+)\\.(.+)\\.(weight|bias)");
    /// Layers of the models whose scores llama.cpp scales by the width of the stream over the heads.
    private static final Map<String, Integer> LARGEST = Map.of("gemma2", 46, "gemma3", 62);
    static final int GEMMA3_PATTERN = 6;
    static final int SMOLLM3_PATTERN = 4;

    private final ModelConfig config;
    private final String arch;
    private final boolean paired;
    private final Map<String, String> parts = new LinkedHashMap<>();

    private GgufLayout(ModelConfig config, String arch, boolean paired) {
        this.config = config;
        this.arch = arch;
        this.paired = paired;
        parts.put("self_attn.q_proj", "attn_q");
        parts.put("self_attn.k_proj", "attn_k");
        parts.put("self_attn.v_proj", "attn_v");
        parts.put("self_attn.qkv_proj", "attn_qkv");
        parts.put("self_attn.o_proj", "attn_output");
        parts.put("self_attn.q_norm", "attn_q_norm");
        parts.put("self_attn.k_norm", "attn_k_norm");
        parts.put("mlp.gate_proj", "ffn_gate");
        parts.put("mlp.up_proj", "ffn_up");
        parts.put("mlp.gate_up_proj", "ffn_up");
        parts.put("mlp.down_proj", "ffn_down");
        NormPlacement p = config.norms().placement();
        put(p.beforeAttention, "attn_norm");
        put(p.afterAttention, "post_attention_norm");
        put(p.beforeMlp, "ffn_norm");
        put(p.afterMlp, "post_ffw_norm");
    }

    private void put(@Nullable String norm, String name) {
        if (norm != null)
            parts.put(norm, name);
    }

    /// @throws InputException when llama.cpp does not know the family
    public static GgufLayout of(ModelConfig config) {
        String type = config.family().modelType();
        boolean paired = PAIRED.containsKey(type);
        String arch = paired ? PAIRED.get(type) : HALVES.get(type);
        if (arch == null)
            throw new InputException("llama.cpp has no form for models of the type " + type);
        return new GgufLayout(config, arch, paired);
    }

    /// `general.architecture`.
    public String architecture() {
        return arch;
    }

    /// The names that this model's tensors have in a file, by those of transformers, in module order. A tied head is there only
    /// where llama.cpp wants it.
    public Map<String, String> names() {
        Map<String, String> all = new LinkedHashMap<>();
        for (String name : config.tensorShapes().keySet())
            all.put(name, name(name));
        if (NEEDS_HEAD.contains(arch) && config.tieWordEmbeddings())
            all.put(ModelConfig.HEAD + ".weight", "output.weight");
        return all;
    }

    /// The name of one tensor.
    public String name(String ours) {
        if (ours.equals(ModelConfig.EMBEDDING + ".weight"))
            return "token_embd.weight";
        if (ours.equals(ModelConfig.FINAL_NORM + ".weight"))
            return "output_norm.weight";
        if (ours.equals(ModelConfig.HEAD + ".weight"))
            return "output.weight";
        Matcher m = LAYER.matcher(ours);
        String part = m.matches() ? parts.get(m.group(2)) : null;
        if (part == null)
            throw new IllegalArgumentException(ours);
        return "blk." + m.group(1) + "." + part + "." + m.group(3);
    }

    /// Rows of a head.
    public int headDim() {
        return config.attention().headDim();
    }

    /// What a stored norm is larger by than transformers' weight.
    public double offset(String ours) {
        return ours.endsWith("norm.weight") ? config.norms().offset() : 0;
    }

    /// Whether the rows of a tensor are in another order here.
    public boolean isReordered(String ours) {
        return paired && (ours.contains(".q_proj.") || ours.contains(".k_proj."));
    }

    /// Where llama.cpp has row `row` of a tensor whose rows are reordered.
    public int there(int row) {
        int D = config.attention().headDim();
        int i = row % D;
        return row - i + (i < D / 2 ? 2 * i : 2 * (i - D / 2) + 1);
    }

    /// Where transformers has row `row` of a tensor whose rows are reordered.
    public int here(int row) {
        int D = config.attention().headDim();
        int i = row % D;
        return row - i + (i % 2 == 0 ? i / 2 : D / 2 + i / 2);
    }

    /// `values` with their rows in llama.cpp's order and norms as they are stored; the array itself where nothing changes.
    public float[] stored(String ours, float[] values, int rows) {
        if (isReordered(ours)) {
            int C = values.length / rows;
            float[] out = new float[values.length];
            for (int r = 0; r < rows; r++)
                System.arraycopy(values, r * C, out, there(r) * C, C);
            return out;
        }
        double offset = offset(ours);
        if (offset == 0)
            return values;
        float[] out = new float[values.length];
        for (int i = 0; i < out.length; i++)
            out[i] = (float) (values[i] + offset);
        return out;
    }

    private static InputException none(String what) {
        return new InputException("llama.cpp has no form for " + what + "; merge the model to a directory instead"
                + " (gyre merge)");
    }

    private void require(boolean holds, String what) {
        if (!holds)
            throw none(config.family().modelType() + " models with " + what);
    }

    /// Refuses what a GGUF file of this architecture cannot say, by name.
    private void check() {
        boolean gemma = arch.startsWith("gemma");
        require(config.mlp().activation() == (gemma ? Activation.GELU_TANH : Activation.SILU),
                "the activation " + config.mlp().activation());
        Bias bias = config.attention().bias();
        boolean free = arch.equals("llama") || arch.equals("granite");
        require(free ? bias != Bias.QKV : bias == (arch.equals("qwen2") ? Bias.QKV : Bias.NONE),
                "biases on attention projections (attention_bias)");
        require(free || !config.mlp().bias(), "biases in the MLP (mlp_bias)");
        require(config.norms().offset() == (gemma ? 1 : 0), "another offset of norms");
        if (Set.of("phi3", "olmo2").contains(arch))
            require(config.attention().queryWidth() == config.hiddenSize(), "a head_dim of its own");
        if (gemma) {
            require(config.tieWordEmbeddings(), "an output head of its own");
            ModelConfig.Attention a = config.attention();
            double width = LARGEST.getOrDefault(arch, 0) == config.shape().layers() ? (double) (config.hiddenSize() / a.heads())
                    : a.headDim();
            require(Math.abs(a.scale() * Math.sqrt(width) - 1) < 1e-6, "another query_pre_attn_scalar than " + width);
            require(arch.equals("gemma2") == (a.softCap() > 0), "another attn_logit_softcapping");
            require(arch.equals("gemma2") == (config.multipliers().softCap() > 0), "another final_logit_softcapping");
            windows(arch.equals("gemma2") ? i -> i % 2 == 0 : i -> (i + 1) % GEMMA3_PATTERN != 0);
        }
        if (arch.equals("smollm3"))
            for (int i = 0; i < config.shape().layers(); i++)
                require((config.positions().layers().get(i).rotary() == null) == ((i + 1) % SMOLLM3_PATTERN == 0),
                        "other no_rope_layers than every fourth");
    }

    private void windows(IntPredicate slides) {
        List<Sight> layers = config.positions().layers();
        for (int i = 0; i < layers.size(); i++)
            require(layers.get(i).window() > 0 == slides.test(i), "another order of layers with a window");
    }

    /// What the file says of the model besides its tokenizer, and the tensors that hold frequencies.
    ///
    /// @return remarks for the user
    /// @throws InputException for what llama.cpp has no form for
    public List<String> describe(GgufWriter out) {
        check();
        List<String> notes = new ArrayList<>();
        ModelConfig.Attention a = config.attention();
        String p = arch + ".";
        int max = config.maxPositionEmbeddings();
        int window = config.positions().largestWindow();
        if (arch.startsWith("gemma")) {
            out.u32(p + "attention.sliding_window", window);
        } else if (arch.equals("phi3")) {
            out.u32(p + "attention.sliding_window", window);
        }
        if (!arch.startsWith("gemma") && window > 0 && window < max) {
            notes.add("the context is " + window + " tokens, the model's attention window, of its " + max
                    + ": llama.cpp has no window for " + arch);
            max = window;
        }
        out.u32(p + "context_length", max);
        out.u32(p + "embedding_length", config.hiddenSize());
        out.u32(p + "block_count", config.shape().layers());
        out.u32(p + "feed_forward_length", config.mlp().intermediateSize());
        out.u32(p + "attention.head_count", a.heads());
        out.u32(p + "attention.head_count_kv", a.kvHeads());
        out.u32(p + "attention.key_length", a.headDim());
        out.u32(p + "attention.value_length", a.headDim());
        out.f32(p + "attention.layer_norm_rms_epsilon", config.norms().eps());
        out.u32(p + "vocab_size", config.vocabSize());
        switch (arch) {
            case "gemma2" -> out.f32(p + "attn_logit_softcapping", a.softCap()).f32(p + "final_logit_softcapping",
                    config.multipliers().softCap());
            case "granite" -> out.f32(p + "attention.scale", a.scale())
                    .f32(p + "embedding_scale", config.multipliers().embedding())
                    .f32(p + "residual_scale", config.multipliers().residual())
                    .f32(p + "logit_scale", config.multipliers().logits());
            default -> {
            }
        }
        rotary(out, p, max);
        return notes;
    }

    private void rotary(GgufWriter out, String p, int max) {
        List<Rotary> all = config.positions().rotaries();
        Rotary r = all.getFirst();
        if (arch.equals("gemma3"))
            for (Sight s : config.positions().layers())
                if (s.rotary() != null && s.window() > 0)
                    require(s.rotary().theta() == 1e4 && s.rotary().scaling() instanceof RopeScaling.Default,
                            "another rope_local_base_freq than 10000");
                else
                    if (s.rotary() != null)
                        r = s.rotary();
        int dims = r.dims(config.attention().headDim());
        out.u32(p + "rope.dimension_count", dims).f32(p + "rope.freq_base", r.theta());
        switch (r.scaling()) {
            case RopeScaling.Default _ -> {
            }
            case RopeScaling.Linear s -> out.text(p + "rope.scaling.type", "linear").f32(p + "rope.scaling.factor",
                    s.factor());
            case RopeScaling.Llama3 _ -> {
                require(!arch.startsWith("gemma"), "rope_type llama3");
                float[] f = RopeTable.inverseFrequencies(config, r, max);
                float[] plain =
                        RopeTable.inverseFrequencies(config, new Rotary(r.theta(), new RopeScaling.Default()), max);
                float[] factors = new float[f.length];
                for (int i = 0; i < f.length; i++)
                    factors[i] = plain[i] / f[i];
                out.tensor("rope_freqs.weight", GgufType.F32, () -> factors, f.length);
            }
            case RopeScaling.Yarn s -> {
                require(s.attentionFactor() == null && s.mscale() == null && s.mscaleAllDim() == null && s.truncate()
                        && s.betaFast() == 32 && s.betaSlow() == 1, "YaRN other than by factor and length");
                out.text(p + "rope.scaling.type", "yarn").f32(p + "rope.scaling.factor", s.factor())
                        .u32(p + "rope.scaling.original_context_length", s.originalMaxPositions());
            }
            case RopeScaling.LongRope s -> {
                require(arch.equals("phi3"), "rope_type longrope");
                out.u32(p + "rope.scaling.original_context_length", s.originalMaxPositions());
                out.f32(p + "rope.scaling.attn_factor", RopeTable.attentionFactor(config, r));
                out.tensor("rope_factors_long.weight", GgufType.F32, () -> floats(s.longFactor()), dims / 2);
                out.tensor("rope_factors_short.weight", GgufType.F32, () -> floats(s.shortFactor()), dims / 2);
            }
            case RopeScaling.Dynamic _ -> throw none("rope_type dynamic");
        }
    }

    private static float[] floats(List<Double> values) {
        float[] out = new float[values.size()];
        for (int i = 0; i < out.length; i++)
            out[i] = values.get(i).floatValue();
        return out;
    }
}
