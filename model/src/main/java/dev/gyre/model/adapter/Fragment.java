package dev.gyre.model.adapter;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import java.util.List;

/// A piece of an adapter's emission that is run by itself, with no model around it: its rotation, its update.
@FunctionalInterface
public interface Fragment {
    /// Emits the piece and names the buffer that holds its result.
    Buf emit(Emitter e, Buffers store);

    /// The values that `piece` computes from the tensors of one adapter.
    static float[] run(Backend backend, List<Tensor> tensors, Fragment piece) {
        Buffers store = new Buffers(new Buffers.Source() {
            @Override
            public HostData data(String name) {
                throw new IllegalStateException("a piece of an adapter reads no model weight, got " + name);
            }

            @Override
            public int[] dims(String name) {
                throw new IllegalStateException("a piece of an adapter reads no model weight, got " + name);
            }
        }, tensors);
        Emitter e = new Emitter("piece", store, false);
        Buf made = piece.emit(e, store);
        Buf out = Buf.output("result", made.length());
        e.add(new ElementOps.Copy(made, out));
        Program p = e.build();
        try (Session s = backend.open(List.of(p))) {
            store.fill(s, MemoryPlan.of(List.of(p)));
            s.run(p);
            return s.read(out);
        }
    }
}
