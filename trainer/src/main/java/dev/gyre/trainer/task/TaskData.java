package dev.gyre.trainer.task;

import dev.gyre.kernels.InputException;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.task.TaskShape;
import dev.gyre.model.token.HfTokenizer;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.TaskRunConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/// Examples as a model reads them, and batches of them: rows of one length, the shortest of the run's that holds them.
public final class TaskData {
    private final TaskConfig config;
    private final TaskRunConfig.Kind kind;
    private final List<String> names;
    private final List<Integer> lengths;
    private final @Nullable ImageInput images;
    private final List<TaskExample> examples;
    private final List<Row> rows = new ArrayList<>();

    /// One sequence.
    ///
    /// @param labels of the tokens, or null
    private record Row(int[] ids, int[] types, int @Nullable [] labels) {
    }

    /// @param tokenizer null for images
    /// @param dir of the model
    /// @param lengths in ascending order; longer texts are cut
    TaskData(TaskConfig config, TaskRunConfig.Kind kind, List<String> names, List<Integer> lengths,
            @Nullable Tokenizer tokenizer, TaskDir dir, List<TaskExample> examples) {
        this.config = config;
        this.kind = kind;
        this.names = names;
        this.lengths = lengths;
        this.examples = examples;
        this.images = config instanceof TaskConfig.OfEncoder e && e.encoder().input() instanceof Image i
                ? ImageInput.of(dir.directory(), i) : null;
        for (TaskExample e : examples) {
            boolean image = e.image() != null || e.pixels() != null;
            if (image != (images != null))
                throw new InputException(
                        "the model reads " + (images != null ? "images" : "texts") + ", and the data has "
                                + (image ? "images" : "texts"));
            if (tokenizer == null)
                continue;
            int most = lengths.getLast();
            if (kind == TaskRunConfig.Kind.TOKENS)
                rows.add(words(tokenizer, e, most));
            else
                if (kind == TaskRunConfig.Kind.PAIRS || kind == TaskRunConfig.Kind.SIMILARITY)
                    for (String text : e.texts())
                        rows.add(row(tokenizer, cased(dir, List.of(text)), most));
                else
                    rows.add(row(tokenizer, cased(dir, e.texts()), most));
        }
    }

    private static List<String> cased(TaskDir dir, List<String> texts) {
        return dir.lowerCase() ? texts.stream().map(t -> t.toLowerCase(Locale.ROOT)).toList() : texts;
    }

    private static Row row(Tokenizer tokenizer, List<String> texts, int most) {
        int[][] encoded = tokenizer instanceof HfTokenizer hf
                ? hf.encodeForTask(texts.getFirst(), texts.size() > 1 ? texts.get(1) : null)
                : plain(tokenizer.encode(String.join("\n", texts), true));
        int[] ids = encoded[0];
        int[] types = encoded[1];
        if (ids.length == 0)
            throw new InputException("a text has no tokens: '" + texts.getFirst() + "'");
        if (ids.length > most) {
            int last = ids[ids.length - 1];
            ids = Arrays.copyOf(ids, most);
            types = Arrays.copyOf(types, most);
            // the separator at the end stays
            ids[most - 1] = last;
        }
        return new Row(ids, types, null);
    }

    private static int[][] plain(int[] ids) {
        return new int[][] {ids, new int[ids.length]};
    }

    /// Each word's first token has its label; the others, and those that the tokenizer adds, have none.
    private Row words(Tokenizer tokenizer, TaskExample e, int most) {
        int[] around = tokenizer.encode("", true);
        boolean framed = around.length >= 2;
        List<Integer> ids = new ArrayList<>();
        List<Integer> labels = new ArrayList<>();
        if (framed) {
            ids.add(around[0]);
            labels.add(Batch.IGNORE);
        }
        for (int w = 0; w < e.texts().size(); w++) {
            String word = w == 0 ? e.texts().get(w) : " " + e.texts().get(w);
            int[] tokens = tokenizer.encode(word, false);
            for (int t = 0; t < tokens.length && ids.size() < most - (framed ? 1 : 0); t++) {
                ids.add(tokens[t]);
                labels.add(t == 0 && !e.labels().isEmpty() ? TaskReader.index(names, e.labels().get(w), null)
                        : Batch.IGNORE);
            }
        }
        if (framed) {
            ids.add(around[around.length - 1]);
            labels.add(Batch.IGNORE);
        }
        int[] own = ids.stream().mapToInt(Integer::intValue).toArray();
        return new Row(own, new int[own.length], labels.stream().mapToInt(Integer::intValue).toArray());
    }

    List<TaskExample> examples() {
        return examples;
    }

    int size() {
        return examples.size();
    }

    /// Memory that the examples take.
    long bytes() {
        long n = 0;
        for (Row r : rows)
            n += 4L * (r.ids().length + r.types().length + (r.labels() == null ? 0 : r.labels().length)) + 64;
        for (TaskExample e : examples)
            n += (e.pixels() == null ? 0 : e.pixels().values().length)
                    + 2L * e.texts().stream().mapToInt(String::length).sum() + 64;
        return n;
    }

    TaskRunConfig.Kind kind() {
        return kind;
    }

    /// Tokens of each row, in ascending order.
    int[] tokens() {
        return rows.stream().mapToInt(r -> r.ids().length).sorted().toArray();
    }

