package dev.gyre.trainer.report;

import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.record.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Finished runs side by side: what each cost and what it gave, as a table for the screen, Markdown, CSV or LaTeX.
public final class Comparison {
    /// A finished run.
    public record Row(String name, Path dir, RunConfig config, Results results) {
    }

    /// The format of rates: as many digits as they need, up to three.
    private static final String SHORTEST = "%.2e";
    private static final String DEFECT = "orthogonality_defect";
    /// What the mark "!" means.
    private static final String DRIFTED = String.format(Locale.ROOT,
            "! ||Q|| grew above %.1f, where the Cayley-Neumann series is not orthogonal any more: lower train.lr, or"
                    + " adapter.cayley: newton_schulz or exact",
            Geometry.WARN);
    /// Keys that other columns tell, or that change nothing in them.
    private static final Set<String> IN_COLUMNS = Set.of("adapter.method", "adapter.r", "adapter.block_size",
            "adapter.blocks", "adapter.factors", "adapter.form", "adapter.scaler", "model.base", "train.lr",
            "eval.samples",
            "results.report", "check_device");

    private static final Set<String> NOTHING = Set.of("null", "[]", "{}");
    /// Characters of the settings in a terminal, unless all is asked for.
    private static final int NARROW = 60;

    /// Which way is better.
    enum Better {
        LESS, MORE, NEITHER
    }

    /// A number of each run; NaN where a run has none.
    ///
    /// @param key in CSV
    /// @param title in tables, with the unit
    /// @param scale from the number to the table's unit
    /// @param detail whether a screen may leave it out
    record Column(String key, String title, String format, double scale, Better better, boolean detail,
            ToDoubleFunction<Row> value) {
        Column(String key, String title, String format, double scale, Better better, ToDoubleFunction<Row> value) {
            this(key, title, format, scale, better, false, value);
        }

        Column asDetail() {
            return new Column(key, title, format, scale, better, true, value);
        }
    }

    private final List<Row> rows;
    private final Map<String, String> missing;
    private final List<Column> columns;
    private final Map<Row, String> settings;

    private Comparison(List<Row> rows, Map<String, String> missing, List<Column> columns) {
        this.rows = List.copyOf(rows);
        this.missing = missing;
        this.columns = List.copyOf(columns);
        this.settings = settings(this.rows);
    }

    /// @param given run directories, or folders of them (a sweep's)
    /// @param reference name of the run whose costs are 1 in further columns, or the first part of such names (`lora` of
    /// `lora-f32`, `lora-nf4`: each run is measured against the one over the same base); null for none
    public static Comparison of(List<Path> given, @Nullable String reference) {
        List<Row> rows = new ArrayList<>();
        Map<String, String> missing = new LinkedHashMap<>();
        for (Path p : given) {
            if (!Files.isDirectory(p))
                throw new FormatException(p, "no such run directory");
            if (Files.exists(p.resolve("run.yaml"))) {
                add(p, rows, missing);
                continue;
            }
            Sweep.failures(p).forEach((name, why) -> missing.put(name, "failed: " + why));
            List<Path> inside = runs(p);
            if (inside.isEmpty())
                throw new FormatException(p, "is neither a run directory (run.yaml) nor a folder of them");
            inside.forEach(r -> add(r, rows, missing));
        }
        List<Column> columns = columns();
        if (reference != null) {
            if (rows.stream().noneMatch(r -> isReference(r, reference)))
                throw new IllegalArgumentException("--relative " + reference + ": no such run among "
                        + rows.stream().map(Row::name).toList());
            for (String key : List.of("trained", "step_seconds", "planned_bytes", "process_bytes"))
                columns.add(ratio(columns.stream().filter(c -> c.key.equals(key)).findFirst().orElseThrow(), rows,
                        reference));
        }
        columns.removeIf(c -> rows.stream().allMatch(r -> Double.isNaN(c.value.applyAsDouble(r))));
        return new Comparison(rows, missing, columns);
    }

