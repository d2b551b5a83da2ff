package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.HeadOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.HeadOps].
final class HeadTornado extends OpLowering {
    HeadTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(HeadOps op) {
        switch (op) {
            case HeadOps.MeanRows o -> {
                Floats x = f(o.x());
                Ints from = i(o.from());
                Ints to = i(o.to());
                Floats out = f(o.out());
                tasks.task("meanOfRows", items(o.C(), o.R()), HeadKernels::meanOfRows,
                        at(x.at(), from.at(), to.at(), out.at()), x.array(), from.array(), to.array(), out.array(),
                        o.R(), o.C());
            }
            case HeadOps.MeanRowsGrad o -> {
                Floats dOut = f(o.dOut());
                Ints from = i(o.from());
                Ints to = i(o.to());
                Floats dX = f(o.dX());
                tasks.task("meanOfRowsGrad", items(o.C(), o.N()), HeadKernels::meanOfRowsGrad,
                        at(dOut.at(), from.at(), to.at(), dX.at()), dOut.array(), from.array(), to.array(),
                        dX.array(), o.N(), o.R(), o.C());
            }
            case HeadOps.RowDot o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                Floats out = f(o.out());
                tasks.task("rowProducts", items(o.N()), HeadKernels::rowProducts, at(x.at(), y.at(), out.at()),
                        x.array(), y.array(), out.array(), o.N(), o.C());
            }
            case HeadOps.ScaleRows o -> {
                Floats x = f(o.x());
                Floats s = f(o.s());
                Floats y = f(o.y());
                tasks.task("scaleRows", items(o.N() * o.C()), HeadKernels::scaleRows, at(x.at(), s.at(), y.at()),
                        x.array(), s.array(), y.array(), o.N(), o.C(), flag(o.accumulate()));
            }
            case HeadOps.BinaryCrossEntropy o -> {
                Floats logits = f(o.logits());
                Floats targets = f(o.targets());
                Floats loss = apart(f(o.rowLoss()), o.N(), logits);
                Floats scale = f(o.scale());
                tasks.task("binaryLoss", items(o.N()), HeadKernels::binaryLoss,
                        at(targets.at(), scale.at(), logits.at(), loss.at()), targets.array(), scale.array(),
                        logits.array(), loss.array(), o.N(), o.V(), flag(o.gradient()));
                settle(loss, f(o.rowLoss()), o.N());
            }
            case HeadOps.SquaredError o -> {
                Floats y = f(o.y());
                Floats targets = f(o.targets());
                Floats loss = apart(f(o.rowLoss()), o.N(), y);
                Floats scale = f(o.scale());
                tasks.task("squaredLoss", items(o.N()), HeadKernels::squaredLoss,
                        at(targets.at(), scale.at(), y.at(), loss.at()), targets.array(), scale.array(), y.array(),
                        loss.array(), o.N(), o.V(), flag(o.gradient()));
                settle(loss, f(o.rowLoss()), o.N());
            }
        }
    }
}
