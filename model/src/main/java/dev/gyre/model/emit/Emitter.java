package dev.gyre.model.emit;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.Op;

/// Collects the operations of one program. Names of activations carry the scope (the module being emitted), so that a
/// printed program reads like the model.
public final class Emitter {
    private final Program.Builder program;
    private final Buffers store;
    private final boolean training;
    private String scope = "";

    /// @param training whether dropout applies and gradients will be asked for
    public Emitter(String name, Buffers store, boolean training) {
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
        return Buf.activation(scope.isEmpty() ? name : scope + "/" + name, dims);
    }

    public Program build() {
        return program.build();
    }
}
