package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

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
                Floats y = f(o.y());
                if (workGroups) {
                    tasks.task("inverseRmsOfRow", rows(o.N()), NormRowKernels::inverseRmsOfRow, new KernelContext(),
                            x.array(), rstd.array(), at(x.at(), rstd.at()), o.C(), (float) o.eps());
                } else
                    tasks.task("inverseRms", items(o.N()), NormKernels::inverseRms, x.array(), rstd.array(),
                            at(x.at(), rstd.at()), o.N(), o.C(), (float) o.eps());
                tasks.task("normalise", items(o.N() * o.C()), NormKernels::normalise, x.array(), rstd.array(),
                        w.array(), y.array(), at(x.at(), rstd.at(), w.at(), y.at()), o.N(), o.C());
            }
            case NormOps.RmsNormGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                Floats dY = f(o.dY());
                Floats dX = f(o.dX());
                FloatArray mean = memory.scratch(o.N());
                if (workGroups) {
                    tasks.task("meanOfRowProduct", rows(o.N()), NormRowKernels::meanOfRowProduct, new KernelContext(),
                            x.array(), w.array(), dY.array(), mean, at(x.at(), w.at(), dY.at()), o.C());
                } else
                    tasks.task("meanOfProduct", items(o.N()), NormKernels::meanOfProduct, x.array(), w.array(),
                            dY.array(), mean, at(x.at(), w.at(), dY.at()), o.N(), o.C());
                tasks.task("normaliseGrad", items(o.N() * o.C()), NormKernels::normaliseGrad, x.array(), rstd.array(),
                        w.array(), dY.array(), mean, dX.array(), at(x.at(), rstd.at(), w.at(), dY.at(), dX.at()), o.N(),
                        o.C(), flag(o.accumulate()));
            }
            case NormOps.RmsNormWeightGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                tasks.task("weightGradParts", items(o.C(), parts), NormKernels::weightGradParts, x.array(),
                        rstd.array(), dY.array(), partial, at(x.at(), rstd.at(), dY.at()), o.N(), o.C(), parts);
                addParts(partial, f(o.dWeight()), o.C(), parts, true);
            }
        }
    }

    /// A work group for each of `n` rows.
    private static Grid rows(int n) {
        return groups(n, NormRowKernels.GROUP);
    }
}
