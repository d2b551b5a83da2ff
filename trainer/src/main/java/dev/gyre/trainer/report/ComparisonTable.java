package dev.gyre.trainer.report;

import dev.gyre.model.adapter.Geometry;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.report.Comparison.Column;
import dev.gyre.trainer.report.Comparison.Row;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// A [Comparison] written down: for a terminal, as Markdown, CSV or LaTeX, and as a page.
public final class ComparisonTable {
    /// What the mark "!" means.
    private static final String DRIFTED = String.format(Locale.ROOT,
            "! not a rotation any more (error above %.0e): %s", Geometry.WARN, Geometry.REMEDY);
    /// Characters of the settings in a terminal, unless all is asked for.
    private static final int NARROW = 60;

    private final Comparison runs;

    ComparisonTable(Comparison runs) {
        this.runs = runs;
    }

    static String cell(Column c, Row r) {
        return cell(c, c.value().applyAsDouble(r));
    }

    private static String cell(Column c, double v) {
        if (Double.isNaN(v))
            return "-";
        String s = String.format(Locale.ROOT, c.format(), c.scale() * v);
        if (c.format().equals(Comparison.SHORTEST))
            return s.replaceFirst("\\.?0*e", "e");
        // what rounds to nothing has no sign: it would look like another number than its neighbour
        return s.matches("-0\\.?0*") ? (c.format().startsWith("%+") ? "+" : "") + s.substring(1) : s;
    }

    /// As [#cell], with a mark where [#DRIFTED] explains one.
    private static String marked(Column c, Row r) {
        return drifted(c, r) ? cell(c, r) + "!" : cell(c, r);
    }

    private static boolean drifted(Column c, Row r) {
        Results.Rotation x = r.results().rotation();
        return c.key().equals(Comparison.DEFECT) && x != null && Geometry.isDrifted(x.skewNorm(), x.defect());
    }

    private boolean anyDrifted() {
        return runs.rows().stream().anyMatch(r -> runs.columns().stream().anyMatch(c -> drifted(c, r)));
    }

    /// Whether no other run is better in this column, as far as its text shows; never where all are equal.
    boolean best(Column c, Row r) {
        double[] all = runs.rows().stream().mapToDouble(c.value()).filter(x -> !Double.isNaN(x)).toArray();
        double v = c.value().applyAsDouble(r);
        double least = Arrays.stream(all).min().orElse(Double.NaN);
        double most = Arrays.stream(all).max().orElse(Double.NaN);
        if (c.better() == Comparison.Better.NEITHER || Double.isNaN(v))
            return false;
        // 0.00021 and 0.00023 are both shown as 0.0002: a reader sees no difference, and there is hardly one
        String best = cell(c, c.better() == Comparison.Better.LESS ? least : most);
        String worst = cell(c, c.better() == Comparison.Better.LESS ? most : least);
        return !best.equals(worst) && cell(c, v).equals(best);
    }

    List<Column> shown() {
        return runs.columns().stream().filter(c -> !c.key().endsWith("_before") && !c.key().equals("trained_share")
                && !c.key().equals("tokens_per_second")).toList();
    }

    private List<Column> shown(boolean all) {
        return shown().stream().filter(c -> all || !c.detail()).toList();
    }

    private List<String> head(List<Column> cs) {
        List<String> out = new ArrayList<>(List.of("run", "method", "base"));
        if (runs.hasSettings())
            out.add("settings");
        cs.forEach(c -> out.add(c.title()));
        return out;
    }

    private static String method(Row r) {
        String v = r.config().adapter().variant();
        return r.results().method() + (v.isEmpty() ? "" : " " + v);
    }

    /// The cells before the values.
    private List<String> names(Row r) {
        List<String> out = new ArrayList<>(List.of(r.name(), method(r), r.results().base()));
        if (runs.hasSettings())
            out.add(runs.settings(r));
        return out;
    }

