package dev.gyre.trainer.data;

import dev.gyre.kernels.InputException;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.RunConfig;
import java.nio.file.Path;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// The stream of batches that a run sees: rows of one epoch after another, cut into micro-batches. Everything follows
/// from (seed, epoch, row), so [#position] is all that a checkpoint needs.
public final class Batches implements BatchStream<Batch> {
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
    private Packing.Rows rows = new Packing.Rows(new int[0], new int[0]);
    /// Rows of the epoch that this run takes.
    private int used;
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

    @Override
    public Position position() {
        return new Position(epoch, row);
    }

    @Override
    public void seek(Position p) {
        if (p.epoch() != epoch) {
            rows = new Packing.Rows(new int[0], new int[0]); // its memory is free for the next
            rows = packed(p.epoch());
            epoch = p.epoch();
            used = used(rows.size(), epoch);
        }
        row = p.row();
    }

    private Packing.Rows packed(int epoch) {
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
            n += used((e == epoch ? rows : packed(e)).size(), e);
        return n;
    }

    /// Optimiser steps that a configuration asks for: its number, or as many as its epochs fill.
    public long steps(RunConfig.Train train) {
        if (train.steps() != null)
            return train.steps();
        long perStep = Math.multiplyExact(train.microBatch(), train.accumulate());
        return Math.max(1, Math.ceilDiv(rows(), perStep));
    }

    @Override
    public double epochsDone() {
        return epoch + row / (double) Math.max(1, rows.size());
    }

    /// Rows of the current epoch.
    public int epochRows() {
        return rows.size();
    }

    private int @Nullable [] nextRow() {
        while (row >= used) {
            if (epoch + 1 >= epochs)
                return null;
            seek(new Position(epoch + 1, 0));
        }
        return rows.get(row++);
    }

    /// The next `count` micro-batches: those of one optimiser step. Ends with empty ones when the last epoch is over.
    @Override
    public List<Micro<Batch>> next(int count) {
        List<Micro<Batch>> out = new ArrayList<>();
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

    /// The whole set in its own order, for evaluation. A micro-batch is made when it is asked for: together they may be larger
    /// than memory.
    ///
    /// @param limit micro-batches at most, whose rows are then spread evenly over the set, the same each time; 0: all
    public static List<Micro<Batch>> inOrder(TokenizedSet set, int B, int T, boolean packing, int limit) {
        Batches all = new Batches(set, B, T, packing, false, 0, 1);
        int rows = all.rows.size();
        int count = Math.ceilDiv(rows, B);
        boolean spread = limit > 0 && limit < count;
        int n = spread ? limit : count;
        return new AbstractList<>() {
            @Override
            public int size() {
                return n;
            }

            @Override
            public Micro<Batch> get(int i) {
                int[][] chosen = new int[B][];
                for (int b = 0; b < B; b++) {
                    long r = (long) i * B + b;
                    if (spread)
                        r = r * rows / ((long) n * B);
                    chosen[b] = r < rows ? all.rows.get((int) r) : new int[0];
                }
                return all.batch(chosen);
            }
        };
    }

    private Micro<Batch> batch(int[][] chosen) {
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
        return new Micro<>(new Batch(B, T, ids, labels, positions, start), trained, ids.length, examples);
    }

    @Override
    public String describe(Micro<Batch> micro) {
        int shown = Math.min(8, micro.examples().length);
        Map<Path, List<String>> lines = new LinkedHashMap<>();
        for (int i = 0; i < shown; i++)
            lines.computeIfAbsent(set.file(micro.examples()[i]), _ -> new ArrayList<>())
                    .add(String.valueOf(set.line(micro.examples()[i])));
        return lines.entrySet().stream()
                .map(e -> e.getKey() + " line" + (e.getValue().size() == 1 ? " " : "s ")
                        + String.join(", ", e.getValue()))
                .collect(Collectors.joining(" and ")) + (micro.examples().length > shown ? ", ..." : "");
    }
}
