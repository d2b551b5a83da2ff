package dev.gyre.kernels.cpu;

import dev.gyre.kernels.DType;
import dev.gyre.kernels.HostData;
import dev.gyre.kernels.Op;
import java.util.Arrays;

/// The matrix product in its three forms. Blocks of b are packed into panels as wide as the register tile (decoded,
/// where the weight is BF16 or NF4), all threads share them; each item multiplies some rows of a with some panels.
/// A few rows against a large b, as in decoding, take a path of their own that reads b once and packs nothing.
final class MatMuls {
    /// Numbers of a packed block of b: 8 MiB, within the far cache.
    private static final int BLOCK = 1 << 21;
    /// Longest inner length of a block: a panel of b (24 KiB with 8 lanes) stays in the nearest cache.
    private static final int DEPTH = 384;
    /// Numbers of packed a that stay in the near cache while the panels of b go by.
    private static final int NEAR = 24 << 10;
    /// Parts of a product for each thread, so that all end at about the same time.
    private static final int ITEMS = 8;
    /// Panels of b that make it worth packing some rows of a.
    private static final int FEW_PANELS = 8;
    /// Rows of b that are packed together.
    private static final int SLICE = 8;
    /// Floats before the first panel: with the 16 bytes of an array's header they fill a cache line.
    private static final int ALIGN = 12;
    /// Up to this many rows b is not worth packing.
    private static final int FEW = 4;
    /// Elements of b that one item of the few-rows path reads.
    private static final int STRIPE = 1 << 15;

    private MatMuls() {
    }