    private static void add(Path dir, List<Row> rows, Map<String, String> missing) {
        String name = String.valueOf(dir.toAbsolutePath().normalize().getFileName());
        Results r = Results.read(dir);
        if (r == null)
            missing.putIfAbsent(name, "not finished");
        else
            rows.add(new Row(name, dir, ConfigReader.read(dir.resolve("run.yaml"), RunConfig.class, List.of()), r));
    }

    /// Run directories in a folder, in a sweep's order where there is one.
    private static List<Path> runs(Path folder) {
        List<String> order = Sweep.order(folder);
        try (Stream<Path> s = Files.list(folder)) {
            return s.filter(d -> Files.exists(d.resolve("run.yaml"))).sorted(java.util.Comparator
                    .<Path>comparingInt(d -> {
                        int i = order.indexOf(String.valueOf(d.getFileName()));
                        return i < 0 ? Integer.MAX_VALUE : i;
                    }).thenComparing(d -> d)).toList();
        } catch (IOException e) {
            throw FormatException.unreadable(folder, e);
        }
    }

    private static boolean isReference(Row r, String reference) {
        return r.name.equals(reference) || r.name.startsWith(reference + "-");
    }

    private static Column ratio(Column of, List<Row> rows, String reference) {
        return new Column(of.key + "_ratio", of.title.replaceAll(", .*", "") + " / " + reference, "%.2f", 1,
                Better.NEITHER, r -> {
                    List<Row> refs = rows.stream().filter(x -> isReference(x, reference)).toList();
                    Row ref = refs.size() == 1 ? refs.getFirst()
                            : refs.stream().filter(x -> x.results.base().equals(r.results.base())).findFirst()
                                    .orElse(null);
                    return ref == null ? Double.NaN
                            : of.value.applyAsDouble(r) / of.value.applyAsDouble(ref);
                });
    }

    private static double of(@Nullable Double x) {
        return x == null ? Double.NaN : x;
    }

    private static List<Column> columns() {
        return new ArrayList<>(List.of(
                new Column("learning_rate", "lr", SHORTEST, 1, Better.NEITHER, r -> r.config.train().lr()),
                new Column("trained", "trained", "%,.0f", 1, Better.LESS, r -> r.results.trained()),
                new Column("trained_share", "of model, %", "%.2f", 100, Better.NEITHER,
                        r -> r.results.trained() / (double) r.results.parameters()),
                new Column("exact_before", "exact before, %", "%.1f", 100, Better.NEITHER,
                        r -> of(r.results.before().exact())),
                new Column("exact", "exact, %", "%.1f", 100, Better.MORE, r -> of(r.results.after().exact())),
                new Column("token_accuracy", "tokens, %", "%.1f", 100, Better.MORE,
                        r -> of(r.results.after().tokens())).asDetail(),
                new Column("loss_before", "loss before", "%.4f", 1, Better.NEITHER, r -> of(r.results.before().loss())),
                new Column("loss", "loss", "%.4f", 1, Better.LESS, r -> of(r.results.after().loss())),
                new Column("forgetting_before", "base-data loss before", "%.4f", 1, Better.NEITHER,
                        r -> of(r.results.before().forgetting())),
                new Column("forgetting", "base-data loss", "%.4f", 1, Better.LESS,
                        r -> of(r.results.after().forgetting())).asDetail(),
                new Column("forgotten", "forgotten", "%+.4f", 1, Better.LESS,
                        r -> of(r.results.after().forgetting()) - of(r.results.before().forgetting())),
                new Column("kept_before", "kept before, %", "%.1f", 100, Better.NEITHER,
                        r -> of(r.results.before().kept())),
                new Column("kept", "kept, %", "%.1f", 100, Better.MORE, r -> of(r.results.after().kept())),
                new Column("step_seconds", "step, ms", "%.1f", 1e3, Better.LESS, r -> r.results.stepSeconds()),
                new Column("tokens_per_second", "tok/s", "%,.0f", 1, Better.MORE, r -> r.results.tokensPerSecond()),
                new Column("planned_bytes", "memory, MB", "%.1f", 1e-6, Better.LESS,
                        r -> r.results.memory().planned()),
                new Column("process_bytes", "process, MB", "%.0f", 1e-6, Better.LESS,
                        r -> r.results.memory().process() == 0 ? Double.NaN : r.results.memory().process())
                        .asDetail(),
                new Column("file_bytes", "file, kB", "%,.1f", 1e-3, Better.LESS, r -> r.results.resultBytes()),
                new Column("skew_norm", "||Q||", "%.3f", 1, Better.NEITHER,
                        r -> rotation(r, Results.Rotation::skewNorm)).asDetail(),
                new Column("angle", "angle, deg", "%.1f", 1, Better.NEITHER,
                        r -> rotation(r, Results.Rotation::angle)).asDetail(),
                new Column(DEFECT, "||R'R-I||", "%.0e", 1, Better.NEITHER,
                        r -> rotation(r, Results.Rotation::defect))));
    }

