package dev.gyre.trainer.config;

import dev.gyre.kernels.InputException;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.Names;
import dev.gyre.model.options.OneOf;
import dev.gyre.model.options.Regex;
import dev.gyre.model.options.Unlisted;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.hub.HubException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/// Binds a tree of YAML nodes to records.
final class Binder {
    private final ConfigReader.Source source;
    private final boolean inputs;
    private @Nullable Class<?> root;

    /// Carries the annotation of a component that has no limits.
    private record Unlimited(@Key(doc = "") int value) {
    }

    private static final Pattern NUMBER = Pattern.compile("[-+]?(\\d+(\\.\\d*)?|\\.\\d+)([eE][-+]?\\d+)?");
    private static final Key UNLIMITED = Schema.annotation(Unlimited.class.getRecordComponents()[0]);

    /// @param inputs whether files and folders that a run reads must be there
    Binder(ConfigReader.Source source, boolean inputs) {
        this.source = source;
        this.inputs = inputs;
    }

    <R extends Record> R bind(Node node, Class<R> type) {
        root = type;
        return type.cast(section(node, type, ""));
    }

    /// `path` is "" or ends with a dot.
    private Object section(Node node, Class<?> type, String path) {
        if (isNull(node))
            node = ConfigReader.emptyMapping(node.getStartMark().orElse(null));
        if (!(node instanceof MappingNode map))
            throw error(node, (path.isEmpty() ? "the configuration" : name(path)) + " must be a section of keys");
        Map<String, NodeTuple> given = new LinkedHashMap<>();
        for (NodeTuple t : map.getValue()) {
            if (!(t.getKeyNode() instanceof ScalarNode key))
                throw error(t.getKeyNode(), "a key must be a plain word");
            if (given.put(key.getValue(), t) != null)
                throw error(key, "key '" + key.getValue() + "' is given twice" + in(path));
        }
        return type.isAnnotationPresent(OneOf.class) ? choose(map, given, type, path)
                : record(map, given, type, path, null);
    }

    private Object choose(MappingNode map, Map<String, NodeTuple> given, Class<?> type, String path) {
        OneOf oneOf = type.getAnnotation(OneOf.class);
        NodeTuple t = given.remove(oneOf.value());
        List<String> words = Schema.cases(type).stream().map(c -> Schema.caseOf(c).value()).toList();
        if (t == null)
            throw error(map, "'" + path + oneOf.value() + "' is missing: " + String.join(", ", words));
        String word = t.getValueNode() instanceof ScalarNode s ? s.getValue() : "";
        for (Class<?> c : Schema.cases(type))
            if (Schema.caseOf(c).value().equals(word)) {
                if (isSetting(t.getKeyNode()))
                    given.values().removeIf(k -> !isSetting(k.getKeyNode()) && isOnlyOfOthers(k.getKeyNode(), c, type));
                return record(map, given, c, path, oneOf.value());
            }
        String known = Synonyms.method(word);
        throw error(t.getValueNode(), "'" + path + oneOf.value() + "' must be one of " + String.join(", ", words)
                + (known == null ? suggestion(word, words) : "; " + known));
    }

    /// Where a setting chooses another alternative than the file, what the file says for its own alone is void.
    private static boolean isOnlyOfOthers(Node key, Class<?> chosen, Class<?> type) {
        return key instanceof ScalarNode k && !Schema.keys(chosen).contains(k.getValue())
                && Schema.cases(type).stream().anyMatch(c -> Schema.keys(c).contains(k.getValue()));
    }

    private static boolean isSetting(Node key) {
        return key.getStartMark().map(m -> m.getName().startsWith("--set ")).orElse(false);
    }

