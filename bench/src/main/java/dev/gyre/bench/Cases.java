package dev.gyre.bench;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.ROUNDING;
import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.Tol;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.List;

/// Operations at sizes that a benchmark chooses, with random operands and what they may differ from the reference by.
public final class Cases {
    private Cases() {
    }

    /// `c = a b` in one of its forms, (M,K) by (K,N); b of any type in NN and NT.
    public static OpCase product(Form form, DType b, int M, int N, int K) {
        return new OpCase("MatMul " + form + " " + b + " " + M + "x" + N + "x" + K, s -> {
            int[] shape = form == Form.NT ? new int[] {N, K} : new int[] {K, N};
            Buf right = form == Form.TN ? s.in("b", 1, shape) : s.weight("b", b, 1, shape);
            s.op(new ProductOps.MatMul(form, form == Form.TN ? s.in("a", 1, K, M) : s.in("a", 1, M, K), right,
                    s.out("c", sum(K), M, N), M, N, K, 1f, false));
        });
    }

    /// N rows of d features turned by blocks of b.
    public static OpCase rotate(int N, int d, int b) {
        return new OpCase("BlockRotate " + N + "x" + d + " b" + b,
                s -> s.op(new RotateOps.BlockRotate(s.in("x", 1, N, d),
                        s.in("r", 1, d / b, b, b), s.out("y", sum(b), N, d), N, d, b, d / b, false, false)));
    }

    /// Both gradients of [#rotate].
    public static OpCase rotateBack(int N, int d, int b) {
        return new OpCase("BlockRotate backward " + N + "x" + d + " b" + b, s -> {
            Buf dY = s.in("dY", 1, N, d);
            s.op(new RotateOps.BlockRotateGrad(s.in("x", 1, N, d), dY, s.out("dR", sum(N).cancelling(1), d / b, b, b),
                    N, d,
                    b, d / b));
            s.op(new RotateOps.BlockRotate(dY, s.in("r", 1, d / b, b, b), s.out("dX", sum(b), N, d), N, d, b, d / b,
                    true,
                    false));
        });
    }

    /// Rotations from skew blocks whose entries have deviation `std`.
    public static OpCase orthogonal(Orthogonal map, int blocks, int b, double std) {
        return new OpCase("Cayley " + map.form() + map.terms() + " " + blocks + " blocks of " + b,
                s -> s.op(new CayleyOps.Cayley(map, s.in("v", std, blocks, map.stored(b)),
                        s.out("r", chain(b), blocks, b, b), blocks, b)));
    }

    /// The gradient of [#orthogonal].
    public static OpCase orthogonalBack(Orthogonal map, int blocks, int b, double std) {
        return new OpCase("CayleyGrad " + map.form() + map.terms() + " " + blocks + " blocks of " + b,
                s -> s.op(new CayleyOps.CayleyGrad(map, s.in("v", std, blocks, map.stored(b)),
                        s.in("dR", 1, blocks, b, b),
                        s.inout("dV", 1, chain(b), blocks, map.stored(b)), blocks, b)));
    }

    private static Tol chain(int b) {
        return relative(32 * ROUNDING + 4 * sum(b).rtol(), "a chain of products or a solve");
    }

    /// The Givens sweep of d - 1 rotations.
    public static OpCase givens(int N, int d) {
        return new OpCase("GivensSweep " + N + "x" + d, s -> s.op(new GivensOps.GivensSweep(s.in("x", 1, N, d),
                s.in("g", rotations(s, d - 1), d - 1, 4), s.out("y", stages(d), N, d), N, d)));
    }

    /// Both gradients of [#givens].
    public static OpCase givensBack(int N, int d) {
        return new OpCase("GivensSweepGrad " + N + "x" + d, s -> s.op(new GivensOps.GivensSweepGrad(s.in("x", 1, N, d),
                s.in("g", rotations(s, d - 1), d - 1, 4), s.in("dY", 1, N, d), s.out("dX", stages(d), N, d),
                s.out("dG", relative(8 * stages(d).rtol() + sum(N).rtol(), "there and back, summed"), d - 1, 4), N, d,
                true, false)));
    }

    private static Tol stages(int d) {
        return relative((8 + 4 * (32 - Integer.numberOfLeadingZeros(d))) * ROUNDING, "log2(d) stages");
    }

    private static float[] rotations(OpCase.Setup s, int n) {
        float[] angle = s.normal(1, n);
        float[] g = new float[4 * n];
        for (int i = 0; i < n; i++) {
            g[4 * i] = (float) Math.cos(angle[i]);
            g[4 * i + 1] = (float) -Math.sin(angle[i]);
            g[4 * i + 2] = -g[4 * i + 1];
            g[4 * i + 3] = g[4 * i];
        }
        return g;
    }

    /// PSOFT's detour through a subspace: `y = ((x A^T) C^T) B^T` with A (r,d), C (r,r), B (n,r).
    public static OpCase subspace(int N, int d, int n, int r) {
        Tol tol = relative(sum(d).rtol() + sum(r).rtol() * 2, "three products in a row");
        return new OpCase("MatMul subspace " + N + "x" + d + " r" + r, s -> {
            Buf u = s.out("u", sum(d), N, r);
            Buf v = s.out("v", tol, N, r);
            s.op(new ProductOps.MatMul(Form.NT, s.in("x", 1, N, d), s.weight("A", DType.F32, 1, r, d), u, N, r, d, 1f,
                    false));
            s.op(new ProductOps.MatMul(Form.NT, u, s.in("C", 1, r, r), v, N, r, r, 1f, false));
            s.op(new ProductOps.MatMul(Form.NT, v, s.weight("B", DType.F32, 1, n, r), s.out("y", tol, N, n), N, n, r,
                    1f,
                    false));
        });
    }

