package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.roundings;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.util.ArrayList;
import java.util.List;

/// Cases of [ProductOps].
public final class ProductCases implements Cases {
    private static final List<DType> STORED = List.of(DType.F32, DType.BF16, DType.NF4);
    private static final int BLOCK = 64;
    private static final int NESTED = 256;

    /// `c (+)= alpha op(a) op(b)`, c (M,N), inner length K.
    ///
    /// @param type of b
    /// @param block of NF4; otherwise 0
    /// @param nested maxima of a nested block of NF4 with double quantisation; otherwise 0
    /// @param computed b is an operand that changes, not a weight; always so with [Form#TN]
    public record MatMul(Form form, DType type, int M, int N, int K, float alpha, boolean accumulate, int block,
            int nested, boolean computed) implements OpCase {
        public MatMul(Form form, DType type, int M, int N, int K) {
            this(form, type, M, N, K, 1f, false);
        }

        public MatMul(Form form, DType type, int M, int N, int K, float alpha, boolean accumulate) {
            this(form, type, M, N, K, alpha, accumulate, type == DType.NF4 ? BLOCK : 0, 0, form == Form.TN);
        }

        static MatMul nf4(Form form, int M, int N, int K, int block, int nested) {
            return new MatMul(form, DType.NF4, M, N, K, 1f, false, block, nested, false);
        }

        @Override
        public String name() {
            return "MatMul " + form + (nested > 0 ? " nested " : " ") + type + " " + M + "x" + N + "x" + K
                    + (alpha == 1 ? "" : " alpha " + alpha) + (accumulate ? " accumulate" : "")
                    + (block > 0 && block != BLOCK ? " block" + block : "")
                    + (nested > 0 && nested != NESTED ? " nested" + nested : "")
                    + (computed && form != Form.TN ? " computed" : "");
        }

        @Override
        public void emit(Setup s) {
            int[] shape = form == Form.NT ? new int[] {N, K} : new int[] {K, N};
            Buf a = form == Form.TN ? s.in("a", 1, K, M) : s.in("a", 1, M, K);
            Buf b = computed ? s.in("b", 1, shape) : weight(s, "b", type, block, nested, shape);
            Tol tol = sum(K);
            Buf c = accumulate ? s.inout("c", 1, tol, M, N) : s.out("c", tol, M, N);
            s.op(new ProductOps.MatMul(form, a, b, c, M, N, K, alpha, accumulate));
            if (s.differences()) {
                Buf dC = s.cotangent("dC", c);
                Buf dA = s.gradient("dA", a, tol, accumulate);
                Buf dB = s.gradient("dB", b, tol, !accumulate);
                s.op(switch (form) {
                    case NT -> gradient(Form.NN, dC, b, dA, M, K, N, accumulate);
                    case NN -> gradient(Form.NT, dC, b, dA, M, K, N, accumulate);
                    case TN -> gradient(Form.NT, b, dC, dA, K, M, N, accumulate);
                });
                s.op(switch (form) {
                    case NT -> gradient(Form.TN, dC, a, dB, N, K, M, !accumulate);
                    case NN -> gradient(Form.TN, a, dC, dB, K, N, M, !accumulate);
                    case TN -> gradient(Form.NN, a, dC, dB, K, N, M, !accumulate);
                });
            }
        }

        private ProductOps.MatMul gradient(Form form, Buf a, Buf b, Buf c, int M, int N, int K, boolean accumulate) {
            return new ProductOps.MatMul(form, a, b, c, M, N, K, alpha, accumulate);
        }
    }

    /// @param nested NF4 with double quantisation
    public record Decode(DType type, int rows, int columns, boolean nested) implements OpCase {
        @Override
        public void emit(Setup s) {
            // double quantisation: a device's fused multiply-add saves one of the two roundings of a block's maximum
            s.op(new ProductOps.Decode(
                    weight(s, "w", type, type == DType.NF4 ? BLOCK : 0, nested ? NESTED : 0, rows, columns),
                    s.out("y", nested ? roundings(2) : EXACT, rows, columns)));
        }
    }

    private static Buf weight(OpCase.Setup s, String name, DType type, int block, int nested, int... shape) {
        if (type != DType.NF4)
            return s.weight(name, type, 1, shape);
        int n = shape[0] * shape[1];
        return s.nf4(name, nested == 0 ? Nf4Data.plain(n, block, s.random())
                : Nf4Data.nested(n, block, nested, s.random()), shape);
    }

