package dev.gyre.bench;

import dev.gyre.bench.Panel.Bar;
import dev.gyre.bench.Panel.Series;
import dev.gyre.bench.Picture.Anchor;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.cli.GyreCommand;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import tools.jackson.databind.json.JsonMapper;

/// `gyre bench headline`: what the papers claim, as ratios on this machine, and a picture of it.
@Command(name = "headline", description = {
    "Measure what the papers claim on this machine: OFTv2 against OFT v1, PSOFT's"
            + " activation memory, Givens rotations against dense matrices, QOFT against QLoRA, Neumann terms against the exact"
            + " Cayley transform.",
    "Writes headline.png, headline.svg and headline.json. Takes some minutes on the CPU."})
final class HeadlineCommand extends GyreCommand {
    private static final String BLUE = "#0072b2";
    private static final String RED = "#d55e00";
    private static final String GREEN = "#009e73";
    private static final String SAND = "#c08a00";
    private static final double MIB = 1 << 20;
    private static final int WIDTH = 1560;
    private static final int HEIGHT = 1010;

    @Option(names = "--out", defaultValue = "headline", paramLabel = "DIR",
            description = "Where the files go; files of an earlier run are replaced. Default: ${DEFAULT-VALUE}.")
    Path out = Path.of("headline");

    @Option(names = "--threads", paramLabel = "N", description = "Threads of the CPU. Default: all processors.")
    @Nullable
    Integer threads;

    @Option(names = "--quick",
            description = "Small sizes and few repetitions: a look in some seconds, not a measurement.")
    boolean quick;

    @Option(names = "--json", description = "Print the measurements as JSON instead of the summary.")
    boolean json;

    /// Share of the machine.
    private static final double DISTURBED = 0.2;

    /// All measurements; the field names are those of the JSON file.
    record Findings(String machine, boolean quick, double others, double seconds, List<Headline.Width> widths,
            List<Headline.Memory> memory, List<Headline.Sweep> sweeps, List<Headline.Step> steps,
            List<Headline.Map> maps) {
    }

    @Override
    protected int run() throws IOException {
        CpuBackend backend = (CpuBackend) BackendArgs.backend(null, threads, Precision.F32);
        AtomicFiles.createFolder(out);
        AtomicFiles.checkResult(out.resolve("headline.json"), "\"quick\":", "a result of gyre bench headline");
        AtomicFiles.checkResult(out.resolve("headline.svg"), "<svg", "a picture of gyre bench headline");
        AtomicFiles.checkResult(out.resolve("headline.png"), "PNG\r\n", "a picture of gyre bench headline");
        Headline h = new Headline(backend, quick, json ? _ -> {
        } : screen()::line);
        Sampler.Watch watch = new Sampler.Watch();
        Findings f;
        try {
            f = new Findings(backend.describe(), quick, 0, 0, h.widths(), h.memory(), h.sweeps(), h.steps(), h.maps());
        } catch (AssertionError e) {
            throw new CheckFailedException(String.valueOf(e.getMessage()));
        }
        f = new Findings(f.machine, quick, watch.others(), watch.seconds(), f.widths, f.memory, f.sweeps, f.steps,
                f.maps);
        String text = JsonMapper.builder().build().writeValueAsString(f);
        AtomicFiles.write(out.resolve("headline.json"), text);
        List<String> claims = claims(f);
        System.setProperty("java.awt.headless", "true");
        Picture p = draw(f);
        AtomicFiles.write(out.resolve("headline.svg"), p.svg());
        AtomicFiles.write(out.resolve("headline.png"), p.png());
        if (json)
            screen().result(text);
        else {
            screen().result("");
            claims.forEach(screen()::result);
            if (f.others > DISTURBED)
                screen().note("note: disturbed, the times say little: repeat it on a quiet machine");
            screen().result("");
            screen().result(String.format(Locale.ROOT, "%s (%.0f s; other processes took %.0f %% of the machine)",
                    out.resolve("headline.png"), f.seconds, 100 * f.others));
        }
        return 0;
    }

