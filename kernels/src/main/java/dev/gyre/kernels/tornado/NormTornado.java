package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Lowering of [dev.gyre.kernels.op.NormOps].
final class NormTornado extends OpLowering {
    NormTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(NormOps op) {
        switch (op) {
            case NormOps.RmsNorm o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                if (workGroups) {
                    tasks.groupTask("inverseRmsOfRow", rows(o.N()), NormRowKernels::inverseRmsOfRow,
                            at(x.at(), rstd.at()), x.array(), rstd.array(), o.C(), (float) o.eps());
                } else
                    tasks.task("inverseRms", items(o.N()), NormKernels::inverseRms, at(x.at(), rstd.at()), x.array(),
                            rstd.array(), o.N(), o.C(), (float) o.eps());
                if (packed(o.y())) {
                    Ints y = pairs(o.y());
                    tasks.task("normaliseToPairs", items(o.N() * o.C() / 2), NormPairKernels::normaliseToPairs,
                            at(x.at(), rstd.at(), w.at(), y.at()), x.array(), rstd.array(), w.array(), y.array(),
                            o.N(), o.C(), (float) o.offset());
                    return;
                }
                Floats y = f(o.y());
                tasks.task("normalise", items(o.N() * o.C()), NormKernels::normalise,
                        at(x.at(), rstd.at(), w.at(), y.at()), x.array(), rstd.array(), w.array(), y.array(), o.N(),
                        o.C(), (float) o.offset());
            }
            case NormOps.RmsNormGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                Floats dY = f(o.dY());
                Floats dX = f(o.dX());
                Floats mean = scratch(o.N());
                if (workGroups) {
                    tasks.groupTask("meanOfRowProduct", rows(o.N()), NormRowKernels::meanOfRowProduct,
                            at(x.at(), w.at(), dY.at(), mean.at()), x.array(), w.array(), dY.array(), mean.array(),
                            o.C(), (float) o.offset());
                } else
                    tasks.task("meanOfProduct", items(o.N()), NormKernels::meanOfProduct,
                            at(x.at(), w.at(), dY.at(), mean.at()), x.array(), w.array(), dY.array(), mean.array(),
                            o.N(), o.C(), (float) o.offset());
                tasks.task("normaliseGrad", items(o.N() * o.C()), NormKernels::normaliseGrad,
                        at(x.at(), rstd.at(), w.at(), dY.at(), mean.at(), dX.at()), x.array(), rstd.array(), w.array(),
                        dY.array(), mean.array(), dX.array(), o.N(), o.C(), flag(o.accumulate()),
                        (float) o.offset());
            }
            case NormOps.RmsNormWeightGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                Floats partial = scratch((long) parts * o.C());
                tasks.task("weightGradParts", items(o.C(), parts), NormKernels::weightGradParts,
                        at(x.at(), rstd.at(), dY.at(), partial.at()), x.array(), rstd.array(), dY.array(),
                        partial.array(), o.N(), o.C(), parts);
                addParts(partial, f(o.dWeight()), o.C(), parts, true);
            }
        }
    }

    /// A work group for each of `n` rows.
    private static Grid rows(int n) {
        return groups(n, NormRowKernels.GROUP);
    }
}
