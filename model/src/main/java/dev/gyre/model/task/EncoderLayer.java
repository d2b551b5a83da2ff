package dev.gyre.model.task;

import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DisentangledOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Layers;
import dev.gyre.model.family.EncoderConfig.Names;
import dev.gyre.model.family.EncoderConfig.Relative;
import dev.gyre.model.weights.Site;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// One layer of an encoder while it is emitted into one program. With norms first:
///
///     x += o(attention(n1(x)));  x += mlp(n2(x))
///
/// and with norms after the sums: `x = n1(x + o(attention(x)))`, `x = n2(x + mlp(x))`.
///
/// Kept for the backward pass: the layer's input, q, k, v, the attention's output and row statistics, both sums, and what
/// the activation reads. Outputs of norms and of the activation are computed again.
final class EncoderLayer {
    private final EncoderConfig c;
    private final Layers l;
    private final Names names;
    private final Buffers store;
    private final String path;
    private final int C;
    private final int H;
    private final int D;
    private final int I;
    private final Map<String, AdaptedLinear> linears = new HashMap<>();
    private final @Nullable LayerNorms attentionNorm;
    private final LayerNorms mlpNorm;
    private final Shared shared;
    private final boolean near;

    // what forward leaves for backward
    private @Nullable Buf x;
    private @Nullable Buf q;
    private @Nullable Buf k;
    private @Nullable Buf v;
    private @Nullable Buf mixed;
    private @Nullable Buf lse;
    private @Nullable Buf middle;
    private @Nullable Buf last;
    private @Nullable Buf up;
    private @Nullable Buf gate;
    private @Nullable Buf posK;
    private @Nullable Buf posQ;
    private final @Nullable AdaptedLinear posKeys;
    private final @Nullable AdaptedLinear posQueries;

    /// What all layers of a program share.
    ///
    /// @param cos tables of rotary positions: of layers that see all tokens, then of the others; null without
    /// @param relative rows of the relative positions (R, C); null without
    /// @param dRelative their gradient, to be added to; null when it is not needed
    /// @param index places of distances among the relative positions
    record Shared(TaskIo io, @Nullable Buf cos, @Nullable Buf sin, @Nullable Buf nearCos, @Nullable Buf nearSin,
            @Nullable Buf relative, @Nullable Buf dRelative, @Nullable Buf index, @Nullable Buf mirror) {
    }

    EncoderLayer(EncoderConfig c, Buffers store, int index, Shared shared,
            Map<String, List<AdapterLayer>> adapters) {
        this.c = c;
        this.l = c.layers();
        this.names = l.names();
        this.store = store;
        this.path = c.layer(index);
        this.C = c.hiddenSize();
        this.H = l.heads();
        this.D = c.headDim();
        this.I = l.intermediateSize();
        this.shared = shared;
        this.near = l.mixing() instanceof EncoderConfig.Rotary r && r.reach().get(index) > 0;
        for (Site s : c.linears(index))
            linears.put(s.path().substring(path.length() + 1), linear(store, s, adapters));
        this.attentionNorm = index > 0 || l.firstNorm() ? new LayerNorms(store, c.attentionNorm(index), C) : null;
        this.mlpNorm = new LayerNorms(store, c.mlpNorm(index), C);
        // the positions go through a projection that the contents may share: with buffers of its own
        this.posKeys = l.mixing() instanceof Relative r && r.byKey()
                ? linear(store, site(index, r.keyProjection()), adapters) : null;
        this.posQueries = l.mixing() instanceof Relative r && r.byQuery()
                ? linear(store, site(index, r.queryProjection()), adapters) : null;
    }

    private Site site(int index, String module) {
        return c.linears(index).stream().filter(s -> s.path().equals(path + "." + module)).findFirst().orElseThrow();
    }

    private static AdaptedLinear linear(Buffers store, Site s, Map<String, List<AdapterLayer>> adapters) {
        return new AdaptedLinear(store, s.path(), s.in(), s.out(), s.bias(),
                adapters.getOrDefault(s.path(), List.of()));
    }

    private AdaptedLinear linear(String module) {
        return Objects.requireNonNull(linears.get(module), module);
    }

