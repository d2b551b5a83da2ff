package dev.gyre.model.transformer;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Activation;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.EmbeddingRotation;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.family.RopeScaling;
import dev.gyre.model.family.RopeTable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Emits the whole transformer: embedding, decoder layers, final norm, output head with the loss.
///
/// The head runs in chunks of rows together with the loss and its gradient, so that logits (N, V) are never held whole
/// unless they are asked for.
final class TransformerProgram {
    private final ModelConfig c;
    private final Buffers store;
    private final Map<String, List<AdapterLayer>> adapters;
    private final int C;
    private final int V;
    private final int positions;
    /// RoPE tables by what they are of and the longest sequence they serve.
    private final Map<Rotary, Map<Integer, Buf[]>> tables = new HashMap<>();
    /// Logits held at once in training and evaluation.
    private final int logits;
    /// Factor of the token losses' gradient: 1 / trained tokens of the step.
    private final Buf lossScale = Buf.input("loss scale", DType.F32, 1);

    /// Inputs and outputs of the programs of one batch shape.
    record Io(BatchShape shape, Buf ids, Buf labels, Buf positions, Buf start, Buf rowLoss) {
        static Io of(BatchShape s) {
            int n = s.tokens();
            String at = " " + s.B() + "x" + s.T();
            return new Io(s, Buf.input("ids" + at, DType.I32, n), Buf.input("labels" + at, DType.I32, n),
                    Buf.input("positions" + at, DType.I32, n), Buf.input("start" + at, DType.I32, n),
                    Buf.output("row loss" + at, n));
        }
    }

    /// A program that also leaves logits in an output buffer: all (N, V), or those of the last tokens of each row.
    record WithLogits(Program program, Buf logits) {
    }

    /// @param positions one more than the largest position that will occur
    /// @param logits to hold at once in training and evaluation
    TransformerProgram(ModelConfig c, Buffers store, Map<String, List<AdapterLayer>> adapters, int positions,
            int logits) {
        this.c = c;
        this.logits = logits;
        this.store = store;
        this.adapters = adapters;
        this.C = c.hiddenSize();
        this.V = c.vocabSize();
        this.positions = positions;
    }

    Buf lossScale() {
        return lossScale;
    }

    /// Forward, loss and backward of one micro-batch; gradients are added to the store's.
    ///
    /// @param checkpointing whether a layer keeps nothing but its input and runs forward again before it runs backward:
    ///        the same operations on the same values, hence bitwise equal gradients
    Program training(Io io, boolean checkpointing) {
        Emitter e = new Emitter("train " + io.shape.B() + "x" + io.shape.T(), store, true);
        run(e, io, true, checkpointing, null);
        Program p = e.build();
        return checkpointing ? p.withoutUnread() : p;
    }

    /// Forward and row losses.
    Program evaluation(Io io) {
        Emitter e = new Emitter("evaluate " + io.shape.B() + "x" + io.shape.T(), store, false);
        run(e, io, false, false, null);
        return e.build();
    }

    /// Forward with logits kept, row losses.
    ///
    /// @param last how many tokens at the end of each row have logits and losses; at most T, which is all
    WithLogits logits(Io io, int last) {
        Emitter e = new Emitter("logits " + io.shape.B() + "x" + io.shape.T(), store, false);
        Buf logits = Buf.output("logits " + io.shape.B() + "x" + io.shape.T(), Math.multiplyExact(io.shape.B(), last),
                V);
        run(e, io, false, false, logits);
        return new WithLogits(e.build(), logits);
    }

    private void run(Emitter e, Io io, boolean training, boolean checkpointing, @Nullable Buf keepLogits) {
        BatchShape shape = io.shape;
        int N = shape.tokens();
        Rows body = rows(shape, io.ids, io.positions, io.start, checkpointing);
        Buf y = body.forward(e);
        AdaptedLinear first = head();
        boolean headTrains = first.trains();
        boolean back = training && body.trains();
        e.scope(ModelConfig.HEAD);
        // a chunk's inputs are overwritten by their gradient, unless the head reads them again
        Buf dH = !back ? null : first.needsInput() ? e.act("d h", N, C) : y;
        int most = Math.clamp(logits / V, 1, N);
        int chunks = (N + most - 1) / most;
        int chunk = (N + chunks - 1) / chunks;
        int skipped = 0;
        if (keepLogits != null) {
            boolean all = keepLogits.dim(0) == N;
            chunk = all ? N : keepLogits.dim(0) / shape.B();
            skipped = all ? 0 : shape.T() - chunk;
        }
        // tokens of a row before its last ones are skipped
        for (int row = skipped, kept = 0; row < N; row += chunk + skipped, kept += chunk) {
            int n = Math.min(chunk, N - row);
            e.mark();
            AdaptedLinear head = head();
            Buf hc = y.view("h rows", (long) row * C, n, C);
            Buf logits = keepLogits != null ? keepLogits.view("logits", (long) kept * V, n, V)
                    : e.act("logits", n, V);
            head.forward(e, hc, logits, n);
            boolean gradient = dH != null || training && headTrains;
            Buf capped = finish(e, logits, gradient);
            e.add(new TokenOps.CrossEntropy(capped, io.labels.view("labels", row, n),
                    io.rowLoss.view("row loss", row, n),
                    lossScale, n, V, training));
            if (!gradient)
                continue;
            finishGrad(e, logits, capped);
            head.backward(e, hc, capped, dH == null ? null : dH.view("d h rows", (long) row * C, n, C), false, n);
        }
        if (dH != null)
            body.backward(e, dH);
    }

