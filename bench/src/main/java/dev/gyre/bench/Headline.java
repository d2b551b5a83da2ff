package dev.gyre.bench;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.CayleyCases;
import dev.gyre.kernels.check.GivensCases;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.check.ProductCases;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.PlannedModel;
import dev.gyre.model.transformer.StepPlan;
import dev.gyre.model.transformer.TrainSession;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;

/// The claims of the papers, measured on this machine. Contenders of one claim alternate, run by run, so that their ratios
/// hold also where other work disturbs them.
final class Headline {
    /// Block size of OFT wherever nothing else is said.
    static final int BLOCK = 32;
    /// Rank of PSOFT and of LoRA in steps.
    static final int PSOFT_RANK = 64;
    static final int LORA_RANK = 16;
    /// Rows that a layer or an operation is given.
    static final int ROWS = 256;

    private final CpuBackend backend;
    private final boolean quick;
    private final Consumer<String> progress;

    Headline(CpuBackend backend, boolean quick, Consumer<String> progress) {
        this.backend = backend;
        this.quick = quick;
        this.progress = progress;
    }

    /// Median times (ms) of contenders that take turns for `seconds` in all, after one round to warm up and then at least
    /// three.
    private static double[] alternate(double seconds, List<Runnable> all) {
        all.forEach(Runnable::run);
        long end = System.nanoTime() + (long) (1e9 * seconds);
        List<double[]> rounds = new ArrayList<>();
        while (rounds.size() < 3 || System.nanoTime() < end) {
            double[] ms = new double[all.size()];
            for (int i = 0; i < ms.length; i++) {
                long t0 = System.nanoTime();
                all.get(i).run();
                ms[i] = (System.nanoTime() - t0) / 1e6;
            }
            rounds.add(ms);
        }
        // the first quarter warms up as well: the JVM still compiles
        List<double[]> used = rounds.subList(Math.min(rounds.size() / 4, rounds.size() - 3), rounds.size());
        double[] out = new double[all.size()];
        for (int i = 0; i < out.length; i++) {
            int at = i;
            out[i] = Stats.median(used.stream().mapToDouble(r -> r[at]).toArray());
        }
        return out;
    }

    /// One adapted layer of width d, forward and backward: ms, and bytes beyond those of the frozen layer.
    record Width(int d, double frozenMs, double v2Ms, double v1Ms, long v2Bytes, long v1Bytes) {
    }

    /// OFTv2 turns the input, `O(N d b)` beside the layer's `O(N d^2)`; OFT v1 turns the weight, `O(d^3)`.
    List<Width> widths() {
        Targets here = Targets.names("layer");
        Oft v2 = Oft.of(here, BLOCK);
        Oft v1 = v2.with(Oft.Cayley.EXACT, 5).with(Oft.Form.WEIGHT_DENSE);
        List<Width> out = new ArrayList<>();
        for (int d : quick ? new int[] {128, 256, 512, 1024} : new int[] {256, 512, 1024, 2048, 4096}) {
            progress.accept("OFTv2 against OFT v1: a layer of width " + d);
            try (Layer frozen = new Layer(backend, null, d, ROWS);
                    Layer input = new Layer(backend, v2, d, ROWS);
                    Layer weight = new Layer(backend, v1, d, ROWS)) {
                double[] ms = alternate(quick ? 0.5 : 5, List.of(frozen::run, input::run, weight::run));
                out.add(new Width(d, ms[0], ms[1], ms[2], input.bytes() - frozen.bytes(),
                        weight.bytes() - frozen.bytes()));
            }
        }
        return out;
    }

    /// Memory of the activations of one training step of size M, planned before it runs.
    record Memory(String name, long activations, long trainable) {
    }