    /// Whether anything in this layer is trained.
    boolean trains() {
        return attentionTrains() || mlpNorm.trains() || linear(names.up()).trains() || linear(names.down()).trains();
    }

    private boolean attentionTrains() {
        return queriesTrain() || linear(names.o()).trains()
                || !l.normFirst() && attentionNorm != null && attentionNorm.trains();
    }

    /// Whether anything is trained that queries, keys and values depend on.
    private boolean queriesTrain() {
        if (l.normFirst() && attentionNorm != null && attentionNorm.trains())
            return true;
        return names.qkv() != null ? linear(names.qkv()).trains()
                : linear(names.q()).trains() || linear(names.k()).trains() || linear(names.v()).trains()
                        || posKeys != null && posKeys.trains() || posQueries != null && posQueries.trains()
                        || shared.dRelative != null;
    }

    /// Emits the layer; returns its output (N, C). Emitted again before backward, it replaces what the first time left.
    Buf forward(Emitter e, Buf in) {
        int N = shared.io.shape().tokens();
        x = in;
        Buf a = attention(e, l.normFirst() && attentionNorm != null ? attentionNorm.forward(e, in, N) : in, N);
        Buf sum = add(e, "residual 1", in, a, N);
        middle = sum;
        if (l.normFirst())
            return add(e, "residual 2", sum, mlp(e, mlpNorm.forward(e, sum, N), N), N);
        Buf h = Objects.requireNonNull(attentionNorm).forward(e, sum, N);
        Buf both = add(e, "residual 2", h, mlp(e, h, N), N);
        last = both;
        return mlpNorm.forward(e, both, N);
    }

    private Buf attention(Emitter e, Buf h, int N) {
        if (names.qkv() != null) {
            Buf all = project(e, names.qkv(), linear(names.qkv()), h, N, 3 * C);
            e.scope(path);
            q = e.act("q", N, C);
            k = e.act("k", N, C);
            v = e.act("v", N, C);
            e.add(new PartOps.Split(all, List.of(need(q), need(k), need(v)), N));
        } else {
            q = project(e, names.q(), linear(names.q()), h, N, C);
            k = project(e, names.k(), linear(names.k()), h, N, C);
            v = project(e, names.v(), linear(names.v()), h, N, C);
        }
        rotate(e, need(q), N, false);
        rotate(e, need(k), N, false);
        TaskIo io = shared.io;
        TaskShape s = io.shape();
        if (l.mixing() instanceof Relative r) {
            int R = 2 * r.span();
            Buf rows = need(shared.relative);
            posK = posKeys == null ? null : project(e, r.keyProjection() + " of positions", posKeys, rows, R, C);
            posQ = posQueries == null ? null
                    : project(e, r.queryProjection() + " of positions", posQueries, rows, R, C);
        }
        e.scope(path);
        Buf out = e.act("attention", N, C);
        Buf stats = e.act("lse", N, H);
        if (l.mixing() instanceof Relative r)
            e.add(new DisentangledOps.DisentangledAttention(need(q), need(k), need(v), posK, posQ, need(shared.index),
                    need(shared.mirror), io.start(), io.end(), out, stats, s.B(), s.T(), H, D, 2 * r.span(),
                    l.scale()));
        else
            e.add(new AttentionOps.Attention(need(q), need(k), need(v), start(), end(), out, stats, s.B(), s.T(), H, H,
                    D, l.scale(), 0, 0));
        mixed = out;
        lse = stats;
        return project(e, names.o(), linear(names.o()), out, N, C);
    }

    private Buf start() {
        return near ? shared.io.nearStart() : shared.io.start();
    }

    private Buf end() {
        return near ? shared.io.nearEnd() : shared.io.end();
    }

    private void rotate(Emitter e, Buf rows, int N, boolean back) {
        Buf cos = near ? shared.nearCos : shared.cos;
        Buf sin = near ? shared.nearSin : shared.sin;
        if (cos != null && sin != null) {
            e.scope(path);
            e.add(new RopeOps.Rope(rows, cos, sin, shared.io.positions(), N, H, D, back));
        }
    }

