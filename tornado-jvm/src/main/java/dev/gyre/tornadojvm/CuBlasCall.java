package dev.gyre.tornadojvm;

import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// What cuBLAS computes, in plain loops: `C = alpha op(A) op(B) + beta C` in column-major order, sums in F32.
///
/// | function | A, B | C |
/// |---|---|---|
/// | `cublasSgemm` | F32 | F32 |
/// | `cublasSgemm` with TF32 | F32, rounded to 10 bits of mantissa | F32 |
/// | `cublasGemmExBF16` | BF16 bits | BF16 bits |
final class CuBlasCall implements Graph.Call {
    private static final int TF32_MANTISSA = 10;
    private static final int BF16_MANTISSA = 7;
    private static final int F32_MANTISSA = 23;

    private final boolean brain;
    private final boolean tf32;

    CuBlasCall(LibraryTaskDescriptor d) {
        if (!d.getLibraryName().equals("nvidia/cublas"))
            throw new TornadoRuntimeException("no library " + d.getLibraryName());
        brain = switch (d.getFunctionName()) {
            case "cublasSgemm" -> false;
            case "cublasGemmExBF16" -> true;
            default -> throw new TornadoRuntimeException("no function " + d.getFunctionName() + " of cuBLAS");
        };
        tf32 = d.getTuning() != null;
    }

    @Override
    public void run(Object[] a) {
        boolean transA = (int) a[0] != 0;
        boolean transB = (int) a[1] != 0;
        int m = (int) a[2];
        int n = (int) a[3];
        int k = (int) a[4];
        float alpha = (float) a[5];
        int lda = (int) a[7];
        int ldb = (int) a[9];
        float beta = (float) a[10];
        int ldc = (int) a[12];
        TornadoNativeArray c = (TornadoNativeArray) a[11];
        require((TornadoNativeArray) a[6], lda, transA ? k : m, transA ? m : k);
        require((TornadoNativeArray) a[8], ldb, transB ? n : k, transB ? k : n);
        require(c, ldc, m, n);
        float[] x = factor(a[6]);
        float[] y = factor(a[8]);
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                float sum = 0f;
                for (int p = 0; p < k; p++)
                    sum += x[transA ? p + i * lda : i + p * lda] * y[transB ? j + p * ldb : p + j * ldb];
                int at = i + j * ldc;
                switch (c) {
                    case FloatArray f -> f.set(at, alpha * sum + (beta == 0f ? 0f : beta * f.get(at)));
                    case ShortArray s -> s.set(at, (short) (Float.floatToRawIntBits(round(alpha * sum
                            + (beta == 0f ? 0f : beta * value(s.get(at))), BF16_MANTISSA)) >> 16));
                    default -> throw new TornadoRuntimeException("cuBLAS writes no " + c.getClass().getSimpleName());
                }
            }
    }

    /// Checks a matrix of `rows` by `columns` with `ld` elements from one column to the next.
    private void require(TornadoNativeArray matrix, int ld, int rows, int columns) {
        if (brain != matrix instanceof ShortArray || !brain && !(matrix instanceof FloatArray))
            throw new TornadoRuntimeException("cuBLAS: a matrix is a " + matrix.getClass().getSimpleName());
        if (ld < Math.max(1, rows) || (long) ld * (columns - 1) + rows > matrix.getSize())
            throw new TornadoRuntimeException("cuBLAS: " + rows + " x " + columns + " with " + ld
                    + " elements per column do not fit into " + matrix.getSize());
    }

    private float[] factor(Object matrix) {
        float[] out = switch (matrix) {
            case ShortArray s -> {
                float[] values = new float[s.getSize()];
                for (int i = 0; i < values.length; i++)
                    values[i] = value(s.get(i));
                yield values;
            }
            case FloatArray f -> f.toHeapArray();
            default -> throw new TornadoRuntimeException("cuBLAS takes no " + matrix.getClass().getSimpleName());
        };
        if (tf32)
            for (int i = 0; i < out.length; i++)
                out[i] = round(out[i], TF32_MANTISSA);
        return out;
    }

    private static float value(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /// Rounds to `mantissa` bits of mantissa, ties to even.
    private static float round(float x, int mantissa) {
        if (Float.isNaN(x))
            return Float.NaN;
        int drop = F32_MANTISSA - mantissa;
        int bits = Float.floatToRawIntBits(x);
        return Float.intBitsToFloat((bits + (1 << drop - 1) - 1 + (bits >> drop & 1)) & -1 << drop);
    }
}