    /// Embedding, layers and final norm of one program.
    Rows rows(BatchShape shape, Buf ids, Buf positions, Buf start, boolean checkpointing) {
        return new Rows(shape, ids, start, checkpointing, layers(positions, shape.T()));
    }

    /// What the head reads, and what its gradient goes through.
    final class Rows {
        private final BatchShape shape;
        private final Buf ids;
        private final Buf start;
        private final boolean checkpointing;
        private final int N;
        private final List<DecoderLayer> layers;
        private final Embedding embedding = new Embedding();
        private final List<Buf> inputs = new ArrayList<>();
        private @Nullable Buf output;
        private @Nullable Buf rstd;

        private Rows(BatchShape shape, Buf ids, Buf start, boolean checkpointing, List<DecoderLayer> layers) {
            this.shape = shape;
            this.ids = ids;
            this.start = start;
            this.checkpointing = checkpointing;
            this.N = shape.tokens();
            this.layers = layers;
        }

        boolean trains() {
            return lowestTrained(layers, embedding) < layers.size()
                    || store.weightGrad(ModelConfig.FINAL_NORM + ".weight") != null || embedding.trains();
        }

        /// Emits them; returns the normalised rows (N, C).
        Buf forward(Emitter e) {
            Buf x = embedding.forward(e, ids, N);
            for (DecoderLayer l : layers) {
                e.mark();
                inputs.add(x);
                x = l.forward(e, x, shape, start);
            }
            e.mark();
            Norms.Out norm = Norms.forward(e, store, ModelConfig.FINAL_NORM, x, N, C, c.norms());
            output = x;
            rstd = norm.rstd();
            return norm.y();
        }

        /// @param dH gradient of the normalised rows
        void backward(Emitter e, Buf dH) {
            int lowest = lowestTrained(layers, embedding);
            e.mark();
            Buf g = e.act("g", N, C);
            Norms.backward(e, store, ModelConfig.FINAL_NORM, Objects.requireNonNull(output),
                    Objects.requireNonNull(rstd), dH, g, N, C, c.norms(), false);
            for (int i = layers.size() - 1; i >= lowest; i--) {
                e.mark();
                // the last layer has only just run forward
                if (checkpointing && i < layers.size() - 1)
                    layers.get(i).forward(e, inputs.get(i), shape, start);
                layers.get(i).backward(e, g, shape, start, i > lowest || embedding.trains());
            }
            e.mark();
            if (embedding.trains())
                embedding.backward(e, ids, g, N);
        }
    }

    /// Index of the lowest layer whose backward pass is needed.
    private static int lowestTrained(List<DecoderLayer> layers, Embedding embedding) {
        if (embedding.trains())
            return 0;
        for (int i = 0; i < layers.size(); i++)
            if (layers.get(i).trains())
                return i;
        return layers.size();
    }

    /// Dynamic scaling takes its frequencies from the length of the batch, so each length has tables of its own; all other
    /// scalings share those of the longest.
    private DecoderLayer.Tables tables(Rotary rotary, Buf rows, int T) {
        int most = rotary.scaling() instanceof RopeScaling.Dynamic ? T : positions;
        int dims = rotary.dims(c.attention().headDim());
        int n = c.positions().rotaries().indexOf(rotary);
        String number = n == 0 ? "" : " " + (n + 1);
        Buf[] own = tables.computeIfAbsent(rotary, _ -> new HashMap<>()).computeIfAbsent(most, m -> {
            float[] cos = RopeTable.cos(c, rotary, m);
            float[] sin = RopeTable.sin(c, rotary, m);
            int[] shape = {cos.length / (dims / 2), dims / 2};
            return new Buf[] {store.constant("rope cos" + number, new HostData.F32(cos), shape),
                store.constant("rope sin" + number, new HostData.F32(sin), shape)};
        });
        return new DecoderLayer.Tables(own[0], own[1], dims, rows);
    }

