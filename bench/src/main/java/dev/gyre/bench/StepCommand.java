package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.cli.GyreCommand;
import dev.gyre.trainer.cli.UsageException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.json.JsonMapper;

/// `gyre bench step`: one whole training step of a model with random weights.
@Command(name = "step", description = {
    "Time a whole training step (forward, loss, backward, clip, AdamW) of a model with random weights.",
    "Samples during which other processes took over 5 %% of the machine are left out of the median when at least three"
            + " clean ones remain."})
final class StepCommand extends GyreCommand {
    private static final double MIB = 1 << 20;
    /// Kinds of operations that a profile lists one by one.
    static final int LISTED = 12;

    @Option(names = "--size", defaultValue = "S", paramLabel = "SIZE", description = "Model: XS (for a try), S (hidden"
            + " 256, 4 layers), M (768, 12), L (2048, 4), 7B4 (4096, 4), 7B (4096, 32); bert (BERT-base with two classes), vit"
            + " (ViT-B/16 with ten). Default: ${DEFAULT-VALUE}.")
    String size = "S";

    @Option(names = "--layers", paramLabel = "N", description = "Layers of the model. Default: the size's.")
    @Nullable
    Integer layers;

    @Option(names = "--method", defaultValue = "oft", paramLabel = "NAME",
            description = "What is trained: floor (nothing"
                    + " in the layers), full, oft32 (OFTv2), oftx32 (exact Cayley), v1dense32 and v1block32 (OFT v1), boft32,"
                    + " psoft64, psoftn64 (Neumann), goft, qgoft, hra8, lora16; qoft32 and qlora16 hold the base as NF4. The"
                    + " number is block size or rank. Default: ${DEFAULT-VALUE}.")
    String method = "oft";

    @Option(names = "--block-size", paramLabel = "b", description = "Block size of the method.")
    @Nullable
    Integer blockSize;

    @Option(names = "--rank", paramLabel = "r", description = "Rank of the method.")
    @Nullable
    Integer rank;

    @Option(names = "--base", paramLabel = "TYPE",
            description = "How frozen weights are held: f32, bf16, nf4, nf4-double."
                    + " Default: f32, nf4 for qoft and qlora.")
    @Nullable
    String base;

    @Option(names = "--batch", paramLabel = "N", description = "Rows of a step. Default: the size's.")
    @Nullable
    Integer batch;

    @Option(names = "--seq", paramLabel = "N", description = "Tokens of a row. Default: the size's.")
    @Nullable
    Integer seq;

    @Option(names = "--trained", defaultValue = "100", paramLabel = "PERCENT",
            description = "Share of each row's tokens, at its end, that have a label, as completions after their prompts."
                    + " Default: ${DEFAULT-VALUE}.")
    int trained = 100;

    @Mixin
    BackendArgs where = new BackendArgs();

    @Option(names = "--seconds", defaultValue = "10", paramLabel = "S",
            description = "Measuring time. Default: ${DEFAULT-VALUE}.")
    double seconds = 10;

    @Option(names = "--warm-up", defaultValue = "3", paramLabel = "S",
            description = "Least seconds before it; three steps at least. Default: ${DEFAULT-VALUE}.")
    double warmUp = 3;

    @Option(names = "--steps", defaultValue = "0", paramLabel = "N",
            description = "Measure this many steps, each a sample, instead of --seconds.")
    int steps;

    @Option(names = "--patience", defaultValue = "60", paramLabel = "S",
            description = "Seconds to wait, in all, for moments without other load. Default: ${DEFAULT-VALUE}.")
    double patience = 60;

    @Option(names = "--profile", description = "Also say which operations take the time (CPU).")
    boolean profile;

    @Option(names = "--json", description = "One JSON object instead of the table.")
    boolean json;