    /// Aligned columns for a terminal.
    ///
    /// @param all with the details
    public List<String> text(boolean all) {
        List<Column> cs = shown(all);
        List<List<String>> table = new ArrayList<>();
        table.add(head(cs));
        for (Row r : runs.rows()) {
            List<String> line = new ArrayList<>(names(r).stream().map(ComparisonTable::line).toList());
            if (runs.hasSettings() && !all)
                line.set(3, cut(line.get(3)));
            for (Column c : cs)
                // the digits stay below each other
                line.add(marked(c, r)
                        + (runs.rows().stream().anyMatch(o -> drifted(c, o)) && !drifted(c, r) ? " " : ""));
            table.add(line);
        }
        int left = table.getFirst().size() - cs.size();
        int[] width = new int[table.getFirst().size()];
        table.forEach(line -> Arrays.setAll(width, i -> Math.max(width[i], line.get(i).length())));
        List<String> out = new ArrayList<>();
        for (List<String> line : table) {
            StringBuilder s = new StringBuilder();
            for (int i = 0; i < width.length; i++)
                s.append(i == 0 ? "" : "  ")
                        .append(i < left ? line.get(i) : " ".repeat(width[i] - line.get(i).length()))
                        .append(i < left ? " ".repeat(width[i] - line.get(i).length()) : line.get(i));
            out.add(s.toString().stripTrailing());
        }
        if (anyDrifted())
            out.add(DRIFTED);
        if (!all && runs.rows().stream().anyMatch(r -> runs.settings(r).length() > NARROW))
            out.add("... more settings differ: --all shows them");
        runs.missing().forEach((name, why) -> out.add(name + ": " + why));
        return out;
    }

    private static String cut(String s) {
        return s.length() <= NARROW ? s : s.substring(0, Math.max(1, s.lastIndexOf(' ', NARROW - 4))) + " ...";
    }

    public String markdown(boolean all) {
        List<Column> cs = shown(all);
        StringBuilder s = new StringBuilder("| " + String.join(" | ", head(cs)).replace("||", "\\|\\|") + " |\n|"
                + "---|".repeat(head(cs).size() - cs.size())
                + "---:|".repeat(cs.size()) + "\n");
        for (Row r : runs.rows()) {
            s.append("| ").append(String.join(" | ", names(r).stream().map(ComparisonTable::plain).toList()));
            for (Column c : cs)
                s.append(" | ").append(best(c, r) ? "**" + marked(c, r) + "**" : marked(c, r));
            s.append(" |\n");
        }
        return s + (anyDrifted() ? "\n" + DRIFTED + "\n" : "");
    }

    /// Every column, full precision, in base units (bytes, seconds, shares).
    public String csv() {
        StringBuilder s = new StringBuilder("run,method,variant,base");
        runs.columns().forEach(c -> s.append(',').append(c.key()));
        s.append(",settings\n");
        for (Row r : runs.rows()) {
            s.append(quoted(r.name())).append(',').append(quoted(r.results().method())).append(',')
                    .append(quoted(r.config().adapter().variant())).append(',').append(quoted(r.results().base()));
            for (Column c : runs.columns()) {
                double v = c.value().applyAsDouble(r);
                s.append(',').append(Double.isNaN(v) ? "" : v == Math.rint(v) && Math.abs(v) < 1e15
                        ? String.valueOf((long) v) : Objects.requireNonNull(String.valueOf(v)));
            }
            s.append(',').append(quoted(runs.settings(r))).append('\n');
        }
        return s.toString();
    }

    /// A cell of text. A spreadsheet takes one that begins with =, +, -, @ for a formula, and would run it: an apostrophe, which
    /// it does not show, says that it is none.
    private static String quoted(String text) {
        String s = line(text).strip();
        if (!s.isEmpty() && "=+-@\uFF1D\uFF0B\uFF0D\uFF20".indexOf(s.charAt(0)) >= 0)
            s = "'" + s;
        return s.contains(",") || s.contains(";") || s.contains("\"") ? "\"" + s.replace("\"", "\"\"") + "\"" : s;
    }

    /// Names of runs are names of folders, which may hold anything: a row stays one line.
    private static String line(String s) {
        return s.replaceAll("[\\p{Cntrl}\u0080-\u009f\u2028\u2029]+", " ");
    }

    /// Text of a Markdown cell, shown as it is: a bar ends the cell, and some characters are marks.
    private static String plain(String s) {
        return line(s).replace("&", "&amp;").replace("<", "&lt;").replaceAll("([\\\\|`*\\[\\]~])", "\\\\$1")
                .replaceAll("(?<![\\p{L}\\p{N}])_|_(?![\\p{L}\\p{N}])", "\\\\_");
    }

