package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.ElementOps].
final class ElementTornado extends OpLowering {
    ElementTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(ElementOps op) {
        switch (op) {
            case ElementOps.Fill o -> fill(f(o.x()), o.x().length(), (float) o.value());
            case ElementOps.Copy o -> copy(f(o.x()), f(o.y()), o.x().length());
            case ElementOps.Add o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                Floats out = f(o.out());
                tasks.task("add", items(o.x().length()), ElementKernels::add, at(x.at(), y.at(), out.at()), x.array(),
                        y.array(), out.array(), o.x().length());
            }
            case ElementOps.Axpy o -> axpy((float) o.a(), f(o.x()), f(o.y()), o.x().length());
            case ElementOps.SwiGlu o -> {
                Floats gate = f(o.gate());
                Floats up = f(o.up());
                Floats out = f(o.out());
                tasks.task("swiGlu", items(o.gate().length()), ElementKernels::swiGlu, at(gate.at(), up.at(), out.at()),
                        gate.array(), up.array(), out.array(), o.gate().length());
            }
            case ElementOps.SwiGluGrad o -> swiGluGrad(o);
            case ElementOps.Dropout o -> {
                Floats x = f(o.x());
                Ints seed = i(o.seed());
                Floats y = f(o.y());
                tasks.task("dropout", items(o.x().length()), ElementKernels::dropout,
                        at(x.at(), seed.at(), y.at(), o.salt()), x.array(), seed.array(), y.array(), o.x().length(),
                        (float) o.p(), (float) (1 / (1 - o.p())), flag(o.accumulate()));
            }
        }
    }

    private void fill(Floats x, int n, float value) {
        tasks.task("fillWith", items(n), ElementKernels::fillWith, at(x.at()), x.array(), n, value);
    }

    /// If only one of the outputs replaces its input, it is computed in a workspace, because the other one needs that input.
    private void swiGluGrad(ElementOps.SwiGluGrad o) {
        Floats gate = f(o.gate());
        Floats up = f(o.up());
        Floats dOut = f(o.dOut());
        int n = o.gate().length();
        boolean gateInPlace = o.dGate() == o.gate();
        boolean upInPlace = o.dUp() == o.up();
        if (gateInPlace && upInPlace && memory.lane(gate.array()) != memory.lane(up.array())) {
            tasks.task("swiGluGradInPlace", items(n), ElementKernels::swiGluGradInPlace,
                    at(dOut.at(), gate.at(), up.at()), dOut.array(), gate.array(), up.array(), n);
            return;
        }
        Floats dGate = gateInPlace ? scratch(n) : f(o.dGate());
        Floats dUp = upInPlace ? apart(up, n, up, dGate) : apart(f(o.dUp()), n, dGate);
        tasks.task("swiGluGrad", items(n), ElementKernels::swiGluGrad,
                at(gate.at(), up.at(), dOut.at(), dGate.at(), dUp.at()), gate.array(), up.array(), dOut.array(),
                dGate.array(), dUp.array(), n);
        if (gateInPlace)
            copy(dGate, gate, n);
        if (upInPlace)
            copy(dUp, up, n);
        else
            settle(dUp, f(o.dUp()), n);
    }
}