    @Override
    protected int run() {
        if (trained < 1 || trained > 100)
            throw new InputException("--trained " + trained + " is not a percentage from 1 to 100");
        Method m = Method.of(method, blockSize, rank);
        TaskStepper.Kind task = TaskStepper.Kind.of(size).orElse(null);
        Size z = Size.of(size).orElse(null);
        Sampler sampler = new Sampler(seconds, GROUP, patience, steps);
        StepBench.Settings settings;
        if (task != null) {
            int T = orElse(seq, task.seq, "--seq");
            if (layers != null || trained != 100)
                throw new UsageException("--layers and --trained are not for --size " + size);
            if (task == TaskStepper.Kind.VIT && T != task.seq)
                throw new UsageException("--seq " + T + ": an image has " + task.seq + " tokens");
            if (base(m) != Storage.F32 || m.isFloor())
                throw new UsageException("--size " + size + ": measured over f32, with a method in the layers");
            settings = new StepBench.Settings((s, backend) -> TaskStepper.open(task, s, backend), m, base(m),
                    orElse(batch, task.batch, "--batch"), T, 100, warmUp, sampler, profile);
        } else {
            if (z == null)
                throw new UsageException("--size " + size + ": unknown; use one of " + Size.NAMES + ", bert, vit");
            int T = orElse(seq, z.shape().T(), "--seq");
            settings = new StepBench.Settings(StepBench.config(z, orElse(layers, z.layers(), "--layers"), T), m,
                    base(m), orElse(batch, z.shape().B(), "--batch"), T, trained, warmUp, sampler, profile);
        }
        String model = task != null ? task.name().toLowerCase(Locale.ROOT) : String.valueOf(z);
        Backend backend = where.backend();
        Integer cpus = backend instanceof CpuBackend c ? c.threads() : null;
        double before = cpus == null ? Double.NaN : Ceilings.fma(cpus);
        StepBench.Result r = StepBench.run(settings, backend);
        double peak = cpus == null ? Double.NaN : Math.max(before, Ceilings.fma(cpus));
        if (json)
            screen().result(JsonMapper.builder().build().writeValueAsString(json(model, settings, backend, r, peak)));
        else
            table(model, settings, backend, r, peak);
        return 0;
    }

    /// Least seconds of a sample, as many as the system's clock of CPU time needs.
    private static final double GROUP = 0.4;

    private Storage base(Method m) {
        if (base == null)
            return m.base();
        return switch (base.toLowerCase(Locale.ROOT).replace('_', '-')) {
            case "f32" -> Storage.F32;
            case "bf16" -> Storage.BF16;
            case "nf4" -> Storage.NF4;
            case "nf4-double" -> Storage.NF4_DOUBLE;
            default -> throw new InputException(
                    "--base " + base + ": unknown; use f32, bf16, nf4 or nf4-double");
        };
    }

    private static int orElse(@Nullable Integer n, int usual, String option) {
        if (n != null && n < 1)
            throw new InputException(option + " " + n + " is below 1");
        return n == null ? usual : n;
    }

