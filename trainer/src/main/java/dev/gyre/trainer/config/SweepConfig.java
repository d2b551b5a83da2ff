package dev.gyre.trainer.config;

import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// `sweep.yaml`: many runs from one configuration. Paths are relative to the directory in which Gyre is started.
public record SweepConfig(
        @Key(doc = "the run.yaml that all runs share; what the runs set themselves may be missing in it",
                example = "run.yaml") String run,
        @Key(doc = "folder for the runs", example = "runs/sweep") String output,
        @Key(doc = "keys that all runs set, such as {train.steps: 150}", def = "{}") Map<String, String> set,
        @Key(doc = "runs by name, each with the keys that it sets: {lora: {adapter.method: lora, train.lr: 2e-3}}",
                def = "{}") Map<String, Map<String, String>> runs,
        @Key(doc = "keys with several values; every run is made with each combination: {model.base: [f32, nf4]}",
                def = "{}") Map<String, List<String>> grid,
        @Key(doc = "combinations to leave out: a run with all keys of an entry is not made",
                def = "[]") List<Map<String, String>> skip) {

    /// Runs of one sweep.
    private static final int MOST = 10_000;

    /// One run: its name, and `KEY=VALUE` as `--set` takes them.
    public record Entry(String name, List<String> settings) {
    }

    public SweepConfig {
        if (runs.isEmpty() && grid.isEmpty())
            throw new Conflict("runs", "runs and grid are both empty: there is nothing to sweep");
        grid.forEach((key, values) -> {
            if (values.isEmpty())
                throw new Conflict("grid", "grid." + key + " lists no value");
        });
        long count = Math.max(1, runs.size());
        for (List<String> values : grid.values()) {
            count *= values.size();
            if (count > MOST)
                throw new Conflict("grid", "grid has more than " + MOST + " combinations; leave out keys or values");
        }
        for (String name : runs.keySet())
            if (!name.matches("[A-Za-z0-9][A-Za-z0-9._=-]*"))
                throw new Conflict("runs", "run name '" + name
                        + "' becomes a folder: use letters, digits, dots, dashes, underscores");
    }

    /// The runs, in order: for each value of the grid's first key, of its second, ..., every run by name. A run of a grid
    /// is called after its values: `lora-nf4`, `lora-nf4-lr=0.001`.
    public List<Entry> entries() {
        List<Map<String, String>> cells = List.of(Map.of());
        for (Map.Entry<String, List<String>> axis : grid.entrySet()) {
            List<Map<String, String>> next = new ArrayList<>();
            for (Map<String, String> cell : cells)
                for (String value : axis.getValue()) {
                    Map<String, String> more = new LinkedHashMap<>(cell);
                    more.put(axis.getKey(), value);
                    next.add(more);
                }
            cells = next;
        }
        Map<String, Map<String, String>> named = runs.isEmpty() ? Map.of("", Map.of()) : runs;
        Map<String, Entry> out = new LinkedHashMap<>();
        for (Map<String, String> cell : cells)
            named.forEach((name, own) -> {
                Map<String, String> keys = new LinkedHashMap<>(set);
                keys.putAll(cell);
                // what a run says itself is stronger than the grid
                keys.putAll(own);
                if (skip.stream().anyMatch(s -> keys.entrySet().containsAll(s.entrySet())))
                    return;
                StringBuilder full = new StringBuilder(name);
                cell.forEach((k, v) -> full.append(full.isEmpty() ? "" : "-").append(part(k, v)));
                List<String> settings = new ArrayList<>();
                keys.forEach((k, v) -> settings.add(k + "=" + v));
                settings.add("output.dir=" + quoted(Path.of(output).resolve(full.toString())));
                if (out.put(full.toString(), new Entry(full.toString(), settings)) != null)
                    throw new ConfigException("two runs of the sweep are called " + full
                            + "; give runs other names, or values that differ in letters and digits");
            });
        return List.copyOf(out.values());
    }

    private static String quoted(Path p) {
        return "\"" + p.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    /// A word speaks for itself, a number needs its key.
    private static String part(String key, String value) {
        String safe = safe(value);
        return value.matches("[A-Za-z].*") && !value.equals("true") && !value.equals("false") ? safe
                : safe(key.substring(key.lastIndexOf('.') + 1)) + "=" + safe;
    }

    private static String safe(String s) {
        return s.replaceAll("[^A-Za-z0-9._-]+", "_");
    }
}
