package dev.gyre.kernels.ref;

/// Row look-up and its gradient.
public final class EmbedRef {
    private EmbedRef() {
    }

    /// `out[i] = table[ids[i]]`
    public static void forward(int[] ids, Vec table, Vec out, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                out.set(i * C + c, table.get(ids[i] * C + c));
    }

    /// `dTable[ids[i]] += dOut[i]`
    public static void backward(int[] ids, Vec dOut, Vec dTable, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                dTable.add(ids[i] * C + c, dOut.get(i * C + c));
    }
}
