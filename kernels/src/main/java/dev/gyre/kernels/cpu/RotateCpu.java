package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.RotateOps;
import java.util.Arrays;

/// Block rotation of rows and its gradient for R. Blocks narrower than the register tile are taken several at a time,
/// as one block with the small ones on its diagonal: more arithmetic, but all of it in full vectors.
final class RotateCpu {
    /// Rows up to which R is not worth packing.
    private static final int FEW = 8;
    /// Rows and columns that the gradient copies first: in place, rows may be a power of two apart, and then they map
    /// to the same few cache sets.
    private static final int NEAR_ROWS = 128;
    private static final int NEAR_COLUMNS = 256;
    /// Items of a gradient: work for up to this many threads; not more, because each has sums of its own.
    private static final int PARTS = 32;

    private RotateCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, RotateOps op, Operands of) {
        return switch (op) {
            case RotateOps.BlockRotate o -> rotate(pool, simd, o, of.at(o.x()), of.at(o.r()), of.at(o.y()));
            case RotateOps.BlockRotateGrad o -> rotateGrad(pool, simd, o, of.at(o.x()), of.at(o.dY()), of.at(o.dR()));
            case RotateOps.BlockDiagonal o -> blockDiagonal(pool, o, of.at(o.r()), of.at(o.dense()));
            case RotateOps.BlockDiagonalGrad o -> blockDiagonalGrad(o, of.at(o.dDense()), of.at(o.dR()));
        };
    }

    /// Columns that are processed together: `b`, or a multiple of it that fits the register tile.
    private static int joined(Simd simd, int b) {
        return b * Math.max(1, simd.tiles().tileCols() / b);
    }

    static Runnable rotate(ThreadPool pool, Simd simd, RotateOps.BlockRotate op, Operand x, Operand r, Operand y) {
        if (op.N() <= FEW && !op.transpose())
            return rotateFew(pool, simd, op, x, r, y);
        int b = op.b();
        int d = op.d();
        int wide = joined(simd, b);
        int blocks = (d + wide - 1) / wide;
        int kinds = op.stored() == 1 ? 1 : blocks;
        int size = Panels.size(simd, wide, wide);
        // rows that are rotated block by block together: few enough streams for the hardware prefetcher, enough to
        // amortise loading each R, and whole tiles
        int high = 2 * simd.tiles().tileRows();
        int rowItems = (op.N() + high - 1) / high;
        int parts = Math.clamp(2 * pool.threads() / Math.max(1, rowItems), 1, Math.max(1, blocks));
        ThreadPool.Body pack = (i, worker) -> pack(simd, op, r, i * (wide / b), Math.min(wide, d - i * wide) / b,
                pool.shared(0, 0), i * size);
        ThreadPool.Body turn = (item, worker) -> {
            int t0 = item / parts * high;
            int part = item % parts;
            float[] tile = pool.scratch(worker, 1, simd.tiles().tileRows() * simd.tiles().tileCols());
            for (int i = blocks * part / parts; i < blocks * (part + 1) / parts; i++) {
                int at = t0 * d + i * wide;
                int n = Math.min(wide, d - i * wide);
                simd.tiles().product(Math.min(high, op.N() - t0), n, n, x.f(), x.off() + at, d, pool.shared(0, 0),
                        kinds == 1 ? 0 : i * size, y.f(), y.off() + at, d, op.accumulate(), tile);
            }
        };
        return () -> {
            pool.shared(0, kinds * size);
            pool.forEach(kinds, pack);
            pool.forEach(rowItems * parts, turn);
        };
    }

    /// A few rows, as in decoding: R is read where it is. Items are some blocks.
    private static Runnable rotateFew(ThreadPool pool, Simd simd, RotateOps.BlockRotate op, Operand x, Operand r,
            Operand y) {
        int b = op.b();
        int blocks = op.d() / b;
        int some = Math.max(1, NEAR_COLUMNS / b);
        return () -> pool.forEach((blocks + some - 1) / some, (item, worker) -> {
            for (int i = item * some; i < Math.min(blocks, (item + 1) * some); i++)
                simd.tiles().mulAdd(op.N(), b, b, x.f(), x.off() + i * b, op.d(), 1, r.f(),
                        r.off() + (op.stored() == 1 ? 0 : i * b * b), b, y.f(), y.off() + i * b, op.d(),
                        op.accumulate());
        });
    }

    /// Panels of `count` blocks from `first` on, as one matrix.
    private static void pack(Simd simd, RotateOps.BlockRotate op, Operand r, int first, int count, float[] to, int at) {
        int b = op.b();
        int nr = simd.tiles().tileCols();
        int ro = r.off() + (op.stored() == 1 ? 0 : first * b * b);
        if (b > nr / 2) {
            if (op.transpose())
                Panels.ofTransposed(simd, r.f(), ro, b, b, b, to, at);
            else
                Panels.of(simd, r.f(), ro, b, b, b, to, at);
            return;
        }
        Arrays.fill(to, at, at + nr * count * b, 0f);
        for (int i = 0; i < count; i++) {
            int from = op.stored() == 1 ? ro : ro + i * b * b;
            int corner = at + i * b * nr + i * b;
            if (op.transpose())
                simd.layout().transpose(r.f(), from, b, b, b, to, corner, nr);
            else
                simd.layout().copy(r.f(), from, b, b, b, to, corner, nr);
        }
    }

    /// Items own some columns and, where those are few, a part of the rows. Sums of parts, and of all blocks when R is
    /// shared, are added in order; the cut does not depend on the number of threads.
    static Runnable rotateGrad(ThreadPool pool, Simd simd, RotateOps.BlockRotateGrad op, Operand x, Operand dY,
            Operand dR) {
        int b = op.b();
        int d = op.d();
        int N = op.N();
        int wide = joined(simd, b);
        int columns = wide * Math.max(1, NEAR_COLUMNS / wide);
        int rows = Math.max(32, NEAR_ROWS * NEAR_COLUMNS / columns);
        // a cache line more: else rows are a power of two apart again
        int ld = columns + 16;
        int groups = (d + columns - 1) / columns;
        int chunks = (N + rows - 1) / rows;
        int parts = Math.clamp((PARTS + groups - 1) / Math.max(1, groups), 1, Math.max(1, chunks));
        boolean shared = op.stored() == 1;
        // one sum for each part and block; of a shared R, for each part and group
        int each = shared ? groups * b * b : d * b;
        ThreadPool.Body body = (item, worker) -> {
            int group = item / parts;
            int part = item % parts;
            int c0 = group * columns;
            int n = Math.min(columns, d - c0);
            float[] sums = pool.shared(0, 0);
            int to = part * each + (shared ? group * b * b : c0 * b);
            Arrays.fill(sums, to, to + (shared ? b * b : n * b), 0f);
            float[] near = pool.scratch(worker, 0, 2 * rows * ld);
            float[] joined = pool.scratch(worker, 1, wide * wide);
            for (int chunk = chunks * part / parts; chunk < chunks * (part + 1) / parts; chunk++) {
                int t0 = chunk * rows;
                int some = Math.min(rows, N - t0);
                simd.layout().copy(x.f(), x.off() + t0 * d + c0, d, some, n, near, 0, ld);
                simd.layout().copy(dY.f(), dY.off() + t0 * d + c0, d, some, n, near, rows * ld, ld);
                for (int c = 0; c < n; c += wide) {
                    int w = Math.min(wide, n - c);
                    boolean one = w == b;
                    int at = to + (shared ? 0 : c * b);
                    simd.tiles().mulAdd(w, w, some, near, c, 1, ld, near, rows * ld + c, ld, one ? sums : joined,
                            one ? at : 0, w, one);
                    for (int i = 0; !one && i < w; i += b)
                        for (int k = 0; k < b; k++)
                            simd.elements().add(sums, at + (shared ? k : i + k) * b, joined, (i + k) * w + i, sums,
                                    at + (shared ? k : i + k) * b, b);
                }
            }
        };
        return () -> {
            float[] sums = pool.shared(0, parts * each);
            pool.forEach(groups * parts, body);
            int n = dR.length();
            Arrays.fill(dR.f(), dR.off(), dR.off() + n, 0f);
            for (int at = 0; at < parts * each; at += n)
                simd.elements().add(dR.f(), dR.off(), sums, at, dR.f(), dR.off(), n);
        };
    }

    static Runnable blockDiagonal(ThreadPool pool, RotateOps.BlockDiagonal op, Operand r, Operand dense) {
        int b = op.b();
        int d = op.d();
        return ColumnCpu.rows(pool, d, d, (from, to, worker) -> {
            for (int t = from; t < to; t++) {
                int at = dense.off() + t * d;
                Arrays.fill(dense.f(), at, at + d, 0f);
                int row = op.stored() == 1 ? t % b : t;
                System.arraycopy(r.f(), r.off() + row * b, dense.f(), at + t / b * b, b);
            }
        });
    }

    static Runnable blockDiagonalGrad(RotateOps.BlockDiagonalGrad op, Operand dDense, Operand dR) {
        int b = op.b();
        return () -> {
            Arrays.fill(dR.f(), dR.off(), dR.off() + dR.length(), 0f);
            for (int t = 0; t < op.d(); t++) {
                int row = dR.off() + (op.stored() == 1 ? t % b : t) * b;
                int from = dDense.off() + t * op.d() + t / b * b;
                for (int j = 0; j < b; j++)
                    dR.f()[row + j] += dDense.f()[from + j];
            }
        };
    }
}
