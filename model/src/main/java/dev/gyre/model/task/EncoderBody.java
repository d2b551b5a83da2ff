package dev.gyre.model.task;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.family.EncoderConfig.Relative;
import dev.gyre.model.family.EncoderConfig.Rotary;
import dev.gyre.model.family.EncoderConfig.Text;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// An encoder while it is emitted into one program: embedding, layers, final norm.
final class EncoderBody implements Body {
    private final EncoderConfig c;
    private final Buffers store;
    private final TaskIo io;
    private final boolean checkpointing;
    private final int C;
    private final int N;
    private final List<EncoderLayer> layers = new ArrayList<>();
    private final List<Buf> inputs = new ArrayList<>();
    private final @Nullable LayerNorms textNorm;
    private final @Nullable AdaptedLinear projection;
    private final @Nullable LayerNorms finalNorm;
    private final @Nullable LayerNorms relativeNorm;
    private final @Nullable Buf relativeTable;
    private final @Nullable Convolutions convolution;
    private final Tables tables;

    private @Nullable Buf summed;
    private EncoderLayer.@Nullable Shared shared;
    private final Map<String, List<AdapterLayer>> adapters;

    /// Constant tables of a session, made once for all programs.
    static final class Tables {
        private final EncoderConfig c;
        private final Buffers store;
        private final int positions;
        private @Nullable Buf cos;
        private @Nullable Buf sin;
        private @Nullable Buf nearCos;
        private @Nullable Buf nearSin;
        private final Map<Integer, Buf> indexes = new HashMap<>();

        /// @param positions longest sequence of the session
        Tables(EncoderConfig c, Buffers store, int positions) {
            this.c = c;
            this.store = store;
            this.positions = positions;
            if (c.layers().mixing() instanceof Rotary r) {
                cos = rotary("rope cos", r.theta(), true);
                sin = rotary("rope sin", r.theta(), false);
                nearCos = rotary("near rope cos", r.localTheta(), true);
                nearSin = rotary("near rope sin", r.localTheta(), false);
            }
        }

        /// Frequencies, angles, cosines and sines in single precision, as the reference library computes them.
        private Buf rotary(String name, double theta, boolean cosine) {
            int half = c.headDim() / 2;
            float[] table = new float[positions * half];
            for (int p = 0; p < positions; p++)
                for (int j = 0; j < half; j++) {
                    float frequency = 1f / (float) Math.pow(theta, (float) (2 * j) / (float) c.headDim());
                    float angle = p * frequency;
                    table[p * half + j] = (float) (cosine ? Math.cos(angle) : Math.sin(angle));
                }
            return store.constant(name, new HostData.F32(table), positions, half);
        }

        /// Places of the distances `1 - T .. T - 1` among the relative positions; the bucket is odd, so those of keys seen from
        /// queries and of queries seen from keys are the same.
        Buf index(Relative r, int T) {
            return indexes.computeIfAbsent(T, _ -> {
                int[] index = new int[2 * T - 1];
                for (int d = 1 - T; d < T; d++)
                    index[d + T - 1] = Math.clamp(place(r, d) + r.span(), 0, 2 * r.span() - 1);
                return store.constant("relative positions " + T, index);
            });
        }

        /// Near distances have a bucket each, far ones share buckets that grow like logarithms; in single precision, so that
        /// distances at an edge fall on the side where the reference library has them.
        private static int place(Relative r, int distance) {
            int mid = r.buckets() / 2;
            int far = Math.abs(distance);
            if (r.buckets() == 0 || far <= mid)
                return distance;
            float log = (float) Math.log((float) far / mid) / (float) Math.log((r.maxDistance() - 1f) / mid);
            return Integer.signum(distance) * ((int) Math.ceil(log * (mid - 1)) + mid);
        }
    }

