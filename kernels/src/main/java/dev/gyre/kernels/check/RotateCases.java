package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.RotateOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [RotateOps].
final class RotateCases implements Cases {
    /// @param stored blocks that are stored: d/b, or 1 for all
    public record BlockRotate(int N, int d, int b, int stored, boolean transpose, boolean accumulate)
            implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, d);
            Buf r = s.in("r", 1, stored, b, b);
            Buf y = accumulate ? s.inout("y", 1, sum(b), N, d) : s.out("y", sum(b), N, d);
            s.op(new RotateOps.BlockRotate(x, r, y, N, d, b, stored, transpose, accumulate));
            if (s.differences())
                s.op(new RotateOps.BlockRotate(s.cotangent("dY", y), r, s.gradient("dX", x, EXACT, accumulate), N, d, b,
                        stored, !transpose, accumulate));
        }
    }

    public record BlockRotateGrad(int N, int d, int b, int stored) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, d);
            Buf r = s.variable("r", 1, stored, b, b);
            Buf y = s.result("y", N, d);
            s.forward(new RotateOps.BlockRotate(x, r, y, N, d, b, stored, false, false));
            // a small shared R: the sum over rows and blocks may be small in all elements, its terms are about 1
            Tol tol = sum((long) N * (d / b) / stored).cancelling(1);
            s.op(new RotateOps.BlockRotateGrad(x, s.cotangent("dY", y), s.gradient("dR", r, tol, false), N, d, b,
                    stored));
        }
    }

    /// Both gradients of a rotation, one after the other.
    public record RotateBackward(int N, int d, int b) implements OpCase {
        @Override
        public void emit(Setup s) {
            int blocks = d / b;
            Buf dY = s.in("dY", 1, N, d);
            s.op(new RotateOps.BlockRotateGrad(s.in("x", 1, N, d), dY, s.out("dR", sum(N).cancelling(1), blocks, b, b),
                    N, d, b, blocks));
            s.op(new RotateOps.BlockRotate(dY, s.in("r", 1, blocks, b, b), s.out("dX", sum(b), N, d), N, d, b, blocks,
                    true, false));
        }
    }

    public record BlockDiagonal(int d, int b, int stored) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new RotateOps.BlockDiagonal(s.in("r", 1, stored, b, b), s.out("dense", EXACT, d, d), d, b, stored));
        }
    }

    public record BlockDiagonalGrad(int d, int b, int stored) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf r = s.variable("r", 1, stored, b, b);
            Buf dense = s.result("dense", d, d);
            s.forward(new RotateOps.BlockDiagonal(r, dense, d, b, stored));
            s.op(new RotateOps.BlockDiagonalGrad(s.cotangent("dDense", dense),
                    s.gradient("dR", r, sum(d / b / stored), false), d, b, stored));
        }
    }

    /// One block for each, and one for all.
    private static List<Integer> stored(int d, int b) {
        return d == b ? List.of(1) : List.of(d / b, 1);
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{1, 1, 1}, {3, 5, 1}, {1, 15, 5}, {7, 15, 3}, {5, 33, 11}, {13, 34, 17},
            {31, 64, 32}, {17, 62, 31}, {33, 48, 24}, {100, 66, 33}, {207, 64, 4}, {63, 100, 100}, {130, 192, 64},
            {257, 256, 32}})
            for (int stored : stored(z[1], z[2])) {
                for (boolean transpose : new boolean[] {false, true})
                    for (boolean accumulate : new boolean[] {false, true})
                        out.add(new BlockRotate(z[0], z[1], z[2], stored, transpose, accumulate));
                out.add(new BlockRotateGrad(z[0], z[1], z[2], stored));
            }
        for (int[] z : new int[][] {{1, 1}, {5, 1}, {6, 3}, {33, 11}, {64, 32}, {100, 100}, {192, 64}})
            for (int stored : stored(z[0], z[1])) {
                out.add(new BlockDiagonal(z[0], z[1], stored));
                out.add(new BlockDiagonalGrad(z[0], z[1], stored));
            }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int N = z.N();
        int d = z.C();
        int b = OpCases.BLOCK;
        int blocks = d / b;
        return List.of(new BlockRotate(N, d, b, blocks, false, false), new BlockRotate(N, d, b, blocks, true, false),
                new BlockRotate(N, d, b, 1, false, false), new BlockRotateGrad(N, d, b, blocks),
                new BlockDiagonal(d, b, blocks), new BlockDiagonalGrad(d, b, blocks));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (int stored : new int[] {1, 3}) {
            for (boolean transpose : new boolean[] {false, true})
                for (boolean accumulate : new boolean[] {false, true})
                    out.add(new BlockRotate(4, 6, 2, stored, transpose, accumulate));
            out.add(new BlockRotateGrad(4, 9, 3, stored));
            out.add(new BlockDiagonalGrad(6, 2, stored));
        }
        return out;
    }

    @Override
    public List<OpCase> timed() {
        return List.of(new BlockRotate(2048, 4096, 32, 128, false, false), new RotateBackward(2048, 4096, 32),
                new RotateBackward(1024, 768, 32), new BlockRotate(207, 702, 26, 27, false, false),
                new RotateBackward(207, 702, 26));
    }
}
