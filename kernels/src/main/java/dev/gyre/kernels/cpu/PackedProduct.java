package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.TokenOps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A sum of products, `c (+)= sum over terms of alpha op(a) op(b)`: a product alone, or a frozen weight's and the
/// low-rank one that is added to it, computed as one product over the concatenated inner indices, `[a1 a2] [b1; b2]`: c
/// is read and written once, and a few more inner indices cost little. Inner indices are cut into blocks. Blocks of b
/// are packed into panels as wide as the register tile (decoded, if the weight is BF16 or NF4), which all threads
/// share; each item packs some rows of a, multiplied by alpha, block by block, and multiplies them by some panels.
final class PackedProduct implements Runnable {
    /// One product of the sum.
    record Term(ProductOps.MatMul op, Operand a, Operand b) {
    }

    /// Inner indices `k0 .. k0+n-1` of a term; in their block of `size` they start at `at`.
    private record Piece(Term term, int k0, int n, int at, int size) {
        boolean last() {
            return at + n == size;
        }
    }

    /// Inner indices that are packed and multiplied together.
    private record Block(List<Piece> pieces, int n) {
    }

    /// Floats of packed b: 8 MiB, within the last-level cache.
    private static final int PACKED = 1 << 21;
    /// Floats of packed a that stay in the second-level cache while the panels of b are streamed.
    private static final int NEAR = 48 << 10;
    /// Strips of an item, at most: their rows are far apart, each on a page of its own.
    private static final int STRIPS = 24;
    /// Columns that are packed together, at least, before further inner indices: each cut of the columns packs all of
    /// a once more, each cut of the inner indices reads and writes c once more.
    private static final int COLUMNS = 1 << 10;
    /// Panels whose part of c, for some rows, stays in the cache from one block to the next.
    private static final int GROUP = 4;
    /// Parts of a product for each thread, so that all end at about the same time.
    private static final int ITEMS = 16;
    /// Parts of the rows for each thread, where the product is large enough to be shared.
    private static final int FAIR = 4;
    /// Multiply-adds that are worth an item.
    private static final int SMALL = 1 << 18;
    /// Rows up to which items pack panels for themselves.
    private static final int ALONE = 288;
    /// Strips that make it worth packing panels.
    private static final int FEW_STRIPS = 8;
    /// Panels of b that make it worth packing some rows of a.
    private static final int FEW_PANELS = 8;
    /// Inner indices of a block of the first term, at most: the rest of [SimdTiles#DEPTH] is for low-rank ones.
    private static final int BLOCK = SimdTiles.DEPTH - 64;
    /// Strips of a transposed a that are packed together, and inner indices of each at a time: a line of the cache.
    private static final int NEIGHBOURS = 4;
    private static final int LINE = 16;
    /// Rows of b that are packed together.
    private static final int SLICE = 8;
    /// Ratio of rows to columns from which it is worth computing `c^T = b^T a` instead of `c = a^T b`: strips have to
    /// be transposed here, panels only copied.
    private static final int TALL = 4;

    private final ThreadPool pool;
    private final Simd simd;
    private final Operand c;
    /// Labels of the rows: only those with one are computed, the others are zero, or stay. Null for all rows.
    private final @Nullable Operand labels;
    private final int M;
    private final int N;
    private final boolean accumulate;
    /// Whether the transpose of c is computed.
    private final boolean flipped;
    private final int MR;
    private final int NR;
    /// Rows of a strip, rounded up to whole vectors.
    private final int whole;
    /// See [SimdTiles#slot].
    private final int slot;
    private final int sections;
    private final Block[] blocks;
    /// Columns whose panels are packed at once.
    private final int width;
    /// Rows of an item, and items of one part of the columns.
    private final int rows;
    /// There are few strips, which all threads share, and each item packs panels itself, just before it needs them:
    /// so b, by far the larger operand, is read once, by one thread, and its panels do not leave that thread's core.
    private final boolean alone;
    /// Packing a is slow: few parts, because each packs its rows again.
    private final boolean transposing;
    private final ThreadPool.Body pack = this::pack;
    private final ThreadPool.Body packStrips = this::packStrips;
    private final ThreadPool.Body multiply = this::multiply;

