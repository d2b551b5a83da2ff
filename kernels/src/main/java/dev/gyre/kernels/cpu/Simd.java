package dev.gyre.kernels.cpu;

import java.util.Locale;

/// Arithmetic on slices of float arrays, each slice an array and the offset of its first element: rows, tiles of a
/// matrix product, transposition, decoding. [SimdVector] and [SimdScalar] agree within rounding. Slices of one call
/// may be identical where an element of the output depends on the same element of the input only; else they are apart.
interface Simd {
    /// Below every score, and finite, so that differences are numbers.
    float LOWEST = -1e30f;

    /// Floats that one instruction handles.
    int lanes();

    /// `z = x + y`.
    void add(float[] x, int xo, float[] y, int yo, float[] z, int zo, int n);

    /// `y += a x`.
    void axpy(float a, float[] x, int xo, float[] y, int yo, int n);

    /// `y = a x`.
    void scale(float a, float[] x, int xo, float[] y, int yo, int n);

    /// `z = a x y`.
    void mul(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n);

    /// `z += a x y`.
    void mulAdd(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n);

    /// `z (+)= w * (a * y) + b * x`; the shape of RMSNorm's gradient.
    void normGrad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float[] z, int zo, int n,
            boolean accumulate);

    /// `sum x y`.
    float dot(float[] x, int xo, float[] y, int yo, int n);

    /// `sum x y w`.
    float dot3(float[] x, int xo, float[] y, int yo, float[] w, int wo, int n);

    /// `sum x^2` in double precision.
    double sumSquares(float[] x, int xo, int n);

    /// Largest element; -Infinity for none.
    float max(float[] x, int xo, int n);

    /// `sum exp(x - max)`.
    double sumExp(float[] x, int xo, float max, int n);

    /// `x = exp(x - max)`; returns the sum of the new values.
    double expInPlace(float[] x, int xo, float max, int n);

    /// Running softmax down the columns of n rows of [#tileCols] scores: `score <- exp(score - max)`; at `stats` the
    /// columns' maxima, or what is not far below them, then their denominators, then work space of the same size follow;
    /// the D rows at `sums` are scaled to the new maxima.
    /// A score of -Infinity counts as absent; maxima start at [#LOWEST].
    void softmaxStep(int n, float[] w, int scores, int stats, int sums, int D);

    /// Gradient of a softmax down the columns of n rows of [#tileCols] scores at p: `p <- exp(p - lse)`,
    /// `d <- a p (d - delta)`. At `stats` the columns' lse, their delta, then work space of the same size.
    /// A score of -Infinity counts as absent.
    void softmaxGrad(int n, float a, float[] w, int p, int d, int stats);

    /// `out = silu(gate) up`.
    void swiGlu(float[] gate, int go, float[] up, int uo, float[] out, int oo, int n);

    /// See [dev.gyre.kernels.op.ElementOps.SwiGluGrad]; dGate may be gate and dUp may be up.
    void swiGluGrad(float[] gate, int go, float[] up, int uo, float[] dOut, int doo, float[] dGate, int dgo,
            float[] dUp, int duo, int n);

    /// Turns the pairs `(x[j], x[j + half])` by the angles behind cos and sin; `sign` -1 turns back.
    void rope(float[] x, int xo, float[] cos, int co, float[] sin, int so, int half, float sign);

    /// Numbers of a group of [#givens], a power of two.
    int givensWidth();

    /// Givens rotations within groups of [#givensWidth] neighbours of each row, from the largest stride to stride 1:
    /// `y[i] = x[i] a[i] + x[i ^ stride] b[i]`. A group's coefficients are a and b of stride 1, then of stride 2, ...;
    /// groups follow each other, in the rows as in the coefficients. The first number of group g of row r is not that of x
    /// but `first[fo + r ldf + g]`. y may be x.
    void givens(int rows, int groups, float[] coefficients, int co, float[] x, int xo, int ldx, float[] first, int fo,
            int ldf, float[] y, int yo, int ldy);

    /// Gradient of [#givens]: x holds its inputs, w the gradients of its outputs, which become those of its inputs; the
    /// gradients of the coefficients are added to sums, laid out as they are. Rows of x and w are `ld` apart.
    void givensGrad(int rows, int groups, float[] coefficients, int co, float[] x, int xo, float[] w, int wo, int ld,
            float[] sums, int so);

    /// `y[i] (+)= x[i] scale` where [dev.gyre.kernels.op.Dropouts#keeps] element `e + i`, else 0.
    void dropout(int seed, int salt, int e, float p, float scale, float[] x, int xo, float[] y, int yo, int n,
            boolean accumulate);

    /// One step of [dev.gyre.kernels.op.OptimiserOps.AdamW] over n numbers; `shrink = 1 - lr * decay`, `step = lr / c1`.
    void adamW(float[] p, int po, float[] g, int go, float[] m, int mo, float[] v, int vo, int n, float clip,
            float beta1, float beta2, float shrink, float step, float c2, float eps);

    /// `y[r][c] = x[r][c]` for `rows x cols` elements of x.
    void copy(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy);

    /// `y[c][r] = x[r][c]` for `rows x cols` elements of x.
    void transpose(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy);

    /// Small product `c (+)= a b` straight from memory: a (M,K) with element (i,k) at `ao + i*rowStep + k*colStep` (so
    /// transposed a costs nothing), b (K,N) and c (M,N) row-major. For products too small to pack b.
    void mulAdd(int M, int N, int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb, float[] c,
            int co, int ldc, boolean accumulate);

    /// Small product `c (+)= a b`: rows of a (M,K) at `ao + i*lda`, b in panels (see [Panels]), c (M,N). `tile` is work space
    /// for [#tileRows] x [#tileCols] numbers. All of b and some rows of a should sit in a near cache.
    void product(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate, float[] tile);

    /// Rows of the register tile of [#product].
    int tileRows();

    /// Columns of a register tile.
    int tileCols();

    /// Inner length up to which operands of [#strip] are packed, and the distance between the rows of a strip: with 8 lanes a
    /// panel has 52 KiB then, a strip 19.5. Even, and a little more than a round number, so that a low-rank term fits in the same
    /// block as the weight's.
    int DEPTH = 832;

    /// Rows of a that [#strip] takes at once.
    int stripRows();

    /// Numbers for each k in one section of a packed panel of b: a panel of [#tileCols] columns has [#panelSections] of them,
    /// each an array of its own, so that each index of the tile's loop starts at 0.
    int slot();

    /// Sections of a packed panel.
    default int panelSections() {
        return tileCols() / slot();
    }

    /// A strip of rows of a, [#DEPTH] apart, times a panel, the sections of b from `bi` on:
    /// `c (+)= sum over k of a[k] b[k]^T` for the upper left `rows x cols` of [#stripRows] x [#tileCols]. Where kc is
    /// odd, rows and sections hold zeros for `k = kc`. `tile` is work space for as many numbers as the strip has elements.
    void strip(int kc, float[] a, float[][] b, int bi, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate, float[] tile);

    /// Rows of a that a packed group of [#strips] holds.
    int groupRows();

    /// Numbers that a packed group of rows of a holds for each k: [#groupRows], and perhaps some more that are not used.
    int groupStride();

    /// Rows of c that [#strips] writes for M rows of a: some more than M, whose numbers mean nothing.
    int writtenRows(int M);

    /// Small product `c (+)= a b`: a (M,K) in groups of `deep` numbers for each row, of which the first kc count, b one
    /// packed panel ([#tileCols] numbers per k), [#writtenRows] rows of c written.
    void strips(int M, int kc, float[] a, int ao, int deep, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate);

    /// `c (+)= tile` for the upper left `rows x cols` of tiles that lie one below the other.
    void addTile(float[] tile, float[] c, int co, int ldc, int rows, int cols, boolean accumulate);

    /// Brain floats to floats.
    void decodeBf16(short[] x, int xo, float[] y, int yo, int n);

    /// `y = codeBook[code] * absmax` for n codes from element `e` on, all of one block.
    void decodeNf4(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n);

    /// The arithmetic of a backend, and in words why it is this one.
    record Chosen(Simd simd, String why) {
    }

    static Chosen choose(SimdChoice choice) {
        String width = System.getProperty("gyre.simd", "auto").toLowerCase(Locale.ROOT);
        if (!width.matches("auto|scalar|128|256|512"))
            throw new IllegalArgumentException(
                    "gyre.simd=" + width + " is not one of auto, scalar, 128, 256, 512 (system property)");
        if (choice == SimdChoice.SCALAR || (choice == SimdChoice.AUTO && width.equals("scalar")))
            return new Chosen(new SimdScalar(), "scalar loops (as asked)");
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            String flag = "module jdk.incubator.vector is absent: start java with --add-modules jdk.incubator.vector";
            if (choice == SimdChoice.VECTOR)
                throw new IllegalStateException("no vector arithmetic: " + flag);
            return new Chosen(new SimdScalar(), "scalar loops (" + flag + ")");
        }
        return Vector.chosen();
    }

    /// Keeps the JVM from linking [SimdVector] where its module is absent.
    final class Vector {
        private Vector() {
        }

        private static Chosen chosen() {
            SimdVector v = new SimdVector();
            return new Chosen(v, v.describe());
        }
    }
}
