package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpTimer;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.trainer.cli.GyreCommand;
import dev.gyre.trainer.cli.UsageException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.json.JsonMapper;

/// `gyre bench ops`: times operations, each after a check.
@Command(name = "ops", description = {
    "Time every operation at the sizes of a training step, then some at sizes that no vector width divides (207, 702).",
    "Each is compared with a double-precision reference first. 'ceiling' is the least time that the machine's measured"
            + " multiply-add and copy rates allow, relative to the time taken; operands in a cache may exceed 100 %%."})
final class OpsCommand extends GyreCommand {
    @Option(names = "--size", defaultValue = "M", paramLabel = "SIZE",
            description = "Model whose sizes are used: XS, S, M, L, 7B4 or 7B (the reference takes hours for the last two)."
                    + " Default: ${DEFAULT-VALUE}.")
    String size = "M";

    @Option(names = "--only", paramLabel = "REGEX",
            description = "Only operations whose name contains a match of this expression.")
    @Nullable
    String only;

    @Mixin
    BackendArgs where = new BackendArgs();

    @Option(names = "--seconds", defaultValue = "0.3", paramLabel = "S",
            description = "Measuring time per operation. Default: ${DEFAULT-VALUE}.")
    double seconds = 0.3;

    @Option(names = "--json", description = "Print a JSON array instead of the table.")
    boolean json;

    @Override
    protected int run() {
        if (!(seconds > 0))
            throw new UsageException("--seconds " + seconds + " is not positive");
        List<OpCase> cases = cases();
        Backend backend = where.backend();
        Ceilings c = backend instanceof CpuBackend b ? Ceilings.measure(b.threads()) : null;
        if (!json)
            heading(backend, c);
        List<Map<String, Object>> rows = new ArrayList<>();
        Sampler.Watch watch = new Sampler.Watch();
        for (OpCase one : cases) {
            screen().status(one.name() + " ...");
            OpTimer.Measured m;
            try {
                m = OpTimer.measure(backend, one, true, seconds);
            } catch (AssertionError e) {
                throw new CheckFailedException(String.valueOf(e.getMessage()));
            }
            if (json)
                rows.add(json(one, m, c));
            else
                screen().result(row(one, m, c));
        }
        screen().done();
        if (json)
            screen().result(JsonMapper.builder().build().writeValueAsString(rows));
        else
            screen().result(
                    String.format(Locale.ROOT, "%d operations, all within their tolerances; other processes took"
                            + " %.0f %% of the machine", cases.size(), 100 * watch.others()));
        return 0;
    }

    private List<OpCase> cases() {
        Size z = Size.of(size).orElseThrow(
                () -> new UsageException("--size " + size + ": unknown; use one of " + Size.NAMES));
        Set<OpCase> all = new LinkedHashSet<>(OpCases.sized(z.shape()));
        all.addAll(OpCases.timed());
        if (only == null)
            return List.copyOf(all);
        Pattern p;
        try {
            p = Pattern.compile(only);
        } catch (PatternSyntaxException e) {
            throw new UsageException("--only " + only + ": " + e.getDescription());
        }
        all.removeIf(x -> !p.matcher(x.name()).find());
        if (all.isEmpty())
            throw new UsageException("--only " + only + ": matches no operation");
        return List.copyOf(all);
    }

    private void heading(Backend backend, @Nullable Ceilings c) {
        screen().result(backend.describe());
        if (c != null)
            screen().result(
                    String.format(Locale.ROOT, "ceilings measured here: %.1f GFLOP/s in registers, %.1f GB/s copying",
                            c.gflops(), c.copyGbs()));
        screen().result("");
        screen().result(
                String.format("%-52s %9s %8s %9s %8s %7s", "operation", "ms", "GB/s", "GFLOP/s", "ceiling", "error"));
    }

    private static String row(OpCase one, OpTimer.Measured m, @Nullable Ceilings c) {
        return String.format(Locale.ROOT, "%-52s %9.3f %8.1f %9s %8s %7.2f", one.name(), m.ms(), m.gigabytesPerSecond(),
                m.flops() == 0 ? "" : String.format(Locale.ROOT, "%.1f", m.gigaflops()),
                c == null ? "" : String.format(Locale.ROOT, "%.0f %%", 100 * c.floorMs(m.flops(), m.bytes()) / m.ms()),
                error(m));
    }

    /// The largest error as a fraction of the tolerance.
    private static double error(OpTimer.Measured m) {
        return m.deviation() == null ? Double.NaN : m.deviation().share();
    }

    private static Map<String, Object> json(OpCase one, OpTimer.Measured m, @Nullable Ceilings c) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("op", one.name());
        out.put("ms", Stats.rounded(m.ms(), 5));
        out.put("gbs", Stats.rounded(m.gigabytesPerSecond(), 5));
        out.put("gflops", Stats.rounded(m.gigaflops(), 5));
        out.put("ceiling", c == null ? null : Stats.rounded(c.floorMs(m.flops(), m.bytes()) / m.ms(), 4));
        out.put("error_of_allowed", Stats.rounded(error(m), 3));
        return out;
    }
}
