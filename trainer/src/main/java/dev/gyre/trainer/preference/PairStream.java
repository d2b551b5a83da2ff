package dev.gyre.trainer.preference;

import dev.gyre.model.transformer.PairBatch;
import dev.gyre.trainer.data.BatchStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;

/// Pairs in the order of training, epoch after epoch, in micro-batches that are always full.
final class PairStream implements BatchStream<PairBatch> {
    private final List<PairBatch.Pair> pairs;
    private final int[] lines;
    private final String file;
    private final int size;
    private final long seed;
    private int epoch;
    private int row;
    private List<Integer> order;

    /// @param lines of the pairs in `file`, for messages
    /// @param size pairs of a micro-batch
    PairStream(List<PairBatch.Pair> pairs, int[] lines, String file, int size, long seed) {
        this.pairs = List.copyOf(pairs);
        this.lines = lines.clone();
        this.file = file;
        this.size = size;
        this.seed = seed;
        this.order = shuffled(0);
    }

    private List<Integer> shuffled(int number) {
        List<Integer> all = new ArrayList<>();
        for (int i = 0; i < pairs.size(); i++)
            all.add(i);
        Collections.shuffle(all, new Random(seed * 1_000_003 + number));
        return all;
    }

    @Override
    public List<Micro<PairBatch>> next(int count) {
        List<Micro<PairBatch>> out = new ArrayList<>();
        for (int m = 0; m < count; m++) {
            int[] which = new int[size];
            List<PairBatch.Pair> all = new ArrayList<>();
            for (int i = 0; i < size; i++) {
                if (row == order.size())
                    seek(new Position(epoch + 1, 0));
                which[i] = order.get(row++);
                all.add(pairs.get(which[i]));
            }
            PairBatch b = new PairBatch(all);
            out.add(new Micro<>(b, size, b.places(), which));
        }
        return out;
    }

    @Override
    public Position position() {
        return new Position(epoch, row);
    }

    @Override
    public void seek(Position p) {
        if (p.epoch() != epoch)
            order = shuffled(p.epoch());
        epoch = p.epoch();
        row = p.row();
    }

    @Override
    public double epochsDone() {
        return epoch + row / (double) pairs.size();
    }

    @Override
    public String describe(Micro<PairBatch> micro) {
        int[] all = micro.examples();
        int shown = Math.min(8, all.length);
        return file + " line" + (all.length == 1 ? " " : "s ")
                + Arrays.stream(all).limit(shown).mapToObj(i -> String.valueOf(lines[i]))
                        .collect(Collectors.joining(", "))
                + (all.length > shown ? ", ..." : "");
    }
}