    private static double rotation(Row r, ToDoubleFunction<Results.Rotation> f) {
        Results.Rotation x = r.results.rotation();
        return x == null ? Double.NaN : f.applyAsDouble(x);
    }

    public List<Row> rows() {
        return rows;
    }

    /// Runs without results, by name, and why.
    public Map<String, String> missing() {
        return missing;
    }

    List<Column> shown() {
        return columns.stream().filter(c -> !c.key.endsWith("_before") && !c.key.equals("trained_share")
                && !c.key.equals("tokens_per_second")).toList();
    }

    private List<Column> shown(boolean all) {
        return shown().stream().filter(c -> all || !c.detail).toList();
    }

    static String cell(Column c, Row r) {
        return cell(c, c.value.applyAsDouble(r));
    }

    private static String cell(Column c, double v) {
        if (Double.isNaN(v))
            return "-";
        String s = String.format(Locale.ROOT, c.format, c.scale * v);
        if (c.format.equals(SHORTEST))
            return s.replaceFirst("\\.?0*e", "e");
        // what rounds to nothing has no sign: it would look like another number than its neighbour
        return s.matches("-0\\.?0*") ? (c.format.startsWith("%+") ? "+" : "") + s.substring(1) : s;
    }

    /// As [#cell], with a mark where [#DRIFTED] explains one.
    private static String marked(Column c, Row r) {
        return drifted(c, r) ? cell(c, r) + "!" : cell(c, r);
    }

    private static boolean drifted(Column c, Row r) {
        Results.Rotation x = r.results.rotation();
        return c.key.equals(DEFECT) && x != null && Report.drifted(x.skewNorm(), x.defect());
    }

    private boolean anyDrifted() {
        return rows.stream().anyMatch(r -> columns.stream().anyMatch(c -> drifted(c, r)));
    }

    /// Whether no other run is better in this column, as far as its text shows; never where all are equal.
    boolean best(Column c, Row r) {
        double[] all = rows.stream().mapToDouble(c.value).filter(x -> !Double.isNaN(x)).toArray();
        double v = c.value.applyAsDouble(r);
        double least = Arrays.stream(all).min().orElse(Double.NaN);
        double most = Arrays.stream(all).max().orElse(Double.NaN);
        if (c.better == Better.NEITHER || Double.isNaN(v))
            return false;
        // 0.00021 and 0.00023 are both shown as 0.0002: a reader sees no difference, and there is hardly one
        String best = cell(c, c.better == Better.LESS ? least : most);
        String worst = cell(c, c.better == Better.LESS ? most : least);
        return !best.equals(worst) && cell(c, v).equals(best);
    }

    private List<String> head(List<Column> cs) {
        List<String> out = new ArrayList<>(List.of("run", "method", "base"));
        if (hasSettings())
            out.add("settings");
        cs.forEach(c -> out.add(c.title));
        return out;
    }

    private static String method(Row r) {
        String v = r.config.adapter().variant();
        return r.results.method() + (v.isEmpty() ? "" : " " + v);
    }

