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
    /// Numbers of packed a that stay in the near cache while the panels of b go by.
    private static final int NEAR = 48 << 10;
    /// Blocks of the inner length that are packed at once.
    private static final int DEEP = 8;
    /// Panels whose part of c, for some rows, stays in the near cache from one block of the inner length to the next.
    private static final int GROUP = 4;
    /// Parts of a product for each thread, so that all end at about the same time.
    private static final int ITEMS = 16;
    /// How many times as many rows as columns make it worth computing `c^T = b^T a` instead of `c = a^T b`: strips of rows
    /// have to be transposed here, panels of columns only copied.
    private static final int TALL = 4;
    /// Strips up to which an item does not share panels with others.
    private static final int ALONE = 8;
    /// Parts of rows for each thread, where the product is large enough to be shared.
    private static final int FAIR = 4;
    /// Multiply-adds that are worth an item.
    private static final int SMALL = 1 << 18;
    /// Panels of b that make it worth packing some rows of a.
    private static final int FEW_PANELS = 8;
    /// Rows of b that are packed together.
    private static final int SLICE = 8;
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
        if (op.form() == Op.MatMul.Form.TN && op.M() >= TALL * op.N())
            return new Packed(cpu, simd, new Op.MatMul(Op.MatMul.Form.TN, op.b(), op.a(), op.c(), op.N(), op.M(),
                    op.K(), op.alpha(), op.accumulate()), b, a, c, true);
        return new Packed(cpu, simd, op, a, b, c, false);
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
        /// What is computed is the transpose of c.
        private final boolean flipped;
        private final int MR;
        private final int NR;
        /// Rows of a strip, and some more up to whole vectors.
        private final int WHOLE;
        /// See [Simd#slot].
        private final int slot;
        private final int panelSections;
        private final int depth;
        private final int deep;
        private final int rows;
        private final int rowItems;
        /// The rows fit one item: it packs its panels itself, just before it needs them.
        private final boolean alone;
        private final Cpu.Body pack;
        private final Cpu.Body multiply = this::multiply;

        // the columns and the inner indices at hand, blocks of these, and panels of b: sections of all blocks of a panel
        // side by side
        private int jc;
        private int nc;
        private int pc;
        private int kc;
        private int blocks;
        private float[][] right = {};
        private int parts;

        Packed(Cpu cpu, Simd simd, Op.MatMul op, View a, View b, View c, boolean flipped) {
            this.cpu = cpu;
            this.simd = simd;
            this.op = op;
            this.a = a;
            this.b = b;
            this.c = c;
            this.flipped = flipped;
            this.MR = simd.stripRows();
            this.NR = simd.tileCols();
            this.slot = simd.slot();
            this.WHOLE = (MR + slot - 1) / slot * slot;
            this.panelSections = simd.panelSections();
            int blocks = Math.max(1, (op.K() + Simd.DEPTH - 1) / Simd.DEPTH);
            this.depth = ((op.K() + blocks - 1) / blocks + 1) / 2 * 2;
            this.deep = Math.min(blocks, DEEP);
            this.pack = op.form() == Op.MatMul.Form.NT ? (p, worker) -> packColumns(p, right, p, worker)
                    : (slice, worker) -> packRowsOfB(slice, right, jc, nc, worker);
            int most = Math.max(1, NEAR / Math.max(1, depth * MR));
            int strips = (op.M() + MR - 1) / MR;
            this.alone = strips <= Math.min(most, ALONE);
            long fair = cpu.threads() == 1 ? 1
                    : Math.min(FAIR * cpu.threads(), (long) op.M() * op.N() * op.K() / SMALL);
            int items = alone ? 1 : (int) Math.max((strips + most - 1) / most, Math.min(strips, fair));
            this.rows = (strips + items - 1) / items * MR;
            this.rowItems = (op.M() + rows - 1) / rows;
        }

        @Override
        public void run() {
            if (op.K() == 0 && !op.accumulate())
                Arrays.fill(c.f(), c.off(), c.off() + op.M() * op.N(), 0f);
            int width = BLOCK / (Simd.DEPTH * deep) / NR * NR;
            for (jc = 0; jc < op.N(); jc += width) {
                nc = Math.min(width, op.N() - jc);
                int panels = (nc + NR - 1) / NR;
                int wanted = cpu.threads() == 1 ? 1 : ITEMS * cpu.threads();
                parts = alone ? (panels + GROUP - 1) / GROUP
                        : Math.min((panels + FEW_PANELS - 1) / FEW_PANELS, (wanted + rowItems - 1) / rowItems);
                for (pc = 0; pc < op.K(); pc += deep * depth) {
                    kc = Math.min(deep * depth, op.K() - pc);
                    blocks = (kc + depth - 1) / depth;
                    if (!alone) {
                        right = panels(cpu.threads(), panels);
                        cpu.forEach(op.form() == Op.MatMul.Form.NT ? panels : (kc + SLICE - 1) / SLICE, pack);
                    }
                    cpu.forEach(rowItems * parts, multiply);
                }
            }
        }

        private float[][] panels(int worker, int count) {
            return cpu.sections(worker, 1, count * blocks * panelSections, slot * Simd.DEPTH);
        }

        /// Inner length of block k.
        private int length(int k) {
            return Math.min(depth, kc - k * depth);
        }

        /// Some rows of b, of the n columns from j0 on, into panels, so that b is read along its rows.
        private void packRowsOfB(int slice, float[][] panels, int j0, int n, int worker) {
            int k0 = slice * SLICE;
            int rows = Math.min(SLICE, kc - k0);
            boolean plain = plain(b);
            float[] from = plain ? b.f() : cpu.scratch(worker, 0, SLICE * n);
            if (!plain)
                for (int k = 0; k < rows; k++)
                    load(simd, b, (pc + k0 + k) * op.N() + j0, from, k * n, n);
            int ld = plain ? op.N() : n;
            int first = plain ? b.off() + (pc + k0) * op.N() + j0 : 0;
            for (int k = k0; k < k0 + rows;) {
                int block = k / depth;
                int k1 = Math.min(k0 + rows, (block + 1) * depth);
                boolean last = k1 == kc;
                // no divisions: a section's few rows are copied in less time than they take
                for (int j = 0, panel = block * panelSections; j < n; panel += blocks * panelSections)
                    for (int s = 0; s < panelSections && j < n; s++, j += slot) {
                        float[] to = panels[panel + s];
                        simd.copy(from, first + (k - k0) * ld + j, ld, k1 - k, Math.min(slot, n - j), to,
                                (k - block * depth) * slot, slot);
                        if (last)
                            finish(length(block), to);
                    }
                k = k1;
            }
        }

        /// Panel p, to the place of panel `at`, from rows of b that hold the inner index.
        private void packColumns(int p, float[][] panels, int at, int worker) {
            boolean plain = plain(b);
            int end = Math.min(jc + nc, jc + (p + 1) * NR);
            for (int s = 0, j = jc + p * NR; j < end; s++, j += slot) {
                int width = Math.min(slot, end - j);
                float[] from = plain ? b.f() : cpu.scratch(worker, 0, slot * kc);
                if (!plain)
                    for (int i = 0; i < width; i++)
                        load(simd, b, (j + i) * op.K() + pc, from, i * kc, kc);
                for (int k = 0; k < blocks; k++) {
                    float[] to = panels[(at * blocks + k) * panelSections + s];
                    simd.transpose(from, (plain ? b.off() + j * op.K() + pc : 0) + k * depth, plain ? op.K() : kc,
                            width,
                            length(k), to, 0, slot);
                    finish(length(k), to);
                }
            }
        }

        /// What [Simd#strip] reads beyond an odd inner length. Rows and columns beyond the matrix need no such care: what comes
        /// of them is not stored.
        private void finish(int kc, float[] to) {
            if (kc % 2 == 1)
                Arrays.fill(to, kc * slot, (kc + 1) * slot, 0f);
        }

        /// Some rows of c, and of these some panels. Where the cuts lie depends on the number of threads, but not which
        /// group of rows and which panel an element belongs to, and so not a bit of it.
        private void multiply(int item, int worker) {
            int i0 = item / parts * rows;
            int i1 = Math.min(op.M(), i0 + rows);
            int panels = (nc + NR - 1) / NR;
            int part = item % parts;
            int end = panels * (part + 1) / parts;
            float[] tile = cpu.scratch(worker, 1, MR * NR + 1);
            float[] result = cpu.scratch(worker, 2, MR * NR);
            float[][] left = cpu.sections(worker, 0, rows / MR * blocks, WHOLE * Simd.DEPTH);
            packRows(i0, i1, left);
            float[][] right = alone ? panels(worker, GROUP) : this.right;
            for (int first = panels * part / parts; first < end; first += GROUP) {
                if (alone)
                    packGroup(first, Math.min(end, first + GROUP), right, worker);
                int base = alone ? first : 0;
                for (int k = 0; k < blocks; k++) {
                    boolean accumulate = op.accumulate() || pc > 0 || k > 0;
                    boolean far = k == 0 && accumulate;
                    for (int p = first; p < Math.min(end, first + GROUP); p++) {
                        int j0 = jc + p * NR;
                        int cols = Math.min(NR, jc + nc - j0);
                        for (int i = i0; i < i1; i += MR) {
                            float[] strip = left[(i - i0) / MR * blocks + k];
                            int panel = ((p - base) * blocks + k) * panelSections;
                            int some = Math.min(MR, i1 - i);
                            if (flipped) {
                                simd.strip(length(k), strip, right, panel, op.alpha(), result, 0, NR, some, NR, false,
                                        tile);
                                scatter(result, i, some, j0, cols, accumulate);
                                continue;
                            }
                            if (far)
                                tile[MR * NR] = touch(i + MR, Math.min(i1, i + 2 * MR), j0);
                            simd.strip(length(k), strip, right, panel, op.alpha(), c.f(), c.off() + i * op.N() + j0,
                                    op.N(), some, cols, accumulate, tile);
                        }
                    }
                }
            }
        }

        /// Panels p0..p1-1, to the first places.
        private void packGroup(int p0, int p1, float[][] panels, int worker) {
            if (op.form() == Op.MatMul.Form.NT)
                for (int p = p0; p < p1; p++)
                    packColumns(p, panels, p - p0, worker);
            else
                for (int slice = 0; slice * SLICE < kc; slice++)
                    packRowsOfB(slice, panels, jc + p0 * NR, Math.min(nc, p1 * NR) - p0 * NR, worker);
        }

        /// A tile of the transpose to its place.
        private void scatter(float[] tile, int i, int rows, int j, int cols, boolean accumulate) {
            float[] f = c.f();
            for (int q = 0; q < cols; q++) {
                int to = c.off() + (j + q) * op.M() + i;
                for (int r = 0; r < rows; r++) {
                    float v = tile[r * NR + q];
                    f[to + r] = accumulate ? f[to + r] + v : v;
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

        /// Rows i0..i1-1 of op(a) in strips. Of a transposed, whole vectors of rows are taken where the matrix has them, also
        /// beyond the strip's own: they move faster than parts, and what is not the strip's is not read.
        private void packRows(int i0, int i1, float[][] left) {
            for (int i = i0; i < i1; i += MR)
                for (int k = 0; k < blocks; k++) {
                    float[] to = left[(i - i0) / MR * blocks + k];
                    int k0 = pc + k * depth;
                    int n = length(k);
                    if (op.form() == Op.MatMul.Form.TN)
                        simd.transpose(a.f(), a.off() + k0 * op.M() + i, op.M(), n, Math.min(WHOLE, op.M() - i), to, 0,
                                Simd.DEPTH);
                    else
                        simd.copy(a.f(), a.off() + i * op.K() + k0, op.K(), Math.min(MR, i1 - i), n, to, 0, Simd.DEPTH);
                    for (int r = 0; n % 2 == 1 && r < MR; r++)
                        to[r * Simd.DEPTH + n] = 0f;
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
