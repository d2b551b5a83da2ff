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
            case NormOps.RmsNorm o when packed(o.y()) -> {
                Floats x = f(o.x());
                Floats w = f(o.weight());
                Floats rstd = f(o.rstd());
                Ints y = pairs(o.y());
                tasks.groupTask("normaliseRowToPairs", rows(o.N()), NormPairKernels::normaliseRowToPairs,
                        at(x.at(), w.at(), rstd.at(), y.at()), x.array(), w.array(), rstd.array(), y.array(), o.C(),
                        (float) o.eps(), (float) o.offset());
            }
            case NormOps.RmsNorm o -> {
                Floats x = f(o.x());
                Floats w = f(o.weight());
                Floats y = f(o.y());
                if (workGroups) {
                    Floats rstd = apart(f(o.rstd()), o.N(), y);
                    tasks.groupTask("normaliseRow", rows(o.N()), NormRowKernels::normaliseRow,
                            at(x.at(), w.at(), rstd.at(), y.at()), x.array(), w.array(), rstd.array(), y.array(),
                            o.C(), (float) o.eps(), (float) o.offset());
                    settle(rstd, f(o.rstd()), o.N());
                    return;
                }
                Floats rstd = f(o.rstd());
                tasks.task("inverseRms", items(o.N()), NormKernels::inverseRms, at(x.at(), rstd.at()), x.array(),
                        rstd.array(), o.N(), o.C(), (float) o.eps());
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
                if (workGroups) {
                    tasks.groupTask("normaliseRowGrad", rows(o.N()), NormRowKernels::normaliseRowGrad,
                            at(x.at(), rstd.at(), w.at(), dY.at(), dX.at()), x.array(), rstd.array(), w.array(),
                            dY.array(), dX.array(), o.C(), flag(o.accumulate()), (float) o.offset());
                    return;
                }
                Floats mean = scratch(o.N());
                tasks.task("meanOfProduct", items(o.N()), NormKernels::meanOfProduct,
                        at(x.at(), w.at(), dY.at(), mean.at()), x.array(), w.array(), dY.array(), mean.array(), o.N(),
                        o.C(), (float) o.offset());
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
