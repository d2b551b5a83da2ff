package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.check.DeviceCheck;
import dev.gyre.kernels.check.Shape;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `gyre kernels`: every operation of every method on a device, compared with the double-precision reference and the CPU backend.
@Command(name = "kernels", description = "Run every operation of every method on a device: deviation from a"
        + " double-precision reference, time, and the CPU backend's time. Exit code 1 if one fails.")
final class KernelsCommand extends GyreCommand {
    @Option(names = "--device", defaultValue = "auto", paramLabel = "D",
            description = "cpu, cpu:THREADS, opencl:N, cuda:N, ptx:N, jvm or auto (default: ${DEFAULT-VALUE}).")
    String device = "auto";

    @Option(names = "--precision", defaultValue = "F32", paramLabel = "P",
            description = "How cuBLAS multiplies on cuda:N: f32, tf32 or bf16 (default: f32). The limits follow it.")
    Precision precision = Precision.F32;

    @Option(names = "--size", defaultValue = "S", paramLabel = "SIZE",
            description = "Model whose sizes are used: XS (for a first look), S, M, L, 7B4 or 7B, as in gyre bench"
                    + " (the reference takes hours for the last two; default: ${DEFAULT-VALUE}).")
    String size = "S";

    @Option(names = "--batch", paramLabel = "N",
            description = "Rows of a step; fewer take less time (default: the size's).")
    @Nullable
    Integer batch;

    @Option(names = "--check", description = "Also run cases at odd sizes: as views between guard words and as"
            + " activations in shared memory, twice each with the same bits.")
    boolean check;

    @Option(names = "--cases", defaultValue = "4", paramLabel = "N",
            description = "With --check: cases per operation, spread over all of them; 0: all (default: ${DEFAULT-VALUE}).")
    int cases;

    @Option(names = "--ops", defaultValue = "", paramLabel = "REGEX",
            description = "Only operations whose name contains a match, such as 'Cayley|Rotate'.")
    String ops = "";

    @Option(names = "--seconds", defaultValue = "0.2", paramLabel = "S",
            description = "Measuring time per operation (default: ${DEFAULT-VALUE}).")
    double seconds;

    @Option(names = "--json", description = "Print one JSON object instead of text.")
    boolean json;

    @Option(names = "--html", paramLabel = "FILE", description = "Also write the results as an HTML page.")
    @Nullable
    Path html;

    @Override
    protected int run() {
        if (cases < 0 || !(seconds >= 0))
            throw new UsageException("--cases and --seconds must not be negative");
        if (html != null)
            AtomicFiles.checkResult(html, KernelsReport.MARK, "a page of gyre kernels");
        shape();
        return run(Devices.open(device, precision).backend());
    }

    private Shape shape() {
        Shape shape = Size.of(size)
                .orElseThrow(() -> new UsageException("--size " + size + ": unknown; use one of " + Size.NAMES))
                .shape();
        if (batch == null)
            return shape;
        if (batch < 1)
            throw new UsageException("--batch " + batch + " is below 1");
        return shape.withBatch(batch);
    }

    int run(Backend on) {
        Shape shape = shape();
        String text = size.toUpperCase(Locale.ROOT) + " (" + shape + ")";
        Pattern only;
        try {
            only = Pattern.compile(ops);
        } catch (PatternSyntaxException e) {
            throw new UsageException("--ops " + ops + ": " + e.getDescription());
        }
        boolean isCpu = on instanceof CpuBackend;
        CpuBackend cpu = isCpu ? (CpuBackend) on : new CpuBackend();
        if (!json) {
            screen().line("device  " + on.describe());
            if (!isCpu)
                screen().line("cpu     " + cpu.describe());
            screen().line("size    " + text);
            screen().line("");
            screen().line(KernelsReport.heading(!isCpu));
        }
        DeviceCheck.Progress progress = new DeviceCheck.Progress() {
            @Override
            public void onCase(String name) {
                screen().status(name + " ...");
            }

            @Override
            public void onTimed(DeviceCheck.Timed t) {
                screen().done();
                if (!json)
                    screen().result(KernelsReport.line(t));
            }

            @Override
            public void onChecked(DeviceCheck.Checked c) {
                screen().done();
                if (!json)
                    KernelsReport.lines(c).forEach(screen()::result);
            }
        };
        List<DeviceCheck.Timed> rows = DeviceCheck.time(on, isCpu ? null : cpu, shape, only, seconds, progress);
        if (check && !json) {
            screen().line("");
            screen().line(KernelsReport.checkHeading());
        }
        List<DeviceCheck.Checked> checked = check ? DeviceCheck.check(on, only, cases, progress) : List.of();
        if (rows.isEmpty() && checked.isEmpty())
            throw new UsageException("--ops " + ops + " matches no operation");
        DeviceCheck.Findings f =
                new DeviceCheck.Findings(on.describe(), on.precision(), cpu.describe(), text, rows, checked);
        if (json)
            screen().result(json(f).toString());
        if (html != null) {
            AtomicFiles.write(html, KernelsReport.page(f, Version.number()));
            if (!json)
                screen().line("wrote " + html);
        }
        if (f.failed() == 0)
            return ExitCode.OK;
        screen().note("gyre: " + Text.many(f.failed(), "check") + " failed on " + on.describe());
        return ExitCode.FAILURE;
    }

    private static ObjectNode json(DeviceCheck.Findings f) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("gyre", Version.number()).put("device", f.device())
                .put("precision", f.precision().name().toLowerCase(Locale.ROOT)).put("cpu", f.cpu())
                .put("size", f.size())
                .put("failed", f.failed());
        ArrayNode rows = o.putArray("operations");
        for (DeviceCheck.Timed r : f.rows()) {
            ObjectNode n = rows.addObject().put("name", r.name());
            if (r.error() != null)
                n.put("error", r.error());
            if (r.on() != null) {
                var d = Objects.requireNonNull(r.on().deviation());
                n.put("deviation", d.difference()).put("limit", d.allowed()).put("first_ms", r.on().firstMs())
                        .put("ms", r.on().ms()).put("gb_per_s", r.on().gigabytesPerSecond())
                        .put("gflop_per_s", r.on().gigaflops());
            }
            if (r.cpu() != null)
                n.put("cpu_ms", r.cpu().ms()).put("times_cpu_speed", r.ratio());
        }
        ArrayNode checked = o.putArray("odd_sizes");
        for (DeviceCheck.Checked c : f.checked()) {
            ObjectNode n = checked.addObject().put("op", c.op()).put("cases", c.cases()).put("worst_share_of_limit",
                    c.share());
            ArrayNode failures = n.putArray("failures");
            c.failures().forEach(failures::add);
        }
        return o;
    }
}
