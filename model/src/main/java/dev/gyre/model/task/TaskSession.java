package dev.gyre.model.task;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.family.EncoderConfig.Relative;
import dev.gyre.model.family.EncoderConfig.Rotary;
import dev.gyre.model.family.EncoderConfig.Text;
import dev.gyre.model.family.RopeTable;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.LearningSession;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;

/// A model with a head on a backend, ready for training and evaluation. Trains the adapters attached to it, or (`full`) all
/// of its weights.
public final class TaskSession extends LearningSession<TaskBatch> {
    private final TaskModel model;
    private final TaskPlan plan;

    /// For steps of one micro-batch, or of several whose gradients are added one after the other.
    ///
    /// @param full whether all weights are trained instead of the attached adapters
    /// @param seed of dropout
    public TaskSession(TaskModel model, Backend backend, List<TaskShape> shapes, boolean full, Set<Use> uses,
            long seed) {
        this(model, backend, shapes, full, uses, seed, false, 1);
    }

    /// @param similarity whether pairs of embeddings have a similarity to reach; else they are told from other pairs
    /// @param accumulate micro-batches of a step, whose gradients are summed in a tree; see [#hold]
    public TaskSession(TaskModel model, Backend backend, List<TaskShape> shapes, boolean full, Set<Use> uses,
            long seed, boolean similarity, int accumulate) {
        this(model, backend, TaskPlan.of(model, shapes, full, uses, similarity, accumulate), seed);
    }

    private TaskSession(TaskModel model, Backend backend, TaskPlan plan, long seed) {
        super(backend, plan.programs(), plan.memory(), plan.store, plan.learning, model.adapters(), plan.flops(), seed);
        this.model = model;
        this.plan = plan;
    }

    @Override
    protected Ready training(TaskBatch b, float scale) {
        TaskIo i = load(b, scale, true);
        return new Ready(program(plan.training, i.shape()), i.rowLoss());
    }

    @Override
    protected Ready evaluation(TaskBatch b) {
        TaskIo i = load(b, 0f, true);
        return new Ready(program(plan.evaluation, i.shape()), i.rowLoss());
    }

    @Override
    protected BiConsumer<String, float[]> replacing() {
        return (name, values) -> {
            if (model.weights().containsKey(name))
                model.replace(name, values);
        };
    }

    /// Logits (rows, outputs) of a batch, or embeddings (B, C); labels are not looked at.
    public float[] logits(TaskBatch b) {
        TaskIo i = load(b, 0f, false);
        TaskPlan.Logits l = program(plan.logits, i.shape());
        session().run(l.program());
        return session().read(l.logits());
    }

    private static <T> T program(Map<TaskShape, T> of, TaskShape s) {
        T p = of.get(s);
        if (p == null)
            throw new IllegalArgumentException(
                    "the session was not opened for batches of " + s + "; it has " + of.keySet());
        return p;
    }

    /// The shape of a batch in this session.
    private TaskShape shape(TaskBatch b) {
        for (TaskShape s : plan.io.keySet())
            if (s.B() == b.B() && s.T() == b.T())
                return s;
        throw new IllegalArgumentException("the session was not opened for batches of " + b.B() + " x " + b.T()
                + "; it has " + plan.io.keySet());
    }

