package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.util.Arrays;
import java.util.List;

/// The matrix product in its three forms, mostly by [PanelProduct] or [PackedProduct]. A few rows against a large b, as in
/// decoding, have a path of their own that reads b once and packs nothing, and so have the gradients of low-rank factors. Up to
/// [#FEW] rows, what a row gets does not depend on how many there are, to the bit: so tokens decoded together get what each
/// would get alone.
final class ProductCpu {
    /// Up to this many rows b is not worth packing.
    static final int FEW = 32;
    /// Rows of b that the few-rows path decodes at once.
    private static final int DECODED = 8;
    /// Elements of b that one item of the few-rows path reads.
    private static final int STRIPE = 1 << 15;
    /// Rank up to which a transposed product is taken as a low-rank one.
    private static final int NARROW = 128;
    /// The other matrix is at least this many times wider.
    private static final int WIDE = 4;
    /// Columns and rows of the wide matrix that are in the first-level cache at once.
    private static final int COLUMNS = 128;
    private static final int DEEP = 64;
    /// Distance of their rows: rows 2^n elements apart would map to the same few cache sets.
    private static final int APART = COLUMNS + 16;

    private ProductCpu() {
    }

    static Runnable task(ThreadPool pool, Simd simd, ProductOps op, Operands of) {
        return switch (op) {
            case ProductOps.MatMul o -> matMul(pool, simd, o, of.at(o.a()), of.at(o.b()), of.at(o.c()));
            case ProductOps.Decode o -> decode(pool, simd, of.at(o.w()), of.at(o.y()));
        };
    }

    static Runnable matMul(ThreadPool pool, Simd simd, ProductOps.MatMul op, Operand a, Operand b, Operand c) {
        if (narrow(op))
            return op.M() < op.N() ? narrow(pool, simd, op, op.M(), op.N(), a, b, c, false)
                    : narrow(pool, simd, op, op.N(), op.M(), b, a, c, true);
        if (!few(op) && PanelProduct.suits(simd, op))
            return new PanelProduct(pool, simd, List.of(new PackedProduct.Term(op, a, b)), c);
        if (!few(op))
            return PackedProduct.of(pool, simd, op, a, b, c);
        return op.form() == Form.NT ? fewRowsNT(pool, simd, op, a, b, c) : fewRowsNN(pool, simd, op, a, b, c);
    }

    private static boolean few(ProductOps.MatMul op) {
        return op.M() <= FEW && op.form() != Form.TN;
    }

    /// Whether the second product, which follows the first, only adds to what that one computes.
    static boolean joins(Simd simd, ProductOps.MatMul op, ProductOps.MatMul next) {
        return next.accumulate() && next.c() == op.c() && next.M() == op.M() && next.N() == op.N()
                && next.a().root() != op.c().root() && next.b().root() != op.c().root() && packed(op) && packed(next)
                && (next.form() != Form.TN || !PanelProduct.suits(simd, op));
    }

    /// Whether the product is computed by [PackedProduct] or [PanelProduct], as it stands.
    static boolean packed(ProductOps.MatMul op) {
        return !few(op) && !narrow(op) && !PackedProduct.tall(op);
    }

    private static boolean narrow(ProductOps.MatMul op) {
        int R = Math.min(op.M(), op.N());
        return op.form() == Form.TN && R <= NARROW && Math.max(op.M(), op.N()) >= WIDE * R;
    }

    /// `n` elements of b from element `e` on, as floats in y.
    static void load(Simd simd, Operand b, int e, float[] y, int yo, int n) {
        switch (b.buf().dtype()) {
            case F32 -> System.arraycopy(b.f(), b.off() + e, y, yo, n);
            case BF16 -> simd.decoders().bf16(((HostData.BF16) b.storage().data()).bits, b.off() + e, y, yo, n);
            case NF4 -> {
                HostData.NF4 q = (HostData.NF4) b.storage().data();
                for (int i = 0; i < n;) {
                    int block = (e + i) / q.blockSize;
                    int m = (int) Math.min(n - i, (block + 1L) * q.blockSize - e - i);
                    simd.decoders().nf4(q.codes, e + i, q.codeBook, q.absmax(block), y, yo + i, m);
                    i += m;
                }
            }
            case I32 -> throw new IllegalArgumentException(b.buf() + " is I32, not a matrix of floats");
        }
    }

    static Runnable decode(ThreadPool pool, Simd simd, Operand w, Operand y) {
        return ElementCpu.chunks(pool, y.length(), (i, n) -> load(simd, w, i, y.f(), y.off() + i, n));
    }

    /// Whether b needs no decoding.
    static boolean plain(Operand b) {
        return b.buf().dtype() == DType.F32;
    }

