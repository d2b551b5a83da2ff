package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Lowering of [dev.gyre.kernels.op.RotateOps].
final class RotateTornado extends OpLowering {
    RotateTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(RotateOps op) {
        switch (op) {
            case RotateOps.BlockRotate o when packed(o.x()) || packed(o.y()) -> rotatePairs(o);
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

    private void rotatePairs(RotateOps.BlockRotate o) {
        Floats r = f(o.r());
        // of two arrays, the one that does not hold the operand is one that the task has anyway
        Floats x = packed(o.x()) ? r : f(o.x());
        Floats y = packed(o.y()) ? r : f(o.y());
        Ints xPairs = pairs(packed(o.x()) ? o.x() : o.y());
        Ints yPairs = pairs(packed(o.y()) ? o.y() : o.x());
        int height = RotatePairKernels.height(o.b());
        Grid grid = new Grid(o.d() / o.b() * RotatePairKernels.WIDTH, Math.ceilDiv(o.N(), 8 * height) * height,
                RotatePairKernels.WIDTH, height);
        tasks.groupTask("rotatePairs", grid, RotatePairKernels::rotatePairs,
                at(x.at(), xPairs.at(), r.at(), y.at(), yPairs.at()), x.array(), xPairs.array(), r.array(), y.array(),
                yPairs.array(), o.N(), o.d(), o.b(), o.stored(), flag(o.transpose()), flag(packed(o.x())),
                flag(packed(o.y())), flag(o.accumulate()), height);
    }

    private static Grid rows(RotateOps.BlockRotate o) {
        return new Grid(o.d() / o.b() * RotateTileKernels.WIDTH,
                Math.ceilDiv(o.N(), RotateTileKernels.ROWS) * RotateTileKernels.HEIGHT, RotateTileKernels.WIDTH,
                RotateTileKernels.HEIGHT);
    }

    /// The rows are divided into parts, each of several tiles, so that few blocks still give enough work groups. The parts are
    /// added afterwards; so are the gradients of blocks that share one rotation.
    private void blockRotateGrad(RotateOps.BlockRotateGrad o) {
        boolean packedX = packed(o.x());
        boolean packedY = packed(o.dY());
        int size = o.stored() * o.b() * o.b();
        int shares = o.d() / o.b() / o.stored();
        boolean pairs = packedX || packedY;
        int groups = workGroups ? Math.clamp(o.N() / (4 * RotateTileKernels.TILE), 1, pairs ? 8 : 16) : 1;
        int parts = pairs ? groups * RotatePairKernels.SLICES : groups;
        boolean summed = parts * shares > 1;
        Floats dR = summed ? scratch((long) parts * o.d() * o.b()) : f(o.dR());
        Floats x = packedX ? dR : f(o.x());
        Floats dY = packedY ? dR : f(o.dY());
        int[] at = at(x.at(), dY.at(), dR.at());
        int side = RotateTileKernels.SIDE;
        int tiles = Math.ceilDiv(o.b(), RotateTileKernels.TILE);
        if (pairs) {
            int width = RotatePairKernels.WIDTH;
            int height = 4 * RotatePairKernels.SLICES;
            Grid grid = new Grid(o.d() / o.b() * tiles * tiles * width, groups * height, width, height);
            Ints xPairs = pairs(packedX ? o.x() : o.dY());
            Ints dYPairs = pairs(packedY ? o.dY() : o.x());
            tasks.groupTask("rotateGradPairs", grid, RotatePairKernels::rotateGradPairs,
                    at(x.at(), xPairs.at(), dY.at(), dYPairs.at(), dR.at()), x.array(), xPairs.array(), dY.array(),
                    dYPairs.array(), dR.array(), o.N(), o.d(), o.b(), tiles, groups, flag(packedX), flag(packedY));
        } else if (workGroups) {
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
