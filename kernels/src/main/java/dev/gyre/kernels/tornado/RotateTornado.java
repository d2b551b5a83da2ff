package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Lowering of [dev.gyre.kernels.op.RotateOps].
final class RotateTornado extends OpLowering {
    RotateTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(RotateOps op) {
        switch (op) {
            case RotateOps.BlockRotate o -> {
                Floats x = f(o.x());
                Floats r = f(o.r());
                Floats y = f(o.y());
                int[] at = at(x.at(), r.at(), y.at());
                if (workGroups && o.b() <= RotateTileKernels.MAX_BLOCK)
                    tasks.groupTask("rotateRows", rows(o), RotateTileKernels::rotateRows, at, x.array(), r.array(),
                            y.array(), o.N(), o.d(), o.b(),
                            o.stored(), flag(o.transpose()), flag(o.accumulate()));
                else
                    if (o.transpose())
                        tasks.task("blockRotateBack", items(o.d(), o.N()), RotateKernels::blockRotateBack, at,
                                x.array(), r.array(), y.array(), o.N(), o.d(), o.b(), o.stored(), flag(o.accumulate()));
                    else
                        tasks.task("blockRotate", items(o.d(), o.N()), RotateKernels::blockRotate, at, x.array(),
                                r.array(), y.array(), o.N(), o.d(), o.b(), o.stored(), flag(o.accumulate()));
            }
            case RotateOps.BlockRotateGrad o -> blockRotateGrad(o);
            case RotateOps.BlockDiagonal o -> {
                Floats r = f(o.r());
                Floats dense = f(o.dense());
                tasks.task("blockDiagonal", items(o.d() * o.d()), RotateKernels::blockDiagonal, at(r.at(), dense.at()),
                        r.array(), dense.array(), o.d(), o.b(), o.stored());
            }
            case RotateOps.BlockDiagonalGrad o -> {
                Floats dDense = f(o.dDense());
                Floats dR = f(o.dR());
                tasks.task("blockDiagonalGrad", items(o.stored() * o.b() * o.b()), RotateKernels::blockDiagonalGrad,
                        at(dDense.at(), dR.at()), dDense.array(), dR.array(), o.d(), o.b(), o.stored());
            }
        }
    }

    /// The result rounded to BF16 in a workspace, instead of the result.
    Shorts rounded(RotateOps.BlockRotate o) {
        Floats x = f(o.x());
        Floats r = f(o.r());
        Shorts y = memory.shortScratch(o.y().length());
        tasks.groupTask("rotateRowsBf16", rows(o), RotateTileKernels::rotateRowsBf16, at(x.at(), r.at(), y.at()),
                x.array(), r.array(), y.array(), o.N(), o.d(), o.b(), o.stored(), flag(o.transpose()));
        return y;
    }

    private static Grid rows(RotateOps.BlockRotate o) {
        return new Grid(o.d() / o.b() * RotateTileKernels.WIDTH,
                Math.ceilDiv(o.N(), RotateTileKernels.ROWS) * RotateTileKernels.HEIGHT, RotateTileKernels.WIDTH,
                RotateTileKernels.HEIGHT);
    }

    /// The rows are divided into parts, each of several tiles, so that few blocks still give enough work groups. The parts are
    /// added afterwards; so are the gradients of blocks that share one rotation.
    private void blockRotateGrad(RotateOps.BlockRotateGrad o) {
        Floats x = f(o.x());
        Floats dY = f(o.dY());
        int size = o.stored() * o.b() * o.b();
        int shares = o.d() / o.b() / o.stored();
        int parts = workGroups ? Math.clamp(o.N() / (4 * RotateTileKernels.TILE), 1, 16) : 1;
        boolean summed = parts * shares > 1;
        Floats dR = summed ? scratch((long) parts * o.d() * o.b()) : f(o.dR());
        int[] at = at(x.at(), dY.at(), dR.at());
        if (workGroups) {
            int side = RotateTileKernels.SIDE;
            int tiles = Math.ceilDiv(o.b(), RotateTileKernels.TILE);
            tasks.groupTask("rotateGradTile", new Grid(o.d() / o.b() * tiles * tiles * side, parts * side, side, side),
                    RotateTileKernels::rotateGradTile, at, x.array(), dY.array(), dR.array(), o.N(), o.d(), o.b(),
                    tiles, parts);
        } else
            tasks.task("blockRotateGrad", items(o.d() * o.b()), RotateKernels::blockRotateGrad, at, x.array(),
                    dY.array(), dR.array(), o.N(), o.d(), o.b());
        if (summed)
            addParts(dR, f(o.dR()), size, parts * shares, false);
    }
}
