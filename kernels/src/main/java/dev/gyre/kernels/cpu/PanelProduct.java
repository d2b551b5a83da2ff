package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A sum of products, as [PackedProduct], for tiles that read rows of a where they are: only b is packed, alpha included,
/// into panels that hold many inner indices, so that an element of c is read and written once or twice. Where b has
/// enough panels, each thread packs some for itself, while they are in its own cache, and multiplies all rows by them;
/// else the panels are packed first, for all threads, and these share the rows.
final class PanelProduct implements Runnable {
    /// Inner indices of a panel at most: with 32 columns it has 512 KiB then.
    private static final int DEEPEST = 4096;
    /// Rows that stay in the cache while they meet the panels of an item: whole tiles at any width.
    private static final int ROWS = 48;
    /// Panels of an item at most, and floats in them: they stay in the second-level cache.
    private static final int GROUP = 4;
    private static final int NEAR = 144 << 10;
    /// Parts of a product for each thread, so that all end at about the same time.
    private static final int ITEMS = 4;
    /// Rows of b that are decoded or copied together.
    private static final int SLICE = 16;

    private final ThreadPool pool;
    private final Simd simd;
    private final List<PackedProduct.Term> terms;
    private final Operand c;
    private final int M;
    private final int N;
    private final int NR;
    private final boolean accumulate;
    /// Whether all threads use the same panels, packed before.
    private final boolean shared;
    /// Rows, or panels, of an item.
    private final int rows;
    private final int some;
    private final int items;
    /// Floats in all shared panels of a term for its next inner indices.
    private final int size;
    private final ThreadPool.Body pack = this::pack;
    private final ThreadPool.Body byRows = this::byRows;
    private final ThreadPool.Body byPanels = this::byPanels;

    // the current term and inner indices, where panels are shared
    private PackedProduct.@Nullable Term term;
    private int first;

    /// Whether the products of these forms and sizes, on this arithmetic, are best computed so.
    static boolean suits(Simd simd, ProductOps.MatMul op) {
        return op.form() != Form.TN && (simd.tiles().readsRows() || op.N() <= simd.tiles().tileCols());
    }

    /// @param terms of one size and one c, none of form TN; all but the first add to it
    PanelProduct(ThreadPool pool, Simd simd, List<PackedProduct.Term> terms, Operand c) {
        this.pool = pool;
        this.simd = simd;
        this.terms = List.copyOf(terms);
        this.c = c;
        ProductOps.MatMul op = terms.getFirst().op();
        this.M = op.M();
        this.N = op.N();
        this.accumulate = op.accumulate();
        this.NR = simd.tiles().tileCols();
        int panels = (N + NR - 1) / NR;
        int wanted = pool.threads() == 1 ? 1 : ITEMS * pool.threads();
        this.shared = panels < wanted || panels == 1;
        this.rows = shared ? Math.clamp((M + wanted - 1) / wanted + 7 & ~7, 8, ROWS) : ROWS;
        int deep = terms.stream().mapToInt(t -> Math.min(DEEPEST, t.op().K())).max().orElse(0);
        int most = Math.clamp(NEAR / (NR * Math.max(1, deep)), 1, GROUP);
        this.some = shared ? panels : Math.clamp(panels / (2 * wanted), 1, most);
        this.items = shared ? (M + rows - 1) / rows : (panels + some - 1) / some;
        this.size = Math.multiplyExact(some * NR, deep);
    }

    @Override
    public void run() {
        if (!shared) {
            pool.forEach(items, byPanels);
            return;
        }
        pool.shared(0, size);
        for (PackedProduct.Term t : terms)
            for (int k = 0; k == 0 || k < t.op().K(); k += DEEPEST) {
                term = t;
                first = k;
                pool.forEach(some, pack);
                pool.forEach(items, byRows);
            }
    }

    private PackedProduct.Term term() {
        PackedProduct.Term t = term;
        if (t == null)
            throw new IllegalStateException("no term");
        return t;
    }

    /// A shared panel.
    private void pack(int panel, int worker) {
        ProductOps.MatMul op = term().op();
        int n = Math.min(DEEPEST, op.K() - first);
        panel(term(), first, n, panel * NR, pool.shared(0, 0), panel * NR * n, worker);
    }

    private void byRows(int item, int worker) {
        int i = item * rows;
        ProductOps.MatMul op = term().op();
        multiply(term(), first, Math.min(DEEPEST, op.K() - first), i, Math.min(rows, M - i), 0, N, pool.shared(0, 0),
                worker);
    }

    private void byPanels(int item, int worker) {
        int j0 = item * some * NR;
        int n = Math.min(N, j0 + some * NR) - j0;
        for (PackedProduct.Term t : terms)
            for (int k = 0; k == 0 || k < t.op().K(); k += DEEPEST) {
                int deep = Math.min(DEEPEST, t.op().K() - k);
                float[] panels = pool.scratch(worker, 2, size);
                for (int j = 0; j < n; j += NR)
                    panel(t, k, deep, j0 + j, panels, j * deep, worker);
                for (int i = 0; i < M; i += rows)
                    multiply(t, k, deep, i, Math.min(rows, M - i), j0, n, panels, worker);
            }
    }

    /// Some rows of c, and of these n columns.
    private void multiply(PackedProduct.Term t, int k, int deep, int i, int high, int j, int n, float[] panels,
            int worker) {
        boolean add = accumulate || k > 0 || t != terms.getFirst();
        float[] tile = pool.scratch(worker, 1, simd.tiles().tileRows() * simd.tiles().tileCols());
        simd.tiles().product(high, n, deep, t.a().f(), t.a().off() + i * t.op().K() + k, t.op().K(), panels, 0, c.f(),
                c.off() + i * N + j, N, add, tile);
    }

    /// Packs inner indices k.. of alpha op(b) for the columns of a panel.
    private void panel(PackedProduct.Term t, int k, int deep, int j, float[] to, int at, int worker) {
        ProductOps.MatMul op = t.op();
        Operand b = t.b();
        boolean plain = ProductCpu.plain(b);
        int n = Math.min(NR, N - j);
        if (op.form() == Form.NT) {
            float[] from = plain ? b.f() : pool.scratch(worker, 0, NR * deep);
            for (int q = 0; !plain && q < n; q++)
                ProductCpu.load(simd, b, (j + q) * op.K() + k, from, q * deep, deep);
            Panels.ofTransposed(simd, from, plain ? b.off() + j * op.K() + k : 0, plain ? op.K() : deep, deep, n, to,
                    at);
        } else {
            if (plain) {
                Panels.of(simd, b.f(), b.off() + k * N + j, N, deep, n, to, at);
            } else {
                float[] from = pool.scratch(worker, 0, SLICE * NR);
                for (int r = 0; r < deep; r += SLICE) {
                    int high = Math.min(SLICE, deep - r);
                    for (int q = 0; q < high; q++)
                        ProductCpu.load(simd, b, (k + r + q) * N + j, from, q * n, n);
                    Panels.of(simd, from, 0, n, high, n, to, at + r * NR);
                }
            }
        }
        if (op.alpha() != 1)
            simd.elements().scale((float) op.alpha(), to, at, to, at, NR * deep);
    }
}
