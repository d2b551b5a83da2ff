package dev.gyre.trainer.cli;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.check.DeviceCheck.Checked;
import dev.gyre.kernels.check.DeviceCheck.Findings;
import dev.gyre.kernels.check.DeviceCheck.Timed;
import dev.gyre.kernels.check.OpCheck.Deviation;
import dev.gyre.kernels.check.OpTimer.Measured;
import dev.gyre.trainer.cli.screen.Text;
import java.util.ArrayList;
import java.util.List;

/// Formats the results of [KernelsCommand] as lines and as a page.
final class KernelsReport {
    /// What tells a page from others.
    static final String MARK = "<title>Gyre kernels</title>";

    private KernelsReport() {
    }

    static String heading(boolean withCpu) {
        return Text.format("%-46s %10s %10s %10s %9s %7s %8s", "operation", "deviation", "limit", "first ms", "ms",
                "GB/s", "GFLOP/s") + (withCpu ? Text.format(" %9s %8s", "cpu ms", "x cpu") : "");
    }

    static String line(Timed r) {
        Measured m = r.on();
        if (m == null)
            return Text.format("%-46s FAILED: %s", r.name(), r.error());
        String s = Text.format("%-46s %10s %10s %10.1f %9.3f %7.2f %8s", r.name(), deviation(m), limit(m), m.firstMs(),
                m.ms(), m.gigabytesPerSecond(), flops(m));
        Measured cpu = r.cpu();
        return cpu == null ? s : s + Text.format(" %9.3f %8.2f", cpu.ms(), r.ratio());
    }

    private static Deviation of(Measured m) {
        Deviation d = m.deviation();
        return d == null ? new Deviation(Double.NaN, Double.NaN) : d;
    }

    private static String deviation(Measured m) {
        return Text.format("%.2e", of(m).difference());
    }

    private static String limit(Measured m) {
        return Text.format("%.2e", of(m).allowed());
    }

    private static String flops(Measured m) {
        return m.flops() == 0 ? "" : Text.format("%.2f", m.gigaflops());
    }

    static String checkHeading() {
        return Text.format("%-46s %6s %s", "odd sizes", "cases", "largest error / limit");
    }

    static List<String> lines(Checked c) {
        List<String> out = new ArrayList<>();
        out.add(Text.format("%-46s %6d %.2f%s", c.op(), c.cases(), c.share(),
                c.failures().isEmpty() ? "" : "  " + c.failures().size() + " FAILED"));
        c.failures().forEach(f -> out.add("    " + f));
        return out;
    }

    /// A self-contained page.
    static String page(Findings f, String version) {
        boolean withCpu = f.rows().stream().anyMatch(r -> r.cpu() != null);
        StringBuilder s = new StringBuilder("""
                <!DOCTYPE html>
                <html lang="en"><head><meta charset="utf-8"><title>Gyre kernels</title>
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <style>
                body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #222;
                  background: #fff }
                @media (prefers-color-scheme: dark) { body { color: #ddd; background: #16181c } th { background: #23262b } }
                table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1em 0 }
                td, th { padding: .15em .7em; text-align: right; border-bottom: 1px solid #8884 }
                td:first-child, th:first-child, td.text { text-align: left }
                .bar { display: inline-block; height: .7em; background: #4a8; vertical-align: middle; margin-left: .5em }
                .slow { background: #c84 } .bad { color: #c33; font-weight: 600 }
                </style></head><body>
                <h1>Gyre kernels</h1>
                """);
        s.append("<p>Device: ").append(escape(f.device())).append("<br>");
        if (withCpu)
            s.append("CPU backend: ").append(escape(f.cpu())).append("<br>");
        s.append("Size: ").append(escape(f.size())).append("<br>Gyre ").append(escape(version)).append(", ")
                .append(f.rows().size()).append(" operations, ")
                .append(f.failed() == 0 ? "all checks passed"
                        : "<span class=bad>" + Text.many(f.failed(), "check") + " failed</span>")
                .append("</p>\n<table><tr><th>operation<th>deviation<th>limit<th>first ms<th>ms<th>GB/s<th>GFLOP/s");
        if (withCpu)
            s.append("<th>CPU ms<th class=text>times the CPU's speed");
        s.append("</tr>\n");
        for (Timed r : f.rows()) {
            Measured m = r.on();
            s.append("<tr><td>").append(escape(r.name()));
            if (m == null) {
                s.append("<td colspan=8 class='text bad'>").append(escape(String.valueOf(r.error())));
                continue;
            }
            s.append("<td>").append(deviation(m)).append("<td>").append(limit(m))
                    .append(Text.format("<td>%.1f<td>%.3f<td>%.2f<td>", m.firstMs(), m.ms(), m.gigabytesPerSecond()))
                    .append(flops(m));
            Measured cpu = r.cpu();
            if (cpu != null) {
                // a bar of 6 em is ten times as fast or as slow
                double em = Math.min(12, 6 * Math.abs(Math.log10(r.ratio())));
                s.append(Text.format("<td>%.3f<td class=text>%.2f<span class='bar%s' style='width:%.1fem'></span>",
                        cpu.ms(), r.ratio(), r.ratio() < 1 ? " slow" : "", em));
            }
            s.append("</tr>\n");
        }
        s.append(
                "</table>\n<p>Deviation: the largest difference from a double-precision reference, beside what is allowed"
                        + " for F32" + (f.precision() == Precision.F32 ? "" : ", and for products by cuBLAS in "
                                + f.precision())
                        + ". First ms: with compiling and the transfer of the inputs. ms: median of warm runs, each with"
                        + " its launch. GB/s: each operand once, over that time.</p>\n");
        if (!f.checked().isEmpty()) {
            s.append("<h2>Odd sizes</h2>\n<table><tr><th>operation<th>cases<th>largest error / limit<th>failed</tr>\n");
            for (Checked c : f.checked()) {
                s.append(Text.format("<tr><td>%s<td>%d<td>%.2f<td>%s</tr>\n", escape(c.op()), c.cases(), c.share(),
                        c.failures().isEmpty() ? "" : "<span class=bad>" + c.failures().size() + "</span>"));
                c.failures().forEach(x -> s.append("<tr><td colspan=4 class='text bad'>").append(escape(x))
                        .append("</tr>\n"));
            }
            s.append("</table>\n");
        }
        return s.append("</body></html>\n").toString();
    }

    private static String escape(String s) {
        return s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
