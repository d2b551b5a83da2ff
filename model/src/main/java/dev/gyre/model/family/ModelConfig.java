package dev.gyre.model.family;

import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a causal language model looks like: its sizes and its features, read from `config.json` by its [Family].
/// The computation follows from the features alone; the family is kept for writing the file again.
public record ModelConfig(Family family, Shape shape, Attention attention, Positions positions, Mlp mlp, Norms norms,
        Tokens tokens, StoredAs stored) {
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
    public record Attention(int heads, int kvHeads, int headDim, Bias bias, QkNorm qkNorm) {
        public Attention {
            positive("num_attention_heads", heads);
            positive("num_key_value_heads", kvHeads);
            positive("head_dim", headDim);
            if (heads % kvHeads != 0)
                throw new IllegalArgumentException("num_key_value_heads " + kvHeads
                        + " does not divide num_attention_heads " + heads);
            if (headDim % 2 != 0)
                throw new IllegalArgumentException("head_dim " + headDim + " is odd; rotary positions turn pairs");
            Math.multiplyExact(heads, headDim);
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

    /// How tokens see where they and others are.
    ///
    /// @param max context length that the model declares
    /// @param ropeTheta base of the rotary frequencies
    /// @param ropeScaling their scaling
    /// @param windows attention window of each layer, 0 for full attention; key j is visible to query i iff
    ///     `i - window < j <= i`
    public record Positions(int max, double ropeTheta, RopeScaling ropeScaling, List<Integer> windows) {
        public Positions {
            windows = List.copyOf(windows);
            positive("max_position_embeddings", max);
            if (!(ropeTheta > 0) || Double.isInfinite(ropeTheta))
                throw new IllegalArgumentException("rope_theta " + ropeTheta + " is not positive");
        }

        /// Largest attention window of a layer, 0 when all layers have full attention.
        public int largestWindow() {
            return windows.stream().mapToInt(Integer::intValue).max().orElse(0);
        }
    }

    /// `down(silu(gate(x)) * up(x))`.
    ///
    /// @param intermediateSize I, width of gate and up
    /// @param bias whether gate, up and down have a bias
    public record Mlp(int intermediateSize, boolean bias) {
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
        AFTER(null, "post_attention_layernorm", null, "post_feedforward_layernorm");

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
    public record Norms(NormPlacement placement, double eps) {
        public Norms {
            if (!(eps > 0))
                throw new IllegalArgumentException("rms_norm_eps " + eps + " is not positive");
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
        if (positions.windows.size() != shape.layers)
            throw new IllegalArgumentException(positions.windows.size() + " attention windows for " + shape.layers
                    + " layers");
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
                new Positions(maxPositionEmbeddings, 10000, new RopeScaling.Default(),
                        Collections.nCopies(numLayers, 0)),
                new Mlp(intermediateSize, false), new Norms(NormPlacement.BEFORE, 1e-5),
                new Tokens(bosTokenId, eosTokenIds, padTokenId), new StoredAs("float32", null));
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
        return List.of(
                new Site(a + "q_proj", C, attention.queryWidth(), qkv),
                new Site(a + "k_proj", C, attention.kvWidth(), qkv),
                new Site(a + "v_proj", C, attention.kvWidth(), qkv),
                new Site(a + "o_proj", attention.queryWidth(), C, attention.bias == Bias.ALL),
                new Site(m + "gate_proj", C, I, mlp.bias),
                new Site(m + "up_proj", C, I, mlp.bias),
                new Site(m + "down_proj", I, C, mlp.bias));
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