    private List<DecoderLayer> layers(Buf rows, int T) {
        List<DecoderLayer> out = new ArrayList<>();
        for (int i = 0; i < c.shape().layers(); i++) {
            Rotary rotary = c.positions().layers().get(i).rotary();
            out.add(new DecoderLayer(c, store, i, rotary == null ? null : tables(rotary, rows, T), adapters));
        }
        return out;
    }

    /// What the model makes of its head's output z, `c tanh(z / (d c))` or `z / d` without a cap; z is overwritten.
    ///
    /// @param gradient whether [#finishGrad] will need `z / (d c)`, which then stays where z was
    /// @return where the logits are
    private Buf finish(Emitter e, Buf z, boolean gradient) {
        double cap = c.multipliers().softCap();
        double divisor = c.multipliers().logits() * (cap == 0 ? 1 : cap);
        if (divisor != 1)
            e.add(new ElementOps.Scale(1 / divisor, z, z));
        if (cap == 0)
            return z;
        Buf y = gradient ? e.act("capped", z.dims()) : z;
        e.add(new ActivationOps.Activate(Activation.TANH, z, y));
        e.add(new ElementOps.Scale(cap, y, y));
        return y;
    }

    /// From the gradient of the logits to that of the head's output, in place.
    private void finishGrad(Emitter e, Buf z, Buf d) {
        if (c.multipliers().softCap() != 0)
            e.add(new ActivationOps.ActivateGrad(Activation.TANH, z, d, d));
        if (c.multipliers().logits() != 1)
            e.add(new ElementOps.Scale(1 / c.multipliers().logits(), d, d));
    }

    private AdaptedLinear head() {
        // an adapter may train a head of its own over a tied one
        boolean shared = c.tieWordEmbeddings() && store.weightGrad(ModelConfig.HEAD + ".weight") == null;
        String weight = shared ? ModelConfig.EMBEDDING + ".weight" : ModelConfig.HEAD + ".weight";
        return new AdaptedLinear(store, ModelConfig.HEAD, weight, C, V, false,
                adapters.getOrDefault(ModelConfig.HEAD, List.of()));
    }

    /// Token embedding, rotated where an adapter sits on it.
    private final class Embedding {
        private final List<EmbeddingRotation> rotations = new ArrayList<>();
        private final List<Buf> inputs = new ArrayList<>();
        // an adapter may train an embedding of its own apart from a head that is tied to the model's
        private final String table = store.weightGrad(ModelConfig.EMBEDDING_APART) != null
                ? ModelConfig.EMBEDDING_APART : ModelConfig.EMBEDDING + ".weight";

        Embedding() {
            for (AdapterLayer a : adapters.getOrDefault(ModelConfig.EMBEDDING, List.of()))
                rotations.add(a.onEmbedding(store));
        }

        boolean trains() {
            return !rotations.isEmpty() || store.weightGrad(table) != null;
        }

        Buf forward(Emitter e, Buf ids, int N) {
            e.scope(ModelConfig.EMBEDDING);
            Buf x = e.act("x", N, C);
            e.add(new TokenOps.Embed(ids, store.weight(table), x, N, V, C));
            scale(e, x);
            for (EmbeddingRotation r : rotations) {
                inputs.add(x);
                Buf y = e.act("rotated", N, C);
                r.forward(e, x, y, N);
                x = y;
            }
            return x;
        }

        /// Rows of the table, or their gradient, times the model's factor.
        private void scale(Emitter e, Buf rows) {
            if (c.multipliers().embedding() != 1)
                e.add(new ElementOps.Scale(c.multipliers().embedding(), rows, rows));
        }

        void backward(Emitter e, Buf ids, Buf g, int N) {
            e.scope(ModelConfig.EMBEDDING);
            Buf dTable = store.weightGrad(table);
            for (int i = rotations.size() - 1; i >= 0; i--) {
                Buf dX = i > 0 || dTable != null ? e.act("d x", N, C) : null;
                rotations.get(i).backward(e, inputs.get(i), g, dX, N);
                if (dX == null)
                    return;
                g = dX;
            }
            scale(e, g);
            e.add(new TokenOps.EmbedGrad(ids, g, Objects.requireNonNull(dTable), N, V, C));
        }
    }

    /// Penalties and the norm of the whole gradient; apart from [#update], so that a gradient that is not finite never
    /// reaches the parameters.
    static Program norm(Buffers store, Buf norm, List<Regulariser> regularisers) {
        Emitter e = new Emitter("gradient norm", store, true);
        for (Regulariser r : regularisers)
            r.regularise(e, store);
        e.add(new OptimiserOps.GradNorm(store.grads(), norm));
        return e.build();
    }