    /// A `tabular` with the rules of package booktabs.
    public String latex(boolean all) {
        List<Column> cs = shown(all);
        StringBuilder s = new StringBuilder(
                "\\begin{tabular}{" + "l".repeat(head(cs).size() - cs.size()) + "r".repeat(cs.size()) + "}\n\\toprule\n"
                        + String.join(" & ", head(cs).stream().map(ComparisonTable::texTitle).toList())
                        + " \\\\\n\\midrule\n");
        for (Row r : runs.rows()) {
            s.append(String.join(" & ", names(r).stream().map(ComparisonTable::tex).toList()));
            for (Column c : cs) {
                String v = tex(marked(c, r));
                s.append(" & ").append(best(c, r) ? "\\textbf{" + v + "}" : v);
            }
            s.append(" \\\\\n");
        }
        return s.append("\\bottomrule\n\\end{tabular}\n") + (anyDrifted() ? "\n" + texTitle(DRIFTED) + "\n" : "");
    }

    /// A text of ours, which may name a norm.
    private static String texTitle(String s) {
        return tex(s).replace(tex("||Q||"), "$\\|Q\\|$");
    }

    private static String tex(String text) {
        StringBuilder s = new StringBuilder();
        for (char c : line(text).toCharArray())
            switch (c) {
            case '\\' -> s.append("\\textbackslash{}");
            // after the end of a row these two would belong to it
            case '[', '*' -> s.append('{').append(c).append('}');
            case '~' -> s.append("\\textasciitilde{}");
            case '^' -> s.append("\\textasciicircum{}");
            case '<' -> s.append("\\textless{}");
            case '>' -> s.append("\\textgreater{}");
            case '|' -> s.append("\\textbar{}");
            case '&', '%', '$', '#', '_', '{', '}' -> s.append('\\').append(c);
            default -> s.append(c);
            }
        return s.toString();
    }

    /// One page with the table, the Pareto plot and the curves; it needs no network.
    public String html(String title) {
        List<Column> cs = shown();
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("name", title);
        ArrayNode heads = o.putArray("columns");
        cs.forEach(c -> heads.addObject().put("key", c.key()).put("title", c.title()).put("better", c.better().name())
                .put("detail", c.detail()));
        ArrayNode out = o.putArray("rows");
        for (Row r : runs.rows()) {
            ObjectNode x = out.addObject().put("name", r.name()).put("method", r.results().method())
                    .put("label", method(r)).put("base", r.results().base()).put("settings", runs.settings(r));
            ArrayNode values = x.putArray("values");
            ArrayNode cells = x.putArray("cells");
            ArrayNode best = x.putArray("best");
            ArrayNode bad = x.putArray("bad");
            for (Column c : cs) {
                double v = c.scale() * c.value().applyAsDouble(r);
                values.add(Double.isNaN(v) ? null : Double.valueOf(v));
                cells.add(marked(c, r));
                best.add(best(c, r));
                bad.add(drifted(c, r));
            }
            valid(Metrics.read(r.dir().resolve("metrics.jsonl")), x.putObject("valid"));
        }
        ObjectNode none = o.putObject("missing");
        runs.missing().forEach(none::put);
        o.put("note", anyDrifted() ? DRIFTED : "");
        o.put("markdown", markdown(true)).put("csv", csv()).put("latex", latex(true));
        return Page.html(title, o, "page.js", "compare.js");
    }

    /// Validation losses with the step, and with the seconds that all steps up to it took.
    private static void valid(Metrics m, ObjectNode o) {
        ArrayNode step = o.putArray("step");
        ArrayNode seconds = o.putArray("seconds");
        ArrayNode loss = o.putArray("loss");
        List<JsonNode> steps = m.with("loss");
        int i = 0;
        double sum = 0;
        for (JsonNode v : m.with("valid_loss")) {
            for (; i < steps.size() && steps.get(i).path("step").longValue() <= v.path("step").longValue(); i++)
                sum += steps.get(i).path("seconds").doubleValue();
            step.add(v.path("step").longValue());
            seconds.add(sum);
            loss.add(v.path("valid_loss").doubleValue());
        }
    }
}