    /// The lengths that its rows need.
    List<Integer> used() {
        List<Integer> out = new ArrayList<>();
        for (Row r : rows) {
            int own = r.ids().length;
            int l = lengths.stream().filter(x -> x >= own).findFirst().orElse(lengths.getLast());
            if (!out.contains(l))
                out.add(l);
        }
        Collections.sort(out);
        return out;
    }

    /// Shapes of the batches of `B` examples.
    static List<TaskShape> shapes(TaskConfig c, TaskRunConfig.Kind kind, List<Integer> lengths, int B) {
        if (c instanceof TaskConfig.OfEncoder e && e.encoder().input() instanceof Image i)
            return List.of(new TaskShape(B, i.tokens(i.height(), i.width()), i.height(), i.width()));
        boolean pairs = kind == TaskRunConfig.Kind.PAIRS || kind == TaskRunConfig.Kind.SIMILARITY;
        return lengths.stream().map(T -> TaskShape.text(pairs ? 2 * B : B, T)).toList();
    }

    /// The order of an epoch.
    List<Integer> shuffled(long seed, int epoch) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < size(); i++)
            order.add(i);
        Collections.shuffle(order, new Random(seed * 1_000_003 + epoch));
        return order;
    }

    /// Rows that count in the loss of these examples.
    int counted(List<Integer> which) {
        if (kind != TaskRunConfig.Kind.TOKENS)
            return which.size();
        int n = 0;
        for (int i : which) {
            int[] labels = rows.get(i).labels();
            for (int l : labels == null ? new int[0] : labels)
                n += l == Batch.IGNORE ? 0 : 1;
        }
        return n;
    }

    /// A batch of `B` examples; fewer are filled up with the first, whose rows then do not count where the loss can leave
    /// them out.
    ///
    /// @param mirrored which images are mirrored; the others that it has no place for are not
    TaskBatch batch(List<Integer> which, int B, boolean... mirrored) {
        List<Integer> all = new ArrayList<>(which);
        while (all.size() < B)
            all.add(which.getFirst());
        boolean pairs = kind == TaskRunConfig.Kind.PAIRS || kind == TaskRunConfig.Kind.SIMILARITY;
        TaskBatch bare = images != null ? pictures(images, all, mirrored) : texts(pairs ? sides(all) : all);
        return labelled(bare, all, which.size());
    }

    /// Rows of the first texts, then those of the second.
    private static List<Integer> sides(List<Integer> which) {
        List<Integer> out = new ArrayList<>();
        for (int side = 0; side < 2; side++)
            for (int i : which)
                out.add(2 * i + side);
        return out;
    }

    private TaskBatch pictures(ImageInput input, List<Integer> which, boolean... mirrored) {
        Image i = input.model();
        int size = i.channels() * i.height() * i.width();
        float[] pixels = new float[which.size() * size];
        for (int b = 0; b < which.size(); b++)
            System.arraycopy(input.read(examples.get(which.get(b)), b < mirrored.length && mirrored[b]), 0,
                    pixels, b * size, size);
        return TaskBatch.images(which.size(), i.tokens(i.height(), i.width()), pixels);
    }

    private TaskBatch texts(List<Integer> which) {
        int longest = which.stream().mapToInt(i -> rows.get(i).ids().length).max().orElse(1);
        int T = lengths.stream().filter(l -> l >= longest).findFirst().orElse(lengths.getLast());
        int B = which.size();
        int[] ids = new int[B * T];
        Integer pad = config.pad();
        Arrays.fill(ids, pad == null ? 0 : pad);
        int[] types = new int[B * T];
        int[] to = new int[B];
        for (int b = 0; b < B; b++) {
            Row r = rows.get(which.get(b));
            System.arraycopy(r.ids(), 0, ids, b * T, r.ids().length);
            System.arraycopy(r.types(), 0, types, b * T, r.types().length);
            to[b] = r.ids().length;
        }
        return TaskBatch.text(B, T, ids, types, new int[B], to);
    }

    private TaskBatch labelled(TaskBatch b, List<Integer> which, int real) {
        int outputs = config.head().outputs();
        return switch (kind) {
            case CLASS -> {
                int[] labels = new int[which.size()];
                for (int i = 0; i < labels.length; i++)
                    labels[i] = i < real ? label(which.get(i)) : Batch.IGNORE;
                yield b.labelled(labels);
            }
            case TOKENS -> {
                int[] labels = new int[b.ids().length];
                Arrays.fill(labels, Batch.IGNORE);
                for (int i = 0; i < real; i++) {
                    int[] own = rows.get(which.get(i)).labels();
                    if (own != null)
                        System.arraycopy(own, 0, labels, i * b.T(), own.length);
                }
                yield b.labelled(labels);
            }
            case LABELS -> {
                float[] targets = new float[which.size() * outputs];
                for (int i = 0; i < which.size(); i++)
                    for (String l : examples.get(which.get(i)).labels())
                        targets[i * outputs + TaskReader.index(names, l, null)] = 1;
                yield b.aimedAt(targets);
            }
            case NUMBER, SIMILARITY -> {
                float[] targets = new float[which.size()];
                for (int i = 0; i < targets.length; i++)
                    targets[i] = examples.get(which.get(i)).number();
                yield b.aimedAt(targets);
            }
            case PAIRS -> b;
        };
    }

    /// The class of an example, [Batch#IGNORE] where its file has none.
    int label(int i) {
        List<String> labels = examples.get(i).labels();
        return labels.isEmpty() ? Batch.IGNORE : TaskReader.index(names, labels.getFirst(), examples.get(i).image());
    }
}
