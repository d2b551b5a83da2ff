package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Buf;
import dev.gyre.kernels.Orthogonal;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.adapter.BoftSpec;
import dev.gyre.model.adapter.Factors;
import dev.gyre.model.adapter.GivensSpec;
import dev.gyre.model.adapter.HraSpec;
import dev.gyre.model.adapter.LoraSpec;
import dev.gyre.model.adapter.OftSpec;
import dev.gyre.model.adapter.PrincipalSubspace;
import dev.gyre.model.adapter.PsoftSpec;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.config.LlamaConfig;
import dev.gyre.model.llama.AdamWStep;
import dev.gyre.model.llama.Batch;
import dev.gyre.model.llama.Llama;
import dev.gyre.model.llama.TrainSession;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/// A whole training step (forward, loss, backward, clip, AdamW) of a model with random weights, timed.
public final class StepBench {
    /// Shapes of the models: hidden, layers, ffn, heads, key/value heads, vocabulary, batch, sequence.
    public enum Size {
        XS(64, 2, 160, 4, 2, 128, 2, 32), S(256, 4, 688, 4, 2, 4096, 8, 128), M(768, 12, 2048, 12, 4, 32000, 4, 256),
        L(2048, 4, 5632, 32, 8, 32000, 2, 256), B7X4(4096, 4, 11008, 32, 32, 32000, 8, 512),
        B7(4096, 32, 11008, 32, 32, 32000, 4, 2048);

        final int hidden;
        final int layers;
        final int ffn;
        final int heads;
        final int kvHeads;
        final int vocab;
        final int batch;
        final int seq;

        Size(int hidden, int layers, int ffn, int heads, int kvHeads, int vocab, int batch, int seq) {
            this.hidden = hidden;
            this.layers = layers;
            this.ffn = ffn;
            this.heads = heads;
            this.kvHeads = kvHeads;
            this.vocab = vocab;
            this.batch = batch;
            this.seq = seq;
        }
    }

    /// What is trained.
    public enum Method {
        /// The frozen linear layers with one rotation block of size 1 each: nothing is trained but the cost stays.
        OFT, OFT_V1_DENSE, OFT_V1_BLOCK, LORA, PSOFT, GOFT, QGOFT, BOFT, HRA, FULL
    }

    /// @param batch rows of a step, 0 for the size's own
    /// @param seq tokens of a row, 0 for the size's own
    public record Settings(Size size, Method method, int blockSize, int rank, Llama.Base base, int batch, int seq,
            int warmup, int steps) {
    }

    /// Medians over the timed steps; bytes.
    public record Result(String device, double stepMs, double fastestMs, double tokensPerSecond, long trainable,
            long plannedBytes, Map<Buf.Role, Long> byRole, long peakRss, double gflops, double firstLoss,
            double lastLoss) {
    }

    private StepBench() {
    }

    public static Result run(Settings s, Backend backend) {
        Size z = s.size;
        int B = s.batch > 0 ? s.batch : z.batch;
        int T = s.seq > 0 ? s.seq : z.seq;
        LlamaConfig config = LlamaConfig.llama(z.vocab, z.hidden, z.ffn, z.layers, z.heads, z.kvHeads, T, false, null,
                List.of(), null);
        Llama model = Llama.random(config, 1);
        boolean full = s.method == Method.FULL;
        if (!full) {
            AdapterSpec spec = spec(s);
            Factors factors = new PrincipalSubspace(model, backend, (module, captured, residual, gap) -> {
            });
            model.attach(Adapter.create(spec, model, 1, factors));
        }
        model.store(s.base);
        Batch batch = batch(B, T, z.vocab);
        double[] ms = new double[s.steps];
        double first = Double.NaN;
        double last = Double.NaN;
        float scale = 1f / batch.trained();
        try (TrainSession session = new TrainSession(model, backend, List.of(batch.shape()), full,
                Set.of(TrainSession.Use.TRAIN))) {
            for (int i = -s.warmup; i < s.steps; i++) {
                long t0 = System.nanoTime();
                last = session.microBatch(batch, scale) * scale;
                session.update(new AdamWStep(i + s.warmup + 1, 1e-3f, 0.9f, 0.999f, 1e-8f, 0f, 1f));
                if (Double.isNaN(first))
                    first = last;
                if (i >= 0)
                    ms[i] = (System.nanoTime() - t0) / 1e6;
            }
            Arrays.sort(ms);
            double median = ms[ms.length / 2];
            return new Result(backend.describe(), median, ms[0], B * T / median * 1e3, session.trainableNumbers(),
                    session.plannedBytes(), session.bytesByRole(), peakRss(), session.flops() / median / 1e6, first,
                    last);
        }
    }

    private static AdapterSpec spec(Settings s) {
        Targets all = Targets.allLinear();
        OftSpec oft = OftSpec.of(all, s.blockSize);
        return switch (s.method) {
            case OFT -> oft;
            case OFT_V1_DENSE -> v1(oft, OftSpec.Form.WEIGHT_DENSE);
            case OFT_V1_BLOCK -> v1(oft, OftSpec.Form.WEIGHT_BLOCK);
            case LORA -> LoraSpec.of(all, s.rank);
            case PSOFT -> PsoftSpec.of(all, s.rank);
            case GOFT -> new GivensSpec(all, true, true, 0);
            case QGOFT -> new GivensSpec(all, false, false, 0.01);
            case BOFT -> new BoftSpec(all, s.blockSize, 0, 1, 0, true);
            case HRA -> new HraSpec(all, s.rank, false, true);
            case FULL -> throw new IllegalArgumentException("full fine-tuning has no adapter");
        };
    }

    private static OftSpec v1(OftSpec s, OftSpec.Form form) {
        return new OftSpec(s.targets(), s.blocks(), s.blockSize(), Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0),
                false,
                false, s.eps(), 0, true, form);
    }

    private static Batch batch(int B, int T, int V) {
        Random random = new Random(7);
        int[] ids = new int[B * T];
        int[] labels = new int[B * T];
        for (int i = 0; i < ids.length; i++)
            ids[i] = random.nextInt(V);
        for (int i = 0; i < ids.length; i++)
            labels[i] = i % T == T - 1 ? -100 : ids[i + 1];
        return Batch.rows(B, T, ids, labels);
    }

    /// Largest resident set of this process so far (Linux), -1 where it is not told.
    private static long peakRss() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status")))
                if (line.startsWith("VmHWM:"))
                    return 1024 * Long.parseLong(line.replaceAll("[^0-9]", ""));
        } catch (IOException e) {
            return -1;
        }
        return -1;
    }
}
