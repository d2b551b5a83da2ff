package dev.gyre.model.family;

import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The shape of a Llama-style causal language model; names as in Hugging Face's `config.json`.
///
/// @param family which of the four families, that is: which defaults and which extra parts
/// @param vocabSize V
/// @param hiddenSize C
/// @param intermediateSize width of the MLP
/// @param numLayers number of blocks
/// @param numHeads H, query heads
/// @param numKvHeads KV, key/value heads; query head h uses key/value head `h / (H/KV)`
/// @param headDim D; the query width H*D need not equal C
/// @param rmsNormEps epsilon of every norm
/// @param tieWordEmbeddings whether the output head is the embedding matrix
/// @param maxPositionEmbeddings context length the model declares
/// @param ropeTheta base of the rotary frequencies
/// @param ropeScaling their scaling
/// @param windows sliding attention window of each layer, 0 for full attention; key j is visible to query i iff
///     `i - window < j <= i`
/// @param qkvBias whether q, k and v projections have a bias
/// @param oBias whether the output projection of attention has a bias
/// @param mlpBias whether gate, up and down projections have a bias
/// @param qkNorm whether queries and keys are normalised per head before the rotation (Qwen3)
/// @param bosTokenId first token of a sequence, null if none
/// @param eosTokenIds tokens that end a generation, possibly none
/// @param padTokenId padding token, null if none
/// @param dtype `torch_dtype` or `dtype`, informative: tensors carry their own
/// @param quantization how linear weights are quantised, null if they are not
public record ModelConfig(Family family, int vocabSize, int hiddenSize, int intermediateSize, int numLayers,
        int numHeads, int numKvHeads, int headDim, double rmsNormEps, boolean tieWordEmbeddings,
        int maxPositionEmbeddings, double ropeTheta, RopeScaling ropeScaling, List<Integer> windows, boolean qkvBias,
        boolean oBias, boolean mlpBias, boolean qkNorm, @Nullable Integer bosTokenId, List<Integer> eosTokenIds,
        @Nullable Integer padTokenId, @Nullable String dtype, @Nullable QuantizationConfig quantization) {

    public ModelConfig {
        windows = List.copyOf(windows);
        eosTokenIds = List.copyOf(eosTokenIds);
        positive("vocab_size", vocabSize);
        positive("hidden_size", hiddenSize);
        positive("intermediate_size", intermediateSize);
        positive("num_hidden_layers", numLayers);
        positive("num_attention_heads", numHeads);
        positive("num_key_value_heads", numKvHeads);
        positive("head_dim", headDim);
        positive("max_position_embeddings", maxPositionEmbeddings);
        if (numHeads % numKvHeads != 0)
            throw new IllegalArgumentException("num_key_value_heads " + numKvHeads
                    + " does not divide num_attention_heads " + numHeads);
        if (headDim % 2 != 0)
            throw new IllegalArgumentException("head_dim " + headDim + " is odd; rotary positions turn pairs");
        if (!(rmsNormEps > 0))
            throw new IllegalArgumentException("rms_norm_eps " + rmsNormEps + " is not positive");
        if (!(ropeTheta > 0) || Double.isInfinite(ropeTheta))
            throw new IllegalArgumentException("rope_theta " + ropeTheta + " is not positive");
        if (windows.size() != numLayers)
            throw new IllegalArgumentException(windows.size() + " attention windows for " + numLayers + " layers");
        Math.multiplyExact(numHeads, headDim);
    }

    /// A plain Llama without biases, quantisation or rope scaling: what `gyre pretrain` makes.
    public static ModelConfig llama(int vocabSize, int hiddenSize, int intermediateSize, int numLayers, int numHeads,
            int numKvHeads, int maxPositionEmbeddings, boolean tieWordEmbeddings, @Nullable Integer bosTokenId,
            List<Integer> eosTokenIds, @Nullable Integer padTokenId) {
        if (numHeads <= 0 || hiddenSize % numHeads != 0)
            throw new IllegalArgumentException("num_attention_heads " + numHeads + " does not divide hidden_size "
                    + hiddenSize);
        return new ModelConfig(Family.LLAMA, vocabSize, hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads,
                hiddenSize / numHeads, 1e-5, tieWordEmbeddings, maxPositionEmbeddings, 10000, new RopeScaling.Default(),
                Collections.nCopies(numLayers, 0), false, false, false, false, bosTokenId, eosTokenIds, padTokenId,
                "float32", null);
    }

    private static void positive(String key, int value) {
        if (value <= 0)
            throw new IllegalArgumentException(key + " " + value + " is not positive");
    }

    /// Attention window of a layer, 0 for full attention.
    public int window(int layer) {
        return windows.get(layer);
    }

    /// H*D, the width of q_proj's output.
    public int queryWidth() {
        return numHeads * headDim;
    }

    /// KV*D, the width of k_proj's and v_proj's output.
    public int kvWidth() {
        return numKvHeads * headDim;
    }

    /// The linear layers of all blocks in module order, the output head not among them.
    public List<Site> linears() {
        List<Site> all = new ArrayList<>();
        for (int i = 0; i < numLayers; i++) {
            String attention = "model.layers." + i + ".self_attn.";
            String mlp = "model.layers." + i + ".mlp.";
            all.add(new Site(attention + "q_proj", hiddenSize, queryWidth(), qkvBias));
            all.add(new Site(attention + "k_proj", hiddenSize, kvWidth(), qkvBias));
            all.add(new Site(attention + "v_proj", hiddenSize, kvWidth(), qkvBias));
            all.add(new Site(attention + "o_proj", queryWidth(), hiddenSize, oBias));
            all.add(new Site(mlp + "gate_proj", hiddenSize, intermediateSize, mlpBias));
            all.add(new Site(mlp + "up_proj", hiddenSize, intermediateSize, mlpBias));
            all.add(new Site(mlp + "down_proj", intermediateSize, hiddenSize, mlpBias));
        }
        return all;
    }

    /// Every tensor that a model of this shape has, with its shape, in module order. `lm_head.weight` is left out
    /// when it is tied to the embedding.
    public Map<String, List<Long>> tensorShapes() {
        long C = hiddenSize;
        Map<String, List<Long>> all = new LinkedHashMap<>();
        all.put("model.embed_tokens.weight", List.of((long) vocabSize, C));
        List<Site> linears = linears();
        for (int i = 0; i < numLayers; i++) {
            String layer = "model.layers." + i + ".";
            for (Site l : linears.subList(7 * i, 7 * i + 7)) {
                all.put(l.path() + ".weight", List.of((long) l.out(), (long) l.in()));
                if (l.bias())
                    all.put(l.path() + ".bias", List.of((long) l.out()));
            }
            if (qkNorm) {
                all.put(layer + "self_attn.q_norm.weight", List.of((long) headDim));
                all.put(layer + "self_attn.k_norm.weight", List.of((long) headDim));
            }
            all.put(layer + "input_layernorm.weight", List.of(C));
            all.put(layer + "post_attention_layernorm.weight", List.of(C));
        }
        all.put("model.norm.weight", List.of(C));
        if (!tieWordEmbeddings)
            all.put("lm_head.weight", List.of((long) vocabSize, C));
        return all;
    }

    /// Number of weights, tied ones counted once.
    public long parameters() {
        return tensorShapes().values().stream().mapToLong(s -> s.stream().reduce(1L, Math::multiplyExact)).sum();
    }
}
