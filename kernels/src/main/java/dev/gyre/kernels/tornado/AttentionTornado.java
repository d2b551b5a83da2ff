package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Lowering of [dev.gyre.kernels.op.AttentionOps].
final class AttentionTornado extends OpLowering {
    AttentionTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(AttentionOps op) {
        switch (op) {
            case AttentionOps.Attention o -> {
                Floats q = f(o.q());
                Floats k = f(o.k());
                Floats v = f(o.v());
                Ints start = i(o.start());
                Floats out = f(o.out());
                Floats lse = f(o.lse());
                IntArray at = at(q.at(), k.at(), v.at(), start.at(), out.at(), lse.at(), o.D(),
                        AttentionTileKernels.TILE);
                if (workGroups && o.D() <= AttentionTileKernels.MAX_D)
                    tasks.task("attendTile", attentionTiles(o.T(), o.B() * o.H()), AttentionTileKernels::attendTile,
                            new KernelContext(), q.array(), k.array(), v.array(), start.array(), out.array(),
                            lse.array(), at, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
                else
                    tasks.task("attend", items(o.H(), o.B() * o.T()), AttentionKernels::attend, q.array(), k.array(),
                            v.array(), start.array(), out.array(), lse.array(), at, o.B() * o.T(), o.T(), o.H(), o.KV(),
                            o.D(), (float) o.scale(), o.window());
            }
            case AttentionOps.AttentionGrad o -> attentionGrad(o);
            case AttentionOps.CacheStore o -> {
                Ints start = i(o.start());
                cacheRows(f(o.k()), f(o.kCache()), start, o.T(), o.C());
                cacheRows(f(o.v()), f(o.vCache()), start, o.T(), o.C());
            }
            case AttentionOps.CachedAttention o -> {
                Floats q = f(o.q());
                Floats k = f(o.kCache());
                Floats v = f(o.vCache());
                Ints start = i(o.start());
                Floats out = f(o.out());
                int most = AttentionTileKernels.MAX_D;
                IntArray at = at(q.at(), k.at(), v.at(), start.at(), out.at(), o.D(), most);
                if (workGroups && o.D() <= most)
                    tasks.task("attendCacheRow", groups(o.T() * o.H(), most), AttentionTileKernels::attendCacheRow,
                            new KernelContext(), q.array(), k.array(), v.array(), start.array(), out.array(), at,
                            o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
                else
                    tasks.task("attendCache", items(o.H(), o.T()), AttentionKernels::attendCache, q.array(), k.array(),
                            v.array(), start.array(), out.array(), at, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(),
                            o.window());
            }
        }
    }

    private void attentionGrad(AttentionOps.AttentionGrad o) {
        Floats q = f(o.q());
        Floats k = f(o.k());
        Floats v = f(o.v());
        Ints start = i(o.start());
        Floats out = f(o.out());
        Floats lse = f(o.lse());
        Floats dOut = f(o.dOut());
        Floats delta = f(o.delta());
        Floats dQ = f(o.dQ());
        Floats dK = f(o.dK());
        Floats dV = f(o.dV());
        int N = o.B() * o.T();
        tasks.task("outputDot", items(N * o.H()), AttentionKernels::outputDot, out.array(), dOut.array(),
                delta.array(), at(out.at(), dOut.at(), delta.at()), N * o.H(), o.D());
        int tile = AttentionTileKernels.TILE;
        IntArray atQ = at(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dQ.at(), o.D(), tile);
        IntArray atK = at(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dK.at(), dV.at(), o.D(),
                tile);
        if (workGroups && o.D() <= AttentionTileKernels.MAX_D) {
            tasks.task("queryGradTile", attentionTiles(o.T(), o.B() * o.H()), AttentionTileKernels::queryGradTile,
                    new KernelContext(), q.array(), k.array(), v.array(), start.array(), lse.array(), dOut.array(),
                    delta.array(), dQ.array(), atQ, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
            tasks.task("keyValueGradTile", attentionTiles(o.T(), o.B() * o.KV()),
                    AttentionTileKernels::keyValueGradTile, new KernelContext(), q.array(), k.array(), v.array(),
                    start.array(), lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), atK, o.T(), o.H(),
                    o.KV(), o.D(), (float) o.scale(), o.window());
            return;
        }
        tasks.task("queryGrad", items(o.H(), N), AttentionKernels::queryGrad, q.array(), k.array(), v.array(),
                start.array(), lse.array(), dOut.array(), delta.array(), dQ.array(), atQ, N, o.T(), o.H(), o.KV(),
                o.D(), (float) o.scale(), o.window());
        tasks.task("keyValueGrad", items(o.KV(), N), AttentionKernels::keyValueGrad, q.array(), k.array(), v.array(),
                start.array(), lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), atK, N, o.T(), o.H(),
                o.KV(), o.D(), (float) o.scale(), o.window());
    }

    private void cacheRows(Floats x, Floats cache, Ints start, int T, int C) {
        tasks.task("cacheRows", items(T * C), AttentionKernels::cacheRows, x.array(), cache.array(), start.array(),
                at(x.at(), cache.at(), start.at()), T, C);
    }

    /// A work group for each tile of T tokens and each head.
    private static Grid attentionTiles(int T, int heads) {
        int side = AttentionTileKernels.SIDE;
        return new Grid(Math.ceilDiv(T, AttentionTileKernels.TILE) * side, heads * side, side, side);
    }
}
