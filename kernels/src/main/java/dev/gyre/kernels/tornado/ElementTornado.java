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
            case ElementOps.Copy o when packed(o.x()) || packed(o.y()) -> copyPairs(o);
            case ElementOps.Copy o -> copy(f(o.x()), f(o.y()), o.x().length());
            case ElementOps.Add o when packed(o.y()) -> {
                Floats x = f(o.x());
                Ints y = pairs(o.y());
                Floats out = f(o.out());
                int n = o.x().length() / 2;
                tasks.task("addPairs", items(n), ElementPairKernels::addPairs, at(x.at(), y.at(), out.at()), x.array(),
                        y.array(), out.array(), n);
            }
            case ElementOps.Add o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                Floats out = f(o.out());
                tasks.task("add", items(o.x().length()), ElementKernels::add, at(x.at(), y.at(), out.at()), x.array(),
                        y.array(), out.array(), o.x().length());
            }
            case ElementOps.Axpy o -> axpy((float) o.a(), f(o.x()), f(o.y()), o.x().length());
            case ElementOps.Scale o -> {
                Floats x = f(o.x());
                int n = o.x().length();
                float a = (float) o.a();
                if (o.y() == o.x()) {
                    tasks.task("scaleInPlace", items(n), ElementKernels::scaleInPlace, at(x.at()), x.array(), n, a);
                } else {
                    Floats y = f(o.y());
                    tasks.task("scale", items(n), ElementKernels::scale, at(x.at(), y.at()), x.array(), y.array(), n,
                            a);
                }
            }
            case ElementOps.SwiGlu o when packed(o.gate()) -> swiGluOfPairs(o);
            case ElementOps.SwiGlu o -> {
                Floats gate = f(o.gate());
                Floats up = f(o.up());
                Floats out = f(o.out());
                tasks.task("swiGlu", items(o.gate().length()), ElementKernels::swiGlu, at(gate.at(), up.at(), out.at()),
                        gate.array(), up.array(), out.array(), o.gate().length());
            }
            case ElementOps.SwiGluGrad o when packed(o.gate()) -> {
                boolean packed = packed(o.dOut());
                Floats dOut = packed ? memory.nothing() : f(o.dOut());
                Ints gate = pairs(o.gate());
                Ints up = pairs(o.up());
                Ints dOutPairs = packed ? pairs(o.dOut()) : gate;
                int n = o.gate().length() / 2;
                tasks.task("swiGluGradOfPairs", items(n), ElementPairKernels::swiGluGradOfPairs,
                        at(dOut.at(), dOutPairs.at(), gate.at(), up.at()), dOut.array(), dOutPairs.array(),
                        gate.array(), up.array(), n, flag(packed));
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

    private void copyPairs(ElementOps.Copy o) {
        int n = o.x().length() / 2;
        if (!packed(o.x()))
            round(f(o.x()), pairs(o.y()), 2 * n);
        else {
            Ints x = pairs(o.x());
            if (packed(o.y())) {
                Ints y = pairs(o.y());
                tasks.task("copyPairs", items(n), ElementPairKernels::copyPairs, at(x.at(), y.at()), x.array(),
                        y.array(), n);
            } else {
                Floats y = f(o.y());
                tasks.task("fromPairs", items(n), ElementPairKernels::fromPairs, at(x.at(), y.at()), x.array(),
                        y.array(), n);
            }
        }
    }

    private void swiGluOfPairs(ElementOps.SwiGlu o) {
        Ints gate = pairs(o.gate());
        Ints up = pairs(o.up());
        int n = o.gate().length() / 2;
        if (packed(o.out())) {
            Ints out = pairs(o.out());
            tasks.task("swiGluToPairs", items(n), ElementPairKernels::swiGluToPairs, at(gate.at(), up.at(), out.at()),
                    gate.array(), up.array(), out.array(), n);
        } else {
            Floats out = f(o.out());
            tasks.task("swiGluFromPairs", items(n), ElementPairKernels::swiGluFromPairs,
                    at(gate.at(), up.at(), out.at()),
                    gate.array(), up.array(), out.array(), n);
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
