package dev.gyre.dist;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/// The sum over workers in the order of [Collective], from messages between two workers.
///
/// With 2^k workers by recursive halving and doubling. In round i a worker and the one whose number differs in bit i give
/// each other half of the slice that both have summed so far and add what they get; after k rounds each has one slice of
/// the whole sum, and the rounds run backwards to spread the slices. Each worker sends 2 (n-1)/n of the vector in 2 k
/// messages. Neighbours meet first, which is the order of the tree; that either of two may add the other's part to its
/// own changes nothing, as a + b = b + a.
///
/// With another number n of workers each gets its n-th of all vectors, adds them in the tree's order, and sends the sum to
/// all others: as many bytes, 2 (n-1) messages.
final class TreeSum {
    /// Sends to one worker while receiving from another.
    interface Messages {
        void exchange(int to, MemorySegment send, int from, MemorySegment receive);
    }

    private final int rank;
    private final int size;
    private final Messages messages;
    private @Nullable Arena arena;
    private MemorySegment mine = MemorySegment.NULL;
    private MemorySegment theirs = MemorySegment.NULL;

    TreeSum(int rank, int size, Messages messages) {
        this.rank = rank;
        this.size = size;
        this.messages = messages;
    }

    void sum(float[] values) {
        int n = values.length;
        reserve(n);
        MemorySegment.copy(values, 0, mine, ValueLayout.JAVA_FLOAT, 0, n);
        if (Integer.bitCount(size) == 1)
            halve(n);
        else
            slice(n);
        MemorySegment.copy(mine, ValueLayout.JAVA_FLOAT, 0, values, 0, n);
    }

    /// Memory outside the heap for a vector and for what arrives, kept from one call to the next.
    private void reserve(int n) {
        long arriving = Integer.bitCount(size) == 1 ? (n + 1L) / 2 : (long) size * width(n);
        if (mine.byteSize() >= 4L * n && theirs.byteSize() >= 4 * arriving)
            return;
        close();
        Arena a = Arena.ofShared();
        arena = a;
        mine = a.allocate(Math.max(4, 4L * n), 64);
        theirs = a.allocate(Math.max(4, 4 * arriving), 64);
    }

    private void halve(int n) {
        int rounds = Integer.numberOfTrailingZeros(size);
        int[] lows = new int[rounds + 1];
        int[] highs = new int[rounds + 1];
        highs[0] = n;
        for (int i = 0; i < rounds; i++) {
            int low = lows[i];
            int high = highs[i];
            int middle = (low + high) >>> 1;
            boolean lower = (rank & 1 << i) == 0;
            lows[i + 1] = lower ? low : middle;
            highs[i + 1] = lower ? middle : high;
            int kept = highs[i + 1] - lows[i + 1];
            int partner = rank ^ 1 << i;
            MemorySegment arrived = floats(theirs, 0, kept);
            messages.exchange(partner, lower ? floats(mine, middle, high) : floats(mine, low, middle), partner,
                    arrived);
            add(lows[i + 1], arrived, 0, kept);
        }
        for (int i = rounds - 1; i >= 0; i--) {
            boolean lower = (rank & 1 << i) == 0;
            MemorySegment missing =
                    lower ? floats(mine, highs[i + 1], highs[i]) : floats(mine, lows[i], lows[i + 1]);
            int partner = rank ^ 1 << i;
            messages.exchange(partner, floats(mine, lows[i + 1], highs[i + 1]), partner, missing);
        }
    }

    private int width(int n) {
        return Math.ceilDiv(n, size);
    }

    private MemorySegment part(int n, int r) {
        return floats(mine, Math.min(n, r * (long) width(n)), Math.min(n, (r + 1L) * width(n)));
    }

    private void slice(int n) {
        long w = width(n);
        MemorySegment own = part(n, rank);
        long length = own.byteSize() / 4;
        MemorySegment.copy(own, 0, theirs, 4 * w * rank, own.byteSize());
        for (int s = 1; s < size; s++) {
            int to = (rank + s) % size;
            int from = (rank - s + size) % size;
            messages.exchange(to, part(n, to), from, floats(theirs, w * from, w * from + length));
        }
        tree(0, size, w, length);
        MemorySegment.copy(theirs, 0, own, 0, own.byteSize());
        for (int s = 1; s < size; s++) {
            int to = (rank + s) % size;
            int from = (rank - s + size) % size;
            messages.exchange(to, own, from, part(n, from));
        }
    }

    /// Leaves the sum of the arrived parts of workers `low` to `high` in that of `low`.
    private void tree(int low, int high, long w, long length) {
        if (high - low < 2)
            return;
        int middle = (low + high) >>> 1;
        tree(low, middle, w, length);
        tree(middle, high, w, length);
        add(theirs, w * low, theirs, w * middle, length);
    }

    private void add(long at, MemorySegment arrived, long from, long n) {
        add(mine, at, arrived, from, n);
    }

    private static void add(MemorySegment to, long at, MemorySegment from, long begin, long n) {
        for (long i = 0; i < n; i++)
            to.setAtIndex(ValueLayout.JAVA_FLOAT, at + i, to.getAtIndex(ValueLayout.JAVA_FLOAT, at + i)
                    + from.getAtIndex(ValueLayout.JAVA_FLOAT, begin + i));
    }

    private static MemorySegment floats(MemorySegment s, long from, long to) {
        return s.asSlice(4 * from, 4 * (to - from));
    }

    void close() {
        Arena a = arena;
        if (a != null)
            a.close();
        arena = null;
        mine = MemorySegment.NULL;
        theirs = MemorySegment.NULL;
    }
}