    static Runnable matMul(Cpu cpu, Simd simd, Op.MatMul op, View a, View b, View c) {
        if (op.M() <= FEW && op.form() != Op.MatMul.Form.TN)
            return op.form() == Op.MatMul.Form.NT ? fewRowsNT(cpu, simd, op, a, b, c)
                    : fewRowsNN(cpu, simd, op, a, b, c);
        return new Packed(cpu, simd, op, a, b, c);
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

    private static boolean plain(View b) {
        return b.buf().dtype() == DType.F32;
    }

    private static final class Packed implements Runnable {
        private final Cpu cpu;
        private final Simd simd;
        private final Op.MatMul op;
        private final View a;
        private final View b;
        private final View c;
        private final int MR;
        private final int NR;
        private final int step;
        private final int depth;
        private final int rows;
        private final int rowItems;
        private final Cpu.Body pack;
        private final Cpu.Body multiply = this::multiply;

        // the block of b at hand
        private int jc;
        private int nc;
        private int pc;
        private int kc;
        private int parts;

        Packed(Cpu cpu, Simd simd, Op.MatMul op, View a, View b, View c) {
            this.cpu = cpu;
            this.simd = simd;
            this.op = op;
            this.a = a;
            this.b = b;
            this.c = c;
            this.MR = simd.groupRows();
            this.NR = simd.tileCols();
            this.step = simd.groupStride();
            int blocks = Math.max(1, (op.K() + DEPTH - 1) / DEPTH);
            this.depth = (op.K() + blocks - 1) / blocks;
            this.pack = op.form() == Op.MatMul.Form.NT ? this::packColumns : this::packRowsOfB;
            int most = Math.max(1, NEAR / Math.max(1, depth * step));
            int groups = (op.M() + MR - 1) / MR;
            int items = (groups + most - 1) / most;
            this.rows = (groups + items - 1) / items * MR;
            this.rowItems = (op.M() + rows - 1) / rows;
        }

        @Override
        public void run() {
            if (op.K() == 0 && !op.accumulate())
                Arrays.fill(c.f(), c.off(), c.off() + op.M() * op.N(), 0f);
            int width = Math.max(NR, BLOCK / Math.max(1, depth) / NR * NR);
            for (jc = 0; jc < op.N(); jc += width) {
                nc = Math.min(width, op.N() - jc);
                int panels = (nc + NR - 1) / NR;
                int wanted = cpu.threads() == 1 ? 1 : ITEMS * cpu.threads();
                parts = Math.min((panels + FEW_PANELS - 1) / FEW_PANELS, (wanted + rowItems - 1) / rowItems);
                for (pc = 0; pc < op.K(); pc += depth) {
                    kc = Math.min(depth, op.K() - pc);
                    cpu.shared(0, ALIGN + panels * NR * kc);
                    cpu.forEach(op.form() == Op.MatMul.Form.NT ? panels : (kc + SLICE - 1) / SLICE, pack);
                    cpu.forEach(rowItems * parts, multiply);
                }
            }
        }

        /// Some rows of b into all panels, so that b is read along its rows.
        private void packRowsOfB(int slice, int worker) {
            int k0 = slice * SLICE;
            int rows = Math.min(SLICE, kc - k0);
            boolean plain = plain(b);
            float[] to = cpu.shared(0, 0);
            float[] from = plain ? b.f() : cpu.scratch(worker, 0, SLICE * nc);
            if (!plain)
                for (int k = 0; k < rows; k++)
                    load(simd, b, (pc + k0 + k) * op.N() + jc, from, k * nc, nc);
            int ld = plain ? op.N() : nc;
            int first = plain ? b.off() + (pc + k0) * op.N() + jc : 0;
            for (int j = 0; j < nc; j += NR) {
                int at = ALIGN + j * kc + k0 * NR;
                int width = Math.min(NR, nc - j);
                if (width < NR)
                    Arrays.fill(to, at, at + NR * rows, 0f);
                simd.copy(from, first + j, ld, rows, width, to, at, NR);
            }
        }

        /// Panel p from rows of b that hold the inner index: `kc` rows of NR numbers, columns beyond the matrix zero.
        private void packColumns(int p, int worker) {
            int j0 = jc + p * NR;
            int width = Math.min(NR, jc + nc - j0);
            float[] to = cpu.shared(0, 0);
            int at = ALIGN + p * NR * kc;
            if (width < NR)
                Arrays.fill(to, at, at + NR * kc, 0f);
            if (plain(b)) {
                simd.transpose(b.f(), b.off() + j0 * op.K() + pc, op.K(), width, kc, to, at, NR);
            } else {
                float[] decoded = cpu.scratch(worker, 0, NR * kc);
                for (int j = 0; j < width; j++)
                    load(simd, b, (j0 + j) * op.K() + pc, decoded, j * kc, kc);
                simd.transpose(decoded, 0, kc, width, kc, to, at, NR);
            }
        }

        /// Some rows of c, and of these some panels. Where the cuts lie depends on the number of threads, but not which
        /// group of rows and which panel an element belongs to, and so not a bit of it.
        private void multiply(int item, int worker) {
            int i0 = item / parts * rows;
            int i1 = Math.min(op.M(), i0 + rows);
            int panels = (nc + NR - 1) / NR;
            int part = item % parts;
            float[] right = cpu.shared(0, 0);
            float[] tile = cpu.scratch(worker, 1, MR * NR + 1);
            float[] left = cpu.scratch(worker, 0, ALIGN + rows / MR * step * kc);
            packRows(i0, i1, left);
            boolean accumulate = op.accumulate() || pc > 0;
            for (int p = panels * part / parts; p < panels * (part + 1) / parts; p++) {
                int j0 = jc + p * NR;
                int cols = Math.min(NR, jc + nc - j0);
                int at = ALIGN + p * NR * kc;
                for (int i = i0; i < i1; i += MR) {
                    tile[MR * NR] = touch(i + MR, Math.min(i1, i + 2 * MR), j0);
                    simd.group(kc, left, ALIGN + (i - i0) / MR * step * kc, right, at, op.alpha(), c.f(),
                            c.off() + i * op.N() + j0, op.N(), Math.min(MR, i1 - i), cols, accumulate, tile);
                }
            }
        }

        /// Reads a number of each row of c that comes next, so that all of them are on their way from memory at once,
        /// before they are needed; the sum only keeps the compiler from leaving them out.
        private float touch(int from, int to, int j) {
            float[] f = c.f();
            float sum = 0;
            for (int i = from; i < to; i++)
                sum += f[c.off() + i * op.N() + j];
            return sum;
        }

        /// Rows i0..i1-1 of op(a) in groups of MR: `step` numbers for each k, rows beyond the matrix zero.
        private void packRows(int i0, int i1, float[] to) {
            for (int i = i0; i < i1; i += MR) {
                int some = Math.min(MR, i1 - i);
                int at = ALIGN + (i - i0) / MR * step * kc;
                if (some < MR)
                    Arrays.fill(to, at, at + step * kc, 0f);
                if (op.form() == Op.MatMul.Form.TN)
                    simd.copy(a.f(), a.off() + pc * op.M() + i, op.M(), kc, some, to, at, step);
                else
                    simd.transpose(a.f(), a.off() + i * op.K() + pc, op.K(), some, kc, to, at, step);
            }
        }
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
