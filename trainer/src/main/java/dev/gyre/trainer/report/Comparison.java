package dev.gyre.trainer.report;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.TuningSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Finished runs side by side: what each cost and what it gave. [ComparisonTable] writes them down.
public final class Comparison {
    /// What tells Gyre's pages from others.
    public static final String PAGE_MARK = "<title>Gyre";

    /// A finished run.
    public record Row(String name, Path dir, TuningSettings config, Results results) {
    }

    /// The format of rates: as many digits as they need, up to three.
    static final String SHORTEST = "%.2e";
    static final String DEFECT = "orthogonality_defect";
    /// Keys that other columns tell, or that change nothing in them.
    private static final Set<String> IN_COLUMNS = Set.of("adapter.method", "adapter.r", "adapter.block_size",
            "adapter.blocks", "adapter.factors", "adapter.form", "adapter.scaler", "model.base", "train.lr",
            "eval.samples",
            "results.report", "check_device");

    private static final Set<String> NOTHING = Set.of("null", "[]", "{}");
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
        List<Column> columns = allColumns(rows);
        if (reference != null) {
            if (rows.stream().noneMatch(r -> isReference(r, reference)))
                throw new InputException("--relative " + reference + ": no such run among "
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
            rows.add(new Row(name, dir, TuningSettings.of(dir), r));
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

    /// Scores of runs with a task have the columns behind the loss.
    private static List<Column> allColumns(List<Row> rows) {
        List<Column> all = new ArrayList<>();
        for (Column c : plainColumns()) {
            all.add(c);
            if (c.key.equals("loss"))
                rows.stream().flatMap(r -> names(r.results.after()).stream()).distinct().forEach(name -> {
                    String title = name.replace('_', ' ');
                    all.add(new Column(name + "_before", title + " before", "%.4f", 1, Better.NEITHER,
                            r -> score(r.results.before(), name)));
                    all.add(new Column(name, title, "%.4f", 1, Better.MORE, r -> score(r.results.after(), name)));
                });
        }
        return all;
    }

    private static Set<String> names(Results.Scores s) {
        Map<String, Double> scores = s.scores();
        return scores == null ? Set.of() : scores.keySet();
    }

    private static double score(Results.Scores s, String name) {
        Map<String, Double> scores = s.scores();
        return scores == null ? Double.NaN : of(scores.get(name));
    }

    private static List<Column> plainColumns() {
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
                new Column(DEFECT, "orth.err", "%.0e", 1, Better.NEITHER,
                        r -> rotation(r, Results.Rotation::defect))));
    }

    private static double rotation(Row r, ToDoubleFunction<Results.Rotation> f) {
        Results.Rotation x = r.results.rotation();
        return x == null ? Double.NaN : f.applyAsDouble(x);
    }

    public List<Row> rows() {
        return rows;
    }

    List<Column> columns() {
        return columns;
    }

    /// The runs as text, in several forms.
    public ComparisonTable table() {
        return new ComparisonTable(this);
    }

    /// Runs without results, by name, and why.
    public Map<String, String> missing() {
        return missing;
    }

    boolean hasSettings() {
        return settings.values().stream().anyMatch(s -> !s.isEmpty());
    }

    String settings(Row r) {
        return settings.getOrDefault(r, "");
    }

    /// The keys in which runs differ and that no other column shows, with their values. Those of `adapter` are compared with
    /// runs of the same method, all others with all runs.
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
        Map<String, String> out = ConfigWriter.flat(r.config.record());
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
}
