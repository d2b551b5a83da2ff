package dev.gyre.model.transformer;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.RopeTable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// The programs of a session and the memory they need, before any of it is allocated: what [TrainSession] opens and
/// [PlannedModel#plan] estimates.
public final class StepPlan {
    final Buffers store;
    final Map<BatchShape, TransformerProgram.Io> io = new LinkedHashMap<>();
    final Map<BatchShape, Program> training = new LinkedHashMap<>();
    final Map<BatchShape, Program> evaluation = new HashMap<>();
    final Map<BatchShape, TransformerProgram.WithLogits> logits = new HashMap<>();
    final Buf lossScale;
    final Learner.Plan learning;
    private final List<Program> programs = new ArrayList<>();
    private final MemoryPlan memory;
    private final ModelConfig config;
    private final int positions;

    /// As below, with logits of all tokens.
    StepPlan(ModelConfig config, Buffers.Source source, List<Tensor> weights, List<Adapter> adapters,
            List<BatchShape> shapes, Set<LearningSession.Use> uses, int accumulate, int atOnce) {
        this(config, source, weights, adapters, shapes, uses, accumulate, atOnce, Integer.MAX_VALUE);
    }

    /// @param source of the frozen weights
    /// @param weights model weights that are trained themselves
    /// @param adapters trained along with them
    /// @param accumulate micro-batches of a step, whose gradients are summed in a tree
    /// @param atOnce logits held at once where not all are asked for ([dev.gyre.kernels.Backend#logits])
    /// @param last number of tokens at the end of each row to give logits for
    StepPlan(ModelConfig config, Buffers.Source source, List<Tensor> weights, List<Adapter> adapters,
            List<BatchShape> shapes, Set<LearningSession.Use> uses, int accumulate, int atOnce, int last) {
        List<Tensor> trainable = new ArrayList<>(weights);
        for (Adapter a : adapters)
            trainable.addAll(a.tensors());
        this.store = new Buffers(source, trainable);
        if (uses.contains(LearningSession.Use.NO_DROPOUT))
            store.dropNothing();
        this.config = config;
        this.positions = shapes.stream().mapToInt(BatchShape::T).max()
                .orElseThrow(() -> new IllegalArgumentException("a session needs at least one batch shape"));
        TransformerProgram emit = new TransformerProgram(config, store, Transformer.byModule(adapters), positions,
                atOnce);
        this.lossScale = emit.lossScale();
        for (BatchShape s : new LinkedHashSet<>(shapes)) {
            TransformerProgram.Io b = TransformerProgram.Io.of(s);
            io.put(s, b);
            if (uses.contains(LearningSession.Use.TRAIN))
                training.put(s, added(emit.training(b, uses.contains(LearningSession.Use.GRADIENT_CHECKPOINTING))));
            if (uses.contains(LearningSession.Use.EVALUATE))
                evaluation.put(s, added(emit.evaluation(b)));
            if (uses.contains(LearningSession.Use.LOGITS)) {
                TransformerProgram.WithLogits l = emit.logits(b, Math.min(last, s.T()));
                added(l.program());
                logits.put(s, l);
            }
        }
        this.learning = Learner.Plan.of(store, adapters, uses.contains(LearningSession.Use.TRAIN), accumulate);
        programs.addAll(learning.programs());
        this.memory = MemoryPlan.of(programs);
    }

    private Program added(Program p) {
        programs.add(p);
        return p;
    }

    /// Writes a micro-batch and the scale of its loss into a session.
    TransformerProgram.Io load(Session session, Batch b, float scale) {
        TransformerProgram.Io i = of(io, b.shape());
        int V = config.vocabSize();
        for (int id : b.ids())
            if (id < 0 || id >= V)
                throw new InputException("token id " + id + " is outside the vocabulary of " + V);
        for (int l : b.labels())
            if (l != Batch.IGNORE && (l < 0 || l >= V))
                throw new InputException("label " + l + " is outside the vocabulary of " + V);
        session.write(i.ids(), b.ids());
        session.write(i.labels(), b.labels());
        session.write(i.positions(), rows(b.positions()));
        session.write(i.start(), b.start());
        session.write(lossScale, new float[] {scale});
        return i;
    }

    static <T> T of(Map<BatchShape, T> all, BatchShape s) {
        T p = all.get(s);
        if (p == null)
            throw new IllegalArgumentException(
                    "the session was not opened for batches of " + s + "; it has " + all.keySet());
        return p;
    }

    /// The rows of the RoPE tables for the tokens of a batch at these positions.
    int[] rows(int[] at) {
        return RopeTable.rows(config, at, positions);
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
        long n = learning.flops();
        for (Program p : training.values())
            return n + p.flops();
        return n;
    }
}
