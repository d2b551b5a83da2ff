package dev.gyre.model.transformer;

import dev.gyre.kernels.op.Activation;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.weights.Site;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// One decoder layer while it is emitted into one program.
///
///     x += m after1(o_proj(attention(rope(qn(q)), rope(kn(k)), v))),  q, k, v = {q,k,v}_proj(before1(x))
///     x += m after2(down_proj(f(gate_proj(h)) * up_proj(h))),  h = before2(x)
///
/// Which of the RMSNorms (before, after, qn, kn) a model has, whether a layer has rotary positions, the activation f and
/// the factor m are features of its configuration; an absent norm or rope is the identity, an absent m is 1.
///
/// Kept for the backward pass: both residual inputs, q, k, v, the attention's output and row statistics, gate and up, and
/// the inputs of the norms after. Outputs of the norms before and the gated product are computed again there: one pass over
/// memory each, against `2 C + I` values a token that would be kept per layer.
final class DecoderLayer {
    private final ModelConfig c;
    private final Buffers store;
    private final String path;
    private final int C;
    private final int H;
    private final int KV;
    private final int D;
    private final int I;
    private final int window;
    private final Projections qkv;
    private final AdaptedLinear oProj;
    private final Projections gateUp;
    private final AdaptedLinear downProj;
    private final BranchNorm beforeAttention;
    private final BranchNorm afterAttention;
    private final BranchNorm beforeMlp;
    private final BranchNorm afterMlp;
    private final @Nullable Tables rope;
    private final double multiplier;

    // what forward leaves for backward
    private @Nullable Buf x;
    private @Nullable Buf qRaw;
    private @Nullable Buf kRaw;
    private @Nullable Buf qRstd;
    private @Nullable Buf kRstd;
    private @Nullable Buf q;
    private @Nullable Buf k;
    private @Nullable Buf v;
    private @Nullable Buf mixed;
    private @Nullable Buf lse;
    private @Nullable Buf middle;
    private @Nullable Buf gate;
    private @Nullable Buf up;

    /// RoPE tables, how many values of a head they rotate, and the rows of them that this program's tokens have.
    record Tables(Buf cos, Buf sin, int dims, Buf rows) {
    }

    /// @param rope null for a layer without positions
    DecoderLayer(ModelConfig c, Buffers store, int index, @Nullable Tables rope,
            Map<String, List<AdapterLayer>> adapters) {
        this.c = c;
        this.store = store;
        this.path = ModelConfig.layer(index);
        this.C = c.hiddenSize();
        this.H = c.attention().heads();
        this.KV = c.attention().kvHeads();
        this.D = c.attention().headDim();
        this.I = c.mlp().intermediateSize();
        this.window = c.positions().layers().get(index).window();
        this.rope = rope;
        this.multiplier = c.multipliers().residual();
        Map<String, AdaptedLinear> linears = new HashMap<>();
        for (Site l : c.linears(index))
            linears.put(l.path().substring(path.length() + 1), new AdaptedLinear(store, l.path(), l.in(), l.out(),
                    l.bias(), adapters.getOrDefault(l.path(), List.of())));
        this.qkv = projections(linears, "self_attn", c.attention().modules(), H * D, KV * D, KV * D);
        this.oProj = linear(linears, "self_attn.o_proj");
        this.gateUp = projections(linears, "mlp", c.mlp().modules(), I, I);
        this.downProj = linear(linears, "mlp.down_proj");
        NormPlacement norms = c.norms().placement();
        this.beforeAttention = new BranchNorm(norms.beforeAttention);
        this.afterAttention = new BranchNorm(norms.afterAttention);
        this.beforeMlp = new BranchNorm(norms.beforeMlp);
        this.afterMlp = new BranchNorm(norms.afterMlp);
    }

    private static AdaptedLinear linear(Map<String, AdaptedLinear> all, String name) {
        return Objects.requireNonNull(all.get(name), name);
    }

