package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.OptimiserOps].
final class OptimiserTornado extends OpLowering {
    OptimiserTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(OptimiserOps op) {
        switch (op) {
            case OptimiserOps.GradNorm o -> {
                Floats x = f(o.grad());
                Floats norm = f(o.norm());
                int n = o.grad().length();
                int parts = sumParts(n);
                Floats partial = scratch(parts);
                tasks.task("squareParts", items(parts), OptimiserKernels::squareParts, at(x.at(), partial.at()),
                        x.array(), partial.array(), n, parts);
                tasks.task("rootOfParts", items(1), OptimiserKernels::rootOfParts, at(partial.at(), norm.at()),
                        partial.array(), norm.array(), parts);
            }
            case OptimiserOps.AdamW o -> adamW(o);
        }
    }

    private void adamW(OptimiserOps.AdamW o) {
        int n = o.param().length();
        Floats p = f(o.param());
        Floats grad = f(o.grad());
        Floats m = apart(f(o.m()), n, p);
        Floats v = apart(f(o.v()), n, p, m);
        settle(f(o.m()), m, n);
        settle(f(o.v()), v, n);
        Floats hp = f(o.hp());
        Floats norm = f(o.norm());
        tasks.task("adamW", items(n), OptimiserKernels::adamW,
                at(grad.at(), hp.at(), norm.at(), p.at(), m.at(), v.at()), grad.array(), hp.array(), norm.array(),
                p.array(), m.array(), v.array(), n, flag(o.decay()));
        settle(m, f(o.m()), n);
        settle(v, f(o.v()), n);
    }
}
