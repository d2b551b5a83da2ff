package dev.gyre.model.format;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Which modules an adapter sits on, by PEFT's rules over module paths such as `model.layers.0.self_attn.q_proj`.
///
/// @param targets what is adapted
/// @param exclude what is left out although `targets` says so; null for nothing
/// @param layers numbers of the layers to adapt; null or empty for all. A module named by its whole path is adapted
///     whatever its layer
/// @param layersPattern names of the lists that `layers` counts in, e.g. "layers"; empty for the first number in a path
/// @param modulesToSave modules trained and saved whole; nothing in or below them is adapted
public record TargetModules(Selector targets, @Nullable Selector exclude, @Nullable List<Integer> layers,
        List<String> layersPattern, List<String> modulesToSave) {
    private static final Pattern FIRST_NUMBER = Pattern.compile(".*?\\.[^.]*\\.(\\d+)\\.");

    /// A choice of modules.
    public sealed interface Selector {
        /// Modules whose path is one of `names` or ends with a dot and one of them.
        record Names(List<String> names) implements Selector {
            public Names {
                names = List.copyOf(names);
            }
        }

        /// Modules whose whole path matches a regular expression.
        record Regex(String expression) implements Selector {
            public Regex {
                compile(expression);
            }
        }

        /// Every linear layer except the output head.
        record AllLinear() implements Selector {
        }
    }

    public TargetModules {
        layers = layers == null ? null : List.copyOf(layers);
        layersPattern = List.copyOf(layersPattern);
        modulesToSave = List.copyOf(modulesToSave);
    }

    /// Only names, nothing else.
    public static TargetModules names(String... names) {
        return of(new Selector.Names(List.of(names)));
    }

    public static TargetModules of(Selector targets) {
        return new TargetModules(targets, null, null, List.of(), List.of());
    }

    public static TargetModules allLinear() {
        return of(new Selector.AllLinear());
    }

    /// PEFT's default for Llama and the families like it, in every method.
    public static TargetModules defaults() {
        return names("q_proj", "v_proj");
    }

    /// Whether a module is adapted.
    public boolean matches(String path) {
        if (exclude != null && selected(exclude, path))
            return false;
        for (String m : modulesToSave)
            if (path.equals(m) || path.endsWith("." + m) || path.startsWith(m + ".") || path.contains("." + m + "."))
                return false;
        if (targets instanceof Selector.Names n && n.names().contains(path))
            return true;
        return selected(targets, path) && inLayers(path);
    }

    private static boolean selected(Selector s, String path) {
        return switch (s) {
            case Selector.Names n -> n.names().stream().anyMatch(x -> path.equals(x) || path.endsWith("." + x));
            case Selector.Regex r -> compile(r.expression()).matcher(path).matches();
            case Selector.AllLinear _ -> !path.equals("lm_head") && !path.endsWith("embed_tokens");
        };
    }

    private boolean inLayers(String path) {
        if (layers == null || layers.isEmpty())
            return true;
        if (layersPattern.isEmpty())
            return layers.contains(number(FIRST_NUMBER.matcher(path)));
        for (String name : layersPattern) {
            int n = number(compile("(?:^|.*?\\.)" + name + "\\.(\\d+)\\.").matcher(path));
            if (n >= 0)
                return layers.contains(n);
        }
        return false;
    }

    private static int number(Matcher m) {
        return m.lookingAt() && m.group(1).length() < 9 ? Integer.parseInt(m.group(1)) : -1;
    }

    /// Python spells a named group `(?P<name>`.
    private static Pattern compile(String expression) {
        try {
            return Pattern.compile(expression.replace("(?P<", "(?<"));
        } catch (PatternSyntaxException e) {
            throw new IllegalArgumentException("'" + expression + "' is not a regular expression: " + e.getDescription()
                    + " at " + e.getIndex(), e);
        }
    }

    /// The modules among `paths` that are adapted, in their order.
    ///
    /// @throws IllegalArgumentException when there is none
    public List<String> select(List<String> paths) {
        List<String> selected = paths.stream().filter(this::matches).toList();
        if (selected.isEmpty())
            throw new IllegalArgumentException(this + " match no module; the model has "
                    + paths.stream().map(p -> p.substring(p.lastIndexOf('.') + 1))
                            .collect(Collectors.toCollection(TreeSet::new)));
        return selected;
    }

    /// Entries of a list of targets that match none of `paths`, most likely misspelt; PEFT passes over them.
    public List<String> unmatched(List<String> paths) {
        if (!(targets instanceof Selector.Names n))
            return List.of();
        List<String> idle = new ArrayList<>(n.names());
        idle.removeIf(x -> paths.stream().anyMatch(p -> p.equals(x) || p.endsWith("." + x)));
        return idle;
    }

    @Override
    public String toString() {
        String text = "targets " + text(targets);
        if (exclude != null)
            text += " without " + text(exclude);
        return layers == null || layers.isEmpty() ? text : text + " in layers " + layers;
    }

    private static String text(Selector s) {
        return switch (s) {
            case Selector.Names n -> n.names().toString();
            case Selector.Regex r -> "'" + r.expression() + "'";
            case Selector.AllLinear _ -> "all-linear";
        };
    }
}
