package dev.gyre.trainer.data;

import dev.gyre.kernels.InputException;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.RunConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// The stream of batches that a run sees: rows of one epoch after another, cut into micro-batches. Everything follows
/// from (seed, epoch, row), so [#position] is all that a checkpoint needs.
public final class Batches {
    /// Rows of a run are counted epoch by epoch, as each packs its examples anew; so many examples take a minute.
    private static final double COUNTED = 2e8;

    private final TokenizedSet set;
    private final int B;
    private final int T;
    private final int[] lengths;
    private final boolean packing;
    private final boolean shuffle;
    private final long seed;
    private final double epochs;

    private int epoch = -1;
    private int[][] rows = {};
    private int epochRows;
    private int row;

    /// @param B rows of a micro-batch
    /// @param T inputs of a row
    /// @param epochs passes over the set after which rows stay empty; infinity for a run that counts steps
    public Batches(TokenizedSet set, int B, int T, boolean packing, boolean shuffle, long seed, double epochs) {
        this(set, B, T, List.of(), packing, shuffle, seed, epochs);
    }

    /// @param buckets shorter rows, ascending: a micro-batch takes the shortest that holds all its rows
    public Batches(TokenizedSet set, int B, int T, List<Integer> buckets, boolean packing, boolean shuffle, long seed,
            double epochs) {
        this.lengths = IntStream.concat(buckets.stream().mapToInt(Integer::intValue), IntStream.of(T)).toArray();
        this.set = set;
        this.B = B;
        this.T = T;
        this.packing = packing;
        this.shuffle = shuffle;
        this.seed = seed;
        this.epochs = epochs;
        seek(new Position(0, 0));
    }

    /// Where the next row comes from.
    public record Position(int epoch, int row) {
    }

    /// A micro-batch and the examples in it.
    public record Micro(Batch batch, int trained, int[] examples) {
    }

    public Position position() {
        return new Position(epoch, row);
    }

    public void seek(Position p) {
        if (p.epoch() != epoch) {
            epoch = p.epoch();
            int[][] all = packed(epoch);
            epochRows = all.length;
            rows = Arrays.copyOf(all, used(all.length, epoch));
        }
        row = p.row();
    }

    private int[][] packed(int epoch) {
        return Packing.rows(set, T, packing, shuffle, seed, epoch);
    }

    /// How many of an epoch's rows this run takes: all but in a last epoch that ends early.
    private int used(int rows, int epoch) {
        return (int) Math.ceil(rows * Math.clamp(epochs - epoch, 0.0, 1.0));
    }

    /// Rows of the whole run; only for a finite number of epochs.
    public long rows() {
        if (Double.isInfinite(epochs))
            throw new IllegalStateException("endless");
        if (epochs * set.size() > COUNTED)
            throw new InputException("train.epochs " + epochs + " of " + set.size()
                    + " examples cannot be counted; give the length of the run as train.steps");
        long n = 0;
        for (int e = 0; e < epochs; e++)
            n += used(packed(e).length, e);
        return n;
    }

    /// Optimiser steps that a configuration asks for: its number, or as many as its epochs fill.
    public long steps(RunConfig.Train train) {
        if (train.steps() != null)
            return train.steps();
        long perStep = Math.multiplyExact(train.microBatch(), train.accumulate());
        return Math.max(1, Math.ceilDiv(rows(), perStep));
    }

    /// Passes over the data so far, with the fraction of the current one.
    public double epochsDone() {
        return epoch + row / (double) Math.max(1, epochRows);
    }

    /// Rows of the current epoch.
    public int epochRows() {
        return epochRows;
    }

    private int @Nullable [] nextRow() {
        while (row >= rows.length) {
            if (epoch + 1 >= epochs)
                return null;
            seek(new Position(epoch + 1, 0));
        }
        return rows[row++];
    }

    /// The next `count` micro-batches: those of one optimiser step. Ends with empty ones when the last epoch is over.
    public List<Micro> next(int count) {
        List<Micro> out = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int[][] chosen = new int[B][];
            for (int b = 0; b < B; b++) {
                int[] r = nextRow();
                chosen[b] = r == null ? new int[0] : r;
            }
            out.add(batch(chosen));
        }
        return out;
    }

    /// The whole set in the file's order, for evaluation.
    ///
    /// @param limit micro-batches at most, whose rows are then spread evenly over the set, the same each time; 0: all
    public static List<Micro> inOrder(TokenizedSet set, int B, int T, boolean packing, int limit) {
        Batches all = new Batches(set, B, T, packing, false, 0, 1);
        int[][] rows = all.rows;
        int count = (rows.length + B - 1) / B;
        if (limit > 0 && limit < count) {
            int[][] spread = new int[limit * B][];
            for (int i = 0; i < spread.length; i++)
                spread[i] = rows[(int) ((long) i * rows.length / spread.length)];
            all.rows = spread;
            count = limit;
        }
        return all.next(count);
    }

    private Micro batch(int[][] chosen) {
        int longest = 0;
        for (int[] row : chosen) {
            int places = 0;
            for (int e : row)
                places += set.length(e) - 1;
            longest = Math.max(longest, places);
        }
        int bucket = 0;
        while (lengths[bucket] < longest)
            bucket++;
        int T = lengths[bucket];
        int n = B * T;
        int[] ids = new int[n];
        int[] labels = new int[n];
        int[] positions = new int[n];
        int[] start = new int[n];
        Arrays.fill(labels, Batch.IGNORE);
        int trained = 0;
        for (int b = 0; b < B; b++) {
            int t = 0;
            for (int e : chosen[b]) {
                int first = t;
                for (int j = 0; j + 1 < set.length(e); j++, t++) {
                    int at = b * T + t;
                    ids[at] = set.token(e, j);
                    positions[at] = j;
                    start[at] = first;
                    if (set.isTarget(e, j + 1)) {
                        labels[at] = set.token(e, j + 1);
                        trained++;
                    }
                }
            }
            // what is left of the row sees only itself
            for (; t < T; t++)
                start[b * T + t] = t;
        }
        int[] examples = Arrays.stream(chosen).flatMapToInt(Arrays::stream).toArray();
        return new Micro(new Batch(B, T, ids, labels, positions, start), trained, examples);
    }

    /// `data/train.jsonl lines 3, 17, 40, ...`: what a micro-batch was made of, for messages.
    public String describe(Micro micro) {
        int shown = Math.min(8, micro.examples().length);
        String lines = IntStream.range(0, shown).map(i -> set.line(micro.examples()[i])).mapToObj(Integer::toString)
                .collect(Collectors.joining(", "));
        return set.file() + " line" + (shown == 1 ? " " : "s ") + lines
                + (micro.examples().length > shown ? ", ..." : "");
    }
}
