package dev.gyre.model.transformer;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.adapter.Methods;
import dev.gyre.model.adapter.StepHook;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;
import java.util.stream.DoubleStream;
import org.jspecify.annotations.Nullable;

/// What training changes in a session, whatever the model predicts: the parameters, their gradients and moments, the draws
/// of dropout, and what methods do between steps.
public final class Learner {
    /// The programs of an update, and their buffers.
    ///
    /// @param hp [OptimiserOps.AdamW]'s
    /// @param m first moments, null when nothing is trained
    public record Plan(Buf norm, Buf hp, @Nullable Buf m, @Nullable Buf v, @Nullable Program gradientNorm,
            @Nullable Program update) {
        /// @param train whether there are updates
        public static Plan of(Buffers store, List<Adapter> adapters, boolean train) {
            Buf norm = Buf.output("gradient norm", 1);
            Buf hp = Buf.input("AdamW", DType.F32, OptimiserOps.AdamW.HP);
            if (!train || store.size() == 0)
                return new Plan(norm, hp, null, null, null, null);
            Buf m = Buf.state("m", store.size());
            Buf v = Buf.state("v", store.size());
            List<TransformerProgram.Regulariser> terms = new ArrayList<>();
            for (Adapter a : adapters)
                a.modules().forEach(x -> terms.add(x::regularise));
            return new Plan(norm, hp, m, v, TransformerProgram.norm(store, norm, terms),
                    TransformerProgram.update(store, m, v, hp, norm));
        }

        public List<Program> programs() {
            return gradientNorm == null || update == null ? List.of() : List.of(gradientNorm, update);
        }

        public long flops() {
            return programs().stream().mapToLong(Program::flops).sum();
        }
    }

    private final Session session;
    private final Buffers store;
    private final Plan plan;
    private final MemoryPlan memory;
    private final List<Adapter> adapters;
    private final long seed;
    private long draws;
    private final List<StepHook> hooks = new ArrayList<>();
    private float[] numbers = {};

    /// @param seed of dropout
    public Learner(Session session, Buffers store, Plan plan, MemoryPlan memory, List<Adapter> adapters, long seed) {
        this.session = session;
        this.store = store;
        this.plan = plan;
        this.memory = memory;
        this.adapters = adapters;
        this.seed = seed;
        if (plan.update != null)
            for (Adapter a : adapters) {
                StepHook h = Methods.of(a.options()).stepHook(a.options(), a.modules());
                if (h != null)
                    hooks.add(h);
            }
    }

    /// Draws of dropout so far.
    public long draws() {
        return draws;
    }

    /// Each draw has a generator of its own, so that a resumed run needs to know only how many there were. The seed is
    /// mixed first: the draws of neighbouring seeds would otherwise overlap.
    public void drawDropout() {
        var random = new SplittableRandom(new SplittableRandom(seed).nextLong() + ++draws);
        if (memory.persistent().contains(store.dropoutSeed()))
            session.write(store.dropoutSeed(), new int[] {random.nextInt()});
        for (Buffers.BlockMask b : store.blockMasks()) {
            int groups = b.flags().dim(0);
            int n = b.flags().dim(1);
            int first = random.nextInt(groups) * n;
            int[] flags = new int[groups * n];
            int left = groups * n > 1 ? (int) (b.share() * n) : 0;
            for (int i = 0; i < n && left > 0; i++)
                if (random.nextInt(n - i) < left) {
                    flags[first + i] = 1;
                    left--;
                }
            session.write(b.flags(), flags);
        }
    }

    /// As [Trainable#update].
    public double update(AdamWStep step) {
        Program update = plan.update;
        Program gradientNorm = plan.gradientNorm;
        if (update == null || gradientNorm == null)
            throw new InputException("nothing is trainable: attach an adapter or train all weights");
        session.run(gradientNorm);
        double norm = session.read(plan.norm)[0];
        if (!Double.isFinite(norm))
            return norm;
        session.write(plan.hp, step.hp());
        float[] gradients = hooks.isEmpty() ? new float[0] : session.read(store.grads());
        session.run(update);
        if (!hooks.isEmpty())
            afterStep(step, gradients, norm);
        return norm;
    }

    private void afterStep(AdamWStep step, float[] gradients, double norm) {
        float[] params = session.read(store.params());
        double clip = step.maxNorm() > 0 ? Math.min(1, step.maxNorm() / (norm + 1e-6)) : 1;
        boolean changed = false;
        for (StepHook h : hooks)
            changed |= h.afterStep(step.t(), new Values(params), new Values(gradients), clip);
        if (changed)
            session.write(store.params(), params);
    }

    private final class Values implements StepHook.Values {
        private final float[] all;

        Values(float[] all) {
            this.all = all;
        }

        @Override
        public float[] all() {
            return all;
        }

        @Override
        public int offset(Tensor t) {
            return store.offset(t);
        }
    }

    /// Gradients accumulated since the last update, by trainable tensor.
    public Map<Tensor, float[]> gradients() {
        float[] all = session.read(store.grads());
        Map<Tensor, float[]> out = new LinkedHashMap<>();
        for (Tensor t : store.tensors())
            out.put(t, Arrays.copyOfRange(all, store.offset(t), store.offset(t) + t.size()));
        return out;
    }

    /// Sets the gradients to zero.
    public void clearGradients() {
        session.write(store.grads(), zeros());
    }

    /// Current parameters and moments, copied.
    public TrainState state() {
        Buf m = plan.m;
        Buf v = plan.v;
        if (m == null || v == null)
            throw new IllegalStateException("the session does not train");
        double[] method = hooks.stream().flatMapToDouble(h -> {
            double[] own = h.state();
            return DoubleStream.concat(DoubleStream.of(own.length), Arrays.stream(own));
        }).toArray();
        return new TrainState(session.read(store.params()), session.read(m), session.read(v), method);
    }

    /// As [Trainable#restore].
    public void restore(TrainState s, long drawsSoFar) {
        restore(s);
        draws = drawsSoFar;
    }

    /// Goes back to a state; the draws of dropout go on.
    public void restore(TrainState s) {
        Buf m = plan.m;
        Buf v = plan.v;
        if (m == null || v == null)
            throw new IllegalStateException("the session does not train");
        session.write(store.params(), s.params());
        session.write(m, s.m());
        session.write(v, s.v());
        clearGradients();
        int at = 0;
        for (StepHook h : hooks)
            if (at < s.method().length) {
                int n = (int) s.method()[at++];
                h.restore(Arrays.copyOfRange(s.method(), at, at + n));
                at += n;
            }
    }

    /// Rotation metrics of the adapters, module by module.
    public List<Geometry> geometry() {
        pull((_, _) -> {
        });
        List<Geometry> out = new ArrayList<>();
        for (Adapter a : adapters)
            for (AdapterLayer x : a.modules()) {
                Geometry g = x.geometry();
                if (g != null)
                    out.add(g);
            }
        return out;
    }

    /// Copies the trained parameters into their tensors on the host.
    ///
    /// @param each gets the name and the values of each
    public void pull(BiConsumer<String, float[]> each) {
        if (store.size() == 0)
            return;
        float[] all = numbers();
        session.read(store.params(), all);
        for (Tensor t : store.tensors()) {
            System.arraycopy(all, store.offset(t), t.values(), 0, t.size());
            each.accept(t.name(), t.values());
        }
    }

    /// Array for all trainable parameters, made once.
    private float[] numbers() {
        if (numbers.length != store.size())
            numbers = new float[store.size()];
        return numbers;
    }

    private float[] zeros() {
        float[] all = numbers();
        Arrays.fill(all, 0);
        return all;
    }
}