    // the current columns and blocks, and the number of parts of the columns
    private int jc;
    private int nc;
    private int first;
    private int last;
    private int parts;
    /// Which rows are computed: all, or the first `count` of `chosen`.
    private int count;
    private int @Nullable [] chosen;
    /// Sections of the shared panels: block by block, panel by panel.
    private float[][] shared = {};
    /// The shared strips: block by block.
    private float[][] strips = {};

    static PackedProduct of(ThreadPool pool, Simd simd, ProductOps.MatMul op, Operand a, Operand b, Operand c) {
        if (!tall(op))
            return new PackedProduct(pool, simd, List.of(new Term(op, a, b)), c, null);
        ProductOps.MatMul transposed =
                new ProductOps.MatMul(Form.TN, op.b(), op.a(), op.c(), op.N(), op.M(), op.K(), op.alpha(),
                        op.accumulate());
        return new PackedProduct(pool, simd, List.of(new Term(transposed, b, a)), c, null, true);
    }

    /// Whether the product is not one of a sum, because its transpose is computed.
    static boolean tall(ProductOps.MatMul op) {
        return op.form() == Form.TN && op.M() >= TALL * op.N();
    }

    /// @param terms of one size and one c; all but the first add to it
    /// @param labels of the rows, where only rows with a label count ([LabelledRows]); no term is a TN product then
    PackedProduct(ThreadPool pool, Simd simd, List<Term> terms, Operand c, @Nullable Operand labels) {
        this(pool, simd, terms, c, labels, false);
    }

    private PackedProduct(ThreadPool pool, Simd simd, List<Term> terms, Operand c, @Nullable Operand labels,
            boolean flipped) {
        this.pool = pool;
        this.simd = simd;
        this.c = c;
        this.labels = labels;
        this.flipped = flipped;
        ProductOps.MatMul op = terms.getFirst().op;
        this.M = op.M();
        this.N = op.N();
        this.accumulate = op.accumulate();
        this.MR = simd.tiles().stripRows();
        this.NR = simd.tiles().tileCols();
        this.slot = simd.tiles().slot();
        this.whole = (MR + slot - 1) / slot * slot;
        this.sections = simd.tiles().panelSections();
        this.blocks = cut(terms).toArray(Block[]::new);
        int deepest = 1;
        long work = 0;
        for (Block b : blocks) {
            deepest = Math.max(deepest, b.n);
            work += (long) M * N * b.n;
        }
        int packed = 1;
        for (int k = 0; k < blocks.length; k = end(k))
            packed = Math.max(packed, Arrays.stream(blocks, k, end(k)).mapToInt(Block::n).sum());
        int most = Math.clamp(NEAR / (deepest * MR), 1, STRIPS);
        int strips = (M + MR - 1) / MR;
        this.transposing = terms.getFirst().op.form() == Form.TN;
        this.alone = M <= ALONE && panels(N) >= FAIR * pool.threads()
                && terms.stream().allMatch(t -> t.op.form() != Form.TN);
        this.width = alone ? N : Math.max(NR, PACKED / packed / NR * NR);
        long fair = pool.threads() == 1 ? 1 : Math.min(FAIR * pool.threads(), work / SMALL);
        // a panel is used by several strips while it is cached, unless all panels stay cached
        int apart = panels(N) <= GROUP ? strips : strips / FEW_STRIPS;
        int items = alone ? 1 : (int) Math.max((strips + most - 1) / most, Math.min(apart, fair));
        this.rows = (strips + items - 1) / items * MR;
        this.count = M;
    }

