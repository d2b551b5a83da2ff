package dev.gyre.trainer.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/// Which examples share a row, for one pass over a set. An example of L tokens takes L - 1 places of the row: its last
/// token is only ever a target.
final class Packing {
    /// Rows kept open for a better fit. More fill rows better and cost time; 64 leaves about 1 % empty on lengths
    /// drawn evenly from up to half a row.
    private static final int OPEN = 64;

    private Packing() {
    }

    /// The rows of a pass: row r has the examples `order[end[r - 1]] .. order[end[r] - 1]`. Two arrays, because there may be
    /// a hundred million examples.
    record Rows(int[] order, int[] end) {
        int size() {
            return end.length;
        }

        int[] get(int row) {
            return Arrays.copyOfRange(order, row == 0 ? 0 : end[row - 1], end[row]);
        }
    }

    /// Rows of example numbers. The order of examples is the files', or a permutation drawn from (seed, epoch).
    static Rows rows(TokenizedSet set, int T, boolean packing, boolean shuffle, long seed, int epoch) {
        int[] order = new int[set.size()];
        for (int i = 0; i < order.length; i++)
            order[i] = i;
        if (shuffle) {
            SplittableRandom random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + epoch + 1);
            for (int i = order.length - 1; i > 0; i--) {
                int j = random.nextInt(i + 1);
                int swap = order[i];
                order[i] = order[j];
                order[j] = swap;
            }
        }
        Closed rows = new Closed(order);
        if (!packing) {
            for (int i = 0; i < order.length; i++)
                rows.end(i + 1);
            return rows.done();
        }
        List<Row> open = new ArrayList<>();
        for (int i = 0; i < order.length; i++) {
            int e = order[i];
            int need = set.length(e) - 1;
            Row best = null;
            for (Row r : open)
                if (r.left >= need && (best == null || r.left < best.left))
                    best = r;
            if (best == null) {
                if (open.size() == OPEN) {
                    Row fullest = open.getFirst();
                    for (Row r : open)
                        if (r.left < fullest.left)
                            fullest = r;
                    open.remove(fullest);
                    rows.add(fullest);
                }
                best = new Row(T);
                open.add(best);
            }
            best.put(e, need);
            if (best.left == 0) {
                open.remove(best);
                rows.add(best);
            }
        }
        open.forEach(rows::add);
        return rows.done();
    }

    /// Rows that take no more examples. Their examples take the places in `order` of those already packed, which are at least
    /// as many.
    private static final class Closed {
        private final int[] order;
        private int used;
        private int[] end = new int[1024];
        private int size;

        private Closed(int[] order) {
            this.order = order;
        }

        private void add(Row r) {
            for (int e : r.examples)
                order[used++] = e;
            end(used);
        }

        private void end(int at) {
            if (size == end.length)
                end = Arrays.copyOf(end, (int) Math.min(Integer.MAX_VALUE - 8L, 2L * size));
            end[size++] = at;
        }

        private Rows done() {
            return new Rows(order, Arrays.copyOf(end, size));
        }
    }

    private static final class Row {
        private int left;
        private final List<Integer> examples = new ArrayList<>();

        private Row(int left) {
            this.left = left;
        }

        private void put(int example, int need) {
            examples.add(example);
            left -= need;
        }
    }
}
