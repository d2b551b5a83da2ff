package dev.gyre.model.task;

import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HeadOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.EncoderConfig.Act;
import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Normalise;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.family.EncoderConfig.Stage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// A head while it is emitted into one program: pooling, stages, loss, and back.
final class HeadEmission {
    /// How pairs of embeddings are compared.
    enum Pairs {
        /// Each first one with its second among all seconds: cross entropy of the similarities times [#SHARPNESS].
        CONTRASTIVE,
        /// The similarity of each pair with the one that is given: squared error.
        SIMILARITY
    }

    /// What contrastive losses multiply similarities by, as in sentence-transformers.
    static final double SHARPNESS = 20;
    private static final double ZERO_LENGTH = 1e-24;

    private final Head head;
    private final Buffers store;
    private final TaskIo io;
    private final Buf lossScale;
    private final int C;
    private final int N;
    private final int R;
    private final List<AdaptedLinear> dense = new ArrayList<>();
    private final List<LayerNorms> norms = new ArrayList<>();
    private final List<Buf> inputs = new ArrayList<>();
    private @Nullable Buf unnormalised;
    private @Nullable Buf rstd;
    private final @Nullable Buf unit;

    HeadEmission(Head head, int C, Buffers store, Map<String, List<AdapterLayer>> adapters, TaskIo io, Buf lossScale) {
        this.head = head;
        this.C = C;
        this.store = store;
        this.io = io;
        this.lossScale = lossScale;
        this.N = io.shape().tokens();
        this.R = io.rows();
        for (Stage s : head.stages())
            switch (s) {
            case Dense d -> dense.add(new AdaptedLinear(store, d.site().path(), d.site().in(), d.site().out(),
                    d.site().bias(), adapters.getOrDefault(d.site().path(), List.of())));
            case Normalise n -> norms.add(new LayerNorms(store, n.norm(), C));
            case Act _ -> {
            }
            }
        float[] root = new float[C];
        Arrays.fill(root, (float) (1 / Math.sqrt(C)));
        this.unit =
                head.problem() == Problem.EMBEDDING ? store.constant("1 / sqrt C", new HostData.F32(root), C) : null;
    }

    boolean trains() {
        return dense.stream().anyMatch(AdaptedLinear::trains) || norms.stream().anyMatch(LayerNorms::trains);
    }

    /// Emits logits (rows, outputs), or embeddings of length 1 (B, C), into `to` where it is given.
    Buf forward(Emitter e, Buf rows, @Nullable Buf to) {
        Buf x = pool(e, rows);
        if (head.problem() == Problem.EMBEDDING) {
            e.scope("embedding");
            unnormalised = x;
            Buf y = to == null ? e.act("unit", R, C) : to;
            Buf r = e.act("rstd", R);
            // x / |x| is an RMS norm with the weight 1 / sqrt(C)
            e.add(new NormOps.RmsNorm(x, need(unit), y, r, R, C, ZERO_LENGTH));
            rstd = r;
            return y;
        }
        int d = 0;
        int n = 0;
        for (Stage s : head.stages()) {
            inputs.add(x);
            switch (s) {
                case Dense l -> {
                    boolean last = inputs.size() == head.stages().size();
                    e.scope(l.site().path());
                    Buf y = last && to != null ? to : e.act("y", R, l.site().out());
                    dense.get(d++).forward(e, x, y, R);
                    x = y;
                }
                case Act a -> {
                    Buf y = e.act("activated", R, x.length() / R);
                    e.add(new ActivationOps.Activate(a.f(), x, y));
                    x = y;
                }
                case Normalise _ -> x = norms.get(n++).forward(e, x, R);
            }
        }
        return x;
    }

    private Buf pool(Emitter e, Buf rows) {
        if (head.pooling() == Pooling.TOKENS)
            return rows;
        e.scope("pooling");
        Buf x = e.act("pooled", R, C);
        if (head.pooling() == Pooling.MEAN)
            e.add(new HeadOps.MeanRows(rows, io.pool(), io.poolEnd(), x, N, R, C));
        else
            e.add(new TokenOps.Embed(io.pool(), rows, x, R, N, C));
        return x;
    }

    /// Emits the loss of the logits, which become its gradient if `gradient`.
    void loss(Emitter e, Buf logits, boolean gradient) {
        e.scope("loss");
        int V = head.outputs();
        switch (head.problem()) {
            case CLASSES -> e.add(
                    new TokenOps.CrossEntropy(logits, io.labels(), io.rowLoss(), lossScale, R, V, gradient));
            case LABELS -> e.add(
                    new HeadOps.BinaryCrossEntropy(logits, io.targets(), io.rowLoss(), lossScale, R, V, gradient));
            case NUMBERS -> e.add(
                    new HeadOps.SquaredError(logits, io.targets(), io.rowLoss(), lossScale, R, V, gradient));
            case EMBEDDING -> throw new IllegalStateException("embeddings are compared in pairs");
        }
    }

