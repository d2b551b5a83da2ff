package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;

/// Matrix products, and the decoding of stored weights.
final class ProductRef {
    private ProductRef() {
    }

    static void run(ProductOps op, Operands of) {
        switch (op) {
            case ProductOps.MatMul(var form, var a, var b, var c, int M, int N, int K, double alpha, var accumulate) ->
                    matMul(form, of.vec(a), of.vec(b), of.vec(c), M, N, K, alpha, accumulate);
            case ProductOps.Decode(var w, var y) -> ElementRef.copy(of.vec(w), of.vec(y));
        }
    }

    /// `c (+)= alpha op(a) op(b)`; see [ProductOps.MatMul] for the forms.
    static void matMul(Form form, Vec a, Vec b, Vec c, int M, int N, int K, double alpha,
            boolean accumulate) {
        boolean aTransposed = form == Form.TN;
        boolean bTransposed = form == Form.NT;
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < K; k++)
                    sum += a.get(aTransposed ? k * M + i : i * K + k) * b.get(bTransposed ? j * K + k : k * N + j);
                c.set(i * N + j, accumulate ? c.get(i * N + j) + alpha * sum : alpha * sum);
            }
    }
}