    /// What stands before the numbers.
    private List<String> names(Row r) {
        List<String> out = new ArrayList<>(List.of(r.name, method(r), r.results.base()));
        if (hasSettings())
            out.add(settings(r));
        return out;
    }

    private boolean hasSettings() {
        return settings.values().stream().anyMatch(s -> !s.isEmpty());
    }

    private String settings(Row r) {
        return settings.getOrDefault(r, "");
    }

    /// The keys in which runs differ and that no other column shows, with their values. Those of `adapter` are held against
    /// runs of the same method, all others against all runs.
    private static Map<Row, String> settings(List<Row> rows) {
        Map<Row, Map<String, String>> all = new IdentityHashMap<>();
        rows.forEach(r -> all.put(r, told(r)));
        Set<String> differing = new TreeSet<>();
        for (Row a : rows)
            for (Row b : rows) {
                boolean same = a.results.method().equals(b.results.method());
                all.getOrDefault(a, Map.of()).forEach((key, value) -> {
                    if ((same || !key.startsWith("adapter."))
                            && !value.equals(all.getOrDefault(b, Map.of()).getOrDefault(key, "")))
                        differing.add(key);
                });
            }
        // those with the most values first: they are what the runs are about
        List<String> sorted = differing.stream().sorted(java.util.Comparator.comparingLong(
                key -> -all.values().stream().map(m -> m.getOrDefault(key, "")).filter(v -> !v.isEmpty()).distinct()
                        .count()))
                .toList();
        Map<Row, String> out = new IdentityHashMap<>();
        for (Row r : rows) {
            Map<String, String> own = all.getOrDefault(r, Map.of());
            // what another method of the same sweep has under the same name says nothing about this one
            out.put(r, sorted.stream().filter(key -> own.containsKey(key) && (!key.startsWith("adapter.")
                    || rows.stream().anyMatch(o -> o.results.method().equals(r.results.method())
                            && !own.get(key).equals(all.getOrDefault(o, Map.of()).get(key)))))
                    .map(key -> last(key, sorted) + "=" + own.get(key)).collect(Collectors.joining(" ")));
        }
        return out;
    }

    /// The configuration by key, without what other columns tell, what was not set, and where the run was written.
    private static Map<String, String> told(Row r) {
        Map<String, String> out = ConfigWriter.flat(r.config);
        String rank = out.get("adapter.r");
        String alpha = out.get("adapter.alpha");
        if (rank != null && alpha != null)
            // it follows the rank unless it was given
            out.put("adapter.alpha", alpha.equals(rank) ? "r"
                    : alpha.equals(String.valueOf(2 * Long.parseLong(rank))) ? "2r" : alpha);
        out.keySet().removeAll(IN_COLUMNS);
        out.entrySet().removeIf(e -> e.getKey().startsWith("output.") || NOTHING.contains(e.getValue()));
        return out;
    }

    /// `cayley` for `adapter.cayley`, where no other of the keys ends like it.
    private static String last(String key, List<String> keys) {
        String end = key.substring(key.lastIndexOf('.') + 1);
        return keys.stream().filter(k -> k.equals(end) || k.endsWith("." + end)).count() == 1 ? end : key;
    }