    /// Emits the loss of embeddings (B, C), the second half of which belongs to the first; returns their gradient, or null
    /// when there is none to take.
    @Nullable
    Buf pairs(Emitter e, Buf units, Pairs how, boolean gradient) {
        int P = R / 2;
        e.scope("loss");
        Buf a = units.view("first", 0, P, C);
        Buf b = units.view("second", (long) P * C, P, C);
        Buf g = gradient ? e.act("d unit", R, C) : null;
        Buf dA = g == null ? null : g.view("d first", 0, P, C);
        Buf dB = g == null ? null : g.view("d second", (long) P * C, P, C);
        if (how == Pairs.SIMILARITY) {
            Buf s = e.act("similarity", P);
            e.add(new HeadOps.RowDot(a, b, s, P, C));
            e.add(new HeadOps.SquaredError(s, io.targets(), io.rowLoss(), lossScale, P, 1, gradient));
            if (dA != null && dB != null) {
                e.add(new HeadOps.ScaleRows(b, s, dA, P, C, false));
                e.add(new HeadOps.ScaleRows(a, s, dB, P, C, false));
            }
        } else {
            Buf s = e.act("similarities", P, P);
            e.add(new ProductOps.MatMul(Form.NT, a, b, s, P, P, C, SHARPNESS, false));
            e.add(new TokenOps.CrossEntropy(s, io.labels(), io.rowLoss(), lossScale, P, P, gradient));
            if (dA != null && dB != null) {
                e.add(new ProductOps.MatMul(Form.NN, s, b, dA, P, C, P, SHARPNESS, false));
                e.add(new ProductOps.MatMul(Form.TN, s, a, dB, P, C, P, SHARPNESS, false));
            }
        }
        return g;
    }

    /// From the gradient of logits or embeddings to that of the body's rows (N, C); null when `pass` is not asked for.
    @Nullable
    Buf backward(Emitter e, Buf g, boolean pass) {
        Buf down = g;
        if (head.problem() == Problem.EMBEDDING) {
            if (!pass)
                return null;
            e.scope("embedding");
            Buf dX = e.act("d pooled", R, C);
            e.add(new NormOps.RmsNormGrad(need(unnormalised), need(unit), need(rstd), g, dX, R, C, false));
            return unpool(e, dX);
        }
        int d = dense.size();
        int n = norms.size();
        for (int i = head.stages().size() - 1; i >= 0; i--) {
            Buf in = inputs.get(i);
            boolean more = pass || below(i, d, n);
            switch (head.stages().get(i)) {
                case Dense l -> {
                    AdaptedLinear own = dense.get(--d);
                    more = pass || below(i, d, n);
                    e.scope(l.site().path());
                    Buf dX = more ? e.act("d x", R, l.site().in()) : null;
                    own.backward(e, own.needsInput() ? in : null, down, dX, false, R);
                    if (dX == null)
                        return null;
                    down = dX;
                }
                case Act a -> e.add(new ActivationOps.ActivateGrad(a.f(), in, down, down));
                case Normalise _ -> {
                    LayerNorms own = norms.get(--n);
                    more = pass || below(i, d, n);
                    Buf dX = more ? e.act("d x", R, C) : null;
                    own.backward(e, down, dX, R, false);
                    if (dX == null)
                        return null;
                    down = dX;
                }
            }
        }
        return pass ? unpool(e, down) : null;
    }

    /// Whether a stage below is trained: of the first `d` layers and the first `n` norms.
    private boolean below(int stage, int d, int n) {
        return stage > 0 && (dense.subList(0, d).stream().anyMatch(AdaptedLinear::trains)
                || norms.subList(0, n).stream().anyMatch(LayerNorms::trains));
    }

    private Buf unpool(Emitter e, Buf g) {
        if (head.pooling() == Pooling.TOKENS)
            return g;
        e.scope("pooling");
        Buf dRows = e.act("d rows", N, C);
        if (head.pooling() == Pooling.MEAN)
            e.add(new HeadOps.MeanRowsGrad(g, io.pool(), io.poolEnd(), dRows, N, R, C));
        else {
            e.add(new ElementOps.Fill(dRows, 0));
            e.add(new TokenOps.EmbedGrad(io.pool(), g, dRows, R, N, C));
        }
        return dRows;
    }

    private static <T> T need(@Nullable T t) {
        return Objects.requireNonNull(t);
    }
}