    /// Where others took so much of the machine that the times say little.
    private static String disturbance(Findings f) {
        return f.others <= DISTURBED ? ""
                : say(" \u00b7 DISTURBED: other processes took %.0f %% of the machine", 100 * f.others);
    }

    private static <T> T last(List<T> all) {
        return all.get(all.size() - 1);
    }

    /// Exponent k of `cost ~ d^k` between the last two widths.
    private static double growth(List<Headline.Width> all, ToDoubleFunction<Headline.Width> cost) {
        Headline.Width a = all.get(all.size() - 2);
        Headline.Width b = last(all);
        return Math.log(cost.applyAsDouble(b) / cost.applyAsDouble(a)) / Math.log((double) b.d() / a.d());
    }

    private static Headline.Memory memory(Findings f, String start) {
        return f.memory.stream().filter(m -> m.name().startsWith(start)).findFirst().orElseThrow();
    }

    private static Headline.Step step(Findings f, String name) {
        return f.steps.stream().filter(s -> s.name().equals(name)).findFirst().orElseThrow();
    }

    private static Headline.Map map(Findings f, String start) {
        return f.maps.stream().filter(m -> m.name().startsWith(start)).findFirst().orElseThrow();
    }

    private static String say(String format, Object... args) {
        return String.format(Locale.ROOT, format, args);
    }

    /// One line for each claim.
    static List<String> claims(Findings f) {
        Headline.Width w = last(f.widths);
        Headline.Memory psoft = memory(f, "PSOFT");
        Headline.Memory boft = memory(f, "BOFT");
        Headline.Sweep s = last(f.sweeps);
        Headline.Map five = map(f, "Neumann, 5");
        Headline.Map exact = map(f, "exact");
        return List.of(
                say("OFTv2     a layer of width %,d: OFT v1 takes %.1f x the time, which grows as d^%.1f and OFTv2's"
                        + " as d^%.1f", w.d(), w.v1Ms() / w.v2Ms(), growth(f.widths, Headline.Width::v1Ms),
                        growth(f.widths, Headline.Width::v2Ms)),
                say("OFTv2     its memory beside the frozen layer: %.1f MiB, OFT v1 %.1f MiB (%.0f x)",
                        w.v2Bytes() / MIB,
                        w.v1Bytes() / MIB, (double) w.v1Bytes() / w.v2Bytes()),
                say("PSOFT     activations of a step: %.0f MiB, %.0f %% less than BOFT's %.0f (the paper: up to 62 %%);"
                        + " OFTv2's, which Gyre computes again, %.0f", psoft.activations() / MIB,
                        100 * (1 - (double) psoft.activations() / boft.activations()), boft.activations() / MIB,
                        memory(f, "OFTv2").activations() / MIB),
                say("GOFT      width %,d: %,d rotations instead of %,d matrix entries; %.1f x as fast as the dense product,"
                        + " %.1f x the time of a copy", s.d(), s.d() - 1, (long) s.d() * s.d(),
                        s.denseMs() / s.givensMs(),
                        s.givensMs() / s.copyMs()),
                say("QOFT      a step takes %.2f x QLoRA's time and %.2f x OFTv2's; memory %.2f x OFTv2's",
                        step(f, "QOFT").ms() / step(f, "QLoRA").ms(), step(f, "QOFT").ms() / step(f, "OFTv2").ms(),
                        (double) step(f, "QOFT").bytes() / step(f, "OFTv2").bytes()),
                say("Cayley    five Neumann terms take %.2f x the exact transform's time; |R'R - I| %.0e at ||Q|| = %.1f and"
                        + " %.0e at %.0f, exact %.0e", five.ms() / exact.ms(), five.defectSmall(), Headline.SMALL_NORM,
                        five.defectLarge(), Headline.LARGE_NORM, exact.defectLarge()));
    }

