package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.AttentionMmaKernels.K;
import static dev.gyre.kernels.tornado.AttentionMmaKernels.WARP_SCRATCH;
import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
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
        Shorts q = rounded(o.q());
        Shorts k = rounded(o.k());
        Shorts v = rounded(o.v());
        Ints start = i(o.start());
        Floats lse = f(o.lse());
        Floats out = f(o.out());
        int tiles = AttentionMmaKernels.rowTiles(o.D());
        Floats scratch = scores(o.T(), o.B() * o.H(), tiles, lse, out);
        Grid grid = grid(o.T(), o.B() * o.H(), tiles);
        tasks.groupTask("attentionSums", grid, AttentionMmaKernels::attentionSums,
                at(q.at(), k.at(), start.at(), lse.at(), scratch.at(), o.D() / K, tiles), q.array(), k.array(),
                start.array(), lse.array(), scratch.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(),
                o.window(), tiles);
        tasks.groupTask("attendMma", grid, AttentionMmaKernels::attendMma,
                at(q.at(), k.at(), v.at(), start.at(), lse.at(), out.at(), scratch.at(), o.D() / K, tiles), q.array(),
                k.array(), v.array(), start.array(), lse.array(), out.array(), scratch.array(), o.T(), o.H(), o.KV(),
                o.D(), (float) o.scale(), o.window(), tiles);
    }

    /// `delta` is there.
    void gradient(AttentionOps.AttentionGrad o) {
        Shorts q = rounded(o.q());
        Shorts k = rounded(o.k());
        Shorts v = rounded(o.v());
        Shorts dOut = rounded(o.dOut());
        Ints start = i(o.start());
        Floats lse = f(o.lse());
        Floats delta = f(o.delta());
        Floats dQ = f(o.dQ());
        Floats dK = f(o.dK());
        int values = o.B() * o.T() * o.KV() * o.D();
        Floats dV = apart(f(o.dV()), values, dK);
        int tiles = AttentionMmaKernels.rowTiles(o.D());
        Floats scratch = scores(o.T(), o.B() * o.H(), tiles, dQ, dK, dV);
        tasks.groupTask("queryGradMma", grid(o.T(), o.B() * o.H(), tiles), AttentionMmaKernels::queryGradMma,
                at(q.at(), k.at(), v.at(), dOut.at(), start.at(), lse.at(), delta.at(), dQ.at(), scratch.at(),
                        o.D() / K, tiles),
                q.array(), k.array(), v.array(), dOut.array(), start.array(), lse.array(), delta.array(), dQ.array(),
                scratch.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(), tiles);
        tasks.groupTask("keyValueGradMma", grid(o.T(), o.B() * o.KV(), tiles), AttentionMmaKernels::keyValueGradMma,
                at(q.at(), k.at(), v.at(), dOut.at(), start.at(), lse.at(), delta.at(), dK.at(), dV.at(), scratch.at(),
                        o.D() / K, tiles),
                q.array(), k.array(), v.array(), dOut.array(), start.array(), lse.array(), delta.array(), dK.array(),
                dV.array(), scratch.array(), o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window(), tiles);
        settle(dV, f(o.dV()), values);
    }

    private Shorts rounded(Buf x) {
        Floats from = f(x);
        Shorts to = memory.shortScratch(x.length());
        tasks.task("brainFloats", items(x.length()), AttentionMmaKernels::brainFloats, at(from.at(), to.at()),
                from.array(), to.array(), x.length());
        return to;
    }

    /// A part of a workspace for each warp, in another array than what else the task writes.
    private Floats scores(int T, int heads, int tiles, Floats... results) {
        return scratchApart((long) rowGroups(T, tiles) * heads * 2 * tiles * WARP_SCRATCH, results);
    }

    private static int rowGroups(int T, int tiles) {
        return Math.ceilDiv(T, K * tiles);
    }

    /// A work group of 2 x `tiles` warps for each tile of rows and each head.
    private static Grid grid(int T, int heads, int tiles) {
        return new Grid(rowGroups(T, tiles) * 64 * tiles, heads, 64 * tiles, 1);
    }
}
