package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import java.util.ArrayList;
import java.util.List;

/// Continues one sequence: keys and values of what was fed are cached, each token costs one pass over the weights.
/// Prompts go through in chunks of [#CHUNK] tokens.
public final class Decoder implements AutoCloseable {
    /// Tokens of a prompt fed at once.
    public static final int CHUNK = 32;

    private final Buffers store;
    private final MemoryPlan plan;
    private final Session session;
    private final TransformerProgram.Decoding one;
    private final TransformerProgram.Decoding many;
    private final int limit;
    private final int V;
    private int at;

    /// @param maxPositions longest sequence, prompt and continuation together
    public Decoder(Transformer model, Backend backend, int maxPositions) {
        Emitted e = emit(model.config(), model, model.adapters(), maxPositions);
        this.limit = maxPositions;
        this.V = model.config().vocabSize();
        this.one = e.one;
        this.many = e.many;
        this.store = e.store;
        this.session = backend.open(e.programs());
        this.plan = MemoryPlan.of(e.programs());
        store.fill(session, plan);
    }

    /// Reads the adapters' tensors again and forgets the sequence. The weights are not read again.
    public void reload() {
        store.fillParams(session, plan);
        reset();
    }

    /// Bytes of a decoder without the weights, which it shares.
    public static long bytes(Transformer model, int maxPositions) {
        return emit(model.config(), model, model.adapters(), maxPositions).bytes();
    }

    /// @param one for a single token
    /// @param many for [#CHUNK] tokens
    record Emitted(Buffers store, TransformerProgram.Decoding one, TransformerProgram.Decoding many) {
        List<Program> programs() {
            return List.of(one.program(), many.program());
        }

        long bytes() {
            MemoryPlan plan = MemoryPlan.of(programs());
            return plan.bytes() - plan.bytesByRole().getOrDefault(Buf.Role.WEIGHT, 0L);
        }
    }

    static Emitted emit(ModelConfig config, Buffers.Source source, List<Adapter> adapters, int maxPositions) {
        List<Tensor> trained = new ArrayList<>();
        for (Adapter a : adapters)
            trained.addAll(a.tensors());
        Buffers store = new Buffers(source, trained);
        TransformerProgram emit = new TransformerProgram(config, store, Transformer.byModule(adapters), maxPositions,
                Backend.LOGITS);
        TransformerProgram.Caches caches = TransformerProgram.Caches.of(config, maxPositions);
        return new Emitted(store, emit.decoding(caches, 1), emit.decoding(caches, CHUNK));
    }

    /// Forgets the sequence.
    public void reset() {
        at = 0;
    }

    /// Forgets all but the first `positions` tokens: what is fed next continues from there.
    public void rewind(int positions) {
        if (positions < 0 || positions > at)
            throw new InputException("cannot go back to token " + positions + " of " + at);
        at = positions;
    }

    /// Tokens fed so far.
    public int position() {
        return at;
    }

    /// Feeds tokens and returns the logits (V) after the last one.
    public float[] next(int... tokens) {
        if (tokens.length == 0)
            throw new InputException("a decoder needs at least one token");
        if (at + tokens.length > limit)
            throw new InputException("the sequence would reach " + (at + tokens.length)
                    + " tokens; this decoder was opened for " + limit);
        int i = 0;
        TransformerProgram.Decoding last = one;
        while (i < tokens.length) {
            int n = tokens.length - i >= CHUNK ? CHUNK : 1;
            last = n == 1 ? one : many;
            int[] ids = new int[n];
            int[] positions = new int[n];
            for (int j = 0; j < n; j++) {
                ids[j] = tokens[i + j];
                if (ids[j] < 0 || ids[j] >= V)
                    throw new InputException("token id " + ids[j] + " is outside the vocabulary of " + V);
                positions[j] = at + j;
            }
            session.write(last.ids(), ids);
            session.write(last.positions(), positions);
            session.write(last.start(), new int[] {at});
            session.run(last.program());
            i += n;
            at += n;
        }
        return session.read(last.logits());
    }

    @Override
    public void close() {
        session.close();
    }
}
