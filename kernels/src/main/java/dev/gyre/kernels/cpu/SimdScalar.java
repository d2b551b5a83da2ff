package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.Dropouts;

/// [Simd] in plain loops: for JVMs without the Vector API, and the control that [SimdVector] is tested against.
final class SimdScalar implements Simd {
    private static final int MR = 4;
    private static final int NR = 4;

    @Override
    public int lanes() {
        return 1;
    }

    @Override
    public void add(float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] = x[xo + i] + y[yo + i];
    }

    @Override
    public void axpy(float a, float[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] += a * x[xo + i];
    }

    @Override
    public void scale(float a, float[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] = a * x[xo + i];
    }

    @Override
    public void mul(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] = a * x[xo + i] * y[yo + i];
    }

    @Override
    public void mulAdd(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        for (int i = 0; i < n; i++)
            z[zo + i] += a * x[xo + i] * y[yo + i];
    }

    @Override
    public void normGrad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float[] z, int zo,
            int n, boolean accumulate) {
        for (int i = 0; i < n; i++) {
            float g = w[wo + i] * (a * y[yo + i]) + b * x[xo + i];
            z[zo + i] = accumulate ? z[zo + i] + g : g;
        }
    }

    @Override
    public float dot(float[] x, int xo, float[] y, int yo, int n) {
        float s0 = 0;
        float s1 = 0;
        float s2 = 0;
        float s3 = 0;
        int i = 0;
        for (; i < n - 3; i += 4) {
            s0 += x[xo + i] * y[yo + i];
            s1 += x[xo + i + 1] * y[yo + i + 1];
            s2 += x[xo + i + 2] * y[yo + i + 2];
            s3 += x[xo + i + 3] * y[yo + i + 3];
        }
        for (; i < n; i++)
            s0 += x[xo + i] * y[yo + i];
        return (s0 + s1) + (s2 + s3);
    }

    @Override
    public float dot3(float[] x, int xo, float[] y, int yo, float[] w, int wo, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += x[xo + i] * y[yo + i] * w[wo + i];
        return (float) s;
    }

    @Override
    public double sumSquares(float[] x, int xo, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += (double) x[xo + i] * x[xo + i];
        return s;
    }

    @Override
    public float max(float[] x, int xo, int n) {
        float m = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < n; i++)
            m = Math.max(m, x[xo + i]);
        return m;
    }

    @Override
    public double sumExp(float[] x, int xo, float max, int n) {
        double s = 0;
        for (int i = 0; i < n; i++)
            s += exp(x[xo + i] - max);
        return s;
    }

    @Override
    public double expInPlace(float[] x, int xo, float max, int n) {
        double s = 0;
        for (int i = 0; i < n; i++) {
            float e = exp(x[xo + i] - max);
            x[xo + i] = e;
            s += e;
        }
        return s;
    }

    @Override
    public void softmaxStep(int n, float[] w, int scores, int stats, int sums, int D) {
        for (int c = 0; c < NR; c++) {
            float old = w[stats + c];
            float max = old;
            for (int j = 0; j < n; j++)
                max = Math.max(max, w[scores + j * NR + c]);
            w[stats + c] = max;
            float shrink = exp(old - max);
            float sum = w[stats + NR + c] * shrink;
            for (int j = 0; j < n; j++) {
                float e = exp(w[scores + j * NR + c] - max);
                w[scores + j * NR + c] = e;
                sum += e;
            }
            w[stats + NR + c] = sum;
            for (int d = 0; d < D; d++)
                w[sums + d * NR + c] *= shrink;
        }
    }

    /// Below the smallest normal number the vector twin gives zero; so does this.
    private static float exp(float x) {
        return x < -87.3f ? 0f : (float) Math.exp(x);
    }

    @Override
    public void swiGlu(float[] gate, int go, float[] up, int uo, float[] out, int oo, int n) {
        for (int i = 0; i < n; i++) {
            float g = gate[go + i];
            out[oo + i] = g / (1 + exp(-g)) * up[uo + i];
        }
    }

    @Override
    public void swiGluGrad(float[] gate, int go, float[] up, int uo, float[] dOut, int doo, float[] dGate, int dgo,
            float[] dUp, int duo, int n) {
        for (int i = 0; i < n; i++) {
            float g = gate[go + i];
            float u = up[uo + i];
            float d = dOut[doo + i];
            float s = 1 / (1 + exp(-g));
            dUp[duo + i] = d * g * s;
            dGate[dgo + i] = d * u * s * (1 + g * (1 - s));
        }
    }

    @Override
    public void rope(float[] x, int xo, float[] cos, int co, float[] sin, int so, int half, float sign) {
        for (int j = 0; j < half; j++) {
            float c = cos[co + j];
            float s = sign * sin[so + j];
            float a = x[xo + j];
            float b = x[xo + half + j];
            x[xo + j] = a * c - b * s;
            x[xo + half + j] = b * c + a * s;
        }
    }

    @Override
    public void softmaxGrad(int n, float a, float[] w, int p, int d, int stats) {
        for (int j = 0; j < n * NR; j++) {
            w[p + j] = exp(w[p + j] - w[stats + j % NR]);
            w[d + j] = a * w[p + j] * (w[d + j] - w[stats + NR + j % NR]);
        }
    }

    @Override
    public void dropout(int seed, int salt, int e, float p, float scale, float[] x, int xo, float[] y, int yo, int n,
            boolean accumulate) {
        for (int i = 0; i < n; i++) {
            float v = Dropouts.keeps(seed, salt, e + i, p) ? x[xo + i] * scale : 0f;
            y[yo + i] = accumulate ? y[yo + i] + v : v;
        }
    }

    private static final int GROUP = 4;

    @Override
    public int givensWidth() {
        return GROUP;
    }

    @Override
    public void givens(int rows, int groups, float[] coefficients, int co, float[] x, int xo, int ldx, float[] first,
            int fo, int ldf, float[] y, int yo, int ldy) {
        for (int r = 0; r < rows; r++)
            for (int g = 0; g < groups; g++) {
                int c = co + 4 * GROUP * g;
                int to = yo + r * ldy + g * GROUP;
                System.arraycopy(x, xo + r * ldx + g * GROUP, y, to, GROUP);
                y[to] = first[fo + r * ldf + g];
                turn(y, to, 2, coefficients, c + 2 * GROUP);
                turn(y, to, 1, coefficients, c);
            }
    }

    private static void turn(float[] x, int xo, int stride, float[] coefficients, int c) {
        for (int i = 0; i < GROUP; i++)
            if ((i & stride) == 0) {
                float p = x[xo + i];
                float q = x[xo + i + stride];
                x[xo + i] = p * coefficients[c + i] + q * coefficients[c + GROUP + i];
                x[xo + i + stride] = q * coefficients[c + i + stride] + p * coefficients[c + GROUP + i + stride];
            }
    }

    @Override
    public void givensGrad(int rows, int groups, float[] coefficients, int co, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int so) {
        float[] in = new float[GROUP];
        for (int r = 0; r < rows; r++)
            for (int g = 0; g < groups; g++) {
                int c = 4 * GROUP * g;
                int at = r * ld + g * GROUP;
                System.arraycopy(x, xo + at, in, 0, GROUP);
                turn(in, 0, 2, coefficients, co + c + 2 * GROUP);
                turnBack(in, 0, w, wo + at, 1, coefficients, co + c, sums, so + c);
                turnBack(x, xo + at, w, wo + at, 2, coefficients, co + c + 2 * GROUP, sums, so + c + 2 * GROUP);
            }
    }

    private static void turnBack(float[] x, int xo, float[] w, int wo, int stride, float[] coefficients, int c,
            float[] sums, int s) {
        for (int i = 0; i < GROUP; i++) {
            sums[s + i] += x[xo + i] * w[wo + i];
            sums[s + GROUP + i] += x[xo + (i ^ stride)] * w[wo + i];
        }
        for (int i = 0; i < GROUP; i++)
            if ((i & stride) == 0) {
                float p = w[wo + i];
                float q = w[wo + i + stride];
                w[wo + i] = p * coefficients[c + i] + q * coefficients[c + GROUP + i + stride];
                w[wo + i + stride] = q * coefficients[c + i + stride] + p * coefficients[c + GROUP + i];
            }
    }

    @Override
    public void adamW(float[] p, int po, float[] g, int go, float[] m, int mo, float[] v, int vo, int n, float clip,
            float beta1, float beta2, float shrink, float step, float c2, float eps) {
        for (int i = 0; i < n; i++) {
            float gi = clip * g[go + i];
            float mi = beta1 * m[mo + i] + (1 - beta1) * gi;
            float vi = beta2 * v[vo + i] + (1 - beta2) * gi * gi;
            m[mo + i] = mi;
            v[vo + i] = vi;
            p[po + i] = shrink * p[po + i] - step * mi / ((float) Math.sqrt(vi / c2) + eps);
        }
    }

    @Override
    public void copy(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        for (int r = 0; r < rows; r++)
            System.arraycopy(x, xo + r * ldx, y, yo + r * ldy, cols);
    }

    @Override
    public void transpose(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                y[yo + c * ldy + r] = x[xo + r * ldx + c];
    }

    @Override
    public void mulAdd(int M, int N, int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] c, int co, int ldc, boolean accumulate) {
        for (int i = 0; i < M; i++) {
            int ci = co + i * ldc;
            if (!accumulate)
                java.util.Arrays.fill(c, ci, ci + N, 0f);
            for (int k = 0; k < K; k++)
                axpy(a[ao + i * rowStep + k * colStep], b, bo + k * ldb, c, ci, N);
        }
    }

    @Override
    public void product(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate, float[] tile) {
        for (int j = 0; j < N; j += NR)
            for (int i = 0; i < M; i += MR) {
                fromRows(K, a, ao + i * lda, lda, 1, M - i, b, bo + j * K, tile, 0, false);
                addTile(tile, c, co + i * ldc + j, ldc, Math.min(MR, M - i), Math.min(NR, N - j), accumulate);
            }
    }

    @Override
    public int tileRows() {
        return MR;
    }

    @Override
    public int tileCols() {
        return NR;
    }

    @Override
    public int stripRows() {
        return MR;
    }

    @Override
    public int slot() {
        return MR;
    }

    @Override
    public void strip(int kc, float[] a, float[][] b, int bi, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate, float[] tile) {
        fromRows(kc, a, 0, DEPTH, 1, MR, b[bi], 0, tile, 0, false);
        addTile(tile, c, co, ldc, rows, cols, accumulate);
    }

    @Override
    public int groupRows() {
        return MR;
    }

    @Override
    public int groupStride() {
        return MR;
    }

    @Override
    public int writtenRows(int M) {
        return M;
    }

    @Override
    public void strips(int M, int kc, float[] a, int ao, int deep, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate) {
        float[] tile = new float[MR * NR];
        for (int i = 0; i < M; i += MR) {
            fromRows(kc, a, ao + i * deep, 1, MR, MR, b, bo, tile, 0, false);
            addTile(tile, c, co + i * ldc, ldc, Math.min(MR, M - i), NR, accumulate);
        }
    }

    /// @param lda distance of rows in a, `step` that of the numbers of a row
    private static void fromRows(int kc, float[] a, int ao, int lda, int step, int rows, float[] b, int bo,
            float[] tile, int to, boolean accumulate) {
        int last = ao + (rows - 1) * lda;
        int a1 = Math.min(last, ao + lda);
        int a2 = Math.min(last, ao + 2 * lda);
        int a3 = Math.min(last, ao + 3 * lda);
        float c00 = 0;
        float c01 = 0;
        float c02 = 0;
        float c03 = 0;
        float c10 = 0;
        float c11 = 0;
        float c12 = 0;
        float c13 = 0;
        float c20 = 0;
        float c21 = 0;
        float c22 = 0;
        float c23 = 0;
        float c30 = 0;
        float c31 = 0;
        float c32 = 0;
        float c33 = 0;
        for (int k = 0; k < kc; k++) {
            float b0 = b[bo + NR * k];
            float b1 = b[bo + NR * k + 1];
            float b2 = b[bo + NR * k + 2];
            float b3 = b[bo + NR * k + 3];
            float x = a[ao + k * step];
            c00 += x * b0;
            c01 += x * b1;
            c02 += x * b2;
            c03 += x * b3;
            x = a[a1 + k * step];
            c10 += x * b0;
            c11 += x * b1;
            c12 += x * b2;
            c13 += x * b3;
            x = a[a2 + k * step];
            c20 += x * b0;
            c21 += x * b1;
            c22 += x * b2;
            c23 += x * b3;
            x = a[a3 + k * step];
            c30 += x * b0;
            c31 += x * b1;
            c32 += x * b2;
            c33 += x * b3;
        }
        tile[to] = accumulate ? tile[to] + c00 : c00;
        tile[to + 1] = accumulate ? tile[to + 1] + c01 : c01;
        tile[to + 2] = accumulate ? tile[to + 2] + c02 : c02;
        tile[to + 3] = accumulate ? tile[to + 3] + c03 : c03;
        tile[to + 4] = accumulate ? tile[to + 4] + c10 : c10;
        tile[to + 5] = accumulate ? tile[to + 5] + c11 : c11;
        tile[to + 6] = accumulate ? tile[to + 6] + c12 : c12;
        tile[to + 7] = accumulate ? tile[to + 7] + c13 : c13;
        tile[to + 8] = accumulate ? tile[to + 8] + c20 : c20;
        tile[to + 9] = accumulate ? tile[to + 9] + c21 : c21;
        tile[to + 10] = accumulate ? tile[to + 10] + c22 : c22;
        tile[to + 11] = accumulate ? tile[to + 11] + c23 : c23;
        tile[to + 12] = accumulate ? tile[to + 12] + c30 : c30;
        tile[to + 13] = accumulate ? tile[to + 13] + c31 : c31;
        tile[to + 14] = accumulate ? tile[to + 14] + c32 : c32;
        tile[to + 15] = accumulate ? tile[to + 15] + c33 : c33;
    }

    @Override
    public void addTile(float[] tile, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate) {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) {
                float v = tile[i * NR + j];
                int at = co + i * ldc + j;
                c[at] = accumulate ? c[at] + v : v;
            }
    }

    @Override
    public void decodeBf16(short[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] = Float.intBitsToFloat(x[xo + i] << 16);
    }

    @Override
    public void decodeNf4(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++) {
            int pair = codes[(e + i) >> 1];
            y[yo + i] = codeBook[((e + i) & 1) == 0 ? pair >> 4 & 15 : pair & 15] * absmax;
        }
    }
}
