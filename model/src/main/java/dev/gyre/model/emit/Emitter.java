package dev.gyre.model.emit;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Op;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/// Collects the operations of one program. Names of activations carry the scope (the module being emitted), so that a
/// printed program reads like the model.
public final class Emitter {
    private final Program.Builder program;
    private final Buffers store;
    private final boolean training;
    private final Map<Integer, Buf> kept;
    private final List<Buf> acts = new ArrayList<>();
    private String scope = "";

    /// @param training whether dropout applies and gradients will be asked for
    public Emitter(String name, Buffers store, boolean training) {
        this(name, store, training, Map.of());
    }

    /// @param kept by their number ([#acts]), activations in whose place buffers are taken that outlive a run
    public Emitter(String name, Buffers store, boolean training, Map<Integer, Buf> kept) {
        this.kept = kept;
        this.program = Program.builder(name);
        this.store = store;
        this.training = training;
    }

    public Buffers store() {
        return store;
    }

    public boolean training() {
        return training;
    }

    /// Whether adapters drop values.
    public boolean drops() {
        return training && store.drops();
    }

    public void scope(String module) {
        this.scope = module;
    }

    public String scope() {
        return scope;
    }

    public void add(Op op) {
        program.add(op);
    }

    /// A section begins here: a layer's forward or backward pass. See [Program#marks].
    public void mark() {
        program.mark();
    }

    /// A fresh activation named `scope/name`.
    public Buf act(String name, int... dims) {
        Buf b = kept.get(acts.size());
        if (b == null)
            b = Buf.activation(scope.isEmpty() ? name : scope + "/" + name, dims);
        if (!Arrays.equals(b.dims(), dims))
            throw new IllegalStateException(b + " is not what is emitted here");
        acts.add(b);
        return b;
    }

    /// All that [#act] gave, in order: emitted again, a program asks for the same.
    public List<Buf> acts() {
        return Collections.unmodifiableList(acts);
    }

    public Program build() {
        return program.build();
    }
}