    /// Aligned columns for a terminal.
    ///
    /// @param all with the details
    public List<String> text(boolean all) {
        List<Column> cs = shown(all);
        List<List<String>> table = new ArrayList<>();
        table.add(head(cs));
        for (Row r : rows) {
            List<String> line = names(r);
            if (hasSettings() && !all)
                line.set(3, cut(line.get(3)));
            for (Column c : cs)
                // the digits stay below each other
                line.add(marked(c, r) + (rows.stream().anyMatch(o -> drifted(c, o)) && !drifted(c, r) ? " " : ""));
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
        if (!all && rows.stream().anyMatch(r -> settings(r).length() > NARROW))
            out.add("... more settings differ: --all shows them");
        missing.forEach((name, why) -> out.add(name + ": " + why));
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
        for (Row r : rows) {
            s.append("| ").append(String.join(" | ", names(r).stream().map(x -> x.replace("|", "\\|")).toList()));
            for (Column c : cs)
                s.append(" | ").append(best(c, r) ? "**" + marked(c, r) + "**" : marked(c, r));
            s.append(" |\n");
        }
        return s + (anyDrifted() ? "\n" + DRIFTED + "\n" : "");
    }

    /// Every column, full precision, in base units (bytes, seconds, shares).
    public String csv() {
        StringBuilder s = new StringBuilder("run,method,variant,base");
        columns.forEach(c -> s.append(',').append(c.key));
        s.append(",settings\n");
        for (Row r : rows) {
            s.append(quoted(r.name)).append(',').append(r.results.method()).append(',')
                    .append(quoted(r.config.adapter().variant())).append(',').append(r.results.base());
            for (Column c : columns) {
                double v = c.value.applyAsDouble(r);
                s.append(',').append(Double.isNaN(v) ? "" : v == Math.rint(v) && Math.abs(v) < 1e15
                        ? String.valueOf((long) v) : Objects.requireNonNull(String.valueOf(v)));
            }
            s.append(',').append(quoted(settings(r))).append('\n');
        }
        return s.toString();
    }

    private static String quoted(String s) {
        return s.contains(",") || s.contains("\"") ? "\"" + s.replace("\"", "\"\"") + "\"" : s;
    }

    /// A `tabular` with the rules of package booktabs.
    public String latex(boolean all) {
        List<Column> cs = shown(all);
        StringBuilder s = new StringBuilder(
                "\\begin{tabular}{" + "l".repeat(head(cs).size() - cs.size()) + "r".repeat(cs.size()) + "}\n\\toprule\n"
                        + String.join(" & ", head(cs).stream().map(Comparison::tex).toList()) + " \\\\\n\\midrule\n");
        for (Row r : rows) {
            s.append(String.join(" & ", names(r).stream().map(Comparison::tex).toList()));
            for (Column c : cs) {
                String v = tex(marked(c, r));
                s.append(" & ").append(best(c, r) ? "\\textbf{" + v + "}" : v);
            }
            s.append(" \\\\\n");
        }
        return s.append("\\bottomrule\n\\end{tabular}\n") + (anyDrifted() ? "\n" + tex(DRIFTED) + "\n" : "");
    }

    private static String tex(String s) {
        return s.replace("\\", "\\textbackslash{}").replaceAll("([&%$#_{}])", "\\\\$1")
                .replace("||R'R-I||", "$\\|R^\\top R-I\\|$").replace("||Q||", "$\\|Q\\|$");
    }

    /// One page with the table, the Pareto plot and the curves; it needs no network.
    public String html(String title) {
        List<Column> cs = shown();
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("name", title);
        ArrayNode heads = o.putArray("columns");
        cs.forEach(c -> heads.addObject().put("key", c.key).put("title", c.title).put("better", c.better.name())
                .put("detail", c.detail));
        ArrayNode out = o.putArray("rows");
        for (Row r : rows) {
            ObjectNode x = out.addObject().put("name", r.name).put("method", r.results.method())
                    .put("label", method(r)).put("base", r.results.base()).put("settings", settings(r));
            ArrayNode values = x.putArray("values");
            ArrayNode cells = x.putArray("cells");
            ArrayNode best = x.putArray("best");
            ArrayNode bad = x.putArray("bad");
            for (Column c : cs) {
                double v = c.scale * c.value.applyAsDouble(r);
                values.add(Double.isNaN(v) ? null : Double.valueOf(v));
                cells.add(marked(c, r));
                best.add(best(c, r));
                bad.add(drifted(c, r));
            }
            valid(Metrics.read(r.dir.resolve("metrics.jsonl")), x.putObject("valid"));
        }
        ObjectNode none = o.putObject("missing");
        missing.forEach(none::put);
        o.put("note", anyDrifted() ? DRIFTED : "");
        o.put("markdown", markdown(true)).put("csv", csv()).put("latex", latex(true));
        return Page.html(title, "compare.js", o);
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
