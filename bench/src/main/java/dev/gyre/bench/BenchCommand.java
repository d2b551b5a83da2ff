package dev.gyre.bench;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.llama.Llama;
import dev.gyre.trainer.cli.GyreCommand;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import tools.jackson.databind.json.JsonMapper;

/// `gyre bench`: measurements anyone can repeat.
@Command(name = "bench", description = "Measure training steps.", subcommands = BenchCommand.Step.class)
public final class BenchCommand extends GyreCommand {
    @Override
    protected int run() {
        throw new IllegalArgumentException("say what to measure: gyre bench step (see gyre bench --help)");
    }

    /// `gyre bench step`: one whole training step of a model with random weights.
    @Command(name = "step", description = "Time a whole training step (forward, loss, backward, clip, AdamW) of a model"
            + " with random weights.")
    public static final class Step extends GyreCommand {
        @Option(names = "--size", defaultValue = "S", description = "Model shape: ${COMPLETION-CANDIDATES}."
                + " S 256x4, M 768x12, L 2048x4, B7X4 and B7 4096 x 4 and 32 layers. Default: ${DEFAULT-VALUE}.")
        StepBench.Size size = StepBench.Size.S;

        @Option(names = "--method", defaultValue = "OFT", description = "What is trained: ${COMPLETION-CANDIDATES}."
                + " Default: ${DEFAULT-VALUE}.")
        StepBench.Method method = StepBench.Method.OFT;

        @Option(names = "--block-size", defaultValue = "32", description = "OFT and BOFT. Default: ${DEFAULT-VALUE}.")
        int blockSize;

        @Option(names = "--rank", defaultValue = "16", description = "LoRA, PSOFT, HRA. Default: ${DEFAULT-VALUE}.")
        int rank;

        @Option(names = "--base", defaultValue = "F32", description = "How frozen weights are held: F32, BF16, NF4,"
                + " NF4_DOUBLE. Default: ${DEFAULT-VALUE}.")
        Llama.Base base = Llama.Base.F32;

        @Option(names = "--threads", description = "Default: all processors.")
        int threads = Runtime.getRuntime().availableProcessors();

        @Option(names = "--batch", description = "Rows of a step; default: the size's.")
        int batch;

        @Option(names = "--seq", description = "Tokens of a row; default: the size's.")
        int seq;

        @Option(names = "--warmup", defaultValue = "3", description = "Steps before timing. Default: ${DEFAULT-VALUE}.")
        int warmup;

        @Option(names = "--steps", defaultValue = "10", description = "Timed steps. Default: ${DEFAULT-VALUE}.")
        int steps;

        @Option(names = "--json", description = "One JSON object instead of the table.")
        boolean json;

        @Override
        protected int run() {
            if (steps < 1 || warmup < 0 || threads < 1)
                throw new IllegalArgumentException("--steps and --threads must be at least 1, --warmup at least 0");
            StepBench.Result r = StepBench.run(new StepBench.Settings(size, method, blockSize, rank, base, batch, seq,
                    warmup, steps), new CpuBackend(threads));
            Map<String, Object> out = new LinkedHashMap<>();
            out.put("size", size.name());
            out.put("method", method.name());
            out.put("base", base.name());
            out.put("device", r.device());
            out.put("step_ms", round(r.stepMs()));
            out.put("fastest_ms", round(r.fastestMs()));
            out.put("tokens_per_second", round(r.tokensPerSecond()));
            out.put("gflops", round(r.gflops()));
            out.put("trainable", r.trainable());
            out.put("planned_mib", r.plannedBytes() >> 20);
            out.put("peak_rss_mib", r.peakRss() >> 20);
            out.put("first_loss", r.firstLoss());
            out.put("last_loss", r.lastLoss());
            if (json)
                screen().result(JsonMapper.builder().build().writeValueAsString(out));
            else
                out.forEach((k, v) -> screen().result(String.format("%-18s %s", k.replace('_', ' '), v)));
            return 0;
        }

        private static double round(double x) {
            return Math.round(x * 10) / 10.0;
        }
    }
}