    static Picture draw(Findings f) {
        Picture p = new Picture(WIDTH, HEIGHT);
        p.text(40, 48, Anchor.START, 25, true, Panel.INK,
                "Orthogonal fine-tuning: what the papers claim, measured here");
        p.text(40, 73, Anchor.START, 13, false, Panel.GREY,
                f.machine + (f.quick ? " \u00b7 quick look, not a measurement" : "") + disturbance(f));
        double top = 106;
        double w = 460;
        double h = 400;
        double[] at = {40, 550, 1060};
        time(f, new Panel(p, at[0], top, w, h, "OFTv2 turns inputs, OFT v1 turned weights", widthsReading(f)));
        memoryOverWidth(f, new Panel(p, at[1], top, w, h, "\u2026 and needs no matrix of the weight's size",
                "memory of one layer beside the frozen layer's"));
        activations(f, new Panel(p, at[2], top, w, h, "PSOFT keeps r numbers a token and layer", say(
                "activations of a step, MiB: %.0f %% less than BOFT",
                100 * (1 - (double) memory(f, "PSOFT").activations() / memory(f, "BOFT").activations()))));
        top += h + 42;
        givens(f, new Panel(p, at[0], top, w, h, "Givens rotations: O(d) numbers, O(d log d) time", say(
                "%,d numbers instead of %,d at width %,d", last(f.sweeps).d() - 1,
                (long) last(f.sweeps).d() * last(f.sweeps).d(), last(f.sweeps).d())));
        four(f, p, at[1], top, w, h);
        cayley(f, new Panel(p, at[2], top, w, h, "Neumann terms or the exact Cayley transform",
                say("4 to 8 terms, 3 to 6 iterations; blocks of %d", Headline.BLOCK)));
        p.text(40, HEIGHT - 22, Anchor.START, 11.5, false, Panel.GREY, say("Forward and backward of %d rows unless said"
                + " otherwise; medians of alternating runs; operations of up to 0.6 GFLOP were checked against double"
                + " precision. Other"
                + " processes took %.0f %% of the machine. gyre bench headline", Headline.ROWS, 100 * f.others));
        return p;
    }

    private static String widthsReading(Findings f) {
        Headline.Width w = last(f.widths);
        return say("width %,d: OFT v1 takes %.1f x as long as OFTv2", w.d(), w.v1Ms() / w.v2Ms());
    }

    private static double[] each(List<Headline.Width> all, ToDoubleFunction<Headline.Width> value) {
        return all.stream().mapToDouble(value).toArray();
    }

    private static void time(Findings f, Panel panel) {
        double[] d = each(f.widths, Headline.Width::d);
        panel.lines("width of the layer", "ms", List.of(
                new Series("OFT v1", RED, false, d, each(f.widths, Headline.Width::v1Ms)),
                new Series("OFTv2", BLUE, false, d, each(f.widths, Headline.Width::v2Ms)),
                new Series("frozen layer", Panel.GREY, true, d, each(f.widths, Headline.Width::frozenMs))),
                Panel::plain,
                Panel::plain, d, 92, Double.POSITIVE_INFINITY);
    }

    private static void memoryOverWidth(Findings f, Panel panel) {
        double[] d = each(f.widths, Headline.Width::d);
        Headline.Width w = last(f.widths);
        panel.lines("width of the layer", "MiB", List.of(
                new Series(say("OFT v1  %.0f MiB", w.v1Bytes() / MIB), RED, false, d,
                        each(f.widths, x -> x.v1Bytes() / MIB)),
                new Series(say("OFTv2  %.1f MiB", w.v2Bytes() / MIB), BLUE, false, d,
                        each(f.widths, x -> x.v2Bytes() / MIB))),
                Panel::plain, Panel::plain, d, 118, Double.POSITIVE_INFINITY);
    }

    private static void activations(Findings f, Panel panel) {
        List<Bar> bars = new ArrayList<>();
        for (Headline.Memory m : f.memory)
            bars.add(new Bar(m.name(), m.name().startsWith("PSOFT") ? GREEN
                    : m.name().startsWith("OFTv2") ? BLUE
                    : m.name().startsWith("BOFT") || m.name().startsWith("OFT v1") ? RED : "#9aa5b1",
                    m.activations() / MIB, say("%.0f", m.activations() / MIB)));
        panel.bars(bars, 112, 48);
    }