    private Projections projections(Map<String, AdaptedLinear> all, String parent, List<String> names,
            int... widths) {
        return new Projections(path + "." + parent, names,
                names.stream().map(name -> linear(all, parent + "." + name)).toList(), widths);
    }

    /// Whether anything in this layer is trained.
    boolean trains() {
        return attentionTrains() || beforeMlp.trains() || afterMlp.trains() || gateUp.trains()
                || downProj.trains();
    }

    private boolean attentionTrains() {
        return queriesTrain() || afterAttention.trains() || oProj.trains();
    }

    /// Whether anything is trained that queries, keys and values depend on.
    private boolean queriesTrain() {
        return beforeAttention.trains() || qkv.trains()
                || store.weightGrad(path + ".self_attn.q_norm.weight") != null
                || store.weightGrad(path + ".self_attn.k_norm.weight") != null;
    }

    /// An RMSNorm at one end of a branch (attention or MLP), or none: then rows pass through.
    private final class BranchNorm {
        private final @Nullable String module;
        private @Nullable Buf x;
        private @Nullable Buf rstd;

        /// @param name of the module in the layer, null for none
        BranchNorm(@Nullable String name) {
            this.module = name == null ? null : path + "." + name;
        }

        boolean trains() {
            return module != null && store.weightGrad(module + ".weight") != null;
        }

        Buf forward(Emitter e, Buf in, int N) {
            if (module == null)
                return in;
            Norms.Out out = Norms.forward(e, store, module, in, N, C, c.norms());
            x = in;
            rstd = out.rstd();
            return out.y();
        }

        /// Before a branch: where the gradient of what the branch reads goes. Without a norm that is `g` itself, to be
        /// added to; otherwise a buffer of its own, or null when it is not needed.
        ///
        /// @param g gradient of the residual stream, null when it ends here
        @Nullable
        Buf gradient(Emitter e, @Nullable Buf g, int N) {
            return module == null ? g : g != null || trains() ? e.act("d h", N, C) : null;
        }

        /// Before a branch: whether [#gradient] already holds something.
        boolean accumulates() {
            return module == null;
        }

        /// Before a branch: from the gradient `dY` of its output to that of the residual stream, added to `g`.
        void backward(Emitter e, @Nullable Buf dY, @Nullable Buf g, int N) {
            if (module != null)
                Norms.backward(e, store, module, need(x), need(rstd), dY, g, N, C, c.norms(), true);
        }

        /// After a branch: from the gradient `g` of the residual stream, which is not changed, to that of the branch.
        Buf backward(Emitter e, Buf g, int N) {
            if (module == null)
                return g;
            e.scope(module);
            Buf dX = e.act("d x", N, C);
            Norms.backward(e, store, module, need(x), need(rstd), g, dX, N, C, c.norms(), false);
            return dX;
        }
    }

    /// How queries meet keys: over the batch's own rows, or over a cache.
    interface Mixer {
        /// Emits attention of q (N, H*D) over k, v (N, KV*D); returns its output (N, H*D).
        Buf mix(Emitter e, Buf q, Buf k, Buf v, int window);
    }

    /// Emits the layer for a batch of whole sequences.
    Buf forward(Emitter e, Buf in, BatchShape shape, Buf start) {
        return forward(e, in, shape.tokens(), (em, q, k, v, window) -> attend(em, q, k, v, shape, start, window));
    }

