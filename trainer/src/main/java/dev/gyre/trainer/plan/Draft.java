package dev.gyre.trainer.plan;

import dev.gyre.trainer.config.ConfigWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// A run.yaml while it is chosen, key by key, each with its reason.
public final class Draft {
    private final List<String> settings;
    private final List<String> commands;
    private final Map<String, Choice> choices = new LinkedHashMap<>();
    private final List<String> summary = new ArrayList<>();

    /// @param value in YAML
    /// @param reason one line; "" where the key speaks for itself
    private record Choice(String value, String reason) {
    }

    /// @param settings keys that the user chooses, such as `train.lr=1e-3`
    /// @param commands that can be used with the file
    public Draft(List<String> settings, List<String> commands) {
        this.settings = List.copyOf(settings);
        this.commands = List.copyOf(commands);
    }

    /// Chooses a key, which the user's choice overrides.
    public void put(String key, Object value, String reason) {
        choices.put(key, new Choice(ConfigWriter.yaml(value), reason));
    }

    /// A word about what was found.
    public void say(String words) {
        summary.add(words);
    }

    public boolean has(String key) {
        return choices.containsKey(key);
    }

    /// `key=value` of all that is chosen so far, the user's last.
    public List<String> all() {
        List<String> all = new ArrayList<>();
        choices.forEach((key, c) -> all.add(key + "=" + c.value));
        all.addAll(settings);
        return all;
    }

    /// Whether the user chose the key.
    public boolean given(String key) {
        return settings.stream().anyMatch(s -> s.startsWith(key + "="));
    }

    /// The value of a key, the user's before ours.
    public String chosen(String key) {
        for (String s : settings.reversed())
            if (s.startsWith(key + "="))
                return s.substring(key.length() + 1).strip();
        Choice c = choices.get(key);
        if (c == null)
            throw new IllegalStateException(key);
        return c.value;
    }

    /// What was found, in a few words each.
    public List<String> summary() {
        return List.copyOf(summary);
    }

    /// Bytes, to be read.
    public static String size(long bytes) {
        return String.format(Locale.ROOT, bytes < 1_000_000_000 ? "%.0f MB" : "%.1f GB",
                bytes < 1_000_000_000 ? bytes / 1e6 : bytes / 1e9);
    }

    /// A run directory that is not there yet.
    public static String folder(String model, String data) {
        String name = word(Path.of(model)) + "-" + word(Path.of(data));
        String dir = "runs/" + name;
        for (int i = 2; Files.exists(Path.of(dir)); i++)
            dir = "runs/" + name + "-" + i;
        return dir;
    }

    private static String word(Path p) {
        String name = String.valueOf(p.toAbsolutePath().normalize().getFileName()).replaceFirst("@.*", "")
                .replaceFirst("\\.(jsonl|ndjson|json|csv|tsv|parquet|txt|text|md)(\\.gz)?$", "");
        String plain = name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9._-]+", "-");
        return plain.isEmpty() || plain.startsWith(".") ? "run" : plain;
    }

    /// The file.
    ///
    /// @param file its name, for the commands in its head
    /// @param called how Gyre is called
    public String yaml(String file, String called) {
        Map<String, Choice> all = new LinkedHashMap<>(choices);
        for (String s : settings) {
            int eq = s.indexOf('=');
            all.put(s.substring(0, eq).strip(), new Choice(s.substring(eq + 1).strip(), "as given to gyre init"));
        }
        Map<String, Map<String, Choice>> sections = new LinkedHashMap<>();
        for (String section : List.of("model", "task", "adapter", "data", "train", "eval", "results", "output"))
            sections.put(section, new LinkedHashMap<>());
        all.forEach((key, c) -> {
            int dot = key.indexOf('.');
            sections.computeIfAbsent(dot < 0 ? "" : key.substring(0, dot), _ -> new LinkedHashMap<>())
                    .put(key.substring(dot + 1), c);
        });
        StringBuilder out = new StringBuilder("# Written by gyre init; ready to run:\n#\n");
        for (String command : commands)
            out.append(String.format("#   %s %-5s %s%s%n", called, command, file, switch (command) {
                case "plan" -> "     memory of every method over every base";
                case "data" -> "     the examples as the model sees them";
                case "check" -> "     every key with its value";
                default -> "";
            }));
        out.append("#\n# ").append(String.join(" · ", summary)).append('\n');
        sections.forEach((name, keys) -> {
            if (keys.isEmpty())
                return;
            String indent = name.isEmpty() ? "" : "  ";
            if (!name.isEmpty())
                out.append(name).append(":\n");
            keys.forEach((key, c) -> {
                if (!c.reason.isEmpty())
                    out.append(indent).append("# ").append(c.reason).append('\n');
                out.append(indent).append(key).append(": ").append(c.value).append('\n');
            });
        });
        return out.toString();
    }
}