    private TaskIo load(TaskBatch b, float scale, boolean labels) {
        TaskConfig c = model.config();
        TaskShape s = shape(b);
        TaskIo i = program(plan.io, s);
        int n = s.tokens();
        requireFirst(b, c);
        if (c.images())
            write(i.patches(), patches(b, s));
        else {
            check(b.ids(), c.vocabSize(), "token id");
            write(i.ids(), b.ids());
            write(i.types(), types(b, c));
            write(i.positions(), positions(b, c));
        }
        int[] start = new int[n];
        int[] end = new int[n];
        for (int t = 0; t < n; t++) {
            start[t] = b.from()[t / s.T()];
            end[t] = c instanceof TaskConfig.OfDecoder ? 0 : b.to()[t / s.T()];
            if (c instanceof TaskConfig.OfDecoder)
                start[t] = Math.min(start[t], t % s.T());
        }
        write(i.start(), start);
        write(i.end(), end);
        near(b, c, s, i);
        neighbours(b, c, s, i);
        int[] pool = new int[s.B()];
        int[] poolEnd = new int[s.B()];
        for (int r = 0; r < s.B(); r++) {
            int first = r * s.T();
            pool[r] = first + switch (c.head().pooling()) {
                case LAST -> last(b, c, r);
                case MEAN -> b.from()[r];
                case FIRST, TOKENS -> 0;
            };
            poolEnd[r] = first + b.to()[r];
        }
        write(i.pool(), pool);
        write(i.poolEnd(), poolEnd);
        if (labels)
            labels(b, c, i);
        write(plan.lossScale, new float[] {scale});
        return i;
    }

    /// Where attention has a mask for queries too, a row of padding is a mean of everything, padding included.
    private static void requireFirst(TaskBatch b, TaskConfig c) {
        if (!(c instanceof TaskConfig.OfEncoder(EncoderConfig e) && e.layers().mixing() instanceof Relative
                && c.head().pooling() == Pooling.FIRST))
            return;
        for (int from : b.from())
            if (from > 0)
                throw new InputException("the head of " + e.family().modelType() + " reads the first token, which is"
                        + " padding here; pad on the right");
    }

    private void labels(TaskBatch b, TaskConfig c, TaskIo i) {
        int losses = i.labels().length();
        if (c.head().problem() == Problem.CLASSES) {
            if (b.labels().length != losses)
                throw new InputException("a batch of " + losses + " rows has " + b.labels().length + " labels");
            for (int label : b.labels())
                if (label != Batch.IGNORE && (label < 0 || label >= c.head().outputs()))
                    throw new InputException("label " + label + " is none of the model's " + c.head().outputs()
                            + " classes");
            write(i.labels(), b.labels());
        } else if (c.head().problem() == Problem.EMBEDDING) {
            if (b.B() % 2 != 0)
                throw new InputException("embeddings are compared in pairs, and the batch has " + b.B() + " rows");
            int[] own = new int[losses];
            for (int p = 0; p < losses; p++)
                own[p] = p;
            write(i.labels(), own);
            if (b.targets().length == losses)
                write(i.targets(), b.targets());
        } else {
            if (b.targets().length != i.targets().length())
                throw new InputException("a batch of " + losses + " rows has " + b.targets().length
                        + " target values; the model has " + c.head().outputs() + " outputs");
            write(i.targets(), b.targets());
        }
    }

    /// Last token that is not padding: by its id where the model names one, as the reference library finds it.
    private static int last(TaskBatch b, TaskConfig c, int r) {
        Integer pad = c.pad();
        if (pad != null)
            for (int t = b.T() - 1; t >= 0; t--)
                if (b.ids()[r * b.T() + t] != pad)
                    return t;
        return b.to()[r] - 1;
    }

    private static int[] types(TaskBatch b, TaskConfig c) {
        int count =
                c instanceof TaskConfig.OfEncoder(EncoderConfig e) && e.input() instanceof Text t ? t.typeCount() : 0;
        if (count > 0)
            check(b.types(), count, "token type");
        return b.types();
    }

    private static void check(int[] ids, int bound, String what) {
        for (int id : ids)
            if (id < 0 || id >= bound)
                throw new InputException(what + " " + id + " is outside the model's " + bound);
    }