    private Buf mlp(Emitter e, Buf h, int N) {
        if (l.gated()) {
            Buf both = project(e, names.up(), linear(names.up()), h, N, 2 * I);
            e.scope(path);
            gate = e.act("gate", N, I);
            up = e.act("up", N, I);
            e.add(new PartOps.Split(both, List.of(need(gate), need(up)), N));
        } else
            up = project(e, names.up(), linear(names.up()), h, N, I);
        return project(e, names.down(), linear(names.down()), activated(e, N), N, C);
    }

    private Buf activated(Emitter e, int N) {
        e.scope(path);
        Buf a = e.act("activated", N, I);
        e.add(l.gated() ? new ActivationOps.Gated(l.f(), need(gate), need(up), a)
                : new ActivationOps.Activate(l.f(), need(up), a));
        return a;
    }

    /// Emits gradients from `g` (N, C), that of the layer's output, which is overwritten; returns that of its input, or null
    /// when it is not needed.
    @Nullable
    Buf backward(Emitter e, Buf g, boolean pass) {
        int N = shared.io.shape().tokens();
        boolean below = pass || attentionTrains();
        Buf dMiddle;
        if (l.normFirst()) {
            boolean inside = below || mlpNorm.trains() || linear(names.up()).trains();
            Buf h = inside && linear(names.up()).needsInput() ? mlpNorm.forward(e, need(middle), N) : null;
            Buf dH = below || mlpNorm.trains() ? act(e, "d h", N) : null;
            mlpBackward(e, g, h, dH, false, N);
            if (dH != null)
                mlpNorm.backward(e, dH, below ? g : null, N, true);
            if (!below)
                return null;
            dMiddle = g;
        } else {
            boolean inside = below || linear(names.up()).trains() || linear(names.down()).trains();
            Buf dLast = inside ? act(e, "d residual 2", N) : null;
            mlpNorm.backward(e, g, dLast, N, false);
            if (dLast == null)
                return null;
            LayerNorms first = Objects.requireNonNull(attentionNorm);
            boolean reads = linear(names.up()).needsInput();
            Buf h = reads ? first.forward(e, need(middle), N) : null;
            // the residual's share stays in dLast, and the MLP adds its own to it
            mlpBackward(e, dLast, h, below ? dLast : null, true, N);
            if (!below)
                return null;
            dMiddle = g;
            boolean more = pass || queriesTrain() || linear(names.o()).trains();
            first.backward(e, dLast, more ? dMiddle : null, N, false);
            if (!more)
                return null;
        }
        return attentionBackward(e, dMiddle, pass, N);
    }

    /// @param dDown gradient of the MLP's output
    /// @param h input of the MLP, null when nothing reads it
    /// @param dH where its gradient goes; null when it is not needed. It may be `dDown`, when it adds to it.
    private void mlpBackward(Emitter e, Buf dDown, @Nullable Buf h, @Nullable Buf dH, boolean accumulate, int N) {
        AdaptedLinear down = linear(names.down());
        AdaptedLinear wide = linear(names.up());
        boolean above = dH != null || wide.trains();
        Buf a = down.needsInput() ? activated(e, N) : null;
        e.scope(path + "." + names.down());
        Buf dA = above ? e.act("d activated", N, I) : null;
        down.backward(e, a, dDown, dA, false, N);
        if (dA == null)
            return;
        e.scope(path);
        Buf dUp;
        if (l.gated()) {
            e.add(new ActivationOps.GatedGrad(l.f(), need(gate), need(up), dA, need(gate), need(up)));
            dUp = e.act("d gate and up", N, 2 * I);
            e.add(new PartOps.Join(List.of(need(gate), need(up)), dUp, N));
        } else {
            e.add(new ActivationOps.ActivateGrad(l.f(), need(up), dA, dA));
            dUp = dA;
        }
        e.scope(path + "." + names.up());
        wide.backward(e, h, dUp, dH, accumulate, N);
    }

