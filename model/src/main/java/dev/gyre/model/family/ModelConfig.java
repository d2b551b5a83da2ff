package dev.gyre.model.family;

import dev.gyre.kernels.op.Activation;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// What a causal language model looks like: its sizes and its features, read from `config.json` by its [Family].
/// The computation follows from the features alone; the family is kept for writing the file again.
public record ModelConfig(Family family, Shape shape, Attention attention, Positions positions, Mlp mlp, Norms norms,
        Multipliers multipliers, Tokens tokens, StoredAs stored) {
    /// Token embedding's module path.
    public static final String EMBEDDING = "model.embed_tokens";
    /// The embedding that an adapter trains apart from an output head tied to the model's own.
    public static final String EMBEDDING_APART = EMBEDDING + ".modules_to_save.weight";
    /// Output head's module path.
    public static final String HEAD = "lm_head";
    /// Final norm's module path.
    public static final String FINAL_NORM = "model.norm";

    /// @param vocabSize V
    /// @param hiddenSize C, width of the residual stream
    /// @param layers number of decoder layers
    /// @param tiedHead whether the output head is the embedding matrix (`tie_word_embeddings`)
    public record Shape(int vocabSize, int hiddenSize, int layers, boolean tiedHead) {
        public Shape {
            positive("vocab_size", vocabSize);
            positive("hidden_size", hiddenSize);
            positive("num_hidden_layers", layers);
        }
    }

    /// Which attention projections have a bias.
    public enum Bias {
        NONE, QKV,
        /// q, k, v and o.
        ALL
    }

    /// RMSNorm of queries and keys between projection and rotation.
    public enum QkNorm {
        NONE,
        /// Over each head's D values, with one weight (D) for all heads.
        PER_HEAD,
        /// Over all heads at once: H D values of a query, KV D of a key, with weights of those sizes.
        WHOLE
    }

    /// @param heads H, query heads
    /// @param kvHeads KV, key and value heads; query head h uses key/value head `h / (H/KV)`
    /// @param headDim D; the query width H D need not equal C
    /// @param scale factor of the scores
    /// @param softCap c of scores `c tanh(score / c)`, 0 for none
    /// @param fused whether q, k and v are the columns of one linear module, `qkv_proj`
    public record Attention(int heads, int kvHeads, int headDim, Bias bias, QkNorm qkNorm, double scale,
            double softCap, boolean fused) {
        /// With scores scaled by `1 / sqrt(D)`, not capped, and three modules.
        public Attention(int heads, int kvHeads, int headDim, Bias bias, QkNorm qkNorm) {
            this(heads, kvHeads, headDim, bias, qkNorm, 1 / Math.sqrt(headDim), 0, false);
        }

        public Attention {
            positive("num_attention_heads", heads);
            positive("num_key_value_heads", kvHeads);
            positive("head_dim", headDim);
            if (heads % kvHeads != 0)
                throw new IllegalArgumentException("num_key_value_heads " + kvHeads
                        + " does not divide num_attention_heads " + heads);
            if (headDim % 2 != 0)
                throw new IllegalArgumentException("head_dim " + headDim + " is odd; rotary positions turn pairs");
            if (!(scale > 0) || Double.isInfinite(scale))
                throw new IllegalArgumentException("the scale " + scale + " of the attention scores is not positive");
            cap("attn_logit_softcapping", softCap);
            Math.addExact(Math.multiplyExact(heads, headDim), Math.multiplyExact(2 * kvHeads, headDim));
        }

        /// The same with another factor of the scores.
        public Attention scaled(double factor) {
            return new Attention(heads, kvHeads, headDim, bias, qkNorm, factor, softCap, fused);
        }

        /// The same with capped scores.
        public Attention capped(double cap) {
            return new Attention(heads, kvHeads, headDim, bias, qkNorm, scale, cap, fused);
        }

        /// The same with q, k and v in one module.
        public Attention inOneModule() {
            return new Attention(heads, kvHeads, headDim, bias, qkNorm, scale, softCap, true);
        }

        /// The linear modules that make q, k and v.
        public List<String> modules() {
            return fused ? List.of("qkv_proj") : List.of("q_proj", "k_proj", "v_proj");
        }

        /// H D, the width of q_proj's output.
        public int queryWidth() {
            return heads * headDim;
        }

        /// KV D, the width of k_proj's and v_proj's output.
        public int kvWidth() {
            return kvHeads * headDim;
        }
    }

    /// Rotary positions of queries and keys.
    ///
    /// @param theta base of the frequencies
    /// @param share of a head's values that are rotated, the first ones (`partial_rotary_factor`)
    /// @param scaling of the frequencies
    public record Rotary(double theta, double share, RopeScaling scaling) {
        public Rotary {
            if (!(theta > 0) || Double.isInfinite(theta))
                throw new IllegalArgumentException("rope_theta " + theta + " is not positive");
            if (!(share > 0 && share <= 1))
                throw new IllegalArgumentException("partial_rotary_factor " + share + " is not in (0, 1]");
        }

        /// Of all values of a head.
        public Rotary(double theta, RopeScaling scaling) {
            this(theta, 1, scaling);
        }

        /// How many of the D values of a head are rotated.
        public int dims(int headDim) {
            return (int) (headDim * share);
        }
    }

    /// How the tokens of one layer see where they and others are.
    ///
    /// @param window attention window, 0 for full attention; key j is visible to query i iff `i - window < j <= i`
    /// @param rotary null where queries and keys carry no positions
    public record Sight(int window, @Nullable Rotary rotary) {
    }

    /// @param max context length that the model declares
    /// @param layers one entry per layer
    public record Positions(int max, List<Sight> layers) {
        public Positions {
            layers = List.copyOf(layers);
            positive("max_position_embeddings", max);
        }

        /// The same rotary positions in all layers.
        ///
        /// @param windows attention window of each layer
        public Positions(int max, Rotary rotary, List<Integer> windows) {
            this(max, windows.stream().map(w -> new Sight(w, rotary)).toList());
        }

        /// Attention window of each layer, 0 for full attention.
        public List<Integer> windows() {
            return layers.stream().map(Sight::window).toList();
        }

        /// Largest attention window of a layer, 0 when all layers have full attention.
        public int largestWindow() {
            return layers.stream().mapToInt(Sight::window).max().orElse(0);
        }

        /// The different rotary positions that layers have, in the order of their first layer.
        public List<Rotary> rotaries() {
            return layers.stream().map(Sight::rotary).filter(Objects::nonNull).distinct().toList();
        }
    }

    /// `down(f(gate(x)) * up(x))`.
    ///
    /// @param intermediateSize I, width of gate and up
    /// @param bias whether gate, up and down have a bias
    /// @param activation f
    /// @param fused whether gate and up are the columns of one linear module, `gate_up_proj`
    public record Mlp(int intermediateSize, boolean bias, Activation activation, boolean fused) {
        /// With a SiLU, gate and up in two modules.
        public Mlp(int intermediateSize, boolean bias) {
            this(intermediateSize, bias, Activation.SILU, false);
        }

        /// The same with gate and up in one module.
        public Mlp inOneModule() {
            return new Mlp(intermediateSize, bias, activation, true);
        }

        /// The linear modules that make gate and up.
        public List<String> modules() {
            return fused ? List.of("gate_up_proj") : List.of("gate_proj", "up_proj");
        }

        public Mlp {
            positive("intermediate_size", intermediateSize);
        }
    }

    /// Where the RMSNorms of a decoder layer are, by their module names in the layer; null where there is none. A layer
    /// is `x += after(attention(before(x)))`, then the same with the MLP.
    public enum NormPlacement {
        /// On the input of each branch.
        BEFORE("input_layernorm", null, "post_attention_layernorm", null),
        /// On the output of each branch.
        AFTER(null, "post_attention_layernorm", null, "post_feedforward_layernorm"),
        /// On both.
        AROUND("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                "post_feedforward_layernorm");

        public final @Nullable String beforeAttention;
        public final @Nullable String afterAttention;
        public final @Nullable String beforeMlp;
        public final @Nullable String afterMlp;

        NormPlacement(@Nullable String beforeAttention, @Nullable String afterAttention, @Nullable String beforeMlp,
                @Nullable String afterMlp) {
            this.beforeAttention = beforeAttention;
            this.afterAttention = afterAttention;
            this.beforeMlp = beforeMlp;
            this.afterMlp = afterMlp;
        }

        /// Names of a layer's norms in the order of computation.
        List<String> names() {
            List<String> all = new ArrayList<>();
            for (String name : new String[] {beforeAttention, afterAttention, beforeMlp, afterMlp})
                if (name != null)
                    all.add(name);
            return all;
        }
    }

    /// @param eps epsilon of every norm
    /// @param offset what is added to the stored weight w of every norm: with 1, rows are scaled by `1 + w`
    public record Norms(NormPlacement placement, double eps, double offset) {
        /// Rows are scaled by the stored weight itself.
        public Norms(NormPlacement placement, double eps) {
            this(placement, eps, 0);
        }

        public Norms {
            if (!(eps > 0))
                throw new IllegalArgumentException("rms_norm_eps " + eps + " is not positive");
        }
    }

    /// Constant factors along the residual stream, and what becomes of the logits at its end.
    ///
    /// @param embedding of the embedded tokens
    /// @param residual of what each branch (attention, MLP) adds to the stream
    /// @param logits divisor of the logits
    /// @param softCap c of logits `c tanh(logit / c)`, after the division; 0 for none
    public record Multipliers(double embedding, double residual, double logits, double softCap) {
        /// No factor and no cap anywhere.
        public static final Multipliers NONE = new Multipliers(1, 1, 1, 0);

        public Multipliers {
            finite("embedding_multiplier", embedding);
            finite("residual_multiplier", residual);
            finite("logits_scaling", logits);
            cap("final_logit_softcapping", softCap);
        }

        private static void finite(String key, double value) {
            if (!Double.isFinite(value) || value == 0)
                throw new IllegalArgumentException(key + " " + value + " is not a number other than 0");
        }
    }

    /// @param bos first token of a sequence, null if none
    /// @param eos tokens that end a generation, possibly none
    /// @param pad padding token, null if none
    public record Tokens(@Nullable Integer bos, List<Integer> eos, @Nullable Integer pad) {
        public Tokens {
            eos = List.copyOf(eos);
        }
    }

    /// @param dtype `torch_dtype` or `dtype`, informative: tensors carry their own
    /// @param quantization how linear weights are quantised, null if they are not
    public record StoredAs(@Nullable String dtype, @Nullable QuantizationConfig quantization) {
    }

    public ModelConfig {
        if (positions.layers.size() != shape.layers)
            throw new IllegalArgumentException(positions.layers.size() + " attention windows for " + shape.layers
                    + " layers");
        for (Rotary r : positions.rotaries()) {
            int dims = r.dims(attention.headDim);
            if (dims < 2 || dims % 2 != 0)
                throw new IllegalArgumentException("partial_rotary_factor " + r.share + " gives " + dims
                        + " of the " + attention.headDim + " values of a head; rotary positions turn pairs");
            if (r.scaling instanceof RopeScaling.LongRope l && l.shortFactor().size() != dims / 2)
                throw new IllegalArgumentException("short_factor and long_factor have " + l.shortFactor().size()
                        + " numbers for " + dims / 2 + " pairs");
        }
    }

    /// Without multipliers.
    public ModelConfig(Family family, Shape shape, Attention attention, Positions positions, Mlp mlp, Norms norms,
            Tokens tokens, StoredAs stored) {
        this(family, shape, attention, positions, mlp, norms, Multipliers.NONE, tokens, stored);
    }

    /// A plain Llama without biases, quantisation or rope scaling: what `gyre pretrain` makes.
    public static ModelConfig llama(int vocabSize, int hiddenSize, int intermediateSize, int numLayers, int numHeads,
            int numKvHeads, int maxPositionEmbeddings, boolean tieWordEmbeddings, @Nullable Integer bosTokenId,
            List<Integer> eosTokenIds, @Nullable Integer padTokenId) {
        if (numHeads <= 0 || hiddenSize % numHeads != 0)
            throw new IllegalArgumentException("num_attention_heads " + numHeads + " does not divide hidden_size "
                    + hiddenSize);
        return new ModelConfig(new Llama(), new Shape(vocabSize, hiddenSize, numLayers, tieWordEmbeddings),
                new Attention(numHeads, numKvHeads, hiddenSize / numHeads, Bias.NONE, QkNorm.NONE),
                new Positions(maxPositionEmbeddings, new Rotary(10000, new RopeScaling.Default()),
                        Collections.nCopies(numLayers, 0)),
                new Mlp(intermediateSize, false), new Norms(NormPlacement.BEFORE, 1e-5),
                new Tokens(bosTokenId, eosTokenIds, padTokenId), new StoredAs("float32", null));
    }

    private static void cap(String key, double value) {
        if (!(value >= 0) || Double.isInfinite(value))
            throw new IllegalArgumentException(key + " " + value + " is not positive");
    }

    private static void positive(String key, int value) {
        if (value <= 0)
            throw new IllegalArgumentException(key + " " + value + " is not positive");
    }

    public int vocabSize() {
        return shape.vocabSize;
    }

    public int hiddenSize() {
        return shape.hiddenSize;
    }

    /// Context length that the model declares.
    public int maxPositionEmbeddings() {
        return positions.max;
    }

    /// Whether the output head is the embedding matrix.
    public boolean tieWordEmbeddings() {
        return shape.tiedHead;
    }

    /// Module path of a decoder layer.
    public static String layer(int index) {
        return Site.LAYERS + index;
    }

    /// The linear modules of one decoder layer, in module order.
    public List<Site> linears(int layer) {
        int C = shape.hiddenSize;
        int I = mlp.intermediateSize;
        String a = layer(layer) + ".self_attn.";
        String m = layer(layer) + ".mlp.";
        boolean qkv = attention.bias != Bias.NONE;
        int q = attention.queryWidth();
        int kv = attention.kvWidth();
        List<Site> all = new ArrayList<>();
        List<Integer> widths = attention.fused ? List.of(q + 2 * kv) : List.of(q, kv, kv);
        for (int i = 0; i < widths.size(); i++)
            all.add(new Site(a + attention.modules().get(i), C, widths.get(i), qkv));
        all.add(new Site(a + "o_proj", q, C, attention.bias == Bias.ALL));
        for (String name : mlp.modules())
            all.add(new Site(m + name, C, mlp.fused ? Math.multiplyExact(2, I) : I, mlp.bias));
        all.add(new Site(m + "down_proj", I, C, mlp.bias));
        return all;
    }

    /// The linear modules of all decoder layers in module order, without the output head.
    public List<Site> linears() {
        List<Site> all = new ArrayList<>();
        for (int i = 0; i < shape.layers; i++)
            all.addAll(linears(i));
        return all;
    }

    /// Every tensor that a model of this configuration has, with its shape, in module order. `lm_head.weight` is left
    /// out when it is tied to the embedding.
    public Map<String, List<Long>> tensorShapes() {
        long C = shape.hiddenSize;
        Map<String, List<Long>> all = new LinkedHashMap<>();
        all.put(EMBEDDING + ".weight", List.of((long) shape.vocabSize, C));
        for (int i = 0; i < shape.layers; i++) {
            for (Site l : linears(i)) {
                all.put(l.path() + ".weight", List.of((long) l.out(), (long) l.in()));
                if (l.bias())
                    all.put(l.path() + ".bias", List.of((long) l.out()));
            }
            if (attention.qkNorm != QkNorm.NONE) {
                boolean whole = attention.qkNorm == QkNorm.WHOLE;
                String norms = layer(i) + ".self_attn.";
                all.put(norms + "q_norm.weight",
                        List.of((long) (whole ? attention.queryWidth() : attention.headDim)));
                all.put(norms + "k_norm.weight", List.of((long) (whole ? attention.kvWidth() : attention.headDim)));
            }
            for (String norm : norms.placement.names())
                all.put(layer(i) + "." + norm + ".weight", List.of(C));
        }
        all.put(FINAL_NORM + ".weight", List.of(C));
        if (!shape.tiedHead)
            all.put(HEAD + ".weight", List.of((long) shape.vocabSize, C));
        return all;
    }

    /// Number of parameters, tied ones counted once.
    public long parameters() {
        return tensorShapes().values().stream().mapToLong(s -> s.stream().reduce(1L, Math::multiplyExact)).sum();
    }
}