    private static int[] positions(TaskBatch b, TaskConfig c) {
        int[] out = new int[b.ids().length];
        if (c instanceof TaskConfig.OfEncoder(EncoderConfig e) && e.input() instanceof Text t) {
            Integer pad = t.countFrom();
            for (int r = 0; r < b.B(); r++) {
                int seen = 0;
                for (int p = 0; p < b.T(); p++) {
                    int at = r * b.T() + p;
                    out[at] = pad == null ? p : b.ids()[at] == pad ? pad : pad + ++seen;
                }
            }
            if (t.positions() != null)
                for (int p : out)
                    if (p >= t.maxPositions())
                        throw new InputException("a sequence of " + b.T() + " tokens is longer than the model's "
                                + c.maxPositions() + " positions; cut the texts (data.max_length)");
            return out;
        }
        for (int at = 0; at < out.length; at++)
            out[at] = at % b.T();
        return c instanceof TaskConfig.OfDecoder d ? RopeTable.rows(d.decoder(), out, b.T()) : out;
    }

    /// Bounds of layers that see only nearby tokens. Padding that has no token nearby sees one all the same.
    private void near(TaskBatch b, TaskConfig c, TaskShape s, TaskIo i) {
        if (!(c instanceof TaskConfig.OfEncoder(EncoderConfig e) && e.layers().mixing() instanceof Rotary r))
            return;
        int reach = r.reach().stream().mapToInt(Integer::intValue).max().orElse(0);
        if (reach == 0)
            return;
        int[] start = new int[s.tokens()];
        int[] end = new int[s.tokens()];
        for (int t = 0; t < start.length; t++) {
            int from = b.from()[t / s.T()];
            int to = b.to()[t / s.T()];
            start[t] = Math.clamp(t % s.T() - reach, from, to - 1);
            end[t] = Math.clamp(t % s.T() + reach + 1, start[t] + 1, to);
        }
        write(i.nearStart(), start);
        write(i.nearEnd(), end);
    }

    /// Rows that a convolution sees of each token; padding, and what is beyond the sequence, is the row after the last.
    private void neighbours(TaskBatch b, TaskConfig c, TaskShape s, TaskIo i) {
        if (!(c instanceof TaskConfig.OfEncoder(EncoderConfig e) && e.layers().mixing() instanceof Relative r)
                || r.convolution() == null)
            return;
        int width = r.convolution().width();
        int[] rows = new int[s.tokens() * width];
        for (int n = 0; n < s.tokens(); n++)
            for (int k = 0; k < width; k++) {
                int t = n % s.T() + k - width / 2;
                boolean there = t >= b.from()[n / s.T()] && t < b.to()[n / s.T()];
                rows[n * width + k] = there ? n - n % s.T() + t : s.tokens();
            }
        write(i.neighbours(), rows);
    }

    /// The values of each patch in the order of the projection's weight: channel, row, column.
    private float[] patches(TaskBatch b, TaskShape s) {
        Image i = (Image) ((TaskConfig.OfEncoder) model.config()).encoder().input();
        int h = s.height();
        int w = s.width();
        if (b.pixels().length != s.B() * i.channels() * h * w)
            throw new InputException("a batch of " + s.B() + " images of " + i.channels() + " x " + h + " x " + w
                    + " has " + b.pixels().length + " values");
        int down = h / i.patchHeight();
        int across = w / i.patchWidth();
        float[] out = new float[s.B() * down * across * i.patchSize()];
        int to = 0;
        for (int n = 0; n < s.B(); n++)
            for (int y = 0; y < down; y++)
                for (int x = 0; x < across; x++)
                    for (int c = 0; c < i.channels(); c++)
                        for (int r = 0; r < i.patchHeight(); r++, to += i.patchWidth())
                            System.arraycopy(b.pixels(),
                                    ((n * i.channels() + c) * h + y * i.patchHeight() + r) * w + x * i.patchWidth(),
                                    out, to, i.patchWidth());
        return out;
    }

    private void write(Buf b, int[] values) {
        if (plan.memory().persistent().contains(b))
            session().write(b, values);
    }

    private void write(Buf b, float[] values) {
        if (plan.memory().persistent().contains(b))
            session().write(b, values);
    }
}