    private Object record(MappingNode map, Map<String, NodeTuple> given, Class<?> type, String path,
            @Nullable String chooser) {
        List<Schema.Entry> entries = Schema.entries(type);
        List<String> known = Schema.keys(type);
        for (Map.Entry<String, NodeTuple> e : given.entrySet())
            if (!known.contains(e.getKey()))
                throw unknown(e.getValue().getKeyNode(), e.getKey(), known, path, type, chooser);
        Map<List<String>, @Nullable Object> values = new HashMap<>();
        // what is there first: a misspelt key is a better message than the absence of the right one
        for (boolean present : new boolean[] {true, false})
            for (Schema.Entry e : entries)
                if (given.containsKey(e.key()) == present)
                    values.put(e.names(), component(map, given.get(e.key()), e.component(), path));
        try {
            return make(type, List.of(), values, path);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Conflict conflict) {
                NodeTuple at = given.get(conflict.key());
                throw error(at == null ? map : at.getKeyNode(), conflict.getMessage() + in(path));
            }
            if (e.getCause() instanceof RuntimeException x)
                throw x;
            throw new IllegalStateException(e);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    /// Calls the constructor of a record, and before it those of the records inlined in it.
    ///
    /// @param at path of the record
    private Object make(Class<?> type, List<String> at, Map<List<String>, @Nullable Object> values,
            String path) throws ReflectiveOperationException {
        RecordComponent[] components = type.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        @Nullable Object[] arguments = new @Nullable Object[components.length];
        for (int i = 0; i < components.length; i++) {
            RecordComponent c = components[i];
            List<String> here = new ArrayList<>(at);
            here.add(c.getName());
            types[i] = c.getType();
            Unlisted unlisted = c.getAnnotation(Unlisted.class);
            if (c.isAnnotationPresent(Inline.class))
                arguments[i] = make(c.getType(), here, values, path);
            else
                if (values.containsKey(here))
                    arguments[i] = values.get(here);
                else
                    if (unlisted != null)
                        arguments[i] = defaulted(c, UNLIMITED, unlisted.def(), path + Schema.key(c));
                    else
                        arguments[i] =
                                defaulted(c, Schema.annotation(c), Schema.annotation(c).def(), path + Schema.key(c));
        }
        Constructor<?> constructor = type.getDeclaredConstructor(types);
        constructor.setAccessible(true);
        return constructor.newInstance(arguments);
    }

    private @Nullable Object defaulted(RecordComponent c, Key key, String def, String at) {
        Node node = new Compose(LoadSettings.builder().setLabel("default of " + at).build()).composeString(def)
                .orElseThrow();
        return value(node, c.getGenericType(), key, at);
    }

    private @Nullable Object component(MappingNode map, @Nullable NodeTuple given, RecordComponent c, String path) {
        Key key = Schema.annotation(c);
        String at = path + Schema.key(c);
        if (Schema.isSection(c.getType())) {
            Node node = given == null ? ConfigReader.emptyMapping(null) : given.getValueNode();
            return section(node, c.getType(), at + ".");
        }
        if (given != null && !(isNull(given.getValueNode()) && !key.def().equals("null")))
            return value(given.getValueNode(), c.getGenericType(), key, at);
        if (given != null)
            throw error(given.getKeyNode(), "'" + at + "' has no value");
        if (key.def().equals(Key.REQUIRED))
            throw error(map, "'" + at + "' is missing: " + key.doc());
        return defaulted(c, key, key.def(), at);
    }

    private @Nullable Object value(Node node, Type type, Key key, String at) {
        if (isNull(node))
            return null;
        requirePath(node, key, at);
        if (type instanceof ParameterizedType p && p.getRawType() == List.class) {
            if (!(node instanceof SequenceNode seq))
                throw error(node, "'" + at + "' must be a list, such as [a, b]");
            List<Object> out = new ArrayList<>();
            for (Node n : seq.getValue()) {
                Object v = value(n, p.getActualTypeArguments()[0], key, at);
                if (v == null)
                    throw error(n, "'" + at + "' has an empty entry");
                out.add(v);
            }
            return out;
        }
        if (type instanceof ParameterizedType p && p.getRawType() == Map.class)
            return map(node, p.getActualTypeArguments()[1], key, at);
        if (type == Names.class)
            return names(node, key, at);
        if (type == DataFiles.class)
            return dataFiles(node, key, at);
        if (!(node instanceof ScalarNode scalar))
            throw error(node, "'" + at + "' must be a single value");
        if (type instanceof Class<?> c && c.isEnum())
            return enumeration(scalar, c, at);
        return scalar(scalar, type, key, at);
    }

    /// No file has a name with a NUL; and `~` is the shell's, which does not look into files.
    private void requirePath(Node node, Key key, String at) {
        if (!(node instanceof ScalarNode s))
            return;
        if (s.getValue().indexOf('\0') >= 0)
            throw error(node, "'" + at + "' has a NUL character");
        if (inputs && key.input() && s.getValue().startsWith("~/") && !Files.exists(Path.of(s.getValue())))
            throw error(node, "'" + at + "' begins with ~/, which only a shell replaces; write "
                    + Path.of(System.getProperty("user.home", "/home/you")).resolve(s.getValue().substring(2)));
    }

    private Object map(Node node, Type type, Key key, String at) {
        if (!(node instanceof MappingNode map))
            throw error(node, "'" + at + "' must be pairs, such as {a: 1}");
        Map<String, Object> out = new LinkedHashMap<>();
        for (NodeTuple t : map.getValue()) {
            Object v = value(t.getValueNode(), type, key, at);
            if (v == null || !(t.getKeyNode() instanceof ScalarNode k) || out.put(k.getValue(), v) != null)
                throw error(t.getKeyNode(), "'" + at + "' must give each name one value");
        }
        return out;
    }

    private Object dataFiles(Node node, Key key, String at) {
        List<Node> nodes = node instanceof SequenceNode seq ? seq.getValue() : List.of(node);
        List<String> names = new ArrayList<>();
        for (Node n : nodes) {
            if (!(n instanceof ScalarNode s) || s.getValue().isBlank())
                throw error(n, "'" + at + "' must be a file, a folder or a pattern, or a list of them");
            names.add(s.getValue());
        }
        if (names.isEmpty())
            throw error(node, "'" + at + "' lists no file");
        DataFiles files = new DataFiles(names);
        if (inputs && key.input() && files.split() == null)
            for (Node n : nodes) {
                String name = ((ScalarNode) n).getValue();
                if (Files.exists(Path.of(name)))
                    continue;
                if (!DataFiles.isPattern(name))
                    throw missing(n, name, at);
                try {
                    DataFiles.of(name).paths();
                } catch (InputException e) {
                    throw error(n, "'" + at + "': " + e.getMessage());
                }
            }
        return files;
    }

    private ConfigException missing(Node node, String name, String at) {
        return error(node, "'" + at + "' names " + name + ", which is not there (looked in "
                + Path.of("").toAbsolutePath() + ")");
    }

    private Object names(Node node, Key key, String at) {
        if (node instanceof SequenceNode seq) {
            List<String> names = new ArrayList<>();
            for (Node n : seq.getValue()) {
                if (!(n instanceof ScalarNode s) || s.getValue().isBlank())
                    throw error(n, "'" + at + "' must list module names");
                names.add(s.getValue());
            }
            if (names.isEmpty())
                throw error(node, "'" + at + "' lists no module");
            return new Names(names, null);
        }
        if (!(node instanceof ScalarNode s))
            throw error(node, "'" + at + "' must be a list of module names or one regular expression");
        try {
            Regex.of(s.getValue());
        } catch (InputException e) {
            throw error(node, "'" + at + "': " + e.getMessage());
        }
        return new Names(List.of(), s.getValue());
    }

    private Object enumeration(ScalarNode scalar, Class<?> type, String at) {
        List<String> words = new ArrayList<>();
        for (Enum<?> e : Schema.listed(type)) {
            String word = Schema.word(e);
            if (word.equals(scalar.getValue()))
                return e;
            words.add(word);
        }
        throw error(scalar, "'" + at + "' must be one of " + String.join(", ", words)
                + suggestion(scalar.getValue(), words));
    }

    private Object scalar(ScalarNode node, Type type, Key key, String at) {
        String text = node.getValue();
        boolean plain = node.getScalarStyle() == ScalarStyle.PLAIN;
        if (type == String.class) {
            if (inputs && key.model())
                return model(node, text, at);
            if (inputs && key.input() && !Files.exists(Path.of(text)))
                throw missing(node, text, at);
            return text;
        }
        if (type == boolean.class || type == Boolean.class) {
            if (plain && (text.equals("true") || text.equals("false")))
                return text.equals("true");
            throw error(node, "'" + at + "' must be true or false, not " + text);
        }
        if (type == double.class || type == Double.class) {
            double v = plain ? number(text) : Double.NaN;
            if (Double.isNaN(v) || Double.isInfinite(v))
                throw error(node, "'" + at + "' must be a number, not " + shown(node));
            range(node, v, key, at);
            return v == 0 ? 0.0 : v; // -0 is written down as 0
        }
        long v;
        try {
            v = plain ? Long.parseLong(text) : Long.parseLong("quoted");
        } catch (NumberFormatException e) {
            throw error(node, "'" + at + "' must be a whole number, not " + shown(node));
        }
        range(node, v, key, at);
        if (type == long.class || type == Long.class)
            return v;
        if (v != (int) v)
            throw error(node, "'" + at + "' must be between " + Integer.MIN_VALUE + " and " + Integer.MAX_VALUE);
        if (type == int.class || type == Integer.class)
            return (int) v;
        throw new IllegalStateException(at + ": no binding for " + type);
    }

    /// A model that is there, or its place in the cache from now on, whatever the hub's branch does meanwhile.
    private String model(ScalarNode node, String text, String at) {
        try {
            if (Files.exists(Hub.directory(Path.of(text))))
                return Hub.pinned(text);
        } catch (HubException e) {
            throw error(node, "'" + at + "' names " + e.getMessage());
        }
        throw error(node, "'" + at + "' names " + text + ", which is not there (looked in "
                + Path.of("").toAbsolutePath() + ")");
    }

    private static double number(String text) {
        // Double.parseDouble also takes hexadecimal and a type suffix, which YAML does not
        if (!NUMBER.matcher(text).matches())
            return Double.NaN;
        return Double.parseDouble(text);
    }

    private static String shown(ScalarNode node) {
        return node.getScalarStyle() == ScalarStyle.PLAIN ? node.getValue() : "the text \"" + node.getValue() + "\"";
    }

    private void range(Node node, double v, Key key, String at) {
        if (v >= key.min() && v <= key.max())
            return;
        String limits = key.max() == Double.POSITIVE_INFINITY ? "at least " + ConfigWriter.number(key.min())
                : "between " + ConfigWriter.number(key.min()) + " and " + ConfigWriter.number(key.max());
        throw error(node, "'" + at + "' must be " + limits + ", not " + ((ScalarNode) node).getValue());
    }

    private ConfigException unknown(Node at, String key, List<String> known, String path, Class<?> type,
            @Nullable String chooser) {
        String where = path.isEmpty() ? "" : " in " + name(path);
        if (chooser != null)
            where += " (" + chooser + ": " + Schema.caseOf(type).value() + ")";
        String near = Schema.nearest(key, known);
        String hint;
        List<String> homes = root == null ? List.of() : Schema.homes(root, key, "");
        String ours = Synonyms.key(key);
        if (ours != null && homes.isEmpty())
            hint = "; here it is " + ours;
        else
            if (path.isEmpty() && isOf(key, RunConfig.class) && type == SweepConfig.class)
                hint = "; this is a configuration of gyre train, not a sweep";
            else
                if (path.isEmpty() && isOf(key, SweepConfig.class) && type != SweepConfig.class)
                    hint = "; this is a sweep: gyre sweep FILE";
                else
                    hint = hint(key, known, path, near, homes, chooser);
        return error(at, "unknown key '" + key + "'" + where + hint);
    }

    private static boolean isOf(String key, Class<?> type) {
        return Schema.keys(type).contains(key);
    }

    private static String hint(String key, List<String> known, String path, @Nullable String near, List<String> homes,
            @Nullable String chooser) {
        if (near != null)
            return "; did you mean '" + near + "'?";
        if (homes.contains(path + key))
            return "; it belongs to another " + chooser;
        if (!homes.isEmpty())
            return "; it belongs to '" + homes.getFirst() + "'";
        return known.isEmpty() ? "; there are no keys here"
                : "; known keys: " + known.stream().collect(Collectors.joining(", "));
    }

    private static String suggestion(String word, List<String> words) {
        String near = Schema.nearest(word, words);
        return near == null ? word.isEmpty() ? "" : ", not " + word : "; did you mean " + near + "?";
    }

    private static String name(String path) {
        return path.substring(0, path.length() - 1);
    }

    private static String in(String path) {
        return path.isEmpty() ? "" : " (in " + name(path) + ")";
    }

    private static boolean isNull(Node node) {
        return node.getTag().equals(Tag.NULL);
    }

    private ConfigException error(Node node, String message) {
        Mark mark = node.getStartMark().orElse(null);
        int width = node instanceof ScalarNode s ? s.getValue().length() : 1;
        return source.error(mark, width, message);
    }
}