    /// `c[i][j] (+)= alpha a_i . b_j`: items own rows of b, which are decoded some at a time.
    private static Runnable fewRowsNT(ThreadPool pool, Simd simd, ProductOps.MatMul op, Operand a, Operand b,
            Operand c) {
        float alpha = (float) op.alpha();
        int M = op.M();
        int K = op.K();
        int N = op.N();
        int some = Math.max(1, STRIPE / Math.max(1, K) / DECODED) * DECODED;
        boolean plain = plain(b);
        // one row is worth no copy of what it is multiplied with
        boolean direct = M == 1 && b.buf().dtype() == DType.BF16;
        ThreadPool.Body body = (item, worker) -> {
            float[] rows = plain ? b.f() : pool.scratch(worker, 0, direct ? 0 : DECODED * K);
            float[] sums = pool.scratch(worker, 1, M * DECODED);
            int end = Math.min(N, (item + 1) * some);
            for (int j = item * some; j < end; j += DECODED) {
                int n = Math.min(DECODED, end - j);
                if (direct) {
                    simd.tiles().dotsBf16(n, K, a.f(), a.off(), ((HostData.BF16) b.storage().data()).bits,
                            b.off() + j * K, K, sums, 0);
                } else {
                    if (!plain)
                        load(simd, b, j * K, rows, 0, n * K);
                    simd.tiles().dots(M, n, K, a.f(), a.off(), K, rows, plain ? b.off() + j * K : 0, K, sums, 0,
                            DECODED);
                }
                for (int i = 0; i < M; i++)
                    for (int q = 0; q < n; q++) {
                        int at = c.off() + i * N + j + q;
                        float v = alpha * sums[i * DECODED + q];
                        c.f()[at] = op.accumulate() ? c.f()[at] + v : v;
                    }
            }
        };
        return () -> pool.forEach((N + some - 1) / some, body);
    }

    /// `c_i (+)= alpha sum over k of a[i][k] b_k`: items own columns of b.
    private static Runnable fewRowsNN(ThreadPool pool, Simd simd, ProductOps.MatMul op, Operand a, Operand b,
            Operand c) {
        float alpha = (float) op.alpha();
        int K = op.K();
        int N = op.N();
        int some = 128;
        int deep = 64;
        boolean plain = plain(b);
        ThreadPool.Body body = (item, worker) -> {
            int j = item * some;
            int n = Math.min(some, N - j);
            float[] sum = pool.scratch(worker, 1, op.M() * some);
            Arrays.fill(sum, 0, op.M() * some, 0f);
            if (plain)
                simd.tiles().mulAdd(op.M(), n, K, a.f(), a.off(), K, 1, b.f(), b.off() + j, N, sum, 0, some, false);
            else
                for (int k = 0; k < K; k += deep) {
                    int kn = Math.min(deep, K - k);
                    float[] block = pool.scratch(worker, 0, deep * some);
                    for (int r = 0; r < kn; r++)
                        load(simd, b, (k + r) * N + j, block, r * some, n);
                    simd.tiles().mulAdd(op.M(), n, kn, a.f(), a.off() + k, K, 1, block, 0, some, sum, 0, some, true);
                }
            for (int i = 0; i < op.M(); i++) {
                int at = c.off() + i * N + j;
                if (op.accumulate())
                    simd.elements().axpy(alpha, sum, i * some, c.f(), at, n);
                else
                    simd.elements().scale(alpha, sum, i * some, c.f(), at, n);
            }
        };
        return () -> pool.forEach((N + some - 1) / some, body);
    }

    /// `c (R,W) (+)= alpha t^T x` of t (K,R) and x (K,W), or c^T (W,R): gradients of low-rank factors. Items own
    /// columns of x, the much larger operand, which is read once: the register tile reads a copy of a few of its rows,
    /// without shared panels.
    private static Runnable narrow(ThreadPool pool, Simd simd, ProductOps.MatMul op, int R, int W, Operand t, Operand x,
            Operand c, boolean transposed) {
        float alpha = (float) op.alpha();
        int K = op.K();
        ThreadPool.Body body = (item, worker) -> {
            int j = item * COLUMNS;
            int n = Math.min(COLUMNS, W - j);
            float[] near = pool.scratch(worker, 0, DEEP * APART);
            float[] sum = pool.scratch(worker, 1, R * APART);
            if (K == 0)
                Arrays.fill(sum, 0, R * APART, 0f);
            for (int k = 0; k < K; k += DEEP) {
                int deep = Math.min(DEEP, K - k);
                simd.layout().copy(x.f(), x.off() + k * W + j, W, deep, n, near, 0, APART);
                simd.tiles().mulAdd(R, n, deep, t.f(), t.off() + k * R, 1, R, near, 0, APART, sum, 0, APART, k > 0);
            }
            for (int i = 0; i < R; i++)
                if (transposed)
                    for (int q = 0; q < n; q++) {
                        int at = c.off() + (j + q) * R + i;
                        float v = alpha * sum[i * APART + q];
                        c.f()[at] = op.accumulate() ? c.f()[at] + v : v;
                    }
            else
                    if (op.accumulate())
                        simd.elements().axpy(alpha, sum, i * APART, c.f(), c.off() + i * W + j, n);
            else
                        simd.elements().scale(alpha, sum, i * APART, c.f(), c.off() + i * W + j, n);
        };
        return () -> pool.forEach((W + COLUMNS - 1) / COLUMNS, body);
    }
}
