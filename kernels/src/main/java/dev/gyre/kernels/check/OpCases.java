package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/// The table of cases: every operation in every mode, odd and unfriendly sizes, and a few large enough for blocked and
/// threaded paths. [OpCase#op] names the operation that a case is about.
public final class OpCases {
    /// Lengths of elementwise operands: one, below and above vector widths, around blocks of 64, many.
    private static final int[] LENGTHS = {1, 3, 7, 13, 17, 31, 33, 63, 64, 100, 207, 4099, 40_003};
    /// (N, C) of row operations.
    private static final int[][] ROWS = {{1, 1}, {1, 7}, {3, 5}, {17, 1}, {5, 33}, {31, 63}, {7, 100},
        {13, 207}, {64, 64}, {130, 258}, {3, 4099}};

    private final List<OpCase> cases = new ArrayList<>();

    private OpCases() {
    }

    public static List<OpCase> all() {
        OpCases t = new OpCases();
        t.elementwise();
        t.rows();
        t.embedding();
        t.rmsNorm();
        t.matMul();
        t.rope();
        t.attention();
        t.cachedAttention();
        t.crossEntropy();
        t.cayley();
        t.blockRotate();
        t.denseRotation();
        t.psoft();
        t.givens();
        t.householder();
        t.optimiser();
        return List.copyOf(t.cases);
    }

    /// The cases of some operations, by name: `of("MatMul", "Embed")`.
    public static List<OpCase> of(String... ops) {
        return all().stream().filter(c -> Arrays.asList(ops).contains(c.op())).toList();
    }

    private void add(String name, OpCase.Recipe recipe) {
        cases.add(new OpCase(name, recipe));
    }

    private void elementwise() {
        for (int n : LENGTHS) {
            add("Fill " + n, s -> s.op(new ElementOps.Fill(s.out("x", EXACT, n), -0.3f)));
            add("Copy " + n, s -> s.op(new ElementOps.Copy(s.in("x", 1, n), s.out("y", EXACT, n))));
            add("Add " + n,
                    s -> s.op(new ElementOps.Add(s.in("x", 1, n), s.in("y", 1, n), s.out("out", roundings(1), n))));
            add("Axpy " + n,
                    s -> s.op(new ElementOps.Axpy(-0.7f, s.in("x", 1, n), s.inout("y", 1, roundings(3), n))));
            add("SwiGlu " + n, s -> s
                    .op(new ElementOps.SwiGlu(s.in("gate", 4, n), s.in("up", 1, n), s.out("out", roundings(16), n))));
            add("SwiGluGrad " + n, s -> s.op(new ElementOps.SwiGluGrad(s.in("gate", 4, n), s.in("up", 1, n),
                    s.in("dOut", 1, n), s.out("dGate", roundings(24), n), s.out("dUp", roundings(16), n))));
            for (float p : new float[] {0f, 0.1f, 0.5f, 0.9f})
                for (boolean accumulate : new boolean[] {false, true})
                    add("Dropout " + n + " p=" + p + plus(accumulate), s -> {
                        Buf x = s.in("x", 1, n);
                        Buf seed = s.ints("seed", s.random().nextInt());
                        Buf y = accumulate ? s.inout("y", 1, roundings(4), n) : s.out("y", roundings(3), n);
                        s.op(new ElementOps.Dropout(x, seed, y, 7 + n, p, accumulate));
                    });
        }
        add("SwiGlu extreme gates",
                s -> s.op(new ElementOps.SwiGlu(s.in("gate", new float[] {-200, -90, -1e-30f, 0, 90, 200}, 6),
                        s.in("up", 1, 6), s.out("out", roundings(16), 6))));
        add("SwiGluGrad extreme gates", s -> s.op(new ElementOps.SwiGluGrad(
                s.in("gate", new float[] {-200, -90, -1e-30f, 0, 90, 200}, 6), s.in("up", 1, 6), s.in("dOut", 1, 6),
                s.out("dGate", roundings(24), 6), s.out("dUp", roundings(16), 6))));
        for (int n : new int[] {1, 33, 1000}) {
            add("SwiGluGrad " + n + " both in place", s -> {
                Buf gate = s.inout("gate", 2, roundings(24), n);
                Buf up = s.inout("up", 1, roundings(16), n);
                s.op(new ElementOps.SwiGluGrad(gate, up, s.in("dOut", 1, n), gate, up));
            });
            add("SwiGluGrad " + n + " dUp in place", s -> {
                Buf up = s.inout("up", 1, roundings(16), n);
                s.op(new ElementOps.SwiGluGrad(s.in("gate", 2, n), up, s.in("dOut", 1, n),
                        s.out("dGate", roundings(24), n),
                        up));
            });
        }
    }

