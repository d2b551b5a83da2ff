package dev.gyre.kernels.cpu;

/// Arithmetic on slices, see [Simd]: decoding of stored weights to floats.
interface SimdDecoders {
    /// BF16 to floats.
    void bf16(short[] x, int xo, float[] y, int yo, int n);

    /// `y = codeBook[code] * absmax` for n codes from element `e` on, all of one block.
    void nf4(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n);
}