    EncoderBody(EncoderConfig c, Buffers store, Map<String, List<AdapterLayer>> adapters, Tables tables, TaskIo io,
            boolean checkpointing) {
        this.c = c;
        this.store = store;
        this.adapters = adapters;
        this.tables = tables;
        this.io = io;
        this.checkpointing = checkpointing;
        this.C = c.hiddenSize();
        this.N = io.shape().tokens();
        this.textNorm = c.input() instanceof Text t ? new LayerNorms(store, t.norm(), C) : null;
        this.projection = c.input() instanceof Text t && t.projection() != null
                ? new AdaptedLinear(store, t.projection(), t.width(), C, false,
                        adapters.getOrDefault(t.projection(), List.of()))
                : null;
        this.finalNorm = c.finalNorm() == null ? null : new LayerNorms(store, c.finalNorm(), C);
        Relative r = c.layers().mixing() instanceof Relative x ? x : null;
        this.relativeNorm = r == null || r.norm() == null ? null : new LayerNorms(store, r.norm(), C);
        this.convolution =
                r == null || r.convolution() == null ? null : new Convolutions(r.convolution(), store, io, C);
        this.relativeTable = r == null ? null : store.weight(r.embeddings() + ".weight");
    }

    private boolean relativeTrains() {
        return c.layers().mixing() instanceof Relative r
                && (store.weightGrad(r.embeddings() + ".weight") != null
                        || relativeNorm != null && relativeNorm.trains()
                        || convolution != null && convolution.trains());
    }

    @Override
    public boolean trains() {
        return inputTrains() || relativeTrains() || layers().stream().anyMatch(EncoderLayer::trains)
                || finalNorm != null && finalNorm.trains();
    }

    /// Layers to ask whether they train; those that are emitted are made in [#forward].
    private List<EncoderLayer> layers() {
        if (!layers.isEmpty())
            return layers;
        List<EncoderLayer> all = new ArrayList<>();
        EncoderLayer.Shared none = new EncoderLayer.Shared(io, null, null, null, null, null, null, null, null);
        for (int i = 0; i < c.layers().count(); i++)
            all.add(new EncoderLayer(c, store, i, none, adapters));
        return all;
    }

    private boolean inputTrains() {
        return switch (c.input()) {
            case Text t -> grad(t.words() + ".weight") != null || t.positions() != null
                    && grad(t.positions() + ".weight") != null || t.types() != null
                            && grad(t.types() + ".weight") != null
                    || need(textNorm).trains()
                    || projection != null && projection.trains();
            case Image i -> grad(i.projection() + ".weight") != null || grad(i.projection() + ".bias") != null
                    || grad(i.positions()) != null || i.tokens().stream().anyMatch(t -> grad(t) != null);
        };
    }

    private @Nullable Buf grad(String name) {
        return store.weightGrad(name);
    }

    @Override
    public Buf forward(Emitter e) {
        Buf relative = null;
        Buf dRelative = null;
        Buf index = null;
        if (c.layers().mixing() instanceof Relative r) {
            int R = 2 * r.span();
            relative = relativeNorm == null ? need(relativeTable) : relativeNorm.forward(e, need(relativeTable), R);
            e.scope(r.embeddings());
            dRelative = e.training() && relativeTrains() ? e.act("d rows", R, C) : null;
            index = tables.index(r, io.shape().T());
        }
        EncoderLayer.Shared s = new EncoderLayer.Shared(io, tables.cos, tables.sin, tables.nearCos, tables.nearSin,
                relative, dRelative, index, index);
        shared = s;
        for (int i = 0; i < c.layers().count(); i++)
            layers.add(new EncoderLayer(c, store, i, s, adapters));
        Buf x = switch (c.input()) {
            case Text t -> text(e, t);
            case Image i -> image(e, i);
        };
        for (EncoderLayer l : layers) {
            e.mark();
            inputs.add(x);
            Buf y = l.forward(e, x);
            x = convolution != null && l == layers.getFirst() ? convolution.forward(e, x, y) : y;
        }
        e.mark();
        return finalNorm == null ? x : finalNorm.forward(e, x, N);
    }

