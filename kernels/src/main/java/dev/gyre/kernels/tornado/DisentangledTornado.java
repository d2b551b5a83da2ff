package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.DisentangledOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.DisentangledOps]. The gradient keeps the gradients of all scores of the operation in
/// workspaces, from which each result is a sum of its own.
final class DisentangledTornado extends OpLowering {
    DisentangledTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(DisentangledOps op) {
        switch (op) {
            case DisentangledOps.DisentangledAttention o -> {
                Floats q = f(o.q());
                Floats k = f(o.k());
                Floats v = f(o.v());
                Floats posK = o.posK() == null ? q : f(o.posK());
                Floats posQ = o.posQ() == null ? q : f(o.posQ());
                Ints index = i(o.index());
                Ints mirror = i(o.mirror());
                Ints start = i(o.start());
                Ints end = i(o.end());
                Floats out = f(o.out());
                int rows = o.B() * o.T() * o.H();
                Floats lse = apart(f(o.lse()), rows, out);
                tasks.task("disentangled", items(o.H(), o.B() * o.T()), DisentangledKernels::disentangled,
                        at(q.at(), k.at(), v.at(), posK.at(), posQ.at(), index.at(), mirror.at(), start.at(),
                                end.at(), out.at(), lse.at(), flag(o.posK() != null), flag(o.posQ() != null)),
                        q.array(), k.array(), v.array(), posK.array(), posQ.array(), index.array(), mirror.array(),
                        start.array(), end.array(), out.array(), lse.array(), o.B() * o.T(), o.T(), o.H(), o.D(),
                        (float) o.scale());
                settle(lse, f(o.lse()), rows);
            }
            case DisentangledOps.DisentangledAttentionGrad o -> gradient(o);
        }
    }

    private void gradient(DisentangledOps.DisentangledAttentionGrad o) {
        Floats q = f(o.q());
        Floats k = f(o.k());
        Floats v = f(o.v());
        Floats posK = o.posK() == null ? q : f(o.posK());
        Floats posQ = o.posQ() == null ? q : f(o.posQ());
        int byKey = flag(o.posK() != null);
        int byQuery = flag(o.posQ() != null);
        Ints index = i(o.index());
        Ints mirror = i(o.mirror());
        Ints start = i(o.start());
        Ints end = i(o.end());
        Floats out = f(o.out());
        Floats lse = f(o.lse());
        Floats dOut = f(o.dOut());
        Floats dQ = f(o.dQ());
        Floats dK = f(o.dK());
        Floats dV = apart(f(o.dV()), o.B() * o.T() * o.H() * o.D(), dK);
        int T = o.T();
        int H = o.H();
        int D = o.D();
        int rows = o.B() * T * H;
        Floats delta = scratch(rows);
        Floats dS = scratch((long) rows * T);
        Floats p = scratchApart((long) rows * T, dS);
        tasks.task("outputDot", items(rows), AttentionKernels::outputDot, at(out.at(), dOut.at(), delta.at()),
                out.array(), dOut.array(), delta.array(), rows, D);
        tasks.task("disentangledScores", items(T, rows), DisentangledKernels::disentangledScores,
                at(q.at(), k.at(), v.at(), posK.at(), posQ.at(), index.at(), mirror.at(), start.at(), end.at(),
                        lse.at(), dOut.at(), delta.at(), dS.at(), p.at(), byKey, byQuery, D),
                q.array(), k.array(), v.array(), posK.array(), posQ.array(), index.array(), mirror.array(),
                start.array(), end.array(), lse.array(), dOut.array(), delta.array(), dS.array(), p.array(), rows, T,
                H, (float) o.scale());
        tasks.task("disentangledQueryGrad", items(D, rows), DisentangledKernels::disentangledQueryGrad,
                at(dS.at(), k.at(), posK.at(), index.at(), dQ.at(), byKey), dS.array(), k.array(), posK.array(),
                index.array(), dQ.array(), rows, T, H, D);
        tasks.task("disentangledKeyGrad", items(D, rows), DisentangledKernels::disentangledKeyGrad,
                at(dS.at(), p.at(), q.at(), dOut.at(), posQ.at(), mirror.at(), dK.at(), dV.at(), byQuery), dS.array(),
                p.array(), q.array(), dOut.array(), posQ.array(), mirror.array(), dK.array(), dV.array(), rows, T, H,
                D);
        settle(dV, f(o.dV()), rows * D);
        if (o.dPosK() != null)
            positions(dS, q, index, f(o.dPosK()), o, false);
        if (o.dPosQ() != null)
            positions(dS, k, mirror, f(o.dPosQ()), o, true);
    }

    private void positions(Floats dS, Floats x, Ints index, Floats dPos, DisentangledOps.DisentangledAttentionGrad o,
            boolean ofKeys) {
        tasks.task("positionGrad", items(o.H() * o.D(), o.R()), DisentangledKernels::positionGrad,
                at(dS.at(), x.at(), index.at(), dPos.at()), dS.array(), x.array(), index.array(), dPos.array(), o.R(),
                o.B(), o.T(), o.H(), o.D(), flag(ofKeys));
    }
}
