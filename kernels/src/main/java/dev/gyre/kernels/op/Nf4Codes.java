package dev.gyre.kernels.op;

/// The 16 values of 4-bit NormalFloat (QLoRA, arXiv 2305.14314, section 3): quantiles of N(0,1), scaled to [-1, 1]; seven
/// below zero, zero, eight above. The ends are -1 and 1, so the grid is not symmetric.
public final class Nf4Codes {
    /// As bits because decimals invite a wrong last digit.
    private static final int[] BITS = {0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f,
        0xbdba7871, 0x00000000, 0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3,
        0x3f800000};

    private Nf4Codes() {
    }

    /// A fresh copy of the code values, ascending.
    public static float[] codeBook() {
        float[] v = new float[BITS.length];
        for (int i = 0; i < v.length; i++)
            v[i] = Float.intBitsToFloat(BITS[i]);
        return v;
    }
}