    /// Emits the layer; returns its output (N, C), a buffer of its own. Emitted again before backward, it replaces what
    /// the first time left for it.
    Buf forward(Emitter e, Buf in, int N, Mixer mixer) {
        x = in;
        Buf h = beforeAttention.forward(e, in, N);
        List<Buf> projected = qkv.forward(e, h, N);
        Buf q0 = projected.get(0);
        Buf k0 = projected.get(1);
        v = projected.get(2);
        if (c.attention().qkNorm() == QkNorm.NONE) {
            q = q0;
            k = k0;
        } else {
            qRaw = q0;
            kRaw = k0;
            Norms.Out qn = qkNorm(e, "self_attn.q_norm", q0, N, H);
            Norms.Out kn = qkNorm(e, "self_attn.k_norm", k0, N, KV);
            qRstd = qn.rstd();
            kRstd = kn.rstd();
            q = qn.y();
            k = kn.y();
        }
        e.scope(path + ".self_attn");
        rotate(e, q, N, H, false);
        rotate(e, k, N, KV, false);
        mixed = mixer.mix(e, q, k, v, window);
        Buf attended = afterAttention.forward(e, project(e, "self_attn.o_proj", oProj, mixed, N, C), N);
        middle = add(e, "residual 1", in, attended, N);

        h = beforeMlp.forward(e, middle, N);
        projected = gateUp.forward(e, h, N);
        gate = projected.get(0);
        up = projected.get(1);
        Buf down = afterMlp.forward(e, project(e, "mlp.down_proj", downProj, gated(e, N), N, C), N);
        return add(e, "residual 2", middle, down, N);
    }

    private void rotate(Emitter e, Buf x, int N, int heads, boolean inverse) {
        if (rope != null)
            e.add(new RopeOps.Rope(x, rope.cos, rope.sin, rope.rows, N, heads, D, rope.dims, inverse));
    }

    /// Training's [Mixer]: causal attention inside the batch; remembers the row statistics for backward.
    private Buf attend(Emitter e, Buf q, Buf k, Buf v, BatchShape shape, Buf start, int window) {
        int N = shape.tokens();
        Buf out = e.act("attention", N, H * D);
        Buf l = e.act("lse", N, H);
        e.add(new AttentionOps.Attention(q, k, v, start, null, out, l, shape.B(), shape.T(), H, KV, D,
                c.attention().scale(), window, c.attention().softCap()));
        lse = l;
        return out;
    }

    /// Emits gradients; `g` (N, C) holds the gradient of the layer's output and, when `pass`, is turned into that of its
    /// input.
    void backward(Emitter e, Buf g, BatchShape shape, Buf start, boolean pass) {
        int N = shape.tokens();
        boolean passMlp = pass || attentionTrains();
        backwardMlp(e, g, passMlp, N);
        if (passMlp)
            backwardAttention(e, g, shape, start, pass);
    }

    private void backwardMlp(Emitter e, Buf g, boolean pass, int N) {
        Buf dDown = afterMlp.backward(e, ofBranch(e, g, N), N);
        Buf gt = need(gate);
        Buf u = need(up);
        e.scope(path + ".mlp.down_proj");
        Buf dAct = e.act("d gated", N, I);
        downProj.backward(e, downProj.needsInput() ? gated(e, N) : null, dDown, dAct, false, N);
        e.scope(path + ".mlp");
        Activation f = c.mlp().activation();
        e.add(f == Activation.SILU ? new ElementOps.SwiGluGrad(gt, u, dAct, gt, u)
                : new ActivationOps.GatedGrad(f, gt, u, dAct, gt, u));
        if (!pass && !beforeMlp.trains() && !gateUp.trains())
            return;
        Buf residual = pass ? g : null;
        Buf h = beforeMlp.forward(e, need(middle), N);
        Buf dH = beforeMlp.gradient(e, residual, N);
        gateUp.backward(e, h, List.of(gt, u), dH, beforeMlp.accumulates(), N);
        beforeMlp.backward(e, dH, residual, N);
    }