    /// The inner indices of all terms in blocks of about equal length: as many as the first term alone makes, if they
    /// fit.
    private static List<Block> cut(List<Term> terms) {
        int all = terms.stream().mapToInt(t -> t.op.K()).sum();
        int count = Math.max(Math.ceilDiv(terms.getFirst().op.K(), BLOCK), Math.ceilDiv(all, SimdTiles.DEPTH));
        int depth = count == 0 ? 1 : even((all + count - 1) / count);
        List<Block> blocks = new ArrayList<>();
        List<Piece> pieces = new ArrayList<>();
        int at = 0;
        int from = 0;
        for (Term t : terms) {
            for (int k = 0; k < t.op.K();) {
                int size = Math.min(depth, all - from);
                int n = Math.min(t.op.K() - k, size - at);
                pieces.add(new Piece(t, k, n, at, size));
                k += n;
                at += n;
                if (at == size) {
                    blocks.add(new Block(List.copyOf(pieces), size));
                    pieces.clear();
                    from += size;
                    at = 0;
                }
            }
        }
        return blocks;
    }

    @Override
    public void run() {
        if (blocks.length == 0 && !accumulate)
            Arrays.fill(c.f(), c.off(), c.off() + M * N, 0f);
        if (labels != null)
            choose(labels);
        if (count == 0)
            return;
        int rowItems = (count + rows - 1) / rows;
        int wanted = pool.threads() == 1 ? 1 : (transposing ? FAIR : ITEMS) * pool.threads();
        for (jc = 0; jc < N; jc += width) {
            nc = Math.min(width, N - jc);
            int panels = panels(nc);
            parts = alone ? Math.max((panels + GROUP - 1) / GROUP, Math.min(panels, FAIR * pool.threads()))
                    : Math.min((panels + FEW_PANELS - 1) / FEW_PANELS, (wanted + rowItems - 1) / rowItems);
            for (first = 0; first < blocks.length; first = last) {
                last = end(first);
                if (alone) {
                    strips = pool.sections(pool.threads(), 0, (last - first) * (rows / MR));
                    pool.forEach((last - first) * (rows / MR), packStrips);
                } else {
                    shared = room(panels);
                    int jobs = 0;
                    for (int k = first; k < last; k++)
                        jobs += jobs(blocks[k], nc);
                    pool.forEach(jobs, pack);
                }
                pool.forEach(rowItems * parts, multiply);
            }
        }
    }

    /// Finds the rows with a label. The others get what they would have: nothing that is read depends on the result of a
    /// product for them, but a search for numbers that are not finite would find what an earlier run left there.
    private void choose(Operand of) {
        int[] some = chosen == null ? new int[M] : chosen;
        int n = 0;
        for (int i = 0; i < M; i++)
            if (of.i()[of.off() + i] != TokenOps.CrossEntropy.IGNORE)
                some[n++] = i;
            else
                if (!accumulate)
                    Arrays.fill(c.f(), c.off() + i * N, c.off() + (i + 1) * N, 0f);
        count = n;
        chosen = some;
    }

    /// The row of c that is computed as number i.
    private int row(int i) {
        return chosen == null ? i : chosen[i];
    }

    /// End of the blocks that are packed together with block k: as many as fit [#PACKED].
    private int end(int k) {
        int columns = Math.min(N, COLUMNS);
        int n = 0;
        int end = k;
        for (; end < blocks.length && (end == k || (long) (n + blocks[end].n) * columns <= PACKED); end++)
            n += blocks[end].n;
        return end;
    }

    private int panels(int columns) {
        return (columns + NR - 1) / NR;
    }

    /// Shared sections for this many panels of the current blocks.
    private float[][] room(int panels) {
        float[][] all = pool.sections(pool.threads(), 1, (last - first) * panels * sections);
        for (int k = first, i = 0; k < last; k++)
            for (int end = i + panels * sections; i < end; i++)
                ThreadPool.section(all, i, slot * even(blocks[k].n));
        return all;
    }

