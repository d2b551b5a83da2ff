package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.RopeOps].
final class RopeTornado extends OpLowering {
    RopeTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(RopeOps op) {
        switch (op) {
            case RopeOps.Rope o when packed(o.x()) -> {
                Floats cos = f(o.cos());
                Floats sin = f(o.sin());
                Ints p = i(o.positions());
                Ints x = pairs(o.x());
                tasks.task("ropeOfPairs", items(o.N() * o.heads() * (o.R() >> 2)), RopePairKernels::ropeOfPairs,
                        at(cos.at(), sin.at(), p.at(), x.at()), cos.array(), sin.array(), p.array(), x.array(), o.N(),
                        o.heads(), o.D(), o.R() >> 1, o.inverse() ? -1f : 1f);
            }
            case RopeOps.Rope o -> {
                Floats x = f(o.x());
                Floats cos = f(o.cos());
                Floats sin = f(o.sin());
                Ints p = i(o.positions());
                tasks.task("rope", items(o.N() * o.heads() * (o.R() >> 1)), RopeKernels::rope,
                        at(cos.at(), sin.at(), p.at(), x.at()), cos.array(), sin.array(), p.array(), x.array(), o.N(),
                        o.heads(), o.D(), o.R() >> 1, o.inverse() ? -1f : 1f);
            }
        }
    }
}