    private static void givens(Findings f, Panel panel) {
        double[] d = f.sweeps.stream().mapToDouble(Headline.Sweep::d).toArray();
        panel.lines("width", "ms, forward", List.of(
                new Series("dense d x d", RED, false, d,
                        f.sweeps.stream().mapToDouble(Headline.Sweep::denseMs).toArray()),
                new Series("Givens", GREEN, false, d,
                        f.sweeps.stream().mapToDouble(Headline.Sweep::givensMs).toArray()),
                new Series("plain copy", Panel.GREY, true, d,
                        f.sweeps.stream().mapToDouble(Headline.Sweep::copyMs).toArray())),
                Panel::plain, Panel::plain, d, 92, Double.POSITIVE_INFINITY);
    }

    private static void four(Findings f, Picture p, double x, double y, double w, double h) {
        Map<String, String> colors = new LinkedHashMap<>();
        colors.put("LoRA", SAND);
        colors.put("OFTv2", BLUE);
        colors.put("QLoRA", SAND);
        colors.put("QOFT", BLUE);
        List<Bar> time = new ArrayList<>();
        List<Bar> memory = new ArrayList<>();
        for (Headline.Step s : f.steps) {
            String color = colors.getOrDefault(s.name(), Panel.GREY);
            time.add(new Bar(s.name(), color, s.ms(), say(s.ms() < 10 ? "%.1f ms" : "%.0f ms", s.ms())));
            memory.add(new Bar(s.name(), color, s.bytes() / MIB, say("%.0f MiB", s.bytes() / MIB)));
        }
        new Panel(p, x, y, w, h / 2, "QOFT: a four-bit base under OFTv2", say(
                "a step's time: %.2f x QLoRA's", step(f, "QOFT").ms() / step(f, "QLoRA").ms())).bars(time, 56, 78);
        new Panel(p, x, y + h / 2, w, h / 2, "", say("memory planned for it: %.2f x OFTv2's",
                (double) step(f, "QOFT").bytes() / step(f, "OFTv2").bytes())).bars(memory, 56, 78);
    }

    private static void cayley(Findings f, Panel panel) {
        List<Series> all = new ArrayList<>();
        double exact = map(f, "exact").ms();
        all.add(series(f, Headline.Map.Family.NEUMANN, exact, say("Neumann, ||Q|| %.0f", Headline.LARGE_NORM), RED,
                Headline.Map::defectLarge));
        all.add(series(f, Headline.Map.Family.NEUMANN, exact, say("Neumann, ||Q|| %.1f", Headline.SMALL_NORM), SAND,
                Headline.Map::defectSmall));
        all.add(series(f, Headline.Map.Family.NEWTON_SCHULZ, exact, say("Newton-Schulz, %.0f", Headline.LARGE_NORM),
                BLUE,
                Headline.Map::defectLarge));
        all.add(series(f, Headline.Map.Family.EXACT, exact, say("exact, %.0f", Headline.LARGE_NORM), GREEN,
                Headline.Map::defectLarge));
        double least = all.stream().flatMapToDouble(s -> Arrays.stream(s.xs())).min().orElse(1);
        double most = all.stream().flatMapToDouble(s -> Arrays.stream(s.xs())).max().orElse(1);
        double[] ticks = Arrays.stream(new double[] {0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10})
                .filter(t -> t >= least && t <= most).toArray();
        panel.lines("time, forward and backward, as a multiple of the exact transform's", "largest |R'R - I|", all,
                v -> new BigDecimal(v).round(new MathContext(2)).stripTrailingZeros().toPlainString(),
                Panel::power, ticks, 132, 1e-8);
    }

    private static Series series(Findings f, Headline.Map.Family family, double exact, String label, String color,
            ToDoubleFunction<Headline.Map> defect) {
        List<Headline.Map> of = f.maps.stream().filter(m -> m.family() == family).toList();
        return new Series(label, color, false, of.stream().mapToDouble(m -> m.ms() / exact).toArray(),
                of.stream().mapToDouble(m -> Math.max(defect.applyAsDouble(m), 1e-8)).toArray());
    }
}
