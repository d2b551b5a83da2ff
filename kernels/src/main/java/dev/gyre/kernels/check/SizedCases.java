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

/// Every operation of every method once, at the sizes of a training step of a whole model: what `gyre kernels` times. Their
/// odd and unfriendly sizes are in [OpCases].
public final class SizedCases {
    /// Shapes of a model and a batch: rows B of T tokens, C features, F of the feed-forward part, heads, vocabulary.
    public enum Size {
        XS(2, 32, 64, 160, 2, 1, 32, 128), S(2, 128, 256, 688, 4, 2, 64, 4096), M(4, 256, 768, 2048, 12, 4, 64, 8192),
        L(2, 256, 2048, 5632, 32, 8, 64, 8192);

        final int B;
        final int T;
        final int C;
        final int F;
        final int H;
        final int KV;
        final int D;
        final int V;

        Size(int B, int T, int C, int F, int H, int KV, int D, int V) {
            this.B = B;
            this.T = T;
            this.C = C;
            this.F = F;
            this.H = H;
            this.KV = KV;
            this.D = D;
            this.V = V;
        }

        @Override
        public String toString() {
            return name() + " (" + B + " x " + T + " tokens, " + C + " features, " + F + " inside, " + H + "/" + KV
                    + " heads of " + D + ", vocabulary " + V + ")";
        }
    }

    /// Block size of rotations, rank of low-rank methods.
    private static final int BLOCK = 32;
    private static final int RANK = 16;

    private final List<OpCase> cases = new ArrayList<>();
    private final Size z;
    private final int N;

    private SizedCases(Size z) {
        this.z = z;
        this.N = z.B * z.T;
    }

    public static List<OpCase> of(Size size) {
        SizedCases t = new SizedCases(size);
        t.products();
        t.transformer();
        t.blockRotations();
        t.psoft();
        t.givens();
        t.householder();
        t.rows();
        t.elements();
        t.optimiser();
        return List.copyOf(t.cases);
    }

    private void add(String name, OpCase.Recipe recipe) {
        cases.add(new OpCase(name, recipe));
    }