    private Buf text(Emitter e, Text t) {
        e.scope(t.words());
        Buf x = e.act("x", N, t.width());
        e.add(new TokenOps.Embed(io.ids(), store.weight(t.words() + ".weight"), x, N, t.vocabSize(), t.width()));
        if (t.positions() != null)
            x = plus(e, x, t.positions(), io.positions(), t.maxPositions(), t.width());
        if (t.types() != null)
            x = plus(e, x, t.types(), io.types(), t.typeCount(), t.width());
        summed = x;
        if (projection != null) {
            e.scope(Objects.requireNonNull(t.projection()));
            Buf wide = e.act("y", N, C);
            projection.forward(e, x, wide, N);
            x = wide;
        }
        return need(textNorm).forward(e, x, N);
    }

    private Buf plus(Emitter e, Buf x, String module, Buf ids, int rows, int width) {
        e.scope(module);
        Buf own = e.act("rows", N, width);
        e.add(new TokenOps.Embed(ids, store.weight(module + ".weight"), own, N, rows, width));
        Buf sum = e.act("sum", N, width);
        e.add(new ElementOps.Add(x, own, sum));
        return sum;
    }

    /// Each image is a row: its tokens' vectors and its patches' side by side, the positions a bias of that row.
    private Buf image(Emitter e, Image i) {
        int B = io.shape().B();
        int tokens = i.tokens().size();
        int P = io.shape().T() - tokens;
        e.scope(i.projection());
        Buf patches = e.act("patches", B * P, C);
        e.add(new ProductOps.MatMul(ProductOps.MatMul.Form.NT, io.patches(), store.weight(i.projection() + ".weight"),
                patches, B * P, C, i.patchSize(), 1, false));
        e.add(new ColumnOps.AddBias(patches, store.weight(i.projection() + ".bias"), B * P, C));
        Buf zeros = store.constant("zeros", new int[B]);
        List<Buf> parts = new ArrayList<>();
        for (String token : i.tokens()) {
            e.scope(token);
            Buf rows = e.act("rows", B, C);
            e.add(new TokenOps.Embed(zeros, store.weight(token), rows, B, 1, C));
            parts.add(rows);
        }
        parts.add(patches);
        e.scope(i.positions());
        Buf x = e.act("x", N, C);
        e.add(new PartOps.Join(parts, x, B));
        e.add(new ColumnOps.AddBias(x, positions(i), B, (tokens + P) * C));
        return x;
    }

    /// The learned positions, resampled where the images have another size.
    private Buf positions(Image i) {
        TaskShape s = io.shape();
        if (s.height() == i.height() && s.width() == i.width())
            return store.weight(i.positions());
        float[] learned = store.data(store.weight(i.positions())).floats();
        float[] own = Resampling.positions(learned, i.tokens().size(), i.down(), i.across(),
                s.height() / i.patchHeight(), s.width() / i.patchWidth(), C);
        return store.constant("positions " + s.height() + "x" + s.width(), new HostData.F32(own), own.length);
    }