    /// The whole weight in F32.
    public static OpCase decode(DType type, int rows, int columns) {
        return new OpCase("Decode " + type + " " + rows + "x" + columns, s -> s.op(new ProductOps.Decode(
                s.weight("w", type, 1, rows, columns), s.out("y", EXACT, rows, columns))));
    }

    /// Causal attention, and with `back` its gradient behind it.
    public static OpCase attention(int B, int T, int H, int KV, int D, boolean back) {
        int N = B * T;
        float scale = (float) (1 / Math.sqrt(D));
        Tol tol = relative(64 * ROUNDING + sum(T).rtol() + sum(D).rtol(), "exp of scores to 10");
        return new OpCase("Attention " + (back ? "and gradient " : "") + B + "x" + T + " " + H + "/" + KV + " heads of "
                + D, s -> {
                    Buf q = s.in("q", 1, N, H * D);
                    Buf k = s.in("k", 1, N, KV * D);
                    Buf v = s.in("v", 1, N, KV * D);
                    Buf start = s.ints("start", new int[N]);
                    Buf out = s.out("out", tol, N, H * D);
                    Buf lse = s.out("lse", tol, N, H);
                    s.op(new AttentionOps.Attention(q, k, v, start, out, lse, B, T, H, KV, D, scale, 0));
                    Tol twice = new Tol(16 * Math.sqrt(D) * ROUNDING, 2 * tol.rtol(), "cancelling dP - delta");
                    if (back)
                        s.op(new AttentionOps.AttentionGrad(q, k, v, start, out, lse, s.in("dOut", 1, N, H * D),
                                s.out("delta", twice, N, H), s.out("dQ", twice, N, H * D),
                                s.out("dK", twice, N, KV * D),
                                s.out("dV", twice, N, KV * D), B, T, H, KV, D, scale, 0));
                });
    }

    public static OpCase norm(int N, int C) {
        return new OpCase("RmsNorm " + N + "x" + C,
                s -> s.op(new NormOps.RmsNorm(s.in("x", 3, N, C), s.in("weight", 1, C),
                        s.out("y", sum(C), N, C), s.out("rstd", sum(C), N), N, C, 1e-5f)));
    }

    public static OpCase normBack(int N, int C) {
        return new OpCase("RmsNormGrad " + N + "x" + C, s -> {
            float[] rstd = new float[N];
            java.util.Arrays.fill(rstd, 0.5f);
            s.op(new NormOps.RmsNormGrad(s.in("x", 2, N, C), s.in("weight", 1, C), s.in("rstd", rstd, N),
                    s.in("dY", 1, N, C), s.out("dX", sum(C).cancelling(4), N, C), N, C, false));
        });
    }

    /// Loss of N rows of V logits and, with `gradient`, its gradient in their place.
    public static OpCase crossEntropy(int N, int V, boolean gradient) {
        Tol loss = new Tol(4e-6, 2e-5 + sum(V).rtol(), "sum over V");
        return new OpCase("CrossEntropy " + (gradient ? "with gradient " : "") + N + "x" + V,
                s -> s.op(new TokenOps.CrossEntropy(gradient
                        ? s.inout("logits", 5, relative(loss.rtol(), loss.why()), N, V)
                        : s.in("logits", 5, N, V), s.ints("labels", s.below(V, N)), s.out("rowLoss", loss, N),
                        s.in("scale", new float[] {0.01f}, 1), N, V, gradient)));
    }

    public static OpCase adamW(int n) {
        return new OpCase("AdamW " + n, s -> {
            float[] hp =
                    {1e-3f, 0.9f, 0.999f, 1e-8f, (float) (1 - Math.pow(0.9, 7)), (float) (1 - Math.pow(0.999, 7)), 1f,
                        0.1f};
            float[] v = s.normal(1, n);
            for (int i = 0; i < n; i++)
                v[i] *= v[i];
            s.op(new OptimiserOps.AdamW(s.inout("param", 1, roundings(32), n), s.in("grad", 1, n),
                    s.inout("m", 1, roundings(8), n), s.inout("v", v, roundings(8), n),
                    s.in("hp", hp, OptimiserOps.AdamW.HP),
                    s.in("norm", new float[] {7f}, 1), true));
        });
    }

    /// What [dev.gyre.kernels.check.SizedCases] has not: unfriendly sizes, and the products of a low-rank detour.
    static List<OpCase> odd() {
        return List.of(product(Form.NT, DType.F32, 207, 702, 207), product(Form.NN, DType.F32, 702, 207, 702),
                product(Form.TN, DType.F32, 702, 702, 207), product(Form.NT, DType.NF4, 207, 702, 702),
                product(Form.NT, DType.F32, 1, 4096, 4096), subspace(1024, 768, 768, 64), rotate(207, 702, 26),
                rotateBack(207, 702, 26), givens(207, 702), givensBack(207, 702), decode(DType.NF4, 4096, 4096),
                attention(1, 207, 6, 2, 26, true), norm(207, 702), crossEntropy(207, 702, true));
    }
}
