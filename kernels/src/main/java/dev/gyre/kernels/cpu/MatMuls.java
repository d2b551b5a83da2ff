package dev.gyre.kernels.cpu;

import dev.gyre.kernels.DType;
import dev.gyre.kernels.HostData;
import dev.gyre.kernels.Op;
import dev.gyre.kernels.Op.MatMul.Form;
import java.util.Arrays;

/// The matrix product in its three forms, mostly by [PackedProduct]. A few rows against a large b, as in decoding, take a
/// path of their own that reads b once and packs nothing.
final class MatMuls {
    /// Up to this many rows b is not worth packing.
    private static final int FEW = 4;
    /// Elements of b that one item of the few-rows path reads.
    private static final int STRIPE = 1 << 15;

    private MatMuls() {
    }

    static Runnable matMul(Cpu cpu, Simd simd, Op.MatMul op, View a, View b, View c) {
        if (!few(op))
            return PackedProduct.of(cpu, simd, op, a, b, c);
        return op.form() == Form.NT ? fewRowsNT(cpu, simd, op, a, b, c) : fewRowsNN(cpu, simd, op, a, b, c);
    }

    private static boolean few(Op.MatMul op) {
        return op.M() <= FEW && op.form() != Form.TN;
    }

    /// Whether the second product, which follows the first, only adds to what that one computes.
    static boolean joins(Op.MatMul op, Op.MatMul next) {
        return next.accumulate() && next.c() == op.c() && next.M() == op.M() && next.N() == op.N()
                && next.a().root() != op.c().root() && next.b().root() != op.c().root() && !few(op)
                && !PackedProduct.tall(op) && !PackedProduct.tall(next);
    }

    /// `n` numbers of b from element `e` on, as floats in y.
    static void load(Simd simd, View b, int e, float[] y, int yo, int n) {
        switch (b.buf().dtype()) {
            case F32 -> System.arraycopy(b.f(), b.off() + e, y, yo, n);
            case BF16 -> simd.decodeBf16(((HostData.BF16) b.slot().data()).bits, b.off() + e, y, yo, n);
            case NF4 -> {
                HostData.NF4 q = (HostData.NF4) b.slot().data();
                for (int i = 0; i < n;) {
                    int block = (e + i) / q.blockSize;
                    int m = (int) Math.min(n - i, (block + 1L) * q.blockSize - e - i);
                    simd.decodeNf4(q.codes, e + i, q.codeBook, q.absmax(block), y, yo + i, m);
                    i += m;
                }
            }
            case I32 -> throw new IllegalArgumentException(b.buf() + " is no matrix of numbers");
        }
    }

    static Runnable decode(Cpu cpu, Simd simd, View w, View y) {
        return Elementwise.chunks(cpu, y.length(), (i, n) -> load(simd, w, i, y.f(), y.off() + i, n));
    }

    /// Whether b needs no decoding.
    static boolean plain(View b) {
        return b.buf().dtype() == DType.F32;
    }

    /// `c[i][j] (+)= alpha a_i . b_j`: items own rows of b.
    private static Runnable fewRowsNT(Cpu cpu, Simd simd, Op.MatMul op, View a, View b, View c) {
        int K = op.K();
        int N = op.N();
        int some = Math.max(1, STRIPE / Math.max(1, K));
        boolean plain = plain(b);
        Cpu.Body body = (item, worker) -> {
            float[] row = plain ? b.f() : cpu.scratch(worker, 0, K);
            for (int j = item * some; j < Math.min(N, (item + 1) * some); j++) {
                if (!plain)
                    load(simd, b, j * K, row, 0, K);
                for (int i = 0; i < op.M(); i++) {
                    int at = c.off() + i * N + j;
                    float v = op.alpha() * simd.dot(a.f(), a.off() + i * K, row, plain ? b.off() + j * K : 0, K);
                    c.f()[at] = op.accumulate() ? c.f()[at] + v : v;
                }
            }
        };
        return () -> cpu.forEach((N + some - 1) / some, body);
    }

    /// `c_i (+)= alpha sum over k of a[i][k] b_k`: items own columns of b.
    private static Runnable fewRowsNN(Cpu cpu, Simd simd, Op.MatMul op, View a, View b, View c) {
        int K = op.K();
        int N = op.N();
        int some = 128;
        int deep = 64;
        boolean plain = plain(b);
        Cpu.Body body = (item, worker) -> {
            int j = item * some;
            int n = Math.min(some, N - j);
            float[] sum = cpu.scratch(worker, 1, FEW * some);
            Arrays.fill(sum, 0, FEW * some, 0f);
            if (plain)
                simd.mulAdd(op.M(), n, K, a.f(), a.off(), K, 1, b.f(), b.off() + j, N, sum, 0, some, false);
            else
                for (int k = 0; k < K; k += deep) {
                    int kn = Math.min(deep, K - k);
                    float[] block = cpu.scratch(worker, 0, deep * some);
                    for (int r = 0; r < kn; r++)
                        load(simd, b, (k + r) * N + j, block, r * some, n);
                    simd.mulAdd(op.M(), n, kn, a.f(), a.off() + k, K, 1, block, 0, some, sum, 0, some, true);
                }
            for (int i = 0; i < op.M(); i++) {
                int at = c.off() + i * N + j;
                if (op.accumulate())
                    simd.axpy(op.alpha(), sum, i * some, c.f(), at, n);
                else
                    simd.scale(op.alpha(), sum, i * some, c.f(), at, n);
            }
        };
        return () -> cpu.forEach((N + some - 1) / some, body);
    }
}
