package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.Givens;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;
import java.util.List;
import java.util.stream.IntStream;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Lowering of [dev.gyre.kernels.op.GivensOps].
final class GivensTornado extends OpLowering {
    /// Most work groups of a sweep's gradient; each has a workspace for a gradient and the inputs of its rows.
    private static final int SWEEP_PARTS = 256;

    GivensTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(GivensOps op) {
        switch (op) {
            case GivensOps.GivensAngles o -> {
                Floats phi = f(o.phi());
                Floats m = f(o.g());
                tasks.task("givensAngles", items(o.n()), GivensKernels::givensAngles, phi.array(), m.array(),
                        at(phi.at(), m.at()), o.n());
            }
            case GivensOps.GivensAnglesGrad o -> {
                Floats phi = f(o.phi());
                Floats dG = f(o.dG());
                Floats dPhi = f(o.dPhi());
                tasks.task("givensAnglesGrad", items(o.n()), GivensKernels::givensAnglesGrad, phi.array(), dG.array(),
                        dPhi.array(), at(phi.at(), dG.at(), dPhi.at()), o.n());
            }
            case GivensOps.GivensSweep o -> {
                Floats x = f(o.x());
                Floats m = f(o.g());
                Floats y = f(o.y());
                if (sweepsRows(o.d())) {
                    int rows = rowsOfSweep(o.d());
                    tasks.task("sweepRows", groups(Math.ceilDiv(o.N(), rows), GivensRowKernels.GROUP),
                            GivensRowKernels::sweepRows, new KernelContext(), x.array(), m.array(), y.array(),
                            stages(o.d()), at(x.at(), m.at(), y.at(), Givens.stages(o.d()).size()), o.N(), o.d(),
                            rows);
                } else {
                    copy(x, y, o.x().length());
                    sweep(y, m, o.N(), o.d(), 0);
                }
            }
            case GivensOps.GivensSweepGrad o -> {
                if (sweepsRows(o.d()))
                    sweepGradRows(o);
                else
                    givensSweepGrad(o);
            }
            case GivensOps.GivensPenalty o -> {
                Floats m = f(o.g());
                Floats dG = f(o.dG());
                Floats loss = f(o.loss());
                int parts = sumParts(o.n());
                FloatArray partial = memory.scratch(parts);
                tasks.task("givensPenaltyParts", items(parts), GivensKernels::givensPenaltyParts, m.array(), partial,
                        at(m.at()), o.n(), parts);
                tasks.task("scaledSum", items(1), GivensKernels::scaledSum, partial, loss.array(), at(loss.at()),
                        parts, (float) o.lambda());
                tasks.task("givensPenaltyGrad", items(o.n()), GivensKernels::givensPenaltyGrad, m.array(), dG.array(),
                        at(m.at(), dG.at()), o.n(), (float) o.lambda());
            }
        }
    }

    private boolean sweepsRows(int d) {
        return workGroups && d > 1 && d <= GivensRowKernels.MAX_D;
    }

    private static int rowsOfSweep(int d) {
        return Math.clamp(GivensRowKernels.MAX_D / d, 1, GivensRowKernels.MAX_ROWS);
    }

    /// Number of pairs and first pair of each stage.
    private IntArray stages(int d) {
        return at(Givens.stages(d).stream().flatMapToInt(s -> IntStream.of(s.pairs(), s.first())).toArray());
    }

    private void sweepGradRows(GivensOps.GivensSweepGrad o) {
        Floats x = f(o.x());
        Floats m = f(o.g());
        Floats dY = f(o.dY());
        Floats dX = f(o.dX());
        int rows = rowsOfSweep(o.d());
        int parts = Math.min(Math.ceilDiv(o.N(), rows), SWEEP_PARTS);
        int pairs = o.d() - 1;
        FloatArray inputs = memory.scratch(2L * parts * rows * pairs);
        FloatArray dG = memory.scratch(4L * parts * pairs);
        tasks.task("sweepGradRows", groups(parts, GivensRowKernels.GROUP), GivensRowKernels::sweepGradRows,
                new KernelContext(), x.array(), m.array(), dY.array(), inputs, dX.array(), dG, stages(o.d()),
                at(x.at(), m.at(), dY.at(), dX.at(), Givens.stages(o.d()).size()), o.N(), o.d(), rows, parts,
                flag(o.accumulate()));
        addParts(dG, f(o.dG()), 4 * pairs, parts, false);
    }

    /// Backward through the stages, smallest stride first. The input of a stage is its output times the transposed matrices,
    /// or, if these are not orthogonal, is computed again from x (there are only log2 d stages).
    private void givensSweepGrad(GivensOps.GivensSweepGrad o) {
        List<Givens.Stage> stages = Givens.stages(o.d());
        int n = o.x().length();
        Floats m = f(o.g());
        Floats dG = f(o.dG());
        Floats z = scratch(n);
        Floats dZ = scratch(n);
        copy(f(o.dY()), dZ, n);
        copy(f(o.x()), z, n);
        sweep(z, m, o.N(), o.d(), 0);
        for (int s = 0; s < stages.size(); s++) {
            Givens.Stage stage = stages.get(s);
            if (o.orthogonal())
                stage(z, m, o.N(), o.d(), stage, true);
            else {
                copy(f(o.x()), z, n);
                sweep(z, m, o.N(), o.d(), s + 1);
            }
            tasks.task("givensStageGrad", items(4 * stage.pairs()), GivensKernels::givensStageGrad, z.array(),
                    dZ.array(), dG.array(), at(dG.at()), o.N(), o.d(), stage.stride(), stage.pairs(), stage.first());
            stage(dZ, m, o.N(), o.d(), stage, true);
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }

    /// Applies the stages from the largest stride down to stage `last` in place.
    private void sweep(Floats x, Floats m, int N, int d, int last) {
        List<Givens.Stage> stages = Givens.stages(d);
        for (int s = stages.size() - 1; s >= last; s--)
            stage(x, m, N, d, stages.get(s), false);
    }

    private void stage(Floats x, Floats m, int N, int d, Givens.Stage s, boolean back) {
        if (back)
            tasks.task("givensStageBack", items(N * s.pairs()), GivensKernels::givensStageBack, x.array(), m.array(),
                    at(x.at(), m.at()), N, d, s.stride(), s.pairs(), s.first());
        else
            tasks.task("givensStage", items(N * s.pairs()), GivensKernels::givensStage, x.array(), m.array(),
                    at(x.at(), m.at()), N, d, s.stride(), s.pairs(), s.first());
    }
}
