package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.Givens;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;
import java.util.List;
import java.util.stream.IntStream;

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
                tasks.task("givensAngles", items(o.n()), GivensKernels::givensAngles, at(phi.at(), m.at()), phi.array(),
                        m.array(), o.n());
            }
            case GivensOps.GivensAnglesGrad o -> {
                Floats phi = f(o.phi());
                Floats dG = f(o.dG());
                Floats dPhi = f(o.dPhi());
                tasks.task("givensAnglesGrad", items(o.n()), GivensKernels::givensAnglesGrad,
                        at(phi.at(), dG.at(), dPhi.at()), phi.array(), dG.array(), dPhi.array(), o.n());
            }
            case GivensOps.GivensSweep o -> {
                Floats x = f(o.x());
                Floats m = f(o.g());
                Floats y = f(o.y());
                if (sweepsRows(o.d())) {
                    int rows = rowsOfSweep(o.d());
                    tasks.groupTask("sweepRows", groups(Math.ceilDiv(o.N(), rows), GivensRowKernels.GROUP),
                            GivensRowKernels::sweepRows,
                            at(x.at(), m.at(), y.at(), stages(o.d()).at(), Givens.stages(o.d()).size()), x.array(),
                            m.array(), y.array(), stages(o.d()).array(), o.N(), o.d(), rows);
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
                Floats partial = scratch(parts);
                tasks.task("givensPenaltyParts", items(parts), GivensKernels::givensPenaltyParts,
                        at(m.at(), partial.at()), m.array(), partial.array(), o.n(), parts);
                tasks.task("scaledSum", items(1), GivensKernels::scaledSum, at(partial.at(), loss.at()),
                        partial.array(), loss.array(), parts, (float) o.lambda());
                tasks.task("givensPenaltyGrad", items(o.n()), GivensKernels::givensPenaltyGrad, at(m.at(), dG.at()),
                        m.array(), dG.array(), o.n(), (float) o.lambda());
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
    private Ints stages(int d) {
        return memory
                .constants(Givens.stages(d).stream().flatMapToInt(s -> IntStream.of(s.pairs(), s.first())).toArray());
    }

    private void sweepGradRows(GivensOps.GivensSweepGrad o) {
        Floats x = f(o.x());
        Floats m = f(o.g());
        Floats dY = f(o.dY());
        Floats dX = f(o.dX());
        int rows = rowsOfSweep(o.d());
        int parts = Math.min(Math.ceilDiv(o.N(), rows), SWEEP_PARTS);
        int pairs = o.d() - 1;
        Floats inputs = scratchApart(2L * parts * rows * pairs, dX);
        Floats dG = scratchApart(4L * parts * pairs, dX, inputs);
        tasks.groupTask("sweepGradRows", groups(parts, GivensRowKernels.GROUP), GivensRowKernels::sweepGradRows,
                at(x.at(), m.at(), dY.at(), inputs.at(), dX.at(), dG.at(), stages(o.d()).at(),
                        Givens.stages(o.d()).size()),
                x.array(), m.array(), dY.array(), inputs.array(), dX.array(), dG.array(), stages(o.d()).array(), o.N(),
                o.d(), rows, parts, flag(o.accumulate()));
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
            tasks.task("givensStageGrad", items(4 * stage.pairs()), GivensKernels::givensStageGrad,
                    at(z.at(), dZ.at(), dG.at()), z.array(), dZ.array(), dG.array(), o.N(), o.d(), stage.stride(),
                    stage.pairs(), stage.first());
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
            tasks.task("givensStageBack", items(N * s.pairs()), GivensKernels::givensStageBack, at(m.at(), x.at()),
                    m.array(), x.array(), N, d, s.stride(), s.pairs(), s.first());
        else
            tasks.task("givensStage", items(N * s.pairs()), GivensKernels::givensStage, at(m.at(), x.at()), m.array(),
                    x.array(), N, d, s.stride(), s.pairs(), s.first());
    }
}
