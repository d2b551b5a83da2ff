package dev.gyre.trainer.data;

import java.util.ArrayList;
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

    /// Rows of example numbers. The order of examples is the file's, or a permutation drawn from (seed, epoch).
    static int[][] rows(TokenizedSet set, int T, boolean packing, boolean shuffle, long seed, int epoch) {
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
        List<int[]> rows = new ArrayList<>();
        if (!packing) {
            for (int e : order)
                rows.add(new int[] {e});
            return rows.toArray(int[][]::new);
        }
        List<Row> open = new ArrayList<>();
        for (int e : order) {
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
                    rows.add(fullest.examples());
                }
                best = new Row(T);
                open.add(best);
            }
            best.put(e, need);
            if (best.left == 0) {
                open.remove(best);
                rows.add(best.examples());
            }
        }
        for (Row r : open)
            rows.add(r.examples());
        return rows.toArray(int[][]::new);
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

        private int[] examples() {
            return examples.stream().mapToInt(Integer::intValue).toArray();
        }
    }
}