    private Map<String, Object> json(String z, StepBench.Settings s, Backend backend, StepBench.Result r,
            double peak) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("size", z);
        if (layers != null)
            out.put("layers", layers);
        out.put("method", s.method().label());
        out.put("base", baseName(s.base()));
        out.put("batch", s.batch());
        out.put("seq", s.seq());
        out.put("tokens", s.tokens());
        out.put("trained", s.trained());
        out.put("device", backend.name());
        out.put("precision", backend.precision().name().toLowerCase(Locale.ROOT));
        out.put("threads", backend instanceof CpuBackend b ? b.threads() : null);
        out.put("backend", backend.describe());
        out.put("step_ms", Stats.rounded(r.samples().median(), 5));
        out.put("best_ms", Stats.rounded(r.samples().fastest(), 5));
        out.put("fwd_bwd_ms", Stats.rounded(r.samples().median() - r.updateMs(), 5));
        out.put("opt_ms", Stats.rounded(r.updateMs(), 5));
        out.put("tokens_per_s", Stats.rounded(s.tokens() / r.samples().median() * 1e3, 5));
        out.put("gflop", Stats.rounded(r.flop() / 1e9, 6));
        out.put("gflops", Stats.rounded(r.gflops(), 5));
        out.put("peak_gflops", Double.isNaN(peak) ? null : Stats.rounded(peak, 5));
        out.put("share_of_peak", Double.isNaN(peak) ? null : Stats.rounded(r.gflops() / peak, 4));
        out.put("trainable", r.trainable());
        out.put("planned_mb", mib(r.planned()));
        out.put("heap_peak_mb", mib(r.peakHeap()));
        out.put("base_mb", mib(r.resident()));
        out.put("peak_mb", mib(r.peakResident()));
        out.put("clean", r.samples().clean());
        out.put("samples", r.samples().all().stream()
                .map(x -> new double[] {Stats.rounded(x.ms() / 1e3, 6), Stats.rounded(x.others(), 3), x.runs()})
                .toList());
        out.put("loss", new double[] {r.firstLoss(), r.lastLoss()});
        Session.Compiled c = r.compiled();
        if (c != null) {
            out.put("arrays", c.arrays());
            out.put("graphs", c.graphs());
            out.put("kernels", c.kernels());
            out.put("compile_s", Stats.rounded(c.seconds(), 4));
        }
        Session.Launched l = r.launched();
        if (l != null) {
            int runs = runs(r);
            out.put("graph_launches", (double) l.graphs() / runs);
            out.put("kernel_launches", (double) l.kernels() / runs);
            out.put("host_ms", Stats.rounded(1e3 * l.hostSeconds() / runs, 4));
            out.put("host_us_per_launch", Stats.rounded(1e6 * l.hostSeconds() / l.kernels(), 4));
        }
        if (s.profile())
            out.put("profile", r.timings().stream().map(t -> {
                Map<String, Object> row = new LinkedHashMap<>();
                row.put("op", t.kind());
                row.put("calls_per_step", (double) t.calls() / r.timedSteps());
                row.put("share", Stats.rounded(share(t, r.timings()), 4));
                row.put("gflops", t.flops() == 0 ? null : Stats.rounded((double) t.flops() / t.nanos(), 4));
                return row;
            }).toList());
        return out;
    }

    private void table(String z, StepBench.Settings s, Backend backend, StepBench.Result r, double peak) {
        double ms = r.samples().median();
        row("model", "%s, %s over %s, %d x %d tokens", z, s.method().label(), baseName(s.base()),
                s.batch(),
                s.seq());
        row("device", "%s", backend.describe());
        row("step", "%.1f ms (median of %d samples, %d clean; fastest %.1f)", ms, r.samples().all().size(),
                r.samples().clean(), r.samples().fastest());
        row("of it update", "%.1f ms (clip and AdamW)", r.updateMs());
        row("tokens", "%,.0f a second", s.tokens() / ms * 1e3);
        row("arithmetic", "%.1f GFLOP/s%s", r.gflops(), Double.isNaN(peak) ? ""
                : String.format(Locale.ROOT, ", %.0f %% of the %.1f that multiply-adds in registers reach here",
                        100 * r.gflops() / peak, peak));
        row("trainable", "%,d numbers", r.trainable());
        Session.Compiled c = r.compiled();
        if (c != null)
            row("compiled", "%d kernels, %d graphs, %d arrays in %.1f s", c.kernels(), c.graphs(), c.arrays(),
                    c.seconds());
        Session.Launched l = r.launched();
        if (l != null)
            row("launches", "%d graphs with %d kernels a step; the host's thread works %.1f ms, %.1f us a kernel",
                    l.graphs() / runs(r), l.kernels() / runs(r), 1e3 * l.hostSeconds() / runs(r),
                    1e6 * l.hostSeconds() / l.kernels());
        row("memory", "%.0f MiB planned; during the steps at most %s MiB resident, %.0f MiB of Java heap",
                r.planned() / MIB,
                r.peakResident() == 0 ? "?" : String.format(Locale.ROOT, "%.0f", r.peakResident() / MIB),
                r.peakHeap() / MIB);
        row("loss", "%.4f, after %d steps %.4f", r.firstLoss(), r.steps(), r.lastLoss());
        if (s.profile())
            profile(r);
    }

    private static int runs(StepBench.Result r) {
        return r.samples().all().stream().mapToInt(Sampler.Sample::runs).sum();
    }

    private void profile(StepBench.Result r) {
        if (r.timings().isEmpty()) {
            row("operations", "%s", "not timed one by one on this device");
            return;
        }
        screen().result("");
        screen().result("operation                      calls/step   share   GFLOP/s");
        int timed = r.timedSteps();
        List<OpTime> all = r.timings();
        for (OpTime t : all.subList(0, Math.min(LISTED, all.size())))
            screen().result(
                    String.format(Locale.ROOT, "%-30s %10.1f %6.1f %% %9s", t.kind(), (double) t.calls() / timed,
                            100 * share(t, all),
                            t.flops() == 0 ? "" : String.format(Locale.ROOT, "%.1f", (double) t.flops() / t.nanos())));
        if (all.size() > LISTED)
            screen().result(String.format(Locale.ROOT, "%-30s %10s %6.1f %%", all.size() - LISTED + " others", "",
                    100 * all.stream().skip(LISTED).mapToDouble(t -> share(t, all)).sum()));
    }

    private static double share(OpTime t, List<OpTime> all) {
        return (double) t.nanos() / all.stream().mapToLong(OpTime::nanos).sum();
    }

    private void row(String what, String format, Object... args) {
        screen().result(String.format(Locale.ROOT, "%-13s ", what) + String.format(Locale.ROOT, format, args));
    }

    private static @Nullable Long mib(long bytes) {
        return bytes < 0 ? null : Math.round(bytes / MIB);
    }

    private static String baseName(Storage b) {
        return b.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
