package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.LayerNormOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.LayerNormOps].
final class LayerNormTornado extends OpLowering {
    LayerNormTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(LayerNormOps op) {
        switch (op) {
            case LayerNormOps.LayerNorm o -> {
                Floats x = f(o.x());
                Floats w = f(o.weight());
                Floats b = o.bias() == null ? w : f(o.bias());
                Floats y = f(o.y());
                Floats mean = f(o.mean());
                Floats rstd = apart(f(o.rstd()), o.N(), mean);
                tasks.task("rowMoments", items(o.N()), LayerNormKernels::rowMoments, at(x.at(), mean.at(), rstd.at()),
                        x.array(), mean.array(), rstd.array(), o.N(), o.C(), (float) o.eps());
                tasks.task("centre", items(o.N() * o.C()), LayerNormKernels::centre,
                        at(x.at(), mean.at(), rstd.at(), w.at(), b.at(), y.at()), x.array(), mean.array(),
                        rstd.array(), w.array(), b.array(), y.array(), o.N(), o.C(), flag(o.bias() != null));
                settle(rstd, f(o.rstd()), o.N());
            }
            case LayerNormOps.LayerNormGrad o -> {
                Floats x = f(o.x());
                Floats w = f(o.weight());
                Floats mean = f(o.mean());
                Floats rstd = f(o.rstd());
                Floats dY = f(o.dY());
                Floats dX = f(o.dX());
                Floats first = scratch(o.N());
                Floats second = scratchApart(o.N(), first);
                tasks.task("gradMoments", items(o.N()), LayerNormKernels::gradMoments,
                        at(x.at(), w.at(), mean.at(), rstd.at(), dY.at(), first.at(), second.at()), x.array(),
                        w.array(), mean.array(), rstd.array(), dY.array(), first.array(), second.array(), o.N(),
                        o.C());
                tasks.task("centreGrad", items(o.N() * o.C()), LayerNormKernels::centreGrad,
                        at(x.at(), w.at(), mean.at(), rstd.at(), dY.at(), first.at(), second.at(), dX.at()),
                        x.array(), w.array(), mean.array(), rstd.array(), dY.array(), first.array(), second.array(),
                        dX.array(), o.N(), o.C(), flag(o.accumulate()));
            }
            case LayerNormOps.LayerNormWeightGrad o -> {
                Floats x = f(o.x());
                Floats mean = f(o.mean());
                Floats rstd = f(o.rstd());
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                Floats partial = scratch((long) parts * o.C());
                tasks.task("centredParts", items(o.C(), parts), LayerNormKernels::centredParts,
                        at(x.at(), mean.at(), rstd.at(), dY.at(), partial.at()), x.array(), mean.array(),
                        rstd.array(), dY.array(), partial.array(), o.N(), o.C(), parts);
                addParts(partial, f(o.dWeight()), o.C(), parts, true);
            }
        }
    }
}
