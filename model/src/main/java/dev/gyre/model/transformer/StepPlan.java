package dev.gyre.model.transformer;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
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
