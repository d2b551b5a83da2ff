package dev.gyre.kernels.check;

import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Nf4Codes;
import java.util.Random;

/// Random NF4 weights. Codes and maxima need not come from a quantiser to test the operations that decode them.
public final class Nf4Data {
    private Nf4Data() {
    }

    /// One maximum per block.
    public static HostData.NF4 plain(int size, int blockSize, Random random) {
        float[] absmax = new float[(size + blockSize - 1) / blockSize];
        for (int i = 0; i < absmax.length; i++)
            absmax[i] = 0.5f + random.nextFloat();
        return new HostData.NF4(size, codes(size, random), blockSize, Nf4Codes.codeBook(), absmax);
    }

    /// Double quantisation, in nested blocks of `nestedBlockSize`.
    public static HostData.NF4 nested(int size, int blockSize, int nestedBlockSize, Random random) {
        int blocks = (size + blockSize - 1) / blockSize;
        byte[] maxima = new byte[blocks];
        random.nextBytes(maxima);
        float[] nestedAbsmax = new float[(blocks + nestedBlockSize - 1) / nestedBlockSize];
        for (int i = 0; i < nestedAbsmax.length; i++)
            nestedAbsmax[i] = 0.2f + 0.3f * random.nextFloat();
        float[] map = new float[256];
        for (int i = 0; i < 256; i++)
            map[i] = (i - 127) / 128f;
        return new HostData.NF4(size, codes(size, random), blockSize, Nf4Codes.codeBook(), maxima, nestedAbsmax, map,
                nestedBlockSize, 0.7f);
    }

    private static byte[] codes(int size, Random random) {
        byte[] codes = new byte[(size + 1) / 2];
        random.nextBytes(codes);
        return codes;
    }
}
