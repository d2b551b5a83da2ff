package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;
import org.jspecify.annotations.Nullable;

/// Lowering of [dev.gyre.kernels.op.SubspaceOps].
final class SubspaceTornado extends OpLowering {
    SubspaceTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(SubspaceOps op) {
        switch (op) {
            case SubspaceOps.PsoftCore o -> {
                Floats r = f(o.R());
                Floats va = orR(o.va(), r);
                Floats vb = orR(o.vb(), r);
                Floats core = f(o.core());
                tasks.task("psoftCore", items(o.r() * o.r()), SubspaceKernels::psoftCore,
                        at(r.at(), va.at(), vb.at(), core.at()), r.array(), va.array(), vb.array(), core.array(), o.r(),
                        flag(o.va() != null), flag(o.vb() != null));
            }
            case SubspaceOps.PsoftCoreGrad o -> psoftCoreGrad(o);
        }
    }

    private void psoftCoreGrad(SubspaceOps.PsoftCoreGrad o) {
        Floats r = f(o.R());
        Floats va = orR(o.va(), r);
        Floats vb = orR(o.vb(), r);
        Floats dCore = f(o.dCore());
        Floats dR = f(o.dR());
        int useA = flag(o.va() != null);
        int useB = flag(o.vb() != null);
        tasks.task("psoftRotationGrad", items(o.r() * o.r()), SubspaceKernels::psoftRotationGrad,
                at(dCore.at(), va.at(), vb.at(), dR.at()), dCore.array(), va.array(), vb.array(), dR.array(), o.r(),
                useA, useB);
        Buf dVa = o.dVa();
        if (dVa != null) {
            Floats d = f(dVa);
            tasks.task("psoftColumnGrad", items(o.r()), SubspaceKernels::psoftColumnGrad,
                    at(r.at(), dCore.at(), vb.at(), d.at()), r.array(), dCore.array(), vb.array(), d.array(), o.r(),
                    useB);
        }
        Buf dVb = o.dVb();
        if (dVb != null) {
            Floats d = f(dVb);
            tasks.task("psoftRowGrad", items(o.r()), SubspaceKernels::psoftRowGrad,
                    at(r.at(), dCore.at(), va.at(), d.at()), r.array(), dCore.array(), va.array(), d.array(), o.r(),
                    useA);
        }
    }

    /// A kernel does not read a vector that is absent; R is passed in its place.
    private Floats orR(@Nullable Buf vector, Floats r) {
        return vector == null ? r : f(vector);
    }
}