    private static int even(int n) {
        return n + n % 2;
    }

    private int jobs(Block block, int n) {
        int jobs = 0;
        for (Piece p : block.pieces)
            jobs += jobs(p, n);
        return jobs;
    }

    /// Parts in which n columns of a piece of b are packed: panels, where b holds them as rows, else slices of rows.
    private int jobs(Piece p, int n) {
        return p.term.op.form() == Form.NT ? panels(n) : (p.n + SLICE - 1) / SLICE;
    }

    private void pack(int item, int worker) {
        int k = first;
        for (; item >= jobs(blocks[k], nc); k++)
            item -= jobs(blocks[k], nc);
        pack(k, item, shared, (k - first) * panels(nc) * sections, jc, nc, worker);
    }

    /// One of a block's [#jobs] for the n columns from j0 on, whose panels begin at section `at`.
    private void pack(int k, int job, float[][] to, int at, int j0, int n, int worker) {
        int i = 0;
        for (; job >= jobs(blocks[k].pieces.get(i), n); i++)
            job -= jobs(blocks[k].pieces.get(i), n);
        Piece p = blocks[k].pieces.get(i);
        if (p.term.op.form() == Form.NT)
            packColumns(p, j0 + job * NR, Math.min(NR, n - job * NR), to, at + job * sections, worker);
        else
            packSlice(p, job * SLICE, to, at, j0, n, worker);
    }

    /// Some rows of b into all panels, so that b is read along its rows.
    private void packSlice(Piece piece, int k0, float[][] to, int at, int j0, int n, int worker) {
        Operand b = piece.term.b;
        int rows = Math.min(SLICE, piece.n - k0);
        int row = piece.k0 + k0;
        boolean plain = ProductCpu.plain(b);
        float[] from = plain ? b.f() : pool.scratch(worker, 0, SLICE * n);
        int ld = plain ? N : n;
        int fo = plain ? b.off() + row * N + j0 : 0;
        if (!plain)
            for (int k = 0; k < rows; k++)
                ProductCpu.load(simd, b, (row + k) * N + j0, from, k * n, n);
        boolean ends = piece.last() && k0 + rows == piece.n;
        for (int j = 0; j < n; j += slot, at++) {
            simd.layout().copy(from, fo + j, ld, rows, Math.min(slot, n - j), to[at], (piece.at + k0) * slot, slot);
            if (ends)
                finish(piece.size, to[at]);
        }
    }

    /// A panel of at most NR columns from rows of b that hold the inner index.
    private void packColumns(Piece piece, int j0, int n, float[][] to, int at, int worker) {
        Operand b = piece.term.b;
        int K = piece.term.op.K();
        boolean plain = ProductCpu.plain(b);
        for (int j = j0; j < j0 + n; j += slot, at++) {
            int some = Math.min(slot, j0 + n - j);
            float[] from = plain ? b.f() : pool.scratch(worker, 0, slot * piece.n);
            if (!plain)
                for (int i = 0; i < some; i++)
                    ProductCpu.load(simd, b, (j + i) * K + piece.k0, from, i * piece.n, piece.n);
            simd.layout().transpose(from, plain ? b.off() + j * K + piece.k0 : 0, plain ? K : piece.n, some, piece.n,
                    to[at], piece.at * slot, slot);
            if (piece.last())
                finish(piece.size, to[at]);
        }
    }

    /// What [SimdTiles#strip] reads beyond an odd inner length. Rows and columns beyond the matrix need no zeros: their
    /// results are not stored.
    private void finish(int n, float[] to) {
        if (n % 2 == 1)
            Arrays.fill(to, n * slot, (n + 1) * slot, 0f);
    }