    private void rows() {
        for (int[] nc : ROWS) {
            int N = nc[0];
            int C = nc[1];
            String size = " " + N + "x" + C;
            add("AddBias" + size, s -> s
                    .op(new ColumnOps.AddBias(s.inout("y", 1, roundings(1), N, C), s.in("bias", 1, C), N, C)));
            add("BiasGrad" + size, s -> s
                    .op(new ColumnOps.BiasGrad(s.in("dY", 1, N, C), s.inout("dBias", 1, sum(N), C), N, C)));
            add("ScaleColumns" + size, s -> s.op(new ColumnOps.ScaleColumns(s.in("x", 1, N, C), s.in("s", 1, C),
                    s.out("y", roundings(1), N, C), N, C)));
            add("ScaleColumns" + size + " in place", s -> {
                Buf x = s.inout("x", 1, roundings(1), N, C);
                s.op(new ColumnOps.ScaleColumns(x, s.in("s", 1, C), x, N, C));
            });
            // out and the sum that is added to it are of any sign: with few columns all results may be small beside both
            add("ColumnDot" + size, s -> s.op(new ColumnOps.ColumnDot(s.in("x", 1, N, C), s.in("y", 1, N, C),
                    s.inout("out", 1, sum(N).cancelling(1), C), N, C)));
            add("PermuteColumns" + size, s -> s.op(new ColumnOps.PermuteColumns(s.in("x", 1, N, C),
                    s.ints("perm", permutation(C, s.random())), s.out("y", EXACT, N, C), N, C)));
        }
    }

