package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.Names;
import dev.gyre.model.options.Regex;
import dev.gyre.model.options.Unlisted;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Which modules an adapter sits on, by PEFT's rules over module paths such as `model.layers.0.self_attn.q_proj`, and what
/// of the model is trained whole with it. Part of every method's options.
///
/// @param targets what is adapted
/// @param exclude what is left out although `targets` matches it; null for nothing
/// @param bias biases that are trained as well
/// @param layers numbers of the layers to adapt; empty for all. A module named by its whole path is adapted whatever
///        its layer
/// @param layersPattern names of the lists that `layers` counts in, e.g. "layers"; empty for the first number in a path
/// @param modulesToSave modules trained and saved whole; nothing in or below them is adapted
/// @param tokens rows of embedding or output head that the adapter replaces, by PEFT's name of the module
///        (`trainable_token_indices`)
/// @param tied whether a module trained whole stays tied to the other end of a tied embedding (`ensure_weight_tying`)
public record Targets(
        @Key(doc = "adapted modules: names, a regular expression for the whole path, or all-linear",
                def = "all-linear") Names targets,
        @Key(doc = "modules left out, in the same forms", def = "null") @Nullable Names exclude,
        @Key(doc = "biases trained as well: none, adapted (of adapted modules), all", def = "none") Bias bias,
        @Key(doc = "layer numbers to adapt; empty: all", def = "[]", min = 0) List<Integer> layers,
        @Unlisted(def = "[]") List<String> layersPattern,
        @Unlisted(def = "[]") List<String> modulesToSave,
        @Unlisted(def = "{}") Map<String, List<Integer>> tokens, @Unlisted(def = "false") boolean tied) {
    private static final Regex FIRST_NUMBER = Regex.of(".*?\\.[^.]*\\.(\\d+)\\.");

    /// Biases trained with an adapter.
    public enum Bias {
        NONE, ADAPTED, ALL
    }

    public Targets {
        if (!layers.isEmpty() && targets.pattern() != null && !targets.isAllLinear())
            throw new Conflict("layers",
                    "layers needs targets as a list or all-linear; a regular expression names its layers itself");
        layers = List.copyOf(layers);
        layersPattern = List.copyOf(layersPattern);
        modulesToSave = List.copyOf(modulesToSave);
        tokens = Map.copyOf(tokens);
    }

    public Targets(Names targets, @Nullable Names exclude, Bias bias, List<Integer> layers, List<String> layersPattern,
            List<String> modulesToSave) {
        this(targets, exclude, bias, layers, layersPattern, modulesToSave, Map.of(), false);
    }

    public static Targets of(Names targets) {
        return new Targets(targets, null, Bias.NONE, List.of(), List.of(), List.of());
    }

    public static Targets names(String... names) {
        return of(Names.of(names));
    }

    public static Targets allLinear() {
        return of(Names.allLinear());
    }

    /// PEFT's default for Llama, Mistral, Qwen2 and Qwen3 in every method.
    public static Targets defaults() {
        return names("q_proj", "v_proj");
    }

    public Targets with(Bias b) {
        return new Targets(targets, exclude, b, layers, layersPattern, modulesToSave, tokens, tied);
    }

    /// The same with modules that are trained and saved whole.
    public Targets saving(String... modules) {
        return new Targets(targets, exclude, bias, layers, layersPattern, List.of(modules), tokens, tied);
    }

    /// Whether a module is adapted.
    public boolean matches(String path) {
        if (exclude != null && exclude.matches(path) || modulesToSave.stream().anyMatch(m -> within(m, path)))
            return false;
        return targets.list().contains(path) || targets.matches(path) && inLayers(path);
    }

    private static boolean within(String module, String path) {
        return path.equals(module) || path.endsWith("." + module) || path.startsWith(module + ".")
                || path.contains("." + module + ".");
    }

    private boolean inLayers(String path) {
        if (layers.isEmpty())
            return true;
        if (layersPattern.isEmpty())
            return layers.contains(number(FIRST_NUMBER, path));
        for (String name : layersPattern) {
            int n = number(inList(name), path);
            if (n >= 0)
                return layers.contains(n);
        }
        return false;
    }

    private static Regex inList(String name) {
        return Regex.of("(?:^|.*?\\.)" + name + "\\.(\\d+)\\.");
    }

    private static int number(Regex r, String path) {
        MatchResult m = r.atStart(path);
        return m != null && m.group(1) != null && m.group(1).length() < 9
                && m.group(1).chars().allMatch(Character::isDigit)
                        ? Integer.parseInt(m.group(1)) : -1;
    }

    /// What of the options matches nothing in a model, most likely misspelt, one text each: entries of lists, expressions,
    /// layer numbers, and the keys of `patterns`, which belong to adapted modules. PEFT ignores them. Targets have
    /// [#unmatched].
    List<String> idle(Map<String, Set<String>> patterns, Sites model) {
        List<String> paths = paths(model);
        List<String> out = new ArrayList<>();
        if (exclude != null) {
            List<String> names = exclude.pattern() == null ? of(exclude).unmatched(paths)
                    : paths.stream().anyMatch(exclude::matches) ? List.of() : List.of(exclude.pattern());
            if (!names.isEmpty())
                out.add("exclude " + names + " matches no module");
        }
        List<String> lists = layersPattern.stream().filter(name -> paths.stream()
                .allMatch(p -> number(inList(name), p) < 0)).toList();
        if (!lists.isEmpty())
            out.add("layers_pattern " + lists + " matches no list of layers");
        List<Regex> numbers =
                layersPattern.isEmpty() ? List.of(FIRST_NUMBER) : layersPattern.stream().map(Targets::inList).toList();
        List<Integer> missing = layers.stream()
                .filter(n -> paths.stream().allMatch(p -> numbers.stream().allMatch(r -> number(r, p) != n))).toList();
        if (lists.isEmpty() && !missing.isEmpty())
            out.add("layers " + missing + " has no module, the model has fewer layers");
        List<String> savable = new ArrayList<>(paths);
        model.others().keySet().forEach(w -> savable.add(w.substring(0, w.lastIndexOf('.'))));
        List<String> unsaved = modulesToSave.stream()
                .filter(m -> savable.stream().noneMatch(p -> p.endsWith(m) || p.contains(m + "."))).toList();
        if (!unsaved.isEmpty())
            out.add("modules_to_save " + unsaved + " matches no module");
        List<String> adapted = paths.stream().filter(this::matches).toList();
        new TreeMap<>(patterns).forEach((key, names) -> {
            List<String> unused =
                    names.stream().filter(x -> adapted.stream().noneMatch(p -> matchesEnd(key, x, p))).toList();
            if (!unused.isEmpty())
                out.add(key + " " + unused + " matches no adapted module");
        });
        return out;
    }

    /// Whether an expression matches a module's path, or the end of it after a dot: how PEFT reads `rank_pattern`.
    ///
    /// @param key of the configuration, for messages
    public static boolean matchesEnd(String key, String expression, String path) {
        try {
            return Regex.of("(.*\\.)?(" + expression + ")$").matches(path);
        } catch (InputException e) {
            throw new InputException(key + ": " + e.getMessage(), e);
        }
    }

    /// The modules among `paths` that are adapted, in their order.
    ///
    /// @throws InputException when there is none
    public List<String> select(List<String> paths) {
        List<String> selected = paths.stream().filter(this::matches).toList();
        if (selected.isEmpty())
            throw new InputException(this + " match no module; the model has "
                    + paths.stream().map(p -> p.substring(p.lastIndexOf('.') + 1))
                            .collect(Collectors.toCollection(TreeSet::new)));
        return selected;
    }

    /// Entries of a list of targets that match none of `paths`, most likely misspelt; PEFT ignores them.
    public List<String> unmatched(List<String> paths) {
        return targets.list().stream().filter(x -> paths.stream().noneMatch(p -> p.equals(x) || p.endsWith("." + x)))
                .toList();
    }

    /// The modules of `model` that are adapted, in its order.
    List<Site> on(Sites model) {
        List<String> selected = select(paths(model));
        return all(model).stream().filter(i -> selected.contains(i.path())).toList();
    }

    List<String> unmatched(Sites model) {
        return unmatched(paths(model));
    }

    private static List<String> paths(Sites model) {
        return all(model).stream().map(Site::path).toList();
    }

    private static List<Site> all(Sites model) {
        return model.adaptable();
    }

    /// Without the names of heads that PEFT writes for every model that classifies, whatever its own head is called.
    Targets withoutUsualHeads(Sites model) {
        return model.taskType().equals("CAUSAL_LM") ? this
                : saving(modulesToSave.stream().filter(m -> !m.equals("classifier") && !m.equals("score"))
                        .toArray(String[]::new));
    }

    boolean trainsBias(Site site, boolean adapted) {
        return site.bias() && (bias == Bias.ALL || adapted && bias == Bias.ADAPTED);
    }

    /// The same with trained tokens and tying.
    Targets with(Map<String, List<Integer>> t, boolean tie) {
        return new Targets(targets, exclude, bias, layers, layersPattern, modulesToSave, t, tie);
    }

    /// Whether a module, or one that it lies in, is trained and saved whole. PEFT compares ends of paths: `norm` is also
    /// `input_layernorm`.
    boolean saves(String path) {
        for (int end = path.length(); end > 0; end = path.lastIndexOf('.', end - 1)) {
            String module = path.substring(0, end);
            if (modulesToSave.stream().anyMatch(module::endsWith))
                return true;
        }
        return false;
    }

    @Override
    public String toString() {
        String text = "targets " + targets;
        if (exclude != null)
            text += " without " + exclude;
        return layers.isEmpty() ? text : text + " in layers " + layers;
    }
}