    /// The detour of PSOFT through its subspace, three products in a row: `y = ((x A^T) C^T) B^T`, A (r,d), C (r,r),
    /// B (n,r).
    public record Subspace(int N, int d, int n, int r) implements OpCase {
        @Override
        public void emit(Setup s) {
            Tol tol = relative(sum(d).rtol() + 2 * sum(r).rtol(), "three products in a row");
            Buf u = s.out("u", sum(d), N, r);
            Buf v = s.out("v", tol, N, r);
            s.op(new ProductOps.MatMul(Form.NT, s.in("x", 1, N, d), s.weight("A", DType.F32, 1, r, d), u, N, r, d, 1f,
                    false));
            s.op(new ProductOps.MatMul(Form.NT, u, s.in("C", 1, r, r), v, N, r, r, 1f, false));
            s.op(new ProductOps.MatMul(Form.NT, v, s.weight("B", DType.F32, 1, n, r), s.out("y", tol, N, n), N, n, r,
                    1f, false));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        int[][] sizes = {{1, 1, 1}, {1, 5, 3}, {3, 1, 7}, {5, 7, 1}, {1, 64, 207}, {7, 13, 17}, {17, 31, 33},
            {33, 17, 100}, {31, 63, 64}, {63, 100, 31}, {65, 129, 257}, {8, 320, 48}, {207, 96, 160}};
        for (Form form : Form.values()) {
            List<DType> types = form == Form.TN ? List.of(DType.F32) : STORED;
            for (DType type : types) {
                for (int[] z : sizes)
                    out.add(new MatMul(form, type, z[0], z[1], z[2]));
                for (int[] z : new int[][] {{3, 5, 7}, {33, 31, 65}}) {
                    out.add(new MatMul(form, type, z[0], z[1], z[2], 1f, true));
                    out.add(new MatMul(form, type, z[0], z[1], z[2], -0.25f, true));
                    out.add(new MatMul(form, type, z[0], z[1], z[2], 1.7f, false));
                }
            }
            for (int[] z : new int[][] {{129, 260, 207}, {40, 128, 1030}, {9, 1601, 33}})
                out.add(new MatMul(form, DType.F32, z[0], z[1], z[2]));
            // long inner dimensions with few and with many rows, accumulated
            for (int[] z : new int[][] {{7, 35, 6203}, {130, 17, 1601}, {1601, 9, 33}})
                out.add(new MatMul(form, DType.F32, z[0], z[1], z[2], -0.25f, true));
            if (form == Form.TN)
                continue;
            for (DType type : List.of(DType.BF16, DType.NF4))
                for (int[] z : new int[][] {{5, 96, 100}, {100, 130, 160}, {9, 1601, 33}})
                    out.add(new MatMul(form, type, z[0], z[1], z[2]));
            for (int[] z : new int[][] {{3, 5, 7}, {7, 96, 100}, {33, 130, 160}, {5, 64, 512}})
                for (int block : new int[] {32, 64, 256})
                    out.add(MatMul.nf4(form, z[0], z[1], z[2], block, NESTED));
            out.add(new MatMul(form, DType.F32, 17, 13, 31, 1f, false, 0, 0, true));
        }
        out.add(new MatMul(Form.TN, DType.F32, 17, 13, 31));
        out.add(new MatMul(Form.TN, DType.F32, 650, 130, 33));
        out.add(new MatMul(Form.TN, DType.F32, 650, 130, 33, -0.25f, true));
        out.add(MatMul.nf4(Form.NT, 5, 7, 33, 128, 0));
        out.add(MatMul.nf4(Form.NT, 5, 40, 30, 32, 16));
        for (int[] z : new int[][] {{1, 1}, {3, 5}, {7, 33}, {31, 63}, {13, 100}, {64, 207}, {130, 258}}) {
            for (DType type : STORED)
                out.add(new Decode(type, z[0], z[1], false));
            out.add(new Decode(DType.NF4, z[0], z[1], true));
        }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        List<OpCase> out = new ArrayList<>();
        int N = z.N();
        for (DType type : STORED) {
            out.add(new MatMul(Form.NT, type, N, z.F(), z.C()));
            out.add(new MatMul(Form.NN, type, N, z.C(), z.F()));
        }
        out.add(MatMul.nf4(Form.NT, N, z.F(), z.C(), BLOCK, NESTED));
        out.add(MatMul.nf4(Form.NN, N, z.C(), z.F(), BLOCK, NESTED));
        out.add(new MatMul(Form.TN, DType.F32, z.F(), z.C(), N));
        // LoRA's A and B
        out.add(new MatMul(Form.NT, DType.F32, N, OpCases.RANK, z.C()));
        out.add(new MatMul(Form.NT, DType.F32, N, z.F(), OpCases.RANK));
        for (DType type : STORED)
            out.add(new Decode(type, z.F(), z.C(), false));
        return out;
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (Form form : Form.values())
            for (boolean accumulate : new boolean[] {false, true})
                out.add(new MatMul(form, DType.F32, 3, 7, 5, 1.5f, accumulate));
        return out;
    }

    @Override
    public List<OpCase> timed() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{207, 702, 207}, {702, 207, 702}, {512, 512, 512}})
            for (Form form : Form.values())
                out.add(new MatMul(form, DType.F32, z[0], z[1], z[2]));
        out.add(new MatMul(Form.TN, DType.F32, 702, 702, 207));
        // the MLP's way down at size M; its way up is among the sizes of the model
        for (DType type : STORED) {
            out.add(new MatMul(Form.NT, type, 1024, 768, 2048));
            out.add(new MatMul(Form.NN, type, 1024, 2048, 768));
        }
        out.add(new MatMul(Form.TN, DType.F32, 1024, 2048, 768));
        out.add(new MatMul(Form.TN, DType.F32, 1024, 768, 2048));
        // a token at a time, as in generating
        out.add(new MatMul(Form.NT, DType.F32, 1, 4096, 4096));
        for (DType type : List.of(DType.BF16, DType.NF4)) {
            out.add(new MatMul(Form.NT, type, 207, 702, 207));
            out.add(new MatMul(Form.NN, type, 207, 702, 207));
            out.add(new Decode(type, 207, 702, false));
            out.add(new Decode(type, 4096, 4096, false));
        }
        out.add(new MatMul(Form.NT, DType.NF4, 207, 702, 702));
        out.add(new Subspace(1024, 768, 768, 64));
        out.add(new Subspace(1024, 768, 2048, 64));
        out.add(new Subspace(207, 702, 207, 13));
        return out;
    }
}
