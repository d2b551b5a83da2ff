package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.write;
import static dev.gyre.kernels.op.Checks.check;

import java.util.List;

/// Matrix products, and the decoding of stored weights. Letters and conventions are those of [Op].
public sealed interface ProductOps extends Op {
    /// Matrix product `c (+)= alpha * op(a) op(b)`, c (M,N), inner length K.
    ///
    /// | form | a | b | use |
    /// |---|---|---|---|
    /// | NN | (M,K) | (K,N) | input gradient `dX = dY W` |
    /// | NT | (M,K) | (N,K) | forward `Y = X W^T` |
    /// | TN | (K,M) | (K,N) | weight gradient `dW = dY^T X` |
    ///
    /// b may be F32, BF16 or NF4 in NN and NT; a and c are F32.
    record MatMul(Form form, Buf a, Buf b, Buf c, int M, int N, int K, double alpha, boolean accumulate)
            implements ProductOps {
        public enum Form {
            NN, NT, TN
        }

        public MatMul {
            check(a.size() == (long) M * K && b.size() == (long) N * K && c.size() == (long) M * N
                    && a.dtype() == DType.F32 && (form != Form.TN || b.dtype() == DType.F32), "MatMul " + form, a, b,
                    c);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(a), read(b), into(c, accumulate));
        }

        @Override
        public long flops() {
            return 2L * M * N * K;
        }
    }

    /// `y = w` in F32, whole: w BF16, NF4 or F32 of any shape. Only OFT v1 uses it; all other products decode b
    /// themselves.
    record Decode(Buf w, Buf y) implements ProductOps {
        public Decode {
            check(w.size() == y.size() && y.dtype() == DType.F32, "Decode", w, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(w), write(y));
        }
    }
}
