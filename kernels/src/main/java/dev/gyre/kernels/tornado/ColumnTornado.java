package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.ColumnOps].
final class ColumnTornado extends OpLowering {
    ColumnTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(ColumnOps op) {
        switch (op) {
            case ColumnOps.AddBias o when packed(o.y()) -> {
                Floats bias = f(o.bias());
                Ints y = pairs(o.y());
                tasks.task("addBiasToPairs", items(o.N() * o.C() / 2), ColumnPairKernels::addBiasToPairs,
                        at(bias.at(), y.at()), bias.array(), y.array(), o.N(), o.C());
            }
            case ColumnOps.AddBias o -> {
                Floats y = f(o.y());
                Floats bias = f(o.bias());
                tasks.task("addBias", items(o.N() * o.C()), ColumnKernels::addBias, at(bias.at(), y.at()), bias.array(),
                        y.array(), o.N(), o.C());
            }
            case ColumnOps.BiasGrad o -> {
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                Floats partial = scratch((long) parts * o.C());
                tasks.task("columnParts", items(o.C(), parts), ColumnKernels::columnParts, at(dY.at(), partial.at()),
                        dY.array(), partial.array(), o.N(), o.C(), parts);
                addParts(partial, f(o.dBias()), o.C(), parts, true);
            }
            case ColumnOps.ScaleColumns o -> {
                Floats x = f(o.x());
                Floats s = f(o.s());
                Floats y = f(o.y());
                if (o.y() == o.x())
                    tasks.task("scaleColumnsInPlace", items(o.N() * o.C()), ColumnKernels::scaleColumnsInPlace,
                            at(s.at(), x.at()), s.array(), x.array(), o.N(), o.C());
                else
                    tasks.task("scaleColumns", items(o.N() * o.C()), ColumnKernels::scaleColumns,
                            at(x.at(), s.at(), y.at()), x.array(), s.array(), y.array(), o.N(), o.C());
            }
            case ColumnOps.ColumnDot o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                int parts = rowParts(o.N());
                Floats partial = scratch((long) parts * o.C());
                tasks.task("columnProductParts", items(o.C(), parts), ColumnKernels::columnProductParts,
                        at(x.at(), y.at(), partial.at()), x.array(), y.array(), partial.array(), o.N(), o.C(), parts);
                addParts(partial, f(o.out()), o.C(), parts, true);
            }
            case ColumnOps.PermuteColumns o -> {
                Floats x = f(o.x());
                Ints perm = i(o.perm());
                Floats y = f(o.y());
                tasks.task("permuteColumns", items(o.N() * o.C()), ColumnKernels::permuteColumns,
                        at(x.at(), perm.at(), y.at()), x.array(), perm.array(), y.array(), o.N(), o.C());
            }
        }
    }
}
