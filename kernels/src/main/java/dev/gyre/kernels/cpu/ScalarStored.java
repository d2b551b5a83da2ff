package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.HostData;

/// [SimdStored] in plain loops: the order is that of the matrix.
final class ScalarStored implements SimdStored {
    @Override
    public boolean suits(HostData b, int e, int K) {
        return b instanceof HostData.BF16 || b instanceof HostData.NF4;
    }

    @Override
    public void order(float[] x, int xo, float[] y, int yo, int K) {
        System.arraycopy(x, xo, y, yo, K);
    }

    @Override
    public void decode(HostData b, int e, int n, int K, float[] y, int yo) {
        b.decode(e, n * K, y, yo);
    }

    @Override
    public void dots(int n, int K, float[] x, HostData.BF16 b, int e, float[] c, int co, float[] tile) {
        for (int j = 0; j < n; j++) {
            float s = 0;
            for (int k = 0; k < K; k++)
                s += x[k] * HostData.BF16.value(b.bits[e + j * K + k]);
            c[co + j] = s;
        }
    }
}