    @Override
    public void backward(Emitter e, Buf g) {
        boolean into = inputTrains();
        Buf dRelative = need(shared).dRelative();
        if (dRelative != null) {
            e.scope("relative positions");
            e.add(new ElementOps.Fill(dRelative, 0));
        }
        int lowest = lowest(into || dRelative != null);
        Buf down = g;
        if (finalNorm != null) {
            e.scope("body");
            Buf dX = lowest < layers.size() || into ? e.act("d output", N, C) : null;
            finalNorm.backward(e, g, dX, N, false);
            if (dX == null)
                return;
            down = dX;
        }
        for (int i = layers.size() - 1; i >= lowest; i--) {
            e.mark();
            // the last layer has only just run forward
            if (checkpointing && i < layers.size() - 1)
                layers.get(i).forward(e, inputs.get(i));
            if (convolution != null && i == 0)
                down = convolution.backward(e, down, into);
            Buf below = layers.get(i).backward(e, down, i > lowest || into);
            if (below != null)
                down = below;
            if (convolution != null && i == 0 && into)
                convolution.inputBackward(e, down);
        }
        if (dRelative != null && c.layers().mixing() instanceof Relative r) {
            Buf dTable = grad(r.embeddings() + ".weight");
            if (relativeNorm != null)
                relativeNorm.backward(e, dRelative, dTable, 2 * r.span(), true);
            else
                if (dTable != null)
                    e.add(new ElementOps.Axpy(1, dRelative, dTable));
        }
        if (into)
            switch (c.input()) {
            case Text t -> textBackward(e, t, down);
            case Image i -> imageBackward(e, i, down);
            }
    }

    /// Index of the lowest layer whose backward pass is needed.
    private int lowest(boolean all) {
        if (all)
            return 0;
        for (int i = 0; i < layers.size(); i++)
            if (layers.get(i).trains())
                return i;
        return layers.size();
    }

    private void textBackward(Emitter e, Text t, Buf g) {
        e.scope(t.words());
        Buf dSum = e.act("d projected", N, C);
        need(textNorm).backward(e, g, dSum, N, false);
        if (projection != null) {
            e.scope(Objects.requireNonNull(t.projection()));
            Buf narrow = e.act("d sum", N, t.width());
            projection.backward(e, projection.needsInput() ? need(summed) : null, dSum, narrow, false, N);
            dSum = narrow;
        }
        rows(e, t.words(), io.ids(), dSum, t.vocabSize(), t.width());
        if (t.positions() != null)
            rows(e, t.positions(), io.positions(), dSum, t.maxPositions(), t.width());
        if (t.types() != null)
            rows(e, t.types(), io.types(), dSum, t.typeCount(), t.width());
    }

    private void rows(Emitter e, String module, Buf ids, Buf dRows, int rows, int width) {
        Buf dTable = grad(module + ".weight");
        e.scope(module);
        if (dTable != null)
            e.add(new TokenOps.EmbedGrad(ids, dRows, dTable, N, rows, width));
    }

    private void imageBackward(Emitter e, Image i, Buf g) {
        int B = io.shape().B();
        int P = io.shape().T() - i.tokens().size();
        Buf dPositions = grad(i.positions());
        e.scope(i.positions());
        if (dPositions != null) {
            if (dPositions.length() != io.shape().T() * C)
                throw new InputException("the positions are learned for images of " + i.height() + " x "
                        + i.width() + " and cannot be trained on others; resize the images, or train an adapter");
            e.add(new ColumnOps.BiasGrad(g, dPositions, B, io.shape().T() * C));
        }
        List<Buf> parts = new ArrayList<>();
        for (int n = 0; n < i.tokens().size(); n++)
            parts.add(e.act("d token", B, C));
        Buf dPatches = e.act("d patches", B * P, C);
        parts.add(dPatches);
        e.add(new PartOps.Split(g, parts, B));
        for (int n = 0; n < i.tokens().size(); n++) {
            Buf dToken = grad(i.tokens().get(n));
            if (dToken != null)
                e.add(new ColumnOps.BiasGrad(parts.get(n), dToken, B, C));
        }
        e.scope(i.projection());
        Buf dBias = grad(i.projection() + ".bias");
        if (dBias != null)
            e.add(new ColumnOps.BiasGrad(dPatches, dBias, B * P, C));
        Buf dWeight = grad(i.projection() + ".weight");
        if (dWeight != null)
            e.add(new ProductOps.MatMul(ProductOps.MatMul.Form.TN, dPatches, io.patches(), dWeight, C, i.patchSize(),
                    B * P, 1, true));
    }

    private static <T> T need(@Nullable T t) {
        return Objects.requireNonNull(t);
    }
}