    private void products() {
        for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.NF4}) {
            product("NT " + dtype + ", forward", Form.NT, dtype, false, N, z.F, z.C);
            product("NN " + dtype + ", gradient of the input", Form.NN, dtype, false, N, z.C, z.F);
        }
        product("NT NF4 double, forward", Form.NT, DType.NF4, true, N, z.F, z.C);
        product("NN NF4 double, gradient of the input", Form.NN, DType.NF4, true, N, z.C, z.F);
        product("TN, gradient of the weight", Form.TN, DType.F32, false, z.F, z.C, N);
        product("NT, LoRA's A", Form.NT, DType.F32, false, N, RANK, z.C);
        product("NT, LoRA's B", Form.NT, DType.F32, false, N, z.F, RANK);
        for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.NF4})
            add("Decode " + dtype, s -> s.op(new ProductOps.Decode(s.weight("w", dtype, 1, z.F, z.C),
                    s.out("y", EXACT, z.F, z.C))));
    }

    private void product(String name, Form form, DType dtype, boolean nested, int M, int cols, int K) {
        add("MatMul " + name, s -> {
            int[] shape = form == Form.NT ? new int[] {cols, K} : new int[] {K, cols};
            Buf b = form == Form.TN ? s.in("b", 1, shape)
                    : nested ? s.nf4("b", Nf4Data.nested(cols * K, 64, 256, s.random()), shape)
                    : s.weight("b", dtype, 1, shape);
            s.op(new ProductOps.MatMul(form, form == Form.TN ? s.in("a", 1, K, M) : s.in("a", 1, M, K), b,
                    s.out("c", sum(K), M, cols), M, cols, K, 1f, false));
        });
    }

    private void transformer() {
        for (DType dtype : new DType[] {DType.F32, DType.BF16})
            add("Embed " + dtype, s -> s.op(new TokenOps.Embed(s.ints("ids", s.below(z.V, N)),
                    s.weight("table", dtype, 1, z.V, z.C), s.out("out", EXACT, N, z.C), N, z.V, z.C)));
        add("EmbedGrad", s -> s.op(new TokenOps.EmbedGrad(s.ints("ids", s.below(z.V, N)), s.in("dOut", 1, N, z.C),
                s.inout("dTable", 1, sum(N), z.V, z.C), N, z.V, z.C)));
        add("RmsNorm", s -> s.op(new NormOps.RmsNorm(s.in("x", 3, N, z.C), s.in("weight", 1, z.C),
                s.out("y", sum(z.C), N, z.C), s.out("rstd", sum(z.C), N), N, z.C, 1e-5f)));
        add("RmsNormGrad", s -> {
            Buf x = s.in("x", 3, N, z.C);
            s.op(new NormOps.RmsNormGrad(x, s.in("weight", 1, z.C), s.in("rstd", OpCases.rstd(s, x, N, z.C), N),
                    s.in("dY", 1, N, z.C), s.inout("dX", 1, sum(z.C).cancelling(1), N, z.C), N, z.C, true));
        });
        add("RmsNormWeightGrad", s -> {
            Buf x = s.in("x", 3, N, z.C);
            s.op(new NormOps.RmsNormWeightGrad(x, s.in("rstd", OpCases.rstd(s, x, N, z.C), N), s.in("dY", 1, N, z.C),
                    s.inout("dWeight", 1, sum(N), z.C), N, z.C));
        });
        add("Rope", s -> {
            float[] cos = new float[z.T * z.D / 2];
            float[] sin = new float[z.T * z.D / 2];
            int[] positions = new int[N];
            for (int p = 0; p < z.T; p++)
                for (int j = 0; j < z.D / 2; j++) {
                    double angle = p * Math.pow(10000, -2.0 * j / z.D);
                    cos[p * z.D / 2 + j] = (float) Math.cos(angle);
                    sin[p * z.D / 2 + j] = (float) Math.sin(angle);
                }
            Arrays.setAll(positions, i -> i % z.T);
            s.op(new RopeOps.Rope(s.inout("x", 1, roundings(3), N, z.H * z.D), s.in("cos", cos, z.T, z.D / 2),
                    s.in("sin", sin, z.T, z.D / 2), s.ints("positions", positions), N, z.H, z.D, false));
        });
        float scale = (float) (1 / Math.sqrt(z.D));
        Tol tol = relative(64 * Tol.ROUNDING + sum(z.T).rtol() + sum(z.D).rtol(), "exp of scores to 10");
        add("Attention", s -> s.op(new AttentionOps.Attention(s.in("q", 2, N, z.H * z.D), s.in("k", 1, N, z.KV * z.D),
                s.in("v", 1, N, z.KV * z.D), s.ints("start", new int[N]), s.out("out", tol, N, z.H * z.D),
                s.out("lse", tol, N, z.H), z.B, z.T, z.H, z.KV, z.D, scale, 0)));
        add("AttentionGrad after Attention", s -> {
            Buf q = s.in("q", 2, N, z.H * z.D);
            Buf k = s.in("k", 1, N, z.KV * z.D);
            Buf v = s.in("v", 1, N, z.KV * z.D);
            Buf start = s.ints("start", new int[N]);
            Buf out = s.out("out", tol, N, z.H * z.D);
            Buf lse = s.out("lse", tol, N, z.H);
            Tol twice = relative(2 * tol.rtol(), "twice the forward's: two such factors");
            Tol difference = new Tol(16 * Math.sqrt(z.D) * Tol.ROUNDING, twice.rtol(), "cancelling dP - delta");
            s.op(new AttentionOps.Attention(q, k, v, start, out, lse, z.B, z.T, z.H, z.KV, z.D, scale, 0));
            s.op(new AttentionOps.AttentionGrad(q, k, v, start, out, lse, s.in("dOut", 1, N, z.H * z.D),
                    s.out("delta", twice, N, z.H), s.out("dQ", difference, N, z.H * z.D),
                    s.out("dK", difference, N, z.KV * z.D), s.out("dV", twice, N, z.KV * z.D), z.B, z.T, z.H, z.KV,
                    z.D, scale, 0));
        });
        add("CacheStore",
                s -> s.op(new AttentionOps.CacheStore(s.in("k", 1, 1, z.KV * z.D), s.in("v", 1, 1, z.KV * z.D),
                        s.inout("kCache", 1, EXACT, z.T, z.KV * z.D), s.inout("vCache", 1, EXACT, z.T, z.KV * z.D),
                        s.ints("start", z.T - 1), 1, z.T, z.KV * z.D)));
        add("CachedAttention", s -> s.op(new AttentionOps.CachedAttention(s.in("q", 2, 1, z.H * z.D),
                s.in("kCache", 1, z.T, z.KV * z.D), s.in("vCache", 1, z.T, z.KV * z.D), s.ints("start", z.T - 1),
                s.out("out", tol, 1, z.H * z.D), 1, z.T, z.H, z.KV, z.D, scale, 0)));
        add("SwiGlu", s -> s.op(new ElementOps.SwiGlu(s.in("gate", 4, N, z.F), s.in("up", 1, N, z.F),
                s.out("out", roundings(16), N, z.F))));
        add("SwiGluGrad", s -> s.op(new ElementOps.SwiGluGrad(s.in("gate", 4, N, z.F), s.in("up", 1, N, z.F),
                s.in("dOut", 1, N, z.F), s.out("dGate", roundings(24), N, z.F), s.out("dUp", roundings(16), N, z.F))));
        for (boolean gradient : new boolean[] {false, true})
            add("CrossEntropy" + (gradient ? " with gradient" : ""), s -> {
                Tol loss = new Tol(4e-6, 2e-5 + sum(z.V).rtol(), "sum over V");
                s.op(new TokenOps.CrossEntropy(gradient
                        ? s.inout("logits", 5, relative(loss.rtol(), loss.why()), N, z.V)
                        : s.in("logits", 5, N, z.V), s.ints("labels", s.below(z.V, N)), s.out("rowLoss", loss, N),
                        s.in("scale", new float[] {0.01f}, 1), N, z.V, gradient));
            });
    }

    private void blockRotations() {
        int d = z.C;
        int blocks = d / BLOCK;
        Tol tol = relative(16 * Tol.ROUNDING + 2 * sum(BLOCK).rtol(), "a chain of products or a solve");
        for (Orthogonal map : List.of(Orthogonal.neumann(5), Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0),
                Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6))) {
            int m = map.stored(BLOCK);
            add("Cayley " + map.form(), s -> s.op(new CayleyOps.Cayley(map, s.in("v", 0.05, blocks, m),
                    s.out("r", tol, blocks, BLOCK, BLOCK), blocks, BLOCK)));
            add("CayleyGrad " + map.form(), s -> s.op(new CayleyOps.CayleyGrad(map, s.in("v", 0.05, blocks, m),
                    s.in("dR", 1, blocks, BLOCK, BLOCK), s.inout("dV", 1, tol, blocks, m), blocks, BLOCK)));
        }
        int m = BLOCK * (BLOCK - 1) / 2;
        add("CoftProject",
                s -> s.op(new CayleyOps.CoftProject(s.inout("v", 0.3, sum(m), blocks, m), blocks, BLOCK, 0.2f)));
        for (boolean transpose : new boolean[] {false, true})
            add("BlockRotate" + (transpose ? " transposed" : ""),
                    s -> s.op(new RotateOps.BlockRotate(s.in("x", 1, N, d),
                            s.in("r", 1, blocks, BLOCK, BLOCK), s.out("y", sum(BLOCK), N, d), N, d, BLOCK, blocks,
                            transpose,
                            false)));
        add("BlockRotate shared", s -> s.op(new RotateOps.BlockRotate(s.in("x", 1, N, d), s.in("r", 1, 1, BLOCK, BLOCK),
                s.out("y", sum(BLOCK), N, d), N, d, BLOCK, 1, false, false)));
        add("BlockRotateGrad", s -> s.op(new RotateOps.BlockRotateGrad(s.in("x", 1, N, d), s.in("dY", 1, N, d),
                s.out("dR", sum(N).cancelling(1), blocks, BLOCK, BLOCK), N, d, BLOCK, blocks)));
        add("MaskBlocks", s -> s.op(new CayleyOps.MaskBlocks(s.inout("r", 1, EXACT, blocks, BLOCK, BLOCK),
                s.ints("mask", s.below(3, blocks)), blocks, BLOCK, true)));
        add("BlockDiagonal", s -> s.op(new RotateOps.BlockDiagonal(s.in("r", 1, blocks, BLOCK, BLOCK),
                s.out("dense", EXACT, d, d), d, BLOCK, blocks)));
        add("BlockDiagonalGrad", s -> s.op(new RotateOps.BlockDiagonalGrad(s.in("dDense", 1, d, d),
                s.out("dR", sum(1), blocks, BLOCK, BLOCK), d, BLOCK, blocks)));
    }

    private void psoft() {
        int r = 64;
        add("PsoftCore", s -> s.op(new SubspaceOps.PsoftCore(s.in("R", 1, r, r), s.in("va", 1, r), s.in("vb", 1, r),
                s.out("core", roundings(6), r, r), r)));
        add("PsoftCoreGrad",
                s -> s.op(new SubspaceOps.PsoftCoreGrad(s.in("R", 1, r, r), s.in("va", 1, r), s.in("vb", 1, r),
                        s.in("dCore", 1, r, r), s.out("dR", roundings(3), r, r), s.inout("dVa", 1, sum(r), r),
                        s.inout("dVb", 1, sum(r), r), r)));
    }

    private void givens() {
        int d = z.C;
        int n = d - 1;
        add("GivensAngles",
                s -> s.op(new GivensOps.GivensAngles(s.in("phi", 0.7, n), s.out("g", roundings(16), n, 4), n)));
        add("GivensAnglesGrad", s -> s.op(new GivensOps.GivensAnglesGrad(s.in("phi", 0.7, n), s.in("dG", 1, n, 4),
                s.inout("dPhi", 1, roundings(24), n), n)));
        add("GivensPenalty",
                s -> s.op(new GivensOps.GivensPenalty(s.in("g", 1, n, 4), s.inout("dG", 1, roundings(16), n, 4),
                        s.out("loss", sum(n), 1), n, 0.05f)));
        Tol pass = relative((4 + 4 * OpCases.log2(d)) * Tol.ROUNDING, "log2(d) stages");
        add("GivensSweep", s -> s.op(new GivensOps.GivensSweep(s.in("x", 1, N, d),
                s.in("g", OpCases.pairs(s, n, true), n, 4), s.out("y", pass, N, d), N, d)));
        for (boolean strict : new boolean[] {true, false})
            add("GivensSweepGrad " + (strict ? "GOFT" : "qGOFT"),
                    s -> s.op(new GivensOps.GivensSweepGrad(s.in("x", 1, N, d),
                            s.in("g", OpCases.pairs(s, n, strict), n, 4), s.in("dY", 1, N, d), s.out("dX", pass, N, d),
                            s.out("dG", relative(4 * pass.rtol() + sum(N).rtol(), "there and back, sum over N"), n, 4),
                            N, d,
                            strict, false)));
    }

    private void householder() {
        int d = z.C;
        int r = RANK;
        Tol chain = relative(r * sum(d).rtol(), "r dot products of length d in a row");
        add("HouseholderVectors",
                s -> s.op(new ReflectOps.HouseholderVectors(s.in("p", 1, d, r), s.out("u", sum(d), r, d), d,
                        r, false)));
        add("HouseholderVectorsGrad after HouseholderVectors", s -> {
            Buf p = s.in("p", 1, d, r);
            Buf u = s.out("u", sum(d), r, d);
            s.op(new ReflectOps.HouseholderVectors(p, u, d, r, false));
            s.op(new ReflectOps.HouseholderVectorsGrad(p, u, s.in("dU", 1, r, d),
                    s.inout("dP", 1, relative(4 * sum(d).rtol(), "projections"), d, r), d, r, false));
        });
        add("Householder", s -> s.op(new ReflectOps.Householder(s.in("x", 1, N, d),
                s.in("u", OpCases.unitRows(s, r, d), r, d), s.out("y", chain, N, d), N, d, r)));
        add("HouseholderGrad", s -> s.op(new ReflectOps.HouseholderGrad(s.in("x", 1, N, d),
                s.in("u", OpCases.unitRows(s, r, d), r, d), s.in("dY", 1, N, d), s.out("dX", chain, N, d),
                s.out("dU", relative(2 * chain.rtol() + sum(N).rtol(), "there and back, sum over N"), r, d), N, d, r,
                false)));
    }

    private void rows() {
        int C = z.C;
        add("AddBias", s -> s.op(new ColumnOps.AddBias(s.inout("y", 1, roundings(1), N, C), s.in("bias", 1, C), N, C)));
        add("BiasGrad", s -> s.op(new ColumnOps.BiasGrad(s.in("dY", 1, N, C), s.inout("dBias", 1, sum(N), C), N, C)));
        add("ScaleColumns", s -> s.op(new ColumnOps.ScaleColumns(s.in("x", 1, N, C), s.in("s", 1, C),
                s.out("y", roundings(1), N, C), N, C)));
        add("ColumnDot", s -> s.op(new ColumnOps.ColumnDot(s.in("x", 1, N, C), s.in("y", 1, N, C),
                s.inout("out", 1, sum(N).cancelling(1), C), N, C)));
        add("PermuteColumns", s -> s.op(new ColumnOps.PermuteColumns(s.in("x", 1, N, C),
                s.ints("perm", OpCases.permutation(C, s.random())), s.out("y", EXACT, N, C), N, C)));
    }

    private void elements() {
        int n = N * z.C;
        add("Fill", s -> s.op(new ElementOps.Fill(s.out("x", EXACT, n), -0.3f)));
        add("Copy", s -> s.op(new ElementOps.Copy(s.in("x", 1, n), s.out("y", EXACT, n))));
        add("Add", s -> s.op(new ElementOps.Add(s.in("x", 1, n), s.in("y", 1, n), s.out("out", roundings(1), n))));
        add("Axpy", s -> s.op(new ElementOps.Axpy(-0.7f, s.in("x", 1, n), s.inout("y", 1, roundings(3), n))));
        add("Dropout", s -> s.op(new ElementOps.Dropout(s.in("x", 1, n), s.ints("seed", s.random().nextInt()),
                s.out("y", roundings(3), n), 7, 0.1f, false)));
    }

    private void optimiser() {
        int n = z.C * z.F;
        add("GradNorm", s -> s.op(new OptimiserOps.GradNorm(s.in("grad", 1, n), s.out("norm", roundings(8), 1))));
        add("AdamW", s -> {
            float[] hp = {0.5f, 0.9f, 0.999f, 1e-6f, (float) (1 - Math.pow(0.9, 7)),
                (float) (1 - Math.pow(0.999, 7)), 0.5f, 0.1f};
            float[] v = s.normal(1, n);
            for (int i = 0; i < n; i++)
                v[i] *= v[i];
            s.op(new OptimiserOps.AdamW(s.inout("param", 1, roundings(32), n), s.in("grad", 1, n),
                    s.inout("m", 1, roundings(8), n), s.inout("v", v, roundings(8), n),
                    s.in("hp", hp, OptimiserOps.AdamW.HP), s.in("norm", new float[] {7f}, 1), true));
        });
    }
}
