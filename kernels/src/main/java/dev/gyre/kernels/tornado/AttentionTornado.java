package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Lowering of [dev.gyre.kernels.op.AttentionOps].
final class AttentionTornado extends OpLowering {
    private final Choice choice;

    AttentionTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
        this.choice = choice;
    }

    void lower(AttentionOps op) {
        switch (op) {
            case AttentionOps.Attention o when onTensorCores(choice, o) ->
                    new AttentionMma(tasks, memory, workGroups).attention(o);
            case AttentionOps.AttentionGrad o when onTensorCores(choice, o) ->
                    new AttentionMma(tasks, memory, workGroups).gradient(o);
            case AttentionOps.Attention o -> {
                Floats q = f(o.q());
                Floats k = f(o.k());
                Floats v = f(o.v());
                Ints start = i(o.start());
                Floats out = f(o.out());
                int rows = o.B() * o.T() * o.H();
                Floats lse = apart(f(o.lse()), rows, out);
                if (o.end() != null || o.softCap() > 0) {
                    Ints end = o.end() == null ? start : i(o.end());
                    tasks.task("attendBound", items(o.H(), o.B() * o.T()), AttentionBoundKernels::attendBound,
                            at(q.at(), k.at(), v.at(), start.at(), end.at(), out.at(), lse.at()), q.array(),
                            k.array(), v.array(), start.array(), end.array(), out.array(), lse.array(),
                            o.B() * o.T(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(),
                            flag(o.end() != null), (float) o.softCap());
                    settle(lse, f(o.lse()), rows);
                    return;
                }
                int[] at = at(q.at(), k.at(), v.at(), start.at(), out.at(), lse.at(), o.D(),
                        AttentionTileKernels.TILE);
                if (workGroups && o.D() <= AttentionTileKernels.MAX_D)
                    tasks.groupTask("attendTile", attentionTiles(o.T(), o.B() * o.H()),
                            AttentionTileKernels::attendTile, at, q.array(), k.array(), v.array(), start.array(),
                            out.array(), lse.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
                else
                    tasks.task("attend", items(o.H(), o.B() * o.T()), AttentionKernels::attend, at, q.array(),
                            k.array(), v.array(), start.array(), out.array(), lse.array(), o.B() * o.T(), o.T(), o.H(),
                            o.KV(), o.D(), (float) o.scale(), o.window());
                settle(lse, f(o.lse()), rows);
            }
            case AttentionOps.AttentionGrad o -> attentionGrad(o);
            case AttentionOps.CacheStore o -> {
                Ints rows = i(o.rows());
                cacheRows(f(o.k()), f(o.kCache()), rows, o.T(), o.C());
                cacheRows(f(o.v()), f(o.vCache()), rows, o.T(), o.C());
            }
            case AttentionOps.CachedAttention o -> {
                Floats q = f(o.q());
                Floats k = f(o.kCache());
                Floats v = f(o.vCache());
                Ints rows = i(o.rows());
                Floats out = f(o.out());
                if (o.softCap() > 0) {
                    tasks.task("attendCacheCapped", items(o.H(), o.T()), AttentionBoundKernels::attendCacheCapped,
                            at(q.at(), k.at(), v.at(), rows.at(), out.at()), q.array(), k.array(), v.array(),
                            rows.array(), out.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(),
                            (float) o.softCap());
                    return;
                }
                int most = AttentionTileKernels.MAX_D;
                int[] at = at(q.at(), k.at(), v.at(), rows.at(), out.at(), o.D(), most);
                if (workGroups && o.D() <= most)
                    tasks.groupTask("attendCacheRow", groups(o.T() * o.H(), most), AttentionTileKernels::attendCacheRow,
                            at, q.array(), k.array(), v.array(), rows.array(), out.array(), o.T(), o.H(), o.KV(), o.D(),
                            (float) o.scale(), o.window());
                else
                    tasks.task("attendCache", items(o.H(), o.T()), AttentionKernels::attendCache, at, q.array(),
                            k.array(), v.array(), rows.array(), out.array(), o.T(), o.H(), o.KV(), o.D(),
                            (float) o.scale(), o.window());
            }
        }
    }

    /// Causal attention without a cap on the scores; all else is computed in F32.
    static boolean onTensorCores(Choice choice, AttentionOps.Attention o) {
        return choice.tensorCores() && o.end() == null && o.softCap() == 0 && AttentionMma.takes(o.D());
    }

    static boolean onTensorCores(Choice choice, AttentionOps.AttentionGrad o) {
        return choice.tensorCores() && o.end() == null && o.softCap() == 0 && AttentionMma.takes(o.D());
    }

    private void attentionGrad(AttentionOps.AttentionGrad o) {
        Floats q = f(o.q());
        Floats k = f(o.k());
        Floats v = f(o.v());
        Ints start = i(o.start());
        Floats lse = f(o.lse());
        Floats dOut = f(o.dOut());
        Floats delta = f(o.delta());
        Floats dQ = f(o.dQ());
        Floats dK = f(o.dK());
        int N = o.B() * o.T();
        int values = N * o.KV() * o.D();
        Floats dV = apart(f(o.dV()), values, dK);
        outputDot(o);
        if (o.end() != null || o.softCap() > 0) {
            Ints end = o.end() == null ? start : i(o.end());
            int bounded = flag(o.end() != null);
            tasks.task("queryGradBound", items(o.H(), N), AttentionBoundKernels::queryGradBound,
                    at(q.at(), k.at(), v.at(), start.at(), end.at(), lse.at(), dOut.at(), delta.at(), dQ.at(),
                            bounded),
                    q.array(), k.array(), v.array(), start.array(), end.array(), lse.array(), dOut.array(),
                    delta.array(), dQ.array(), N, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(),
                    (float) o.softCap());
            tasks.task("keyValueGradBound", items(o.KV(), N), AttentionBoundKernels::keyValueGradBound,
                    at(q.at(), k.at(), v.at(), start.at(), end.at(), lse.at(), dOut.at(), delta.at(), dK.at(),
                            dV.at(), bounded, o.H() / o.KV()),
                    q.array(), k.array(), v.array(), start.array(), end.array(), lse.array(), dOut.array(),
                    delta.array(), dK.array(), dV.array(), N, o.T(), o.KV(), o.D(), (float) o.scale(), o.window(),
                    (float) o.softCap());
            settle(dV, f(o.dV()), values);
            return;
        }
        int tile = AttentionTileKernels.TILE;
        int[] atQ = at(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dQ.at(), o.D(), tile);
        int[] atK = at(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dK.at(), dV.at(), o.D(),
                tile);
        if (workGroups && o.D() <= AttentionTileKernels.MAX_D) {
            tasks.groupTask("queryGradTile", attentionTiles(o.T(), o.B() * o.H()), AttentionTileKernels::queryGradTile,
                    atQ, q.array(), k.array(), v.array(), start.array(), lse.array(), dOut.array(), delta.array(),
                    dQ.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
            tasks.groupTask("keyValueGradTile", attentionTiles(o.T(), o.B() * o.KV()),
                    AttentionTileKernels::keyValueGradTile, atK, q.array(), k.array(), v.array(), start.array(),
                    lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), o.T(), o.H(), o.KV(), o.D(),
                    (float) o.scale(), o.window());
            settle(dV, f(o.dV()), values);
            return;
        }
        tasks.task("queryGrad", items(o.H(), N), AttentionKernels::queryGrad, atQ, q.array(), k.array(), v.array(),
                start.array(), lse.array(), dOut.array(), delta.array(), dQ.array(), N, o.T(), o.H(), o.KV(), o.D(),
                (float) o.scale(), o.window());
        tasks.task("keyValueGrad", items(o.KV(), N), AttentionKernels::keyValueGrad, atK, q.array(), k.array(),
                v.array(), start.array(), lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), N, o.T(),
                o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
        settle(dV, f(o.dV()), values);
    }

    private void cacheRows(Floats x, Floats cache, Ints rows, int T, int C) {
        tasks.task("cacheRows", items(T * C), AttentionKernels::cacheRows, at(x.at(), cache.at(), rows.at()),
                x.array(), cache.array(), rows.array(), T, C);
    }

    /// A work group for each tile of T tokens and each head.
    private static Grid attentionTiles(int T, int heads) {
        int side = AttentionTileKernels.SIDE;
        return new Grid(Math.ceilDiv(T, AttentionTileKernels.TILE) * side, heads * side, side, side);
    }
}
