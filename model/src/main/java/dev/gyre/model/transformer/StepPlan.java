package dev.gyre.model.transformer;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The programs of a session and the memory they need, before any of it is allocated: what [TrainSession] opens and
/// [PlannedModel#plan] estimates.
public final class StepPlan {
    final Buffers store;
    final Map<BatchShape, TransformerProgram.Io> io = new LinkedHashMap<>();
    final Map<BatchShape, Program> training = new LinkedHashMap<>();
    final Map<BatchShape, Program> evaluation = new HashMap<>();
    final Map<BatchShape, TransformerProgram.WithLogits> logits = new HashMap<>();
    final Buf lossScale;
    final Buf norm = Buf.output("gradient norm", 1);
    final Buf hp = Buf.input("AdamW", DType.F32, OptimiserOps.AdamW.HP);
    final @Nullable Buf m;
    final @Nullable Buf v;
    final @Nullable Program gradientNorm;
    final @Nullable Program update;
    private final List<Program> programs = new ArrayList<>();
    private final MemoryPlan memory;

    /// As below, with logits of all tokens.
    StepPlan(ModelConfig config, Buffers.Source source, List<Tensor> weights, List<Adapter> adapters,
            List<BatchShape> shapes, Set<TrainSession.Use> uses, int atOnce) {
        this(config, source, weights, adapters, shapes, uses, atOnce, Integer.MAX_VALUE);
    }

    /// @param source of the frozen weights
    /// @param weights model weights that are trained themselves
    /// @param adapters trained along with them
    /// @param atOnce logits held at once where not all are asked for ([dev.gyre.kernels.Backend#logits])
    /// @param last number of tokens at the end of each row to give logits for
    StepPlan(ModelConfig config, Buffers.Source source, List<Tensor> weights, List<Adapter> adapters,
            List<BatchShape> shapes, Set<TrainSession.Use> uses, int atOnce, int last) {
        List<Tensor> trainable = new ArrayList<>(weights);
        for (Adapter a : adapters)
            trainable.addAll(a.tensors());
        this.store = new Buffers(source, trainable);
        int positions = shapes.stream().mapToInt(BatchShape::T).max()
                .orElseThrow(() -> new IllegalArgumentException("a session needs at least one batch shape"));
        TransformerProgram emit = new TransformerProgram(config, store, Transformer.byModule(adapters), positions,
                atOnce);
        this.lossScale = emit.lossScale();
        for (BatchShape s : new LinkedHashSet<>(shapes)) {
            TransformerProgram.Io b = TransformerProgram.Io.of(s);
            io.put(s, b);
            if (uses.contains(TrainSession.Use.TRAIN))
                training.put(s, added(emit.training(b, uses.contains(TrainSession.Use.GRADIENT_CHECKPOINTING))));
            if (uses.contains(TrainSession.Use.EVALUATE))
                evaluation.put(s, added(emit.evaluation(b)));
            if (uses.contains(TrainSession.Use.LOGITS)) {
                TransformerProgram.WithLogits l = emit.logits(b, Math.min(last, s.T()));
                added(l.program());
                logits.put(s, l);
            }
        }
        if (uses.contains(TrainSession.Use.TRAIN) && store.size() > 0) {
            Buf m1 = Buf.state("m", store.size());
            Buf v1 = Buf.state("v", store.size());
            m = m1;
            v = v1;
            List<TransformerProgram.Regulariser> terms = new ArrayList<>();
            for (Adapter a : adapters)
                a.modules().forEach(x -> terms.add(x::regularise));
            gradientNorm = added(TransformerProgram.norm(store, norm, terms));
            update = added(TransformerProgram.update(store, m1, v1, hp, norm));
        } else {
            m = null;
            v = null;
            gradientNorm = null;
            update = null;
        }
        this.memory = MemoryPlan.of(programs);
    }

    private Program added(Program p) {
        programs.add(p);
        return p;
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
        long n = update == null || gradientNorm == null ? 0 : gradientNorm.flops() + update.flops();
        for (Program p : training.values())
            return n + p.flops();
        return n;
    }
}
