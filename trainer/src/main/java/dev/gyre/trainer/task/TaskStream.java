package dev.gyre.trainer.task;

import dev.gyre.model.task.TaskBatch;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.data.BatchStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Collectors;

/// Examples in the order of training, epoch after epoch, in batches that are always full. Everything follows from
/// (seed, epoch, row), also which images are mirrored.
final class TaskStream implements BatchStream<TaskBatch> {
    private final TaskData data;
    private final String file;
    private final int B;
    private final boolean flip;
    private final long seed;
    private int epoch;
    private int row;
    private List<Integer> order;

    /// @param file the data's, for messages
    /// @param B examples of a batch
    /// @param flip whether images are mirrored at random
    TaskStream(TaskData data, String file, int B, boolean flip, long seed) {
        this.data = data;
        this.file = file;
        this.B = B;
        this.flip = flip;
        this.seed = seed;
        this.order = data.shuffled(seed, 0);
    }

    @Override
    public List<Micro<TaskBatch>> next(int count) {
        List<Micro<TaskBatch>> out = new ArrayList<>();
        for (int m = 0; m < count; m++) {
            List<Integer> which = new ArrayList<>();
            boolean[] mirrored = new boolean[B];
            for (int b = 0; b < B; b++) {
                if (row == order.size())
                    seek(new Position(epoch + 1, 0));
                mirrored[b] = flip && new SplittableRandom(new SplittableRandom(seed * 1_000_003 + epoch).nextLong()
                        + row).nextBoolean();
                which.add(order.get(row++));
            }
            TaskBatch batch = data.batch(which, B, mirrored);
            out.add(new Micro<>(batch, data.counted(which), (long) batch.B() * batch.T(),
                    which.stream().mapToInt(Integer::intValue).toArray()));
        }
        if (out.stream().allMatch(m -> m.trained() == 0))
            throw new ConfigException("data.train: " + describe(out.getFirst())
                    + " and the rest of the step have no label that counts; are texts cut before their labels"
                    + " (train.seq_len)?");
        return out;
    }

    @Override
    public Position position() {
        return new Position(epoch, row);
    }

    @Override
    public void seek(Position p) {
        if (p.epoch() != epoch)
            order = data.shuffled(seed, p.epoch());
        epoch = p.epoch();
        row = p.row();
    }

    @Override
    public double epochsDone() {
        return epoch + row / (double) data.size();
    }

    @Override
    public String describe(Micro<TaskBatch> micro) {
        int[] all = micro.examples();
        int shown = Math.min(8, all.length);
        return file + " example" + (all.length == 1 ? " " : "s ")
                + Arrays.stream(all).limit(shown).mapToObj(i -> String.valueOf(i + 1))
                        .collect(Collectors.joining(", "))
                + (all.length > shown ? ", ..." : "");
    }
}
