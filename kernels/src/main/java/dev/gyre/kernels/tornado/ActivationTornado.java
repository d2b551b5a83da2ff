package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.ActivationOps].
final class ActivationTornado extends OpLowering {
    ActivationTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(ActivationOps op) {
        switch (op) {
            case ActivationOps.Activate o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                tasks.task("activate", items(o.x().length()), ActivationKernels::activate, at(x.at(), y.at()),
                        x.array(), y.array(), o.f().ordinal(), o.x().length());
            }
            case ActivationOps.ActivateGrad o -> {
                Floats x = f(o.x());
                Floats dY = f(o.dY());
                Floats dX = f(o.dX());
                tasks.task("activateGrad", items(o.x().length()), ActivationKernels::activateGrad,
                        at(x.at(), dY.at(), dX.at()), x.array(), dY.array(), dX.array(), o.f().ordinal(),
                        o.x().length());
            }
            case ActivationOps.Gated o -> {
                Floats gate = f(o.gate());
                Floats up = f(o.up());
                Floats out = f(o.out());
                tasks.task("gated", items(o.gate().length()), ActivationKernels::gated,
                        at(gate.at(), up.at(), out.at()), gate.array(), up.array(), out.array(), o.f().ordinal(),
                        o.gate().length());
            }
            case ActivationOps.GatedGrad o -> {
                Floats gate = f(o.gate());
                Floats up = f(o.up());
                Floats dOut = f(o.dOut());
                Floats dGate = f(o.dGate());
                int n = o.gate().length();
                Floats dUp = apart(f(o.dUp()), n, dGate);
                tasks.task("gatedGrad", items(o.gate().length()), ActivationKernels::gatedGrad,
                        at(gate.at(), up.at(), dOut.at(), dGate.at(), dUp.at()), gate.array(), up.array(),
                        dOut.array(), dGate.array(), dUp.array(), o.f().ordinal(), n);
                settle(dUp, f(o.dUp()), n);
            }
        }
    }
}