    /// PSOFT rotates r numbers a token and layer, BOFT and OFT v1 whole weights.
    List<Memory> memory() {
        progress.accept("PSOFT's activation memory: plans of a training step");
        Size z = quick ? Size.S : Size.M;
        Targets all = Targets.allLinear();
        List<Memory> out = new ArrayList<>();
        out.add(memory(z, "frozen", Method.of(Method.Kind.FLOOR).options()));
        out.add(memory(z, "qGOFT", Method.of(Method.Kind.QGOFT).options()));
        out.add(memory(z, "HRA, r = 8", Method.of(Method.Kind.HRA).options()));
        out.add(memory(z, "LoRA, r = " + LORA_RANK, Method.of(Method.Kind.LORA).options()));
        out.add(memory(z, "OFTv2, b = " + BLOCK, Oft.of(all, BLOCK)));
        out.add(memory(z, "PSOFT, r = " + PSOFT_RANK, Method.of(Method.Kind.PSOFT).options()));
        out.add(memory(z, "OFT v1, b = " + BLOCK, Method.of(Method.Kind.V1DENSE).options()));
        out.add(memory(z, "BOFT, 2 factors", Boft.of(all, 8, 2)));
        return out;
    }

    private static Memory memory(Size z, String name, AdapterOptions options) {
        PlannedModel sketch = PlannedModel.of(StepBench.config(z, z.shape().T()));
        StepPlan plan = sketch.plan(sketch.adapter(options), List.of(new BatchShape(z.shape().B(), z.shape().T())),
                Set.of(TrainSession.Use.TRAIN), 1);
        return new Memory(name, plan.memory().bytesByRole().getOrDefault(Buf.Role.ACTIVATION, 0L), plan.trainable());
    }

    /// One rotation of N rows of d features: by d - 1 Givens rotations, by a dense matrix, and a plain copy.
    record Sweep(int d, double givensMs, double denseMs, double copyMs) {
    }

    List<Sweep> sweeps() {
        List<Sweep> out = new ArrayList<>();
        for (int d : quick ? new int[] {128, 256, 512, 1024} : new int[] {128, 256, 512, 1024, 2048, 4096}) {
            progress.accept("Givens rotations against a dense matrix: width " + d);
            try (Runner givens = new Runner(new GivensCases.GivensSweep(ROWS, d, true));
                    Runner dense = new Runner(new ProductCases.MatMul(Form.NT, DType.F32, ROWS, d, d))) {
                float[] from = new float[ROWS * d];
                float[] to = new float[ROWS * d];
                double[] ms = alternate(quick ? 0.3 : 2, List.of(givens::run, dense::run,
                        () -> System.arraycopy(from, 0, to, 0, from.length)));
                out.add(new Sweep(d, ms[0], ms[1], ms[2]));
            }
        }
        return out;
    }

    /// A training step of a small model: ms, and bytes it is planned to take.
    record Step(String name, double ms, long bytes) {
    }

    /// Four bits against 32, a rotation against a low-rank update.
    List<Step> steps() {
        ModelConfig config = ModelConfig.llama(4096, quick ? 128 : 768, quick ? 352 : 2048, 2, quick ? 4 : 12,
                quick ? 2 : 4, ROWS, false, null, List.of(), null);
        List<String> names = List.of("LoRA", "OFTv2", "QLoRA", "QOFT");
        List<Method.Kind> kinds = List.of(Method.Kind.LORA, Method.Kind.OFT, Method.Kind.QLORA, Method.Kind.QOFT);
        double[][] ms = new double[names.size()][quick ? 1 : 3];
        long[] bytes = new long[names.size()];
        for (int round = 0; round < ms[0].length; round++)
            for (int i = 0; i < names.size(); i++) {
                progress.accept("QOFT against QLoRA: a step of " + names.get(i) + ", round " + (round + 1));
                Method m = Method.of(kinds.get(i));
                StepBench.Result r =
                        StepBench.run(new StepBench.Settings(config, m, m.base(), 2, ROWS, 100, quick ? 0 : 1.5,
                                new Sampler(quick ? 0.2 : 2, quick ? 0.05 : 0.4, 0, 0), false), backend);
                ms[i][round] = r.samples().median();
                bytes[i] = r.planned();
            }
        List<Step> out = new ArrayList<>();
        for (int i = 0; i < names.size(); i++)
            out.add(new Step(names.get(i), Stats.median(ms[i]), bytes[i]));
        return out;
    }

    /// A map from skew blocks to rotations: ms forward and backward, and the largest entry of `|R^T R - I|` at two norms
    /// of Q.
    record Map(String name, Family family, double ms, double defectSmall, double defectLarge) {
        enum Family {
            NEUMANN, EXACT, NEWTON_SCHULZ
        }
    }

    static final double SMALL_NORM = 0.3;
    static final double LARGE_NORM = 1;

