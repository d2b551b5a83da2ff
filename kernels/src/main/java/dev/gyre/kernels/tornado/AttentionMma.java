package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.AttentionMmaKernels.K;
import static dev.gyre.kernels.tornado.AttentionMmaKernels.WARP_SCRATCH;
import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Lowering of attention over whole sequences to tensor cores: [AttentionMmaKernels].
final class AttentionMma extends OpLowering {
    AttentionMma(TaskGraphs tasks, DeviceMemory memory, boolean workGroups) {
        super(tasks, memory, workGroups);
    }

    /// Whether the kernels take heads of D numbers.
    static boolean takes(int D) {
        return D % K == 0 && D <= AttentionMmaKernels.MAX_D;
    }

    void attention(AttentionOps.Attention o) {
        Ints q = rounded(o.q());
        Ints k = rounded(o.k());
        Ints v = rounded(o.v());
        Ints start = i(o.start());
        Floats lse = f(o.lse());
        Floats out = result(o.out(), lse);
        int tiles = AttentionMmaKernels.rowTiles(o.D());
        Floats scratch = scratchApart(scores(o.T(), o.B() * o.H(), tiles), lse, out);
        Grid grid = grid(o.T(), o.B() * o.H(), tiles);
        tasks.groupTask("attentionSums", grid, AttentionMmaKernels::attentionSums,
                at(q.at(), k.at(), start.at(), lse.at(), scratch.at(), o.D() / K, tiles), q.array(), k.array(),
                start.array(), lse.array(), scratch.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(),
                o.window(), tiles);
        tasks.groupTask("attendMma", grid, AttentionMmaKernels::attendMma,
                at(q.at(), k.at(), v.at(), start.at(), lse.at(), out.at(), scratch.at(), o.D() / K, tiles), q.array(),
                k.array(), v.array(), start.array(), lse.array(), out.array(), scratch.array(), o.T(), o.H(), o.KV(),
                o.D(), (float) o.scale(), o.window(), tiles);
        settle(out, o.out());
    }

    /// The gradient of queries, keys and values; `delta` too.
    void gradient(AttentionOps.AttentionGrad o) {
        Ints q = rounded(o.q());
        Ints k = rounded(o.k());
        Ints v = rounded(o.v());
        Ints dOut = rounded(o.dOut());
        Ints start = i(o.start());
        Floats lse = f(o.lse());
        Floats delta = f(o.delta());
        Floats dQ = result(o.dQ());
        Floats dK = result(o.dK());
        Floats dV = result(o.dV(), dK);
        if (packed(o.out()) || packed(o.dOut())) {
            Ints out = rounded(o.out());
            int rows = o.B() * o.T() * o.H();
            tasks.task("outputDotOfPairs", items(rows), AttentionPairKernels::outputDotOfPairs,
                    at(out.at(), dOut.at(), delta.at()), out.array(), dOut.array(), delta.array(), rows, o.D());
        } else
            outputDot(o);
        int tiles = AttentionMmaKernels.rowTiles(o.D());
        long n = scores(o.T(), o.B() * o.H(), tiles);
        Floats scratch = scratchApart(n, dK, dV);
        Floats scratchQ = apart(scratch, n, dQ);
        tasks.groupTask("queryGradMma", grid(o.T(), o.B() * o.H(), tiles), AttentionMmaKernels::queryGradMma,
                at(q.at(), k.at(), v.at(), dOut.at(), start.at(), lse.at(), delta.at(), dQ.at(), scratchQ.at(),
                        o.D() / K, tiles),
                q.array(), k.array(), v.array(), dOut.array(), start.array(), lse.array(), delta.array(), dQ.array(),
                scratchQ.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(), tiles);
        tasks.groupTask("keyValueGradMma", grid(o.T(), o.B() * o.KV(), tiles), AttentionMmaKernels::keyValueGradMma,
                at(q.at(), k.at(), v.at(), dOut.at(), start.at(), lse.at(), delta.at(), dK.at(), dV.at(), scratch.at(),
                        o.D() / K, tiles),
                q.array(), k.array(), v.array(), dOut.array(), start.array(), lse.array(), delta.array(), dK.array(),
                dV.array(), scratch.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(), tiles);
        settle(dQ, o.dQ());
        settle(dK, o.dK());
        settle(dV, o.dV());
    }

    /// Where a kernel puts a result, which accumulators can leave in F32 only.
    private Floats result(Buf b, Floats... before) {
        if (packed(b))
            return before.length == 0 ? scratch(b.length()) : scratchApart(b.length(), before);
        return apart(f(b), b.length(), before);
    }

    /// A result to where it belongs.
    private void settle(Floats result, Buf b) {
        if (packed(b))
            round(result, pairs(b), b.length());
        else
            settle(result, f(b), b.length());
    }

    /// Length of a workspace with a part for each warp.
    private static long scores(int T, int heads, int tiles) {
        return (long) rowGroups(T, tiles) * heads * 2 * tiles * WARP_SCRATCH;
    }

    private static int rowGroups(int T, int tiles) {
        return Math.ceilDiv(T, K * tiles);
    }

    /// A work group of 2 x `tiles` warps for each tile of rows and each head.
    private static Grid grid(int T, int heads, int tiles) {
        return new Grid(rowGroups(T, tiles) * 64 * tiles, heads, 64 * tiles, 1);
    }
}
