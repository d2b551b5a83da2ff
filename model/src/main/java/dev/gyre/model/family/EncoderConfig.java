package dev.gyre.model.family;

import dev.gyre.kernels.op.Activation;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// What an encoder with its head looks like: an encoder of text or a vision transformer, read from `config.json` by its
/// [EncoderFamily]. The computation follows from the features alone. Module paths are those of transformers 5.
///
/// @param prefix of the body's modules, as `bert.` in `bert.encoder.layer.0`; empty in a model without a head
/// @param finalNorm after the last layer, or null
/// @param json the file, for writing it again
public record EncoderConfig(EncoderFamily family, String prefix, int hiddenSize, Input input, Layers layers,
        @Nullable Norm finalNorm, Head head, ObjectNode json) {
    /// A layer normalisation over C values.
    ///
    /// @param bias whether it has one beside its weight
    public record Norm(String path, boolean bias, double eps) {
    }

    /// What the first layer reads.
    public sealed interface Input {
    }

    /// `norm(projection(words + positions + types))`, the projection only where the words' vectors are narrower than the
    /// layers.
    ///
    /// @param width of the words' vectors
    /// @param positions module of the learned positions, or null
    /// @param countFrom null if positions are 0, 1, ...; else the padding's id p: tokens that are not padding have positions
    ///     p+1, p+2, ..., padding has p
    /// @param types module of the token types, or null
    /// @param pad padding's id, or null
    public record Text(int vocabSize, int width, String words, @Nullable String positions, int maxPositions,
            @Nullable Integer countFrom, @Nullable String types, int typeCount, Norm norm,
            @Nullable String projection, @Nullable Integer pad) implements Input {
    }

    /// Patches of an image, projected, behind one or two tokens of their own, plus positions.
    ///
    /// @param height of the images that the positions were learned for
    /// @param tokens parameters in front of the patches, by their names
    public record Image(int channels, int height, int width, int patchHeight, int patchWidth, String projection,
            List<String> tokens, String positions) implements Input {
        /// Rows of patches in an image.
        public int down() {
            return height / patchHeight;
        }

        public int across() {
            return width / patchWidth;
        }

        /// Tokens of an image of some size: those in front, and a patch each.
        public int tokens(int imageHeight, int imageWidth) {
            return tokens.size() + imageHeight / patchHeight * (imageWidth / patchWidth);
        }

        /// Values of a patch.
        public int patchSize() {
            return channels * patchHeight * patchWidth;
        }
    }

    /// Modules of a layer, by their paths in it.
    ///
    /// @param list path of the list of layers with its last dot
    /// @param qkv one projection for queries, keys and values, or null for three
    public record Names(String list, @Nullable String qkv, String q, String k, String v, String o, String up,
            String down, String attentionNorm, String mlpNorm) {
    }

    /// How queries meet keys.
    public sealed interface Mixing {
    }

    /// By their contents alone.
    public record Plain() implements Mixing {
    }

    /// After rotations by their positions.
    ///
    /// @param reach of each layer's queries to both sides, 0 for all keys
    /// @param theta base of the frequencies of layers that see all keys
    /// @param localTheta and of the others
    public record Rotary(List<Integer> reach, double theta, double localTheta) implements Mixing {
    }

    /// By contents and relative positions (DeBERTa).
    ///
    /// @param embeddings module of the relative positions, (2 span, C)
    /// @param span distances that have an embedding, to each side
    /// @param buckets of distances, or 0 for one each
    /// @param maxDistance the distance that reaches the last bucket
    /// @param norm of the embeddings, or null
    /// @param byKey whether the query meets the positions' keys (c2p)
    /// @param byQuery whether the key meets the positions' queries (p2c)
    /// @param keyProjection path in the layer of the projection to the positions' keys
    /// @param convolution beside the first layer, or null
    public record Relative(String embeddings, int span, int buckets, int maxDistance, @Nullable Norm norm,
            boolean byKey, boolean byQuery, String keyProjection, String queryProjection,
            @Nullable Convolution convolution) implements Mixing {
    }

    /// A convolution over neighbouring tokens of the first layer's input `x`, added to its output `y`:
    /// `y = norm(y + f(conv(x)))` (DeBERTa-v2 xlarge). Padding counts as 0.
    ///
    /// @param module with a weight (C, C, width), a matrix (C, C width) here, and a bias
    /// @param width tokens that it sees, odd
    public record Convolution(String module, int width, Activation f, Norm norm) {
    }

    /// @param count number of layers
    /// @param normFirst norms on the input of each branch, not after the sum
    /// @param firstNorm whether the first layer has a norm on attention's input
    /// @param scale of the scores
    /// @param gated `down(f(a) * b)` with a and b the halves of `up`, not `down(f(up))`
    public record Layers(Names names, int count, int heads, int intermediateSize, boolean normFirst,
            boolean firstNorm, boolean qkvBias, boolean outBias, boolean mlpBias, boolean normBias, double eps,
            double scale, Activation f, boolean gated, Mixing mixing) {
    }

    /// Rows that the head reads.
    public enum Pooling {
        /// Each token's.
        TOKENS,
        /// The first of each sequence.
        FIRST,
        /// The last of each sequence that is not padding.
        LAST,
        /// The mean of those of a sequence that are not padding.
        MEAN
    }

    /// One step of a head.
    public sealed interface Stage {
    }

    public record Dense(Site site) implements Stage {
    }

    public record Act(Activation f) implements Stage {
    }

    public record Normalise(Norm norm) implements Stage {
    }

    /// What is predicted.
    public enum Problem {
        /// One of several classes, of a sequence or of each token.
        CLASSES,
        /// Each of several labels or not.
        LABELS,
        /// Numbers.
        NUMBERS,
        /// A vector of length 1.
        EMBEDDING
    }

    /// @param stages from pooled rows to logits, the last one a [Dense]; none for embeddings
    /// @param outputs values of a row
    public record Head(Pooling pooling, List<Stage> stages, Problem problem, int outputs) {
        public Head {
            stages = List.copyOf(stages);
        }

        public List<Site> linears() {
            List<Site> out = new ArrayList<>();
            for (Stage s : stages)
                if (s instanceof Dense d)
                    out.add(d.site);
            return out;
        }
    }

    public int headDim() {
        return hiddenSize / layers.heads;
    }

    public EncoderConfig with(Head other) {
        return new EncoderConfig(family, prefix, hiddenSize, input, layers, finalNorm, other, json);
    }

    public EncoderConfig with(ObjectNode file) {
        return new EncoderConfig(family, prefix, hiddenSize, input, layers, finalNorm, head, file);
    }

    /// Module path of a layer, without a dot at its end.
    public String layer(int index) {
        return layers.names.list + index;
    }

    /// The linear modules of one layer.
    public List<Site> linears(int index) {
        Names n = layers.names;
        String at = layer(index) + ".";
        int C = hiddenSize;
        int I = layers.intermediateSize;
        List<Site> out = new ArrayList<>();
        if (n.qkv != null)
            out.add(new Site(at + n.qkv, C, 3 * C, layers.qkvBias));
        else {
            out.add(new Site(at + n.q, C, C, layers.qkvBias));
            out.add(new Site(at + n.k, C, C, layers.qkvBias));
            out.add(new Site(at + n.v, C, C, layers.qkvBias));
        }
        if (layers.mixing instanceof Relative r) {
            if (r.byKey && !r.keyProjection.equals(n.k))
                out.add(new Site(at + r.keyProjection, C, C, true));
            if (r.byQuery && !r.queryProjection.equals(n.q))
                out.add(new Site(at + r.queryProjection, C, C, true));
        }
        out.add(new Site(at + n.o, C, C, layers.outBias));
        out.add(new Site(at + n.up, C, layers.gated ? 2 * I : I, layers.mlpBias));
        out.add(new Site(at + n.down, I, C, layers.mlpBias));
        return out;
    }

    /// All linear modules in the order of the model, the head's last.
    public List<Site> linears() {
        List<Site> all = new ArrayList<>();
        if (input instanceof Text t && t.projection != null)
            all.add(new Site(t.projection, t.width, hiddenSize, false));
        for (int i = 0; i < layers.count; i++)
            all.addAll(linears(i));
        all.addAll(head.linears());
        return all;
    }

    /// Every tensor with its shape, in the order of the model. Images' projection and positions are matrices here: (C,
    /// values of a patch), (tokens, C).
    public Map<String, int[]> tensorShapes() {
        Map<String, int[]> all = new LinkedHashMap<>();
        int C = hiddenSize;
        switch (input) {
            case Text t -> {
                all.put(t.words + ".weight", new int[] {t.vocabSize, t.width});
                if (t.positions != null)
                    all.put(t.positions + ".weight", new int[] {t.maxPositions, t.width});
                if (t.types != null)
                    all.put(t.types + ".weight", new int[] {t.typeCount, t.width});
                put(all, t.norm);
            }
            case Image i -> {
                for (String token : i.tokens)
                    all.put(token, new int[] {1, C});
                all.put(i.projection + ".weight", new int[] {C, i.patchSize()});
                all.put(i.projection + ".bias", new int[] {C});
                all.put(i.positions, new int[] {i.tokens.size() + i.down() * i.across(), C});
            }
        }
        List<Site> linears = linears();
        int at = 0;
        if (input instanceof Text t && t.projection != null)
            put(all, linears.get(at++));
        if (layers.mixing instanceof Relative r) {
            all.put(r.embeddings + ".weight", new int[] {2 * r.span, C});
            if (r.norm != null)
                put(all, r.norm);
            if (r.convolution != null) {
                all.put(r.convolution.module + ".weight", new int[] {C, C * r.convolution.width});
                all.put(r.convolution.module + ".bias", new int[] {C});
                put(all, r.convolution.norm);
            }
        }
        for (int i = 0; i < layers.count; i++) {
            for (int n = linears(i).size(); n > 0; n--)
                put(all, linears.get(at++));
            if (i > 0 || layers.firstNorm)
                put(all, attentionNorm(i));
            put(all, mlpNorm(i));
        }
        if (finalNorm != null)
            put(all, finalNorm);
        for (Stage s : head.stages)
            switch (s) {
            case Dense d -> put(all, d.site);
            case Normalise n -> put(all, n.norm);
            case Act _ -> {
            }
            }
        return all;
    }

    public Norm attentionNorm(int index) {
        return new Norm(layer(index) + "." + layers.names.attentionNorm, layers.normBias, layers.eps);
    }

    public Norm mlpNorm(int index) {
        return new Norm(layer(index) + "." + layers.names.mlpNorm, layers.normBias, layers.eps);
    }

    private static void put(Map<String, int[]> all, Site s) {
        all.put(s.path() + ".weight", new int[] {s.out(), s.in()});
        if (s.bias())
            all.put(s.path() + ".bias", new int[] {s.out()});
    }

    private void put(Map<String, int[]> all, Norm n) {
        all.put(n.path + ".weight", new int[] {hiddenSize});
        if (n.bias)
            all.put(n.path + ".bias", new int[] {hiddenSize});
    }
}