    List<Map> maps() {
        record Candidate(String name, Map.Family family, Orthogonal map) {
        }
        List<Candidate> all = new ArrayList<>();
        for (int t : new int[] {4, 5, 6, 8})
            all.add(new Candidate("Neumann, " + t + " terms", Map.Family.NEUMANN, Orthogonal.neumann(t)));
        for (int t : new int[] {3, 4, 6})
            all.add(new Candidate("Newton-Schulz, " + t, Map.Family.NEWTON_SCHULZ,
                    Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, t)));
        all.add(new Candidate("exact Cayley", Map.Family.EXACT, Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0)));
        int blocks = quick ? 16 : 128;
        List<Runner> runners = new ArrayList<>();
        List<Runnable> turns = new ArrayList<>();
        try {
            for (Candidate c : all) {
                progress.accept("ways to make a rotation: " + c.name);
                Runner forward = new Runner(new CayleyCases.Cayley(c.map, blocks, BLOCK));
                runners.add(forward);
                Runner back = new Runner(new CayleyCases.CayleyGrad(c.map, blocks, BLOCK));
                runners.add(back);
                turns.add(() -> {
                    forward.run();
                    back.run();
                });
            }
            double[] ms = alternate(quick ? 0.5 : 6, turns);
            List<Map> out = new ArrayList<>();
            for (int i = 0; i < all.size(); i++)
                out.add(new Map(all.get(i).name, all.get(i).family, ms[i], defect(all.get(i).map, SMALL_NORM),
                        defect(all.get(i).map, LARGE_NORM)));
            return out;
        } finally {
            runners.forEach(Runner::close);
        }
    }

    /// Largest entry of `|R^T R - I|` for random skew blocks with `||Q||_F = norm`.
    private double defect(Orthogonal map, double norm) {
        int blocks = 8;
        int m = map.stored(BLOCK);
        Random random = new Random(1);
        float[] v = new float[blocks * m];
        for (int i = 0; i < v.length; i++)
            v[i] = (float) random.nextGaussian();
        for (int k = 0; k < blocks; k++) {
            double sum = 0;
            for (int i = 0; i < m; i++)
                sum += 2 * (double) v[k * m + i] * v[k * m + i];
            for (int i = 0; i < m; i++)
                v[k * m + i] *= (float) (norm / Math.sqrt(sum));
        }
        Buf in = Buf.input("v", DType.F32, blocks, m);
        Buf r = Buf.output("r", blocks, BLOCK, BLOCK);
        Program p = Program.builder("defect").add(new CayleyOps.Cayley(map, in, r, blocks, BLOCK)).build();
        try (Session session = backend.open(List.of(p))) {
            session.write(in, v);
            session.run(p);
            return defect(session.read(r), blocks);
        }
    }

    private static double defect(float[] r, int blocks) {
        double worst = 0;
        for (int k = 0; k < blocks; k++)
            for (int i = 0; i < BLOCK; i++)
                for (int j = 0; j < BLOCK; j++) {
                    double dot = i == j ? -1 : 0;
                    for (int c = 0; c < BLOCK; c++)
                        dot += (double) r[(k * BLOCK + c) * BLOCK + i] * r[(k * BLOCK + c) * BLOCK + j];
                    worst = Math.max(worst, Math.abs(dot));
                }
        return worst;
    }

    /// An operation made ready, after it agreed with the reference.
    private final class Runner implements AutoCloseable {
        private final Session session;
        private final Program program;

        Runner(OpCase c) {
            if (c.setup(OpCase.Layout.PLAIN).program(c.name()).flops() < CHECKED)
                OpCheck.deviation(backend, c, OpCase.Layout.PLAIN);
            OpCase.Setup s = c.setup(OpCase.Layout.PLAIN);
            program = s.program(c.name());
            session = backend.open(List.of(program));
            s.weights().forEach(session::bind);
            s.intInputs().forEach(session::write);
            s.operands().forEach(o -> session.write(o.host(), o.initial()));
        }

        void run() {
            session.run(program);
        }

        @Override
        public void close() {
            session.close();
        }
    }

    /// Operations above this take the reference too long; smaller ones of the same kind are checked before them.
    private static final long CHECKED = 600_000_000L;
}
