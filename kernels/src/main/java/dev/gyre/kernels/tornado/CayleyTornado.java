package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.CayleyOps].
final class CayleyTornado extends OpLowering {
    CayleyTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(CayleyOps op) {
        switch (op) {
            case CayleyOps.Cayley o -> new CayleyTasks(this, o.map(), o.blocks(), o.b()).rotation(f(o.v()), f(o.r()));
            case CayleyOps.CayleyGrad o ->
                    new CayleyTasks(this, o.map(), o.blocks(), o.b()).gradient(f(o.v()), f(o.dR()), f(o.dV()));
            case CayleyOps.CoftProject o -> {
                Floats v = f(o.v());
                tasks.task("coftProject", items(o.blocks()), CayleyKernels::coftProject, at(v.at()), v.array(),
                        o.blocks(), o.b() * (o.b() - 1) / 2, (float) o.limit());
            }
            case CayleyOps.MaskBlocks o -> {
                Floats r = f(o.r());
                Ints mask = i(o.mask());
                tasks.task("maskBlocks", items(o.blocks() * o.b() * o.b()), CayleyKernels::maskBlocks,
                        at(r.at(), mask.at()), r.array(), mask.array(), o.blocks(), o.b(), flag(o.identity()));
            }
        }
    }
}