    /// Rows i0..i1-1 of op(a) in strips, block by block.
    private float[][] packRows(int i0, int i1, int worker) {
        int strips = rows / MR;
        float[][] left = pool.sections(worker, 0, (last - first) * strips);
        for (int k = first, at = 0; k < last; k++, at += strips) {
            for (int i = i0, s = at; i < i1; i += MR, s++)
                ThreadPool.section(left, s, whole * SimdTiles.DEPTH);
            for (Piece p : blocks[k].pieces)
                if (p.term.op.form() == Form.TN)
                    for (int i = i0, s = at; i < i1; i += NEIGHBOURS * MR, s += NEIGHBOURS)
                        packTransposed(p, i, Math.min(i1, i + NEIGHBOURS * MR), left, s);
            for (int i = i0, s = at; i < i1; i += MR, s++)
                packStrip(blocks[k], i, Math.min(MR, i1 - i), left[s]);
        }
        return left;
    }

    /// A strip of a block.
    private void packStrips(int item, int worker) {
        int i = item % (rows / MR) * MR;
        if (i < count)
            packStrip(blocks[first + item / (rows / MR)], i, Math.min(MR, count - i),
                    ThreadPool.section(strips, item, whole * SimdTiles.DEPTH));
    }

    /// Rows i0..i1-1 of op(a), which are columns of a: neighbouring strips share cache lines of a, so that a line is
    /// fetched once for all of them. Whole vectors are copied if the matrix has them, also beyond the strip's rows:
    /// that is faster than parts of vectors, and the surplus is not read.
    private void packTransposed(Piece p, int i0, int i1, float[][] to, int at) {
        Operand a = p.term.a;
        for (int k = 0; k < p.n; k += LINE)
            for (int i = i0, s = at; i < i1; i += MR, s++)
                simd.layout().transpose(a.f(), a.off() + (p.k0 + k) * M + i, M, Math.min(LINE, p.n - k),
                        Math.min(whole, M - i), to[s], p.at + k, SimdTiles.DEPTH);
    }

    /// Rows i.. of alpha op(a); those of a transposed a are already packed.
    private void packStrip(Block block, int i, int high, float[] to) {
        for (Piece p : block.pieces) {
            ProductOps.MatMul op = p.term.op;
            Operand a = p.term.a;
            if (op.form() != Form.TN && adjacent(i, high))
                simd.layout().copy(a.f(), a.off() + row(i) * op.K() + p.k0, op.K(), high, p.n, to, p.at,
                        SimdTiles.DEPTH);
            else
                if (op.form() != Form.TN)
                    for (int r = 0; r < high; r++)
                        System.arraycopy(a.f(), a.off() + row(i + r) * op.K() + p.k0, to, p.at + r * SimdTiles.DEPTH,
                                p.n);
            float alpha = (float) op.alpha();
            for (int r = 0; alpha != 1f && r < high; r++)
                simd.elements().scale(alpha, to, r * SimdTiles.DEPTH + p.at, to, r * SimdTiles.DEPTH + p.at, p.n);
        }
        for (int r = 0; block.n % 2 == 1 && r < MR; r++)
            to[r * SimdTiles.DEPTH + block.n] = 0f;
    }

    /// Whether rows i.. of those that are computed follow each other.
    private boolean adjacent(int i, int high) {
        return row(i + high - 1) - row(i) == high - 1;
    }

    /// Some rows of c, and of these some panels. The cuts depend on the number of threads, but not which group of rows
    /// and which panel an element belongs to, so results are the same to the bit.
    private void multiply(int item, int worker) {
        int i0 = item / parts * rows;
        int i1 = Math.min(count, i0 + rows);
        int part = item % parts;
        int panels = panels(nc);
        int end = panels * (part + 1) / parts;
        float[][] left = alone ? strips : packRows(i0, i1, worker);
        for (int p = panels * part / parts; p < end; p += GROUP) {
            int some = Math.min(GROUP, end - p);
            if (alone)
                for (int k = first; k < last; k++)
                    group(k, i0, i1, left, own(k, p, some, worker), 0, p, some, worker);
            else
                for (int k = first; k < last; k++)
                    group(k, i0, i1, left, shared, ((k - first) * panels + p) * sections, p, some, worker);
        }
    }