    /// @param g gradient of the sum of input and attention; becomes that of the input
    private @Nullable Buf attentionBackward(Emitter e, Buf g, boolean pass, int N) {
        AdaptedLinear o = linear(names.o());
        boolean inside = pass || queriesTrain();
        e.scope(path + "." + names.o());
        Buf dMixed = inside ? e.act("d attention", N, C) : null;
        o.backward(e, o.needsInput() ? need(mixed) : null, g, dMixed, false, N);
        if (dMixed == null)
            return null;
        TaskIo io = shared.io;
        TaskShape s = io.shape();
        e.scope(path);
        Buf dQ = e.act("d q", N, C);
        Buf dK = e.act("d k", N, C);
        Buf dV = e.act("d v", N, C);
        if (l.mixing() instanceof Relative r) {
            int R = 2 * r.span();
            Buf dPosK = posK == null ? null : e.act("d pos k", R, C);
            Buf dPosQ = posQ == null ? null : e.act("d pos q", R, C);
            e.add(new DisentangledOps.DisentangledAttentionGrad(need(q), need(k), need(v), posK, posQ,
                    need(shared.index), need(shared.mirror), io.start(), io.end(), need(mixed), need(lse), dMixed, dQ,
                    dK, dV, dPosK, dPosQ, s.B(), s.T(), H, D, R, l.scale()));
            positionsBackward(e, posKeys, r.keyProjection(), dPosK, R);
            positionsBackward(e, posQueries, r.queryProjection(), dPosQ, R);
        } else
            e.add(new AttentionOps.AttentionGrad(need(q), need(k), need(v), start(), end(), need(mixed), need(lse),
                    dMixed, e.act("delta", N, H), dQ, dK, dV, s.B(), s.T(), H, H, D, l.scale(), 0, 0));
        rotate(e, dQ, N, true);
        rotate(e, dK, N, true);
        LayerNorms before = l.normFirst() ? attentionNorm : null;
        boolean reads = names.qkv() != null ? linear(names.qkv()).needsInput()
                : linear(names.q()).needsInput() || linear(names.k()).needsInput() || linear(names.v()).needsInput();
        Buf h = !reads ? null : before == null ? need(x) : before.forward(e, need(x), N);
        // without a norm before them the projections add to the residual's gradient
        Buf dH = before == null ? pass ? g : null : pass || before.trains() ? act(e, "d h", N) : null;
        boolean first = before == null;
        if (names.qkv() != null) {
            e.scope(path);
            Buf all = e.act("d qkv", N, 3 * C);
            e.add(new PartOps.Join(List.of(dQ, dK, dV), all, N));
            e.scope(path + "." + names.qkv());
            linear(names.qkv()).backward(e, h, all, dH, first, N);
        } else {
            e.scope(path + "." + names.q());
            linear(names.q()).backward(e, h, dQ, dH, first, N);
            e.scope(path + "." + names.k());
            linear(names.k()).backward(e, h, dK, dH, true, N);
            e.scope(path + "." + names.v());
            linear(names.v()).backward(e, h, dV, dH, true, N);
        }
        if (before != null && dH != null)
            before.backward(e, dH, pass ? g : null, N, true);
        return pass ? g : null;
    }

    private void positionsBackward(Emitter e, @Nullable AdaptedLinear projection, String module, @Nullable Buf dPos,
            int R) {
        if (projection == null || dPos == null || !projection.trains() && shared.dRelative == null)
            return;
        e.scope(path + "." + module);
        projection.backward(e, need(shared.relative), dPos, shared.dRelative, true, R);
    }

    private Buf project(Emitter e, String module, AdaptedLinear linear, Buf in, int N, int out) {
        e.scope(path + "." + module);
        Buf y = e.act("y", N, out);
        linear.forward(e, in, y, N);
        return y;
    }

    private Buf add(Emitter e, String name, Buf a, Buf b, int N) {
        Buf sum = act(e, name, N);
        e.add(new ElementOps.Add(a, b, sum));
        return sum;
    }

    private Buf act(Emitter e, String name, int N) {
        e.scope(path);
        return e.act(name, N, C);
    }

    private static Buf need(@Nullable Buf b) {
        return Objects.requireNonNull(b, "backward is emitted after forward");
    }
}
