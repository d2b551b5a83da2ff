package uk.ac.manchester.tornado.cublas;

import java.util.Arrays;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Calls of cuBLAS as library tasks. Matrices lie in column-major order.
public final class CuBlas {
    public static final String LIBRARY_NAME = "nvidia/cublas";

    private CuBlas() {
    }

    /// `C = alpha op(A) op(B) + beta C`, C (m,n); op 0 takes a matrix as it is, 1 its transpose.
    public static LibraryTaskDescriptor cublasSgemm(int transa, int transb, int m, int n, int k, float alpha,
            FloatArray matrixA, int lda, FloatArray matrixB, int ldb, float beta, FloatArray matrixC, int ldc) {
        Access[] access = new Access[13];
        Arrays.fill(access, Access.READ_ONLY);
        access[11] = beta == 0f ? Access.WRITE_ONLY : Access.READ_WRITE;
        return new LibraryTaskDescriptor().withLibrary(LIBRARY_NAME).withFunction("cublasSgemm")
                .withParameters(
                        new Object[] {transa, transb, m, n, k, alpha, matrixA, lda, matrixB, ldb, beta, matrixC, ldc})
                .withAccess(access);
    }

    /// [#cublasSgemm] of factors rounded to 10 bits of mantissa.
    public static LibraryTaskDescriptor cublasSgemmTF32(int transa, int transb, int m, int n, int k, float alpha,
            FloatArray matrixA, int lda, FloatArray matrixB, int ldb, float beta, FloatArray matrixC, int ldc) {
        return cublasSgemm(transa, transb, m, n, k, alpha, matrixA, lda, matrixB, ldb, beta, matrixC, ldc)
                .withTuning("TF32");
    }
}
