package dev.gyre.model.task;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.family.EncoderConfig.Relative;
import dev.gyre.model.task.HeadEmission.Pairs;
import dev.gyre.model.transformer.Learner;
import dev.gyre.model.transformer.LearningSession;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The programs of a session and the memory they need, before any of it is allocated: what a [TaskSession] opens.
public final class TaskPlan {
    /// A program that leaves logits (rows, outputs), or embeddings (B, C).
    record Logits(Program program, Buf logits) {
    }

    final Buffers store;
    final Map<TaskShape, TaskIo> io = new LinkedHashMap<>();
    final Map<TaskShape, Program> training = new LinkedHashMap<>();
    final Map<TaskShape, Program> evaluation = new LinkedHashMap<>();
    final Map<TaskShape, Logits> logits = new LinkedHashMap<>();
    final Buf lossScale = Buf.input("loss scale", DType.F32, 1);
    final Learner.Plan learning;
    private final List<Program> programs = new ArrayList<>();
    private final MemoryPlan memory;
    private final TaskConfig config;
    private final Map<String, List<AdapterLayer>> adapters;
    private final boolean similarity;
    private EncoderBody.@Nullable Tables tables;

    /// @param source of the frozen weights
    /// @param weights model weights that are trained themselves
    /// @param similarity whether pairs of embeddings have a similarity to reach; else they are told from other pairs
    /// @param accumulate micro-batches of a step, whose gradients are summed in a tree
    TaskPlan(TaskConfig config, Buffers.Source source, List<Tensor> weights, List<Adapter> adapters,
            List<TaskShape> shapes, Set<LearningSession.Use> uses, boolean similarity, int accumulate) {
        this.config = config;
        this.similarity = similarity;
        List<Tensor> trainable = new ArrayList<>(weights);
        for (Adapter a : adapters)
            trainable.addAll(a.tensors());
        this.store = new Buffers(source, trainable);
        if (uses.contains(LearningSession.Use.NO_DROPOUT))
            store.dropNothing();
        this.adapters = TaskModel.byModule(adapters);
        int longest = shapes.stream().mapToInt(TaskShape::T).max()
                .orElseThrow(() -> new IllegalArgumentException("a session needs at least one batch shape"));
        if (config instanceof TaskConfig.OfEncoder e)
            tables = new EncoderBody.Tables(e.encoder(), store, longest);
        for (TaskShape s : new LinkedHashSet<>(shapes)) {
            TaskIo own = io(s);
            io.put(s, own);
            if (uses.contains(LearningSession.Use.TRAIN))
                training.put(s, added(training(own, uses.contains(LearningSession.Use.GRADIENT_CHECKPOINTING))));
            if (uses.contains(LearningSession.Use.EVALUATE))
                evaluation.put(s, added(evaluation(own)));
            if (uses.contains(LearningSession.Use.LOGITS)) {
                Logits l = logits(own);
                added(l.program());
                logits.put(s, l);
            }
        }
        this.learning = Learner.Plan.of(store, adapters, uses.contains(LearningSession.Use.TRAIN), accumulate);
        programs.addAll(learning.programs());
        this.memory = MemoryPlan.of(programs);
    }

    /// The plan of a session with the adapters attached to a model.
    ///
    /// @param full whether all weights are trained instead
    /// @param accumulate micro-batches of a step, whose gradients are summed in a tree
    public static TaskPlan of(TaskModel model, List<TaskShape> shapes, boolean full, Set<LearningSession.Use> uses,
            boolean similarity, int accumulate) {
        return new TaskPlan(model.config(), model, full ? model.allWeights() : List.of(), model.adapters(), shapes,
                uses, similarity, accumulate);
    }

    /// The same with other adapters than those of the model.
    public static TaskPlan of(TaskModel model, List<Adapter> adapters, List<TaskShape> shapes,
            Set<LearningSession.Use> uses, boolean similarity, int accumulate) {
        return new TaskPlan(model.config(), model, List.of(), adapters, shapes, uses, similarity, accumulate);
    }

    private TaskIo io(TaskShape s) {
        if (!(config instanceof TaskConfig.OfEncoder(EncoderConfig e)))
            return TaskIo.of(s, config.head(), 0, 0, 0);
        if (e.input() instanceof Image i)
            return TaskIo.of(s, config.head(), s.T() - i.tokens().size(), i.patchSize(), 0);
        return TaskIo.of(s, config.head(), 0, 0,
                e.layers().mixing() instanceof Relative r && r.convolution() != null ? r.convolution().width() : 0);
    }

    private Program added(Program p) {
        programs.add(p);
        return p;
    }

    private Body body(TaskIo own, boolean checkpointing) {
        return switch (config) {
            case TaskConfig.OfEncoder e ->
                    new EncoderBody(e.encoder(), store, adapters, Objects.requireNonNull(tables), own,
                            checkpointing);
            case TaskConfig.OfDecoder d -> new DecoderRows(d.decoder(), store, adapters, own, checkpointing);
        };
    }

    private HeadEmission head(TaskIo own) {
        return new HeadEmission(config.head(), config.hiddenSize(), store, adapters, own, lossScale);
    }

    /// Forward, loss and backward of one micro-batch; gradients are added to the store's.
    private Program training(TaskIo own, boolean checkpointing) {
        Emitter e = new Emitter("train " + own.shape(), store, true);
        Body body = body(own, checkpointing);
        HeadEmission head = head(own);
        boolean down = body.trains();
        boolean any = down || head.trains();
        Buf out = head.forward(e, body.forward(e), null);
        Buf g = loss(e, head, out, any);
        if (g != null && any) {
            Buf rows = head.backward(e, g, down);
            if (rows != null)
                body.backward(e, rows);
        }
        // emitted again before backward, what the first time left is not read
        return e.build().withoutUnread();
    }

    private @Nullable Buf loss(Emitter e, HeadEmission head, Buf out, boolean gradient) {
        if (config.head().problem() == Problem.EMBEDDING)
            return head.pairs(e, out, similarity ? Pairs.SIMILARITY : Pairs.CONTRASTIVE, gradient);
        head.loss(e, out, gradient);
        return gradient ? out : null;
    }

    /// Forward and row losses.
    private Program evaluation(TaskIo own) {
        Emitter e = new Emitter("evaluate " + own.shape(), store, false);
        HeadEmission head = head(own);
        loss(e, head, head.forward(e, body(own, false).forward(e), null), false);
        return e.build();
    }

    /// Forward with logits kept.
    private Logits logits(TaskIo own) {
        Emitter e = new Emitter("logits " + own.shape(), store, false);
        Buf out = Buf.output("logits " + own.shape(), own.rows(), config.head().outputs());
        head(own).forward(e, body(own, false).forward(e), out);
        return new Logits(e.build(), out);
    }

    public List<Program> programs() {
        return Collections.unmodifiableList(programs);
    }

    public MemoryPlan memory() {
        return memory;
    }

    /// Number of trainable parameters.
    public int trainable() {
        return store.size();
    }

    /// Floating point operations of one micro-batch and one update, of the first batch shape.
    public long flops() {
        return learning.flops() + training.values().stream().limit(1).mapToLong(Program::flops).sum();
    }
}
