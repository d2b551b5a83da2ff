package dev.gyre.trainer.data;

import java.util.Arrays;
import java.util.function.LongConsumer;

/// Tokens in arrays that grow as examples are added.
final class HeapTokens implements TokenStore {
    private int[] codes = new int[1024];
    private int[] offset = new int[64];
    private int[] place = new int[64];
    private int[] line = new int[64];
    private long[] hash = new long[64];
    private int size;

    int tokens() {
        return offset[size];
    }

    void add(int[] from, int n, Place p, long content) {
        int at = offset[size];
        int to = Math.addExact(at, n);
        if (to > codes.length)
            codes = Arrays.copyOf(codes, (int) Math.min(Integer.MAX_VALUE - 8L, Math.max(2L * codes.length, to)));
        if (size + 2 > offset.length) {
            int more = 2 * offset.length;
            offset = Arrays.copyOf(offset, more);
            place = Arrays.copyOf(place, more);
            line = Arrays.copyOf(line, more);
            hash = Arrays.copyOf(hash, more);
        }
        System.arraycopy(from, 0, codes, at, n);
        place[size] = p.packed();
        line[size] = p.line();
        hash[size] = content;
        offset[++size] = to;
    }

    /// Gives back what was taken in advance.
    void trim() {
        codes = Arrays.copyOf(codes, tokens());
        offset = Arrays.copyOf(offset, size + 1);
        place = Arrays.copyOf(place, size);
        line = Arrays.copyOf(line, size);
        hash = Arrays.copyOf(hash, size);
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public int length(int i) {
        return offset[i + 1] - offset[i];
    }

    @Override
    public void read(int i, int[] to) {
        System.arraycopy(codes, offset[i], to, 0, length(i));
    }

    @Override
    public Place place(int i) {
        return Place.of(place[i], line[i]);
    }

    @Override
    public void hashes(LongConsumer to) {
        for (int i = 0; i < size; i++)
            to.accept(hash[i]);
    }

    @Override
    public long heapBytes() {
        return 4L * codes.length + 20L * offset.length;
    }
}