    static int[] permutation(int n, Random random) {
        int[] perm = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            perm[i] = perm[j];
            perm[j] = i;
        }
        return perm;
    }

    private void embedding() {
        for (int[] nvc : new int[][] {{1, 1, 1}, {5, 7, 3}, {33, 13, 31}, {100, 17, 64}, {207, 300, 100},
            {7, 50, 1030}}) {
            int N = nvc[0];
            int V = nvc[1];
            int C = nvc[2];
            String size = " N" + N + " V" + V + " C" + C;
            for (DType dtype : new DType[] {DType.F32, DType.BF16})
                add("Embed" + size + " " + dtype, s -> s.op(new TokenOps.Embed(s.ints("ids", s.below(V, N)),
                        s.weight("table", dtype, 1, V, C), s.out("out", EXACT, N, C), N, V, C)));
            add("EmbedGrad" + size,
                    s -> s.op(new TokenOps.EmbedGrad(s.ints("ids", s.below(V, N)), s.in("dOut", 1, N, C),
                            s.inout("dTable", 1, sum(N), V, C), N, V, C)));
        }
        add("Embed trained table", s -> s.op(new TokenOps.Embed(s.ints("ids", 2, 0, 2), s.in("table", 1, 3, 5),
                s.out("out", EXACT, 3, 5), 3, 3, 5)));
        add("EmbedGrad one id for all rows", s -> s.op(new TokenOps.EmbedGrad(s.ints("ids", new int[100]),
                s.in("dOut", 1, 100, 33), s.inout("dTable", 1, sum(100), 2, 33), 100, 2, 33)));
    }

    private void rmsNorm() {
        for (int[] nc : ROWS) {
            int N = nc[0];
            int C = nc[1];
            String size = " " + N + "x" + C;
            add("RmsNorm" + size, s -> s.op(new NormOps.RmsNorm(s.in("x", 3, N, C), s.in("weight", 1, C),
                    s.out("y", sum(C), N, C), s.out("rstd", sum(C), N), N, C, 1e-5f)));
            for (boolean accumulate : new boolean[] {false, true})
                add("RmsNormGrad" + size + plus(accumulate), s -> {
                    Buf x = s.in("x", 3, N, C);
                    Buf weight = s.in("weight", 1, C);
                    Buf rstd = s.in("rstd", rstd(s, x, N, C), N);
                    Buf dY = s.in("dY", 1, N, C);
                    // with C = 1 nothing but eps keeps the two terms of dX, of about dY, from cancelling: no order of
                    // summation helps, their own roundings remain
                    Tol tol = sum(C).cancelling(1);
                    Buf dX = accumulate ? s.inout("dX", 1, tol, N, C) : s.out("dX", tol, N, C);
                    s.op(new NormOps.RmsNormGrad(x, weight, rstd, dY, dX, N, C, accumulate));
                });
            add("RmsNormWeightGrad" + size, s -> {
                Buf x = s.in("x", 3, N, C);
                s.op(new NormOps.RmsNormWeightGrad(x, s.in("rstd", rstd(s, x, N, C), N), s.in("dY", 1, N, C),
                        s.inout("dWeight", 1, sum(N), C), N, C));
            });
        }
        add("RmsNorm rows of zeros and of small numbers", s -> {
            float[] x = s.normal(1e-3, 3, 33);
            Arrays.fill(x, 33, 66, 0f);
            s.op(new NormOps.RmsNorm(s.in("x", x, 3, 33), s.in("weight", 1, 33), s.out("y", sum(33), 3, 33),
                    s.out("rstd", sum(33), 3), 3, 33, 1e-6f));
        });
    }

    /// rstd as a forward pass would have left it.
    static float[] rstd(OpCase.Setup s, Buf x, int N, int C) {
        float[] values = s.values(x);
        float[] rstd = new float[N];
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += (double) values[i * C + c] * values[i * C + c];
            rstd[i] = (float) (1 / Math.sqrt(sum / C + 1e-5));
        }
        return rstd;
    }

    private void matMul() {
        int[][] sizes = {{1, 1, 1}, {1, 5, 3}, {3, 1, 7}, {5, 7, 1}, {1, 64, 207}, {7, 13, 17},
            {17, 31, 33}, {33, 17, 100}, {31, 63, 64}, {63, 100, 31}, {65, 129, 257}, {8, 320, 48},
            {207, 96, 160}};
        for (Form form : Form.values())
            for (int[] mnk : sizes)
                for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.NF4})
                    if (form != Form.TN || dtype == DType.F32)
                        matMul(form, mnk, dtype, 1f, false);
        for (Form form : Form.values())
            for (int[] mnk : new int[][] {{3, 5, 7}, {33, 31, 65}})
                for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.NF4})
                    if (form != Form.TN || dtype == DType.F32) {
                        matMul(form, mnk, dtype, 1f, true);
                        matMul(form, mnk, dtype, -0.25f, true);
                        matMul(form, mnk, dtype, 1.7f, false);
                    }
        for (Form form : Form.values())
            for (int[] mnk : new int[][] {{129, 260, 207}, {40, 128, 1030}, {9, 1601, 33}})
                matMul(form, mnk, DType.F32, 1f, false);
        // long inner indices in few and in tall rows, added to what is there
        for (Form form : Form.values())
            for (int[] mnk : new int[][] {{7, 35, 6203}, {130, 17, 1601}, {1601, 9, 33}})
                matMul(form, mnk, DType.F32, -0.25f, true);
        matMul(Form.TN, new int[] {650, 130, 33}, DType.F32, 1f, false);
        matMul(Form.TN, new int[] {650, 130, 33}, DType.F32, -0.25f, true);
        for (Form form : new Form[] {Form.NN, Form.NT})
            for (int[] mnk : new int[][] {{5, 96, 100}, {100, 130, 160}, {9, 1601, 33}}) {
                matMul(form, mnk, DType.BF16, 1f, false);
                matMul(form, mnk, DType.NF4, 1f, false);
            }
        for (Form form : new Form[] {Form.NN, Form.NT})
            for (int[] mnk : new int[][] {{3, 5, 7}, {7, 96, 100}, {33, 130, 160}, {5, 64, 512}})
                for (int block : new int[] {32, 64, 256})
                    add("MatMul " + form + size(mnk) + " NF4 nested, blocks of " + block, s -> {
                        int count = mnk[1] * mnk[2];
                        Buf b = s.nf4("b", Nf4Data.nested(count, block, 256, s.random()), shape(form, mnk));
                        matMul(s, form, mnk, b, 1f, false);
                    });
        add("MatMul NT 5x7x33 NF4 blocks of 128",
                s -> matMul(s, Form.NT, new int[] {5, 7, 33},
                        s.nf4("b", Nf4Data.plain(7 * 33, 128, s.random()), 7, 33), 1f, false));
        add("MatMul NT 5x40x30 NF4 nested blocks of 16 maxima",
                s -> matMul(s, Form.NT, new int[] {5, 40, 30},
                        s.nf4("b", Nf4Data.nested(40 * 30, 32, 16, s.random()), 40, 30), 1f, false));
        for (Form form : Form.values())
            add("MatMul " + form + " 17x13x31 b is no weight",
                    s -> matMul(s, form, new int[] {17, 13, 31},
                            s.in("b", 1, shape(form, new int[] {17, 13, 31})), 1f, false));
    }

    private void matMul(Form form, int[] mnk, DType dtype, float alpha, boolean accumulate) {
        String name = "MatMul " + form + size(mnk) + " " + dtype + (alpha == 1f ? "" : " alpha " + alpha)
                + plus(accumulate);
        add(name, s -> matMul(s, form, mnk, form == Form.TN ? s.in("b", 1, shape(form, mnk))
                : s.weight("b", dtype, 1, shape(form, mnk)), alpha, accumulate));
    }

    private static void matMul(OpCase.Setup s, Form form, int[] mnk, Buf b, float alpha, boolean accumulate) {
        int M = mnk[0];
        int N = mnk[1];
        int K = mnk[2];
        Buf a = form == Form.TN ? s.in("a", 1, K, M) : s.in("a", 1, M, K);
        Tol tol = sum(K);
        Buf c = accumulate ? s.inout("c", 1, tol, M, N) : s.out("c", tol, M, N);
        s.op(new ProductOps.MatMul(form, a, b, c, M, N, K, alpha, accumulate));
    }

    private static int[] shape(Form form, int[] mnk) {
        return form == Form.NT ? new int[] {mnk[1], mnk[2]} : new int[] {mnk[2], mnk[1]};
    }

    private static String size(int[] mnk) {
        return " " + mnk[0] + "x" + mnk[1] + "x" + mnk[2];
    }

    private void rope() {
        for (int[] nhd : new int[][] {{1, 1, 2}, {3, 2, 6}, {7, 5, 16}, {31, 3, 34}, {13, 4, 64},
            {130, 8, 128}})
            for (boolean inverse : new boolean[] {false, true})
                add("Rope N" + nhd[0] + " heads" + nhd[1] + " D" + nhd[2] + (inverse ? " inverse" : ""), s -> {
                    int N = nhd[0];
                    int D = nhd[2];
                    int P = N + 9;
                    float[] cos = new float[P * D / 2];
                    float[] sin = new float[P * D / 2];
                    for (int p = 0; p < P; p++)
                        for (int j = 0; j < D / 2; j++) {
                            double angle = p * Math.pow(10000, -2.0 * j / D);
                            cos[p * D / 2 + j] = (float) (1.1 * Math.cos(angle));
                            sin[p * D / 2 + j] = (float) (1.1 * Math.sin(angle));
                        }
                    s.op(new RopeOps.Rope(s.inout("x", 1, roundings(3), N, nhd[1] * D), s.in("cos", cos, P, D / 2),
                            s.in("sin", sin, P, D / 2), s.ints("positions", s.below(P, N)), N, nhd[1], D, inverse));
                });
    }

    /// Shape of an attention case; `start` is one of `zeros`, `packed`, `padded`.
    private record Shape(int B, int T, int H, int KV, int D, int window, String start) {
        @Override
        public String toString() {
            return "B" + B + " T" + T + " H" + H + " KV" + KV + " D" + D
                    + (window > 0 ? " window " + window : "") + " " + start;
        }

        int[] starts(Random random) {
            int[] out = new int[B * T];
            for (int b = 0; b < B; b++) {
                int first = 0;
                int pad = start.equals("padded") ? random.nextInt(T) : 0;
                for (int i = 0; i < T; i++) {
                    if (start.equals("packed") && random.nextInt(6) == 0)
                        first = i;
                    out[b * T + i] = start.equals("packed") ? first : Math.min(i, pad);
                }
            }
            return out;
        }

        float scale() {
            return (float) (1 / Math.sqrt(D));
        }

        /// exp of scores up to about 10 multiplies their rounding by as much; then sums over T and D.
        Tol tol() {
            return relative(64 * Tol.ROUNDING + sum(T).rtol() + sum(D).rtol(), "exp of scores to 10, sums over T, D");
        }
    }

    private void attention() {
        Shape[] shapes = {new Shape(1, 1, 1, 1, 1, 0, "zeros"), new Shape(2, 5, 3, 1, 7, 0, "zeros"),
            new Shape(2, 17, 4, 2, 16, 0, "packed"), new Shape(1, 33, 4, 4, 8, 5, "zeros"),
            new Shape(2, 31, 6, 2, 13, 7, "packed"), new Shape(3, 9, 2, 2, 3, 1, "zeros"),
            new Shape(1, 63, 2, 1, 32, 100, "padded"), new Shape(3, 13, 5, 5, 33, 0, "padded"),
            new Shape(1, 207, 3, 3, 17, 31, "packed"), new Shape(1, 130, 4, 2, 64, 0, "packed"),
            new Shape(2, 65, 8, 2, 128, 0, "zeros"), new Shape(1, 403, 3, 1, 19, 0, "zeros"),
            new Shape(2, 250, 2, 2, 8, 90, "padded"),
            // many heads: a gradient's chunk holds several tiles of queries and of keys; then two such chunks
            new Shape(4, 130, 8, 4, 8, 0, "packed"), new Shape(4, 150, 4, 4, 5, 40, "padded"),
            new Shape(4, 300, 2, 2, 8, 0, "packed")};
        for (Shape z : shapes) {
            int N = z.B * z.T;
            add("Attention " + z,
                    s -> s.op(new AttentionOps.Attention(s.in("q", 2, N, z.H * z.D), s.in("k", 1, N, z.KV * z.D),
                            s.in("v", 1, N, z.KV * z.D), s.ints("start", z.starts(s.random())),
                            s.out("out", z.tol(), N, z.H * z.D), s.out("lse", z.tol(), N, z.H), z.B, z.T, z.H, z.KV,
                            z.D,
                            z.scale(), z.window)));
            add("AttentionGrad " + z, s -> {
                Buf q = s.in("q", 2, N, z.H * z.D);
                Buf k = s.in("k", 1, N, z.KV * z.D);
                Buf v = s.in("v", 1, N, z.KV * z.D);
                Buf start = s.ints("start", z.starts(s.random()));
                Buf out = s.out("out", z.tol(), N, z.H * z.D);
                Buf lse = s.out("lse", z.tol(), N, z.H);
                s.op(new AttentionOps.Attention(q, k, v, start, out, lse, z.B, z.T, z.H, z.KV, z.D, z.scale(),
                        z.window));
                Tol tol = relative(2 * z.tol().rtol(), "twice the forward's: two such factors");
                // dQ and dK are zero but for rounding where one key is visible; then dOut.v sets the scale of errors
                Tol difference = new Tol(16 * Math.sqrt(z.D) * Tol.ROUNDING, tol.rtol(), "cancelling dP - delta");
                s.op(new AttentionOps.AttentionGrad(q, k, v, start, out, lse, s.in("dOut", 1, N, z.H * z.D),
                        s.out("delta", tol, N, z.H), s.out("dQ", difference, N, z.H * z.D),
                        s.out("dK", difference, N, z.KV * z.D), s.out("dV", tol, N, z.KV * z.D), z.B, z.T, z.H, z.KV,
                        z.D, z.scale(), z.window));
            });
        }
    }

    private void cachedAttention() {
        for (int[] z : new int[][] {{1, 1, 0, 1}, {1, 7, 6, 5}, {3, 10, 4, 33}, {17, 63, 0, 64},
            {5, 207, 100, 258}}) {
            int T = z[0];
            int P = z[1];
            int C = z[3];
            add("CacheStore T" + T + " P" + P + " from " + z[2] + " C" + C, s -> s.op(new AttentionOps.CacheStore(
                    s.in("k", 1, T, C), s.in("v", 1, T, C), s.inout("kCache", 1, EXACT, P, C),
                    s.inout("vCache", 1, EXACT, P, C), s.ints("start", z[2]), T, P, C)));
        }
        for (int[] z : new int[][] {{1, 1, 0, 1, 1, 1, 0}, {1, 9, 5, 3, 1, 7, 0}, {3, 17, 4, 4, 2, 16, 0},
            {5, 33, 11, 6, 2, 13, 7}, {1, 300, 207, 8, 2, 64, 0}, {33, 64, 0, 2, 2, 32, 31},
            {7, 31, 24, 3, 3, 33, 1}}) {
            int T = z[0];
            int P = z[1];
            int start = z[2];
            int H = z[3];
            int KV = z[4];
            int D = z[5];
            Tol tol = relative(64 * Tol.ROUNDING + sum(P).rtol() + sum(D).rtol(),
                    "exp of scores to 10, sums over P, D");
            add("CachedAttention T" + T + " P" + P + " from " + start + " H" + H + " KV" + KV + " D" + D + " window "
                    + z[6], s -> {
                        float[] k = s.normal(1, P, KV * D);
                        float[] v = s.normal(1, P, KV * D);
                        // rows that no query sees: whoever reads them shows NaN
                        Arrays.fill(k, (start + T) * KV * D, k.length, Float.NaN);
                        Arrays.fill(v, (start + T) * KV * D, v.length, Float.NaN);
                        s.op(new AttentionOps.CachedAttention(s.in("q", 2, T, H * D), s.in("kCache", k, P, KV * D),
                                s.in("vCache", v, P, KV * D), s.ints("start", start), s.out("out", tol, T, H * D), T,
                                P, H, KV, D, (float) (1 / Math.sqrt(D)), z[6]));
                    });
        }
    }

    private void crossEntropy() {
        for (int[] nv : new int[][] {{1, 1}, {3, 2}, {7, 33}, {31, 100}, {13, 207}, {100, 17},
            {5, 32_003}})
            for (boolean gradient : new boolean[] {false, true})
                for (String ignored : new String[] {"none", "some", "all"})
                    add("CrossEntropy " + nv[0] + "x" + nv[1] + (gradient ? " gradient" : "") + ", ignored: "
                            + ignored, s -> {
                                int N = nv[0];
                                int V = nv[1];
                                int[] labels = s.below(V, N);
                                for (int i = 0; i < N; i++)
                                    if (ignored.equals("all") || ignored.equals("some") && i % 3 != 1)
                                        labels[i] = TokenOps.CrossEntropy.IGNORE;
                                // logits to about 60: one rounding there is 4e-6 in the exponent
                                Tol tol = new Tol(4e-6, 2e-5 + sum(V).rtol(), "exponents to 100, sum over V");
                                Buf logits = gradient
                                        ? s.inout("logits", 15, relative(tol.rtol(), tol.why()), N, V)
                                        : s.in("logits", 15, N, V);
                                s.op(new TokenOps.CrossEntropy(logits, s.ints("labels", labels),
                                        s.out("rowLoss", tol, N),
                                        s.in("scale", new float[] {0.037f}, 1), N, V, gradient));
                            });
        add("CrossEntropy logits beyond exp's range", s -> s.op(new TokenOps.CrossEntropy(
                s.inout("logits", new float[] {1000, 990, -1000, -1000, -1001, -1002}, relative(2e-4,
                        "logits to 1000: half an ulp there is 3e-5 in the exponent"), 2, 3),
                s.ints("labels", 1, 2), s.out("rowLoss", new Tol(1e-4, 1e-4, "logits to 1000"), 2),
                s.in("scale", new float[] {1f}, 1), 2, 3, true)));
    }

    private void cayley() {
        List<Orthogonal> maps = new ArrayList<>();
        for (int t : new int[] {0, 1, 2, 3, 4, 5, 6, 9})
            maps.add(Orthogonal.neumann(t));
        for (int t : new int[] {1, 2, 5})
            maps.add(Orthogonal.of(Orthogonal.Form.NEUMANN_LEGACY, t));
        for (Orthogonal.Form form : new Orthogonal.Form[] {Orthogonal.Form.CAYLEY_PLUS,
            Orthogonal.Form.CAYLEY_MINUS}) {
            maps.add(Orthogonal.of(form, 0));
            maps.add(new Orthogonal(form, 0, 0f, Skew.FULL));
            maps.add(new Orthogonal(form, 0, 0.9f, Skew.PACKED));
        }
        maps.add(Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6));
        maps.add(new Orthogonal(Orthogonal.Form.NEWTON_SCHULZ, 4, 0f, Skew.FULL));
        maps.add(new Orthogonal(Orthogonal.Form.NEWTON_SCHULZ, 5, 0.9f, Skew.PACKED));
        maps.add(new Orthogonal(Orthogonal.Form.NEUMANN, 5, 0.9f, Skew.PACKED));
        maps.add(new Orthogonal(Orthogonal.Form.NEUMANN, 4, 0f, Skew.FULL));
        maps.add(new Orthogonal(Orthogonal.Form.NEUMANN, 5, 0.3f, Skew.FULL));
        int[][] sizes = {{1, 1}, {3, 2}, {2, 3}, {5, 5}, {4, 8}, {3, 13}, {7, 16}, {2, 31},
            {5, 32}, {2, 33}};
        for (Orthogonal map : maps)
            for (int[] z : sizes)
                cayley(map, z[0], z[1]);
        cayley(Orthogonal.neumann(5), 40, 32);
        for (Orthogonal map : List.of(Orthogonal.neumann(5), Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0),
                Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0), Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6)))
            cayley(map, 1, 100);
        cayley(Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0), 33, 32);
        cayley(Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6), 33, 32);
        cayley(Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0), 200, 4);
        for (Orthogonal map : List.of(Orthogonal.neumann(5), Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0),
                Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0)))
            add("Cayley " + text(map) + " of zeros is the identity", s -> s.op(new CayleyOps.Cayley(map,
                    s.in("v", new float[2 * 15], 2, 15), s.out("r", EXACT, 2, 6, 6), 2, 6)));
        for (int[] z : new int[][] {{1, 2}, {5, 3}, {3, 7}, {17, 8}, {4, 33}, {130, 32}})
            for (double std : new double[] {1e-3, 0.3, 3})
                add("CoftProject blocks" + z[0] + " b" + z[1] + " std " + std, s -> {
                    int m = z[1] * (z[1] - 1) / 2;
                    float[] v = s.normal(std / z[1], z[0], m);
                    if (z[0] > 1)
                        Arrays.fill(v, 0, m, 0f);
                    s.op(new CayleyOps.CoftProject(s.inout("v", v, sum(m), z[0], m), z[0], z[1], 0.2f));
                });
    }

    private void cayley(Orthogonal map, int blocks, int b) {
        String name = text(map) + " blocks" + blocks + " b" + b;
        // singular values of a random Q reach 2 std sqrt(b): below 0.7 for the series, about 2 for the exact forms
        boolean series = map.form() == Orthogonal.Form.NEUMANN || map.form() == Orthogonal.Form.NEUMANN_LEGACY;
        double std = (series ? 0.3 : 1.0) / Math.sqrt(b);
        int m = map.stored(b);
        // a solve with condition number to 2.3, products of length b, up to 3 x 6 of them in a row
        Tol tol = relative(16 * Tol.ROUNDING + 2 * sum(b).rtol(), "a chain of products or a solve of size b");
        add("Cayley " + name,
                s -> s.op(new CayleyOps.Cayley(map, s.in("v", std, blocks, m), s.out("r", tol, blocks, b, b),
                        blocks, b)));
        add("CayleyGrad " + name, s -> s.op(new CayleyOps.CayleyGrad(map, s.in("v", std, blocks, m),
                s.in("dR", 1, blocks, b, b), s.inout("dV", 1, tol, blocks, m), blocks, b)));
    }

    private static String text(Orthogonal map) {
        return map.form() + (map.terms() > 0 ? "(" + map.terms() + ")" : "") + " " + map.skew()
                + (map.maxNorm() > 0 ? " maxNorm " + map.maxNorm() : "");
    }

    private void blockRotate() {
        int[][] sizes = {{1, 1, 1}, {3, 5, 1}, {1, 15, 5}, {7, 15, 3}, {5, 33, 11}, {13, 34, 17},
            {31, 64, 32}, {17, 62, 31}, {33, 48, 24}, {100, 66, 33}, {207, 64, 4}, {63, 100, 100},
            {130, 192, 64}, {257, 256, 32}};
        for (int[] z : sizes)
            for (int stored : z[1] == z[2] ? new int[] {1} : new int[] {z[1] / z[2], 1}) {
                int N = z[0];
                int d = z[1];
                int b = z[2];
                String name = " N" + N + " d" + d + " b" + b + (stored == 1 ? " shared" : "");
                for (boolean transpose : new boolean[] {false, true})
                    for (boolean accumulate : new boolean[] {false, true})
                        add("BlockRotate" + name + (transpose ? " transposed" : "") + plus(accumulate), s -> {
                            Buf x = s.in("x", 1, N, d);
                            Buf r = s.in("r", 1, stored, b, b);
                            Buf y = accumulate ? s.inout("y", 1, sum(b), N, d) : s.out("y", sum(b), N, d);
                            s.op(new RotateOps.BlockRotate(x, r, y, N, d, b, stored, transpose, accumulate));
                        });
                long terms = (long) N * (d / b) / stored;
                // a shared R of few numbers: the sum over rows and blocks may be small in all of them, its terms are of about 1
                add("BlockRotateGrad" + name,
                        s -> s.op(new RotateOps.BlockRotateGrad(s.in("x", 1, N, d), s.in("dY", 1, N, d),
                                s.out("dR", sum(terms).cancelling(1), stored, b, b), N, d, b, stored)));
            }
        for (int[] z : new int[][] {{1, 1}, {5, 3}, {7, 8}, {33, 13}, {130, 32}})
            for (boolean identity : new boolean[] {false, true})
                add("MaskBlocks blocks" + z[0] + " b" + z[1] + (identity ? " identity" : " zero"), s -> {
                    int[] mask = s.below(3, z[0]);
                    s.op(new CayleyOps.MaskBlocks(s.inout("r", 1, EXACT, z[0], z[1], z[1]), s.ints("mask", mask), z[0],
                            z[1],
                            identity));
                });
    }

    private void denseRotation() {
        for (int[] rc : new int[][] {{1, 1}, {3, 5}, {7, 33}, {31, 63}, {13, 100}, {64, 207}, {130, 258}}) {
            int n = rc[0] * rc[1];
            for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.NF4})
                add("Decode " + rc[0] + "x" + rc[1] + " " + dtype, s -> s.op(new ProductOps.Decode(
                        s.weight("w", dtype, 1, rc[0], rc[1]), s.out("y", EXACT, rc[0], rc[1]))));
            add("Decode " + rc[0] + "x" + rc[1] + " NF4 nested", s -> s.op(new ProductOps.Decode(
                    s.nf4("w", Nf4Data.nested(n, 64, 256, s.random()), rc[0], rc[1]),
                    // a device's fused multiply-add spares one of the two roundings of a block's maximum
                    s.out("y", roundings(2), rc[0], rc[1]))));
        }
        for (int[] z : new int[][] {{1, 1}, {5, 1}, {6, 3}, {33, 11}, {64, 32}, {100, 100}, {192, 64}})
            for (int stored : z[0] == z[1] ? new int[] {1} : new int[] {z[0] / z[1], 1}) {
                int d = z[0];
                int b = z[1];
                String name = " d" + d + " b" + b + (stored == 1 ? " shared" : "");
                add("BlockDiagonal" + name, s -> s.op(new RotateOps.BlockDiagonal(s.in("r", 1, stored, b, b),
                        s.out("dense", EXACT, d, d), d, b, stored)));
                add("BlockDiagonalGrad" + name, s -> s.op(new RotateOps.BlockDiagonalGrad(s.in("dDense", 1, d, d),
                        s.out("dR", sum(d / b / stored), stored, b, b), d, b, stored)));
            }
    }

    private void psoft() {
        for (int r : new int[] {1, 3, 7, 17, 33, 64, 207})
            for (boolean a : new boolean[] {false, true})
                for (boolean b : new boolean[] {false, true}) {
                    String name = " r" + r + (a ? " va" : "") + (b ? " vb" : "");
                    add("PsoftCore" + name,
                            s -> s.op(new SubspaceOps.PsoftCore(s.in("R", 1, r, r), a ? s.in("va", 1, r) : null,
                                    b ? s.in("vb", 1, r) : null, s.out("core", roundings(6), r, r), r)));
                    for (boolean train : a || b ? new boolean[] {true, false} : new boolean[] {false})
                        add("PsoftCoreGrad" + name + (train ? " trained" : ""), s -> s.op(new SubspaceOps.PsoftCoreGrad(
                                s.in("R", 1, r, r), a ? s.in("va", 1, r) : null, b ? s.in("vb", 1, r) : null,
                                s.in("dCore", 1, r, r), s.out("dR", roundings(3), r, r),
                                a && train ? s.inout("dVa", 1, sum(r), r) : null,
                                b && train ? s.inout("dVb", 1, sum(r), r) : null, r)));
                }
    }

    private void givens() {
        for (int n : new int[] {1, 3, 7, 33, 100, 207, 4099}) {
            add("GivensAngles " + n,
                    s -> s.op(new GivensOps.GivensAngles(s.in("phi", 0.7, n), s.out("g", roundings(16), n, 4),
                            n)));
            add("GivensAnglesGrad " + n,
                    s -> s.op(new GivensOps.GivensAnglesGrad(s.in("phi", 0.7, n), s.in("dG", 1, n, 4),
                            s.inout("dPhi", 1, roundings(24), n), n)));
            add("GivensPenalty " + n, s -> s.op(new GivensOps.GivensPenalty(s.in("g", 1, n, 4),
                    s.inout("dG", 1, roundings(16), n, 4), s.out("loss", sum(n), 1), n, 0.05f)));
        }
        for (int[] nd : new int[][] {{3, 1}, {1, 2}, {5, 3}, {1, 5}, {7, 7}, {3, 8}, {13, 12},
            {17, 31}, {33, 33}, {31, 64}, {5, 100}, {64, 207}, {130, 256}, {3, 4099}}) {
            int N = nd[0];
            int d = nd[1];
            String size = " " + N + "x" + d;
            // every element passes up to log2(d) stages of two products each
            Tol pass = relative((4 + 4 * log2(d)) * Tol.ROUNDING, "log2(d) stages");
            for (boolean orthogonal : new boolean[] {true, false}) {
                String kind = orthogonal ? " rotations" : " free";
                add("GivensSweep" + size + kind, s -> s.op(new GivensOps.GivensSweep(s.in("x", 1, N, d),
                        s.in("g", pairs(s, d - 1, orthogonal), d - 1, 4), s.out("y", pass, N, d), N, d)));
                for (boolean accumulate : new boolean[] {false, true})
                    add("GivensSweepGrad" + size + kind + plus(accumulate), s -> {
                        Buf x = s.in("x", 1, N, d);
                        Buf g = s.in("g", pairs(s, d - 1, orthogonal), d - 1, 4);
                        Buf dY = s.in("dY", 1, N, d);
                        Buf dX = accumulate ? s.inout("dX", 1, pass, N, d) : s.out("dX", pass, N, d);
                        Tol tol = relative(4 * pass.rtol() + sum(N).rtol(),
                                "log2(d) stages there and back, sum over N");
                        s.op(new GivensOps.GivensSweepGrad(x, g, dY, dX, s.out("dG", tol, d - 1, 4), N, d, orthogonal,
                                accumulate));
                    });
            }
        }
    }

    static int log2(int d) {
        return 32 - Integer.numberOfLeadingZeros(d);
    }

    /// 2x2 matrices: rotations by any angle, or the identity plus noise.
    static float[] pairs(OpCase.Setup s, int n, boolean orthogonal) {
        float[] g = s.normal(0.3, n, 4);
        for (int i = 0; i < n; i++) {
            double angle = s.random().nextDouble(-Math.PI, Math.PI);
            if (orthogonal) {
                g[4 * i] = (float) Math.cos(angle);
                g[4 * i + 1] = (float) -Math.sin(angle);
                g[4 * i + 2] = (float) Math.sin(angle);
                g[4 * i + 3] = (float) Math.cos(angle);
            } else {
                g[4 * i] += 1;
                g[4 * i + 3] += 1;
            }
        }
        return g;
    }

    private void householder() {
        for (int[] ndr : new int[][] {{1, 1, 1}, {3, 5, 1}, {1, 7, 3}, {5, 33, 4}, {31, 17, 5},
            {13, 63, 8}, {64, 100, 6}, {207, 31, 7}, {33, 258, 16}}) {
            int N = ndr[0];
            int d = ndr[1];
            int r = ndr[2];
            String size = " d" + d + " r" + r;
            Tol chain = relative(r * sum(d).rtol(), "r dot products of length d in a row");
            for (boolean gs : new boolean[] {false, true}) {
                String name = size + (gs ? " Gram-Schmidt" : "");
                // random columns, r well below d: Gram-Schmidt divides by norms that shrank little
                Tol tol = gs ? relative(4 * r * sum(d).rtol(), "r projections in a row") : sum(d);
                add("HouseholderVectors" + name, s -> s.op(new ReflectOps.HouseholderVectors(s.in("p", 1, d, r),
                        s.out("u", tol, r, d), d, r, gs)));
                add("HouseholderVectorsGrad" + name, s -> {
                    Buf p = s.in("p", 1, d, r);
                    Buf u = s.out("u", tol, r, d);
                    s.op(new ReflectOps.HouseholderVectors(p, u, d, r, gs));
                    s.op(new ReflectOps.HouseholderVectorsGrad(p, u, s.in("dU", 1, r, d),
                            s.inout("dP", 1, relative(4 * tol.rtol(), tol.why()), d, r), d, r, gs));
                });
            }
            add("Householder N" + N + size, s -> s.op(new ReflectOps.Householder(s.in("x", 1, N, d),
                    s.in("u", unitRows(s, r, d), r, d), s.out("y", chain, N, d), N, d, r)));
            for (boolean accumulate : new boolean[] {false, true})
                add("HouseholderGrad N" + N + size + plus(accumulate), s -> {
                    Buf x = s.in("x", 1, N, d);
                    Buf u = s.in("u", unitRows(s, r, d), r, d);
                    Buf dY = s.in("dY", 1, N, d);
                    Tol tol = relative(2 * chain.rtol() + sum(N).rtol(), "reflections there and back, sum over N");
                    Buf dX = accumulate ? s.inout("dX", 1, chain, N, d) : s.out("dX", chain, N, d);
                    s.op(new ReflectOps.HouseholderGrad(x, u, dY, dX, s.out("dU", tol, r, d), N, d, r, accumulate));
                });
        }
    }

    static float[] unitRows(OpCase.Setup s, int r, int d) {
        float[] u = s.normal(1, r, d);
        for (int i = 0; i < r; i++) {
            double sum = 0;
            for (int c = 0; c < d; c++)
                sum += (double) u[i * d + c] * u[i * d + c];
            for (int c = 0; c < d; c++)
                u[i * d + c] /= (float) Math.sqrt(sum);
        }
        return u;
    }

    private void optimiser() {
        for (int n : LENGTHS)
            add("GradNorm " + n,
                    s -> s.op(new OptimiserOps.GradNorm(s.in("grad", 1, n), s.out("norm", roundings(8), 1))));
        add("GradNorm one large number among many small ones", s -> {
            float[] g = s.normal(0.02, 50_001);
            g[0] = 1000;
            s.op(new OptimiserOps.GradNorm(s.in("grad", g, g.length), s.out("norm", roundings(4), 1)));
        });
        adamW(40_003, true, 0.5f, 7);
        for (int n : new int[] {1, 3, 33, 100, 4099})
            for (boolean decay : new boolean[] {false, true})
                for (float maxNorm : new float[] {0f, 0.5f, 100f})
                    for (int t : new int[] {1, 7})
                        adamW(n, decay, maxNorm, t);
    }

    private void adamW(int n, boolean decay, float maxNorm, int t) {
        add("AdamW " + n + (decay ? " decay" : "") + " maxNorm " + maxNorm + " step " + t, s -> {
            // a learning rate of 0.5 makes the update as large as the parameter, so that errors show
            float[] hp = {0.5f, 0.9f, 0.999f, 1e-6f, (float) (1 - Math.pow(0.9, t)),
                (float) (1 - Math.pow(0.999, t)), maxNorm, 0.1f};
            float[] v = s.normal(t == 1 ? 0 : 1, n);
            for (int i = 0; i < n; i++)
                v[i] *= v[i];
            Tol tol = roundings(32);
            s.op(new OptimiserOps.AdamW(s.inout("param", 1, tol, n), s.in("grad", 1, n),
                    s.inout("m", t == 1 ? 0 : 1, roundings(8), n), s.inout("v", v, roundings(8), n),
                    s.in("hp", hp, OptimiserOps.AdamW.HP), s.in("norm", new float[] {7f}, 1), decay));
        });
    }

    private static String plus(boolean accumulate) {
        return accumulate ? " accumulated" : "";
    }
}