    /// `some` panels of a block from p on, packed for this thread.
    private float[][] own(int k, int p, int some, int worker) {
        int j0 = p * NR;
        int n = Math.min(nc, j0 + some * NR) - j0;
        float[][] to = pool.sections(worker, 1, some * sections);
        for (int i = 0; i < some * sections; i++)
            ThreadPool.section(to, i, slot * even(blocks[k].n));
        for (int job = 0; job < jobs(blocks[k], n); job++)
            pack(k, job, to, 0, jc + j0, n, worker);
        return to;
    }

    /// Rows i0..i1-1 of c of `some` panels from p on, for the indices of block k; the panels begin at section `at` of
    /// `right`.
    private void group(int k, int i0, int i1, float[][] left, float[][] right, int at, int p, int some, int worker) {
        float[] tile = pool.scratch(worker, 1, MR * NR + 1);
        float[] result = pool.scratch(worker, 2, MR * NR);
        int n = blocks[k].n;
        boolean add = accumulate || k > 0;
        int strip = (k - first) * (rows / MR);
        // what is far is fetched once: shared strips, or shared panels
        if (alone)
            for (int i = i0, s = strip; i < i1; i += MR, s++)
                for (int q = 0; q < some; q++)
                    tile(i, i1, left[s], n, right, at + q * sections, p + q, add, k == first, tile, result);
        else
            for (int q = 0; q < some; q++)
                for (int i = i0, s = strip; i < i1; i += MR, s++)
                    tile(i, i1, left[s], n, right, at + q * sections, p + q, add, k == first, tile, result);
    }

    /// A strip of rows i.. times panel p, which begins at section `at` of `right`.
    private void tile(int i, int i1, float[] strip, int n, float[][] right, int at, int p, boolean add, boolean fetch,
            float[] tile, float[] result) {
        int j = jc + p * NR;
        int cols = Math.min(NR, jc + nc - j);
        int high = Math.min(MR, i1 - i);
        if (flipped) {
            simd.tiles().strip(n, strip, right, at, result, 0, NR, high, NR, false, tile);
            scatter(result, i, high, j, cols, add);
        } else if (!adjacent(i, high)) {
            simd.tiles().strip(n, strip, right, at, result, 0, NR, high, NR, false, tile);
            for (int r = 0; r < high; r++)
                put(result, r * NR, c.off() + row(i + r) * N + j, cols, add);
        } else {
            if (add && fetch)
                tile[MR * NR] = touch(i + MR, Math.min(i1, i + 2 * MR), j);
            simd.tiles().strip(n, strip, right, at, c.f(), c.off() + row(i) * N + j, N, high, cols, add, tile);
        }
    }

    /// Stores or adds a row of a tile.
    private void put(float[] tile, int from, int to, int n, boolean add) {
        if (add)
            simd.elements().add(c.f(), to, tile, from, c.f(), to, n);
        else
            System.arraycopy(tile, from, c.f(), to, n);
    }

    /// Stores a tile of the transpose in c.
    private void scatter(float[] tile, int i, int high, int j, int cols, boolean add) {
        float[] f = c.f();
        for (int q = 0; q < cols; q++) {
            int to = c.off() + (j + q) * M + i;
            for (int r = 0; r < high; r++) {
                float v = tile[r * NR + q];
                f[to + r] = add ? f[to + r] + v : v;
            }
        }
    }

    /// Reads one element of each of the next rows of c, which prefetches them all at once; the sum only keeps the
    /// compiler from removing the loads.
    private float touch(int from, int to, int j) {
        float[] f = c.f();
        float sum = 0;
        for (int i = from; i < to; i++)
            sum += f[c.off() + row(i) * N + j];
        return sum;
    }
}
