package dev.gyre.kernels.cpu;

/// [SimdDecoders] in plain loops.
final class ScalarDecoders implements SimdDecoders {
    @Override
    public void bf16(short[] x, int xo, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++)
            y[yo + i] = Float.intBitsToFloat(x[xo + i] << 16);
    }

    @Override
    public void nf4(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n) {
        for (int i = 0; i < n; i++) {
            int pair = codes[(e + i) >> 1];
            y[yo + i] = codeBook[((e + i) & 1) == 0 ? pair >> 4 & 15 : pair & 15] * absmax;
        }
    }
}
