package dev.gyre.model.transformer;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.ModuleAdapter;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.weights.Site;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// One decoder layer while it is emitted into one program.
///
///     x += o_proj(attention(rope(q), rope(k), v)),  q, k, v = {q,k,v}_proj(norm1(x))
///     x += down_proj(silu(gate_proj(h)) * up_proj(h)),  h = norm2(x)
///
/// Kept for the backward pass: both residual inputs, q, k, v, the attention's output and row statistics, gate and up.
/// Norm outputs and the SwiGLU product are computed again there: one pass over memory each, against `2 C + I` numbers a
/// token that would be kept per layer.
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
    private final AdaptedLinear qProj;
    private final AdaptedLinear kProj;
    private final AdaptedLinear vProj;
    private final AdaptedLinear oProj;
    private final AdaptedLinear gateProj;
    private final AdaptedLinear upProj;
    private final AdaptedLinear downProj;
    private final Rotary rotary;

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

    /// RoPE tables and the positions that this program's rows have.
    record Rotary(Buf cos, Buf sin, Buf positions) {
    }

    DecoderLayer(ModelConfig c, Buffers store, int index, Rotary rotary, Map<String, List<ModuleAdapter>> adapters) {
        this.c = c;
        this.store = store;
        this.path = "model.layers." + index;
        this.C = c.hiddenSize();
        this.H = c.numHeads();
        this.KV = c.numKvHeads();
        this.D = c.headDim();
        this.I = c.intermediateSize();
        this.window = c.window(index);
        this.rotary = rotary;
        List<Site> seven = c.linears().subList(7 * index, 7 * index + 7);
        this.qProj = linear(seven.get(0), adapters);
        this.kProj = linear(seven.get(1), adapters);
        this.vProj = linear(seven.get(2), adapters);
        this.oProj = linear(seven.get(3), adapters);
        this.gateProj = linear(seven.get(4), adapters);
        this.upProj = linear(seven.get(5), adapters);
        this.downProj = linear(seven.get(6), adapters);
    }

    private AdaptedLinear linear(Site l, Map<String, List<ModuleAdapter>> adapters) {
        return new AdaptedLinear(store, l.path(), l.in(), l.out(), l.bias(),
                adapters.getOrDefault(l.path(), List.of()));
    }

    /// Whether anything in this layer is trained.
    boolean trains() {
        return store.weightGrad(path + ".input_layernorm.weight") != null || qProj.trains() || kProj.trains()
                || vProj.trains() || oProj.trains() || gateProj.trains() || upProj.trains() || downProj.trains();
    }

    /// How queries meet keys: over the batch's own rows, or over a cache.
    interface Mixer {
        /// Emits attention of q (N, H*D) over k, v (N, KV*D); returns its output (N, H*D).
        Buf mix(Emitter e, Buf q, Buf k, Buf v, double scale, int window);
    }

    /// Emits the layer for a batch of whole sequences.
    Buf forward(Emitter e, Buf in, BatchShape shape, Buf start) {
        return forward(e, in, shape.tokens(),
                (em, q, k, v, scale, window) -> attend(em, q, k, v, shape, start, scale, window));
    }

    /// Emits the layer; returns its output (N, C), a buffer of its own. Emitted again before backward, it replaces what
    /// the first time left for it.
    Buf forward(Emitter e, Buf in, int N, Mixer mixer) {
        x = in;
        Buf h = norm(e, "input_layernorm", in, N).y();
        Buf q0 = project(e, "self_attn.q_proj", qProj, h, N, H * D);
        Buf k0 = project(e, "self_attn.k_proj", kProj, h, N, KV * D);
        v = project(e, "self_attn.v_proj", vProj, h, N, KV * D);
        if (c.qkNorm()) {
            qRaw = q0;
            kRaw = k0;
            Norms.Out qn = headNorm(e, "self_attn.q_norm", q0, N, H);
            Norms.Out kn = headNorm(e, "self_attn.k_norm", k0, N, KV);
            qRstd = qn.rstd();
            kRstd = kn.rstd();
            q = qn.y();
            k = kn.y();
        } else {
            q = q0;
            k = k0;
        }
        e.scope(path + ".self_attn");
        e.add(new RopeOps.Rope(q, rotary.cos, rotary.sin, rotary.positions, N, H, D, false));
        e.add(new RopeOps.Rope(k, rotary.cos, rotary.sin, rotary.positions, N, KV, D, false));
        mixed = mixer.mix(e, q, k, v, scale(), window);
        Buf attended = project(e, "self_attn.o_proj", oProj, mixed, N, C);
        middle = add(e, "residual 1", in, attended, N);

        h = norm(e, "post_attention_layernorm", middle, N).y();
        gate = project(e, "mlp.gate_proj", gateProj, h, N, I);
        up = project(e, "mlp.up_proj", upProj, h, N, I);
        Buf down = project(e, "mlp.down_proj", downProj, swiGlu(e, N), N, C);
        return add(e, "residual 2", middle, down, N);
    }

    private double scale() {
        return 1 / Math.sqrt(D);
    }

    /// Training's [Mixer]: causal attention inside the batch; remembers the row statistics for backward.
    private Buf attend(Emitter e, Buf q, Buf k, Buf v, BatchShape shape, Buf start, double scale, int window) {
        int N = shape.tokens();
        Buf out = e.act("attention", N, H * D);
        Buf l = e.act("lse", N, H);
        e.add(new AttentionOps.Attention(q, k, v, start, out, l, shape.B(), shape.T(), H, KV, D, scale, window));
        lse = l;
        return out;
    }

    /// Emits gradients; `g` (N, C) holds the gradient of the layer's output and, when `pass`, is turned into that of its
    /// input.
    void backward(Emitter e, Buf g, BatchShape shape, Buf start, boolean pass) {
        int N = shape.tokens();
        boolean attentionTrains = qProj.trains() || kProj.trains() || vProj.trains() || oProj.trains()
                || store.weightGrad(path + ".input_layernorm.weight") != null;
        Buf xIn = need(x);
        Buf mid = need(middle);
        Buf gt = need(gate);
        Buf u = need(up);

        // mlp: g flows through the residual and into down_proj
        e.scope(path + ".mlp.down_proj");
        Buf dAct = e.act("d swiglu", N, I);
        downProj.backward(e, downProj.needsInput() ? swiGlu(e, N) : null, g, dAct, false, N);
        e.scope(path + ".mlp");
        e.add(new ElementOps.SwiGluGrad(gt, u, dAct, gt, u));
        boolean passMlp = pass || attentionTrains;
        boolean normTrains = store.weightGrad(path + ".post_attention_layernorm.weight") != null;
        if (passMlp || normTrains || gateProj.trains() || upProj.trains()) {
            Norms.Out h = norm(e, "post_attention_layernorm", mid, N);
            Buf dH = passMlp || normTrains ? e.act("d h", N, C) : null;
            e.scope(path + ".mlp.gate_proj");
            gateProj.backward(e, h.y(), gt, dH, false, N);
            e.scope(path + ".mlp.up_proj");
            upProj.backward(e, h.y(), u, dH, true, N);
            normBackward(e, "post_attention_layernorm", mid, h, dH, passMlp ? g : null, N);
        }
        if (!passMlp)
            return;

        // attention
        e.scope(path + ".self_attn.o_proj");
        Buf out = need(mixed);
        Buf dMixed = e.act("d attention", N, H * D);
        oProj.backward(e, oProj.needsInput() ? out : null, g, dMixed, false, N);
        if (!pass && !qProj.trains() && !kProj.trains() && !vProj.trains()
                && store.weightGrad(path + ".input_layernorm.weight") == null)
            return;
        e.scope(path + ".self_attn");
        Buf dQ = e.act("d q", N, H * D);
        Buf dK = e.act("d k", N, KV * D);
        Buf dV = e.act("d v", N, KV * D);
        e.add(new AttentionOps.AttentionGrad(need(q), need(k), need(v), start, out, need(lse), dMixed,
                e.act("delta", N, H), dQ,
                dK, dV, shape.B(), shape.T(), H, KV, D, scale(), window));
        e.add(new RopeOps.Rope(dQ, rotary.cos, rotary.sin, rotary.positions, N, H, D, true));
        e.add(new RopeOps.Rope(dK, rotary.cos, rotary.sin, rotary.positions, N, KV, D, true));
        if (c.qkNorm()) {
            dQ = headNormBackward(e, "self_attn.q_norm", need(qRaw), need(qRstd), dQ, N, H);
            dK = headNormBackward(e, "self_attn.k_norm", need(kRaw), need(kRstd), dK, N, KV);
        }
        Norms.Out h = norm(e, "input_layernorm", xIn, N);
        boolean norm1Trains = store.weightGrad(path + ".input_layernorm.weight") != null;
        Buf dH = pass || norm1Trains ? e.act("d h", N, C) : null;
        e.scope(path + ".self_attn.q_proj");
        qProj.backward(e, h.y(), dQ, dH, false, N);
        e.scope(path + ".self_attn.k_proj");
        kProj.backward(e, h.y(), dK, dH, true, N);
        e.scope(path + ".self_attn.v_proj");
        vProj.backward(e, h.y(), dV, dH, true, N);
        normBackward(e, "input_layernorm", xIn, h, dH, pass ? g : null, N);
    }

    private Buf project(Emitter e, String module, AdaptedLinear l, Buf in, int N, int out) {
        e.scope(path + "." + module);
        Buf y = e.act("y", N, out);
        l.forward(e, in, y, N);
        return y;
    }

    private Buf add(Emitter e, String name, Buf a, Buf b, int N) {
        e.scope(path);
        Buf sum = e.act(name, N, C);
        e.add(new ElementOps.Add(a, b, sum));
        return sum;
    }

    private Buf swiGlu(Emitter e, int N) {
        e.scope(path + ".mlp");
        Buf a = e.act("swiglu", N, I);
        e.add(new ElementOps.SwiGlu(need(gate), need(up), a));
        e.scope(path + ".mlp.down_proj");
        return a;
    }

    private Norms.Out norm(Emitter e, String module, Buf in, int N) {
        return Norms.forward(e, store, path + "." + module, in, N, C, c.rmsNormEps());
    }

    private void normBackward(Emitter e, String module, Buf in, Norms.Out h, @Nullable Buf dY, @Nullable Buf dX,
            int N) {
        Norms.backward(e, store, path + "." + module, in, h.rstd(), dY, dX, N, C, true);
    }

    /// RMSNorm over each head of q or k (Qwen3), the same weight for all heads.
    private Norms.Out headNorm(Emitter e, String module, Buf in, int N, int heads) {
        return Norms.forward(e, store, path + "." + module, in, N * heads, D, c.rmsNormEps());
    }

    private Buf headNormBackward(Emitter e, String module, Buf in, Buf rstd, Buf dY, int N, int heads) {
        e.scope(path + "." + module);
        Buf dX = e.act("d x", N, heads * D);
        Norms.backward(e, store, path + "." + module, in, rstd, dY, dX, N * heads, D, false);
        return dX;
    }

    private static Buf need(@Nullable Buf b) {
        return Objects.requireNonNull(b, "backward is emitted after forward");
    }
}