    private void backwardAttention(Emitter e, Buf g, BatchShape shape, Buf start, boolean pass) {
        int N = shape.tokens();
        Buf dAttended = afterAttention.backward(e, ofBranch(e, g, N), N);
        e.scope(path + ".self_attn.o_proj");
        Buf out = need(mixed);
        Buf dMixed = e.act("d attention", N, H * D);
        oProj.backward(e, oProj.needsInput() ? out : null, dAttended, dMixed, false, N);
        if (!pass && !queriesTrain())
            return;
        e.scope(path + ".self_attn");
        Buf dQ = e.act("d q", N, H * D);
        Buf dK = e.act("d k", N, KV * D);
        Buf dV = e.act("d v", N, KV * D);
        e.add(new AttentionOps.AttentionGrad(need(q), need(k), need(v), start, null, out, need(lse), dMixed,
                e.act("delta", N, H), dQ, dK, dV, shape.B(), shape.T(), H, KV, D, c.attention().scale(), window,
                c.attention().softCap()));
        rotate(e, dQ, N, H, true);
        rotate(e, dK, N, KV, true);
        if (c.attention().qkNorm() != QkNorm.NONE) {
            dQ = qkNormBackward(e, "self_attn.q_norm", need(qRaw), need(qRstd), dQ, N, H);
            dK = qkNormBackward(e, "self_attn.k_norm", need(kRaw), need(kRstd), dK, N, KV);
        }
        Buf residual = pass ? g : null;
        Buf h = beforeAttention.forward(e, need(x), N);
        Buf dH = beforeAttention.gradient(e, residual, N);
        qkv.backward(e, h, List.of(dQ, dK, dV), dH, beforeAttention.accumulates(), N);
        beforeAttention.backward(e, dH, residual, N);
    }

    private Buf project(Emitter e, String module, AdaptedLinear l, Buf in, int N, int out) {
        e.scope(path + "." + module);
        Buf y = e.act("y", N, out);
        l.forward(e, in, y, N);
        return y;
    }

    /// `x + m branch`; the branch's output, which nothing else reads, is overwritten where m is not 1.
    private Buf add(Emitter e, String name, Buf x, Buf branch, int N) {
        e.scope(path);
        if (multiplier != 1)
            e.add(new ElementOps.Scale(multiplier, branch, branch));
        Buf sum = e.act(name, N, C);
        e.add(new ElementOps.Add(x, branch, sum));
        return sum;
    }

    /// From the gradient of the residual stream, which is not changed, to that of a branch's output.
    private Buf ofBranch(Emitter e, Buf g, int N) {
        if (multiplier == 1)
            return g;
        e.scope(path);
        Buf d = e.act("d branch", N, C);
        e.add(new ElementOps.Scale(multiplier, g, d));
        return d;
    }

    private Buf gated(Emitter e, int N) {
        e.scope(path + ".mlp");
        Buf a = e.act("gated", N, I);
        Activation f = c.mlp().activation();
        e.add(f == Activation.SILU ? new ElementOps.SwiGlu(need(gate), need(up), a)
                : new ActivationOps.Gated(f, need(gate), need(up), a));
        e.scope(path + ".mlp.down_proj");
        return a;
    }

    /// RMSNorm of q or k: each head by itself with one weight for all, or the whole row.
    private Norms.Out qkNorm(Emitter e, String module, Buf in, int N, int heads) {
        boolean whole = c.attention().qkNorm() == QkNorm.WHOLE;
        return Norms.forward(e, store, path + "." + module, in, whole ? N : N * heads, whole ? heads * D : D,
                c.norms());
    }

    private Buf qkNormBackward(Emitter e, String module, Buf in, Buf rstd, Buf dY, int N, int heads) {
        boolean whole = c.attention().qkNorm() == QkNorm.WHOLE;
        e.scope(path + "." + module);
        Buf dX = e.act("d x", N, heads * D);
        Norms.backward(e, store, path + "." + module, in, rstd, dY, dX, whole ? N : N * heads, whole ? heads * D : D,
                c.norms(), false);
        return dX;
    }

    private static Buf need(@Nullable Buf b) {
        return Objects.requireNonNull(b, "backward is emitted after forward");
    }
}