    /// Puts the gradients aside and sets them to zero.
    static Program hold(Buffers store, Buf held, int level) {
        Emitter e = new Emitter("hold gradients " + level, store, true);
        e.add(new ElementOps.Copy(store.grads(), held));
        e.add(new ElementOps.Fill(store.grads(), 0f));
        return e.build();
    }

    /// Adds to the gradients what was put aside.
    static Program addHeld(Buffers store, Buf held, int level) {
        Emitter e = new Emitter("add held gradients " + level, store, true);
        e.add(new ElementOps.Axpy(1, held, store.grads()));
        return e.build();
    }

    /// Clipped AdamW step, gradients back to zero. `hp` is [OptimiserOps.AdamW]'s.
    static Program update(Buffers store, Buf m, Buf v, Buf hp, Buf norm) {
        Emitter e = new Emitter("update", store, true);
        int decayed = store.decayed();
        if (decayed > 0)
            adamW(e, store, m, v, hp, norm, 0, decayed, true);
        if (decayed < store.size())
            adamW(e, store, m, v, hp, norm, decayed, store.size() - decayed, false);
        e.add(new ElementOps.Fill(store.grads(), 0f));
        return e.build();
    }

    /// A term of the loss that depends on parameters only; adds its gradient once per update.
    interface Regulariser {
        void regularise(Emitter e, Buffers store);
    }

    private static void adamW(Emitter e, Buffers s, Buf m, Buf v, Buf hp, Buf norm, int at, int n, boolean decay) {
        e.add(new OptimiserOps.AdamW(s.params().view("params", at, n), s.grads().view("grads", at, n),
                m.view("m", at, n),
                v.view("v", at, n), hp, norm, decay));
    }

    /// What a decoding program is told of its T tokens: ids, rows of the rotary tables, and where in the caches they belong
    /// ([AttentionOps.CachedAttention]).
    record Tokens(int T, Buf ids, Buf positions, Buf rows) {
        static Tokens of(int T) {
            return new Tokens(T, Buf.input("ids d" + T, DType.I32, T), Buf.input("positions d" + T, DType.I32, T),
                    Buf.input("rows d" + T, DType.I32, 2, T));
        }
    }

    /// A cached decoding program and its inputs.
    record Decoding(Program program, Tokens tokens) {
    }

    /// Key and value caches of all layers, (P, KV*D) each.
    record Caches(int P, List<Buf> keys, List<Buf> values) {
        static Caches of(ModelConfig c, int P) {
            List<Buf> k = new ArrayList<>();
            List<Buf> v = new ArrayList<>();
            for (int i = 0; i < c.shape().layers(); i++) {
                k.add(Buf.state("key cache " + i, P, c.attention().kvWidth()));
                v.add(Buf.state("value cache " + i, P, c.attention().kvWidth()));
            }
            return new Caches(P, k, v);
        }
    }

    /// Feeds T tokens, of one sequence or of several, through the caches.
    ///
    /// @param logits whose first T rows become those of the tokens, (T,V) or more; null: nobody wants them
    Decoding decoding(Caches caches, Tokens tokens, @Nullable Buf logits) {
        int T = tokens.T;
        Emitter e = new Emitter((logits == null ? "feed " : "decode ") + T, store, false);
        int H = c.attention().heads();
        int KV = c.attention().kvHeads();
        int D = c.attention().headDim();
        Buf x = new Embedding().forward(e, tokens.ids, T);
        List<DecoderLayer> layers = layers(tokens.positions, this.positions);
        for (int i = 0; i < layers.size(); i++) {
            e.mark();
            Buf kc = caches.keys.get(i);
            Buf vc = caches.values.get(i);
            x = layers.get(i).forward(e, x, T, (em, q, k, v, window) -> {
                Buf out = em.act("attention", T, H * D);
                em.add(new AttentionOps.CacheStore(k, v, kc, vc, tokens.rows, T, caches.P, KV * D));
                em.add(new AttentionOps.CachedAttention(q, kc, vc, tokens.rows, out, T, caches.P, H, KV, D,
                        c.attention().scale(), window, c.attention().softCap()));
                return out;
            });
        }
        if (logits == null)
            return new Decoding(e.build().withoutUnread(), tokens);
        e.mark();
        Buf h = Norms.forward(e, store, ModelConfig.FINAL_NORM, x, T, C, c.norms()).y();
        e.scope(ModelConfig.HEAD);
        Buf z = logits.view("logits", 0, T, V);
        head().forward(e, h, z, T);
        finish(e, z, false);
        return new Decoding(e.build(), tokens);
    }
}
