package dev.gyre.trainer.config;

import dev.gyre.model.files.Inputs;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.common.FlowStyle;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.events.AliasEvent;
import org.snakeyaml.engine.v2.events.CollectionEndEvent;
import org.snakeyaml.engine.v2.events.CollectionStartEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/// YAML to configuration records. Strict: unknown and repeated keys, wrong types, numbers out of range and values that
/// contradict each other end in a [ConfigException] that points at the character.
public final class ConfigReader {
    /// Bytes of a file.
    private static final long LIMIT = 1 << 20;
    /// Sections and lists in each other; ours have four.
    private static final int DEPTH = 64;
    /// Uses of anchors: each stands for all that it names.
    private static final int ALIASES = 1000;
    /// Characters of a line, and of a message, that are shown.
    private static final int SHOWN = 160;
    private static final int LONG = 600;

    private ConfigReader() {
    }

    /// Reads `file`, then lays `overrides` (`train.lr=3e-4`, values in YAML) over it.
    public static <R extends Record> R read(Path file, Class<R> type, List<String> overrides) {
        requireKind(file, type);
        return parse(file.toString(), text(file), type, overrides);
    }

    /// Commands that read runs of language models say so of others, before they complain of keys.
    private static void requireKind(Path file, Class<?> type) {
        if (type == RunConfig.class && has(file, "task"))
            throw new ConfigException(file
                    + ": has a section task, and this is for runs of language models; runs with a"
                    + " task have check, plan, train, watch, report, sweep, compare, eval, classify, embed and merge"
                    + " (docs/tasks.md)");
    }

    private static String text(Path file) {
        if (Inputs.isSpecial(file))
            throw new ConfigException(file + ": is a pipe, a socket or a device, not a file; name a configuration");
        try {
            if (Files.size(file) > LIMIT)
                throw new ConfigException(file + ": larger than " + LIMIT + " bytes, which no configuration is");
            return Files.readString(file);
        } catch (NoSuchFileException e) {
            throw new ConfigException(file + ": no such file (looked in " + Path.of("").toAbsolutePath() + ")");
        } catch (CharacterCodingException e) {
            throw new ConfigException(file + ": not UTF-8 text; save it as UTF-8");
        } catch (IOException e) {
            if (Files.isDirectory(file))
                throw new ConfigException(file + ": is a folder; name a configuration, such as "
                        + file.resolve("run.yaml"));
            throw new ConfigException(file + ": cannot be read: " + e);
        }
    }

    /// As [#read], then looks whether everything that `file` names for reading is there; where not, the message points at
    /// the name.
    public static <R extends Record> R readWithInputs(Path file, Class<R> type, List<String> overrides) {
        requireKind(file, type);
        return parseWithInputs(file.toString(), text(file), type, overrides);
    }

    /// As [#readWithInputs], with the text at hand.
    public static <R extends Record> R parseWithInputs(String name, String text, Class<R> type,
            List<String> overrides) {
        bind(name, text, type, overrides, false); // what is wrong in the file comes before what is not there
        return bind(name, text, type, overrides, true);
    }

    /// Whether `file` has `key` at its top level, which tells kinds of configurations apart.
    public static boolean has(Path file, String key) {
        return compose(new Source(file.toString(), text(file))) instanceof MappingNode m && m.getValue().stream()
                .anyMatch(t -> t.getKeyNode() instanceof ScalarNode s && s.getValue().equals(key));
    }

    /// As [#read], of a text; messages call it `name`.
    public static <R extends Record> R parse(String name, String text, Class<R> type, List<String> overrides) {
        return bind(name, text, type, overrides, false);
    }

    private static <R extends Record> R bind(String name, String text, Class<R> type, List<String> overrides,
            boolean inputs) {
        Source source = new Source(name, text);
        Node root = compose(source);
        for (String o : overrides)
            root = override(root, o);
        return new Binder(source, inputs).bind(root, type);
    }

    private static Node compose(Source source) {
        try {
            requireShallow(source);
            Optional<Node> node = new Compose(settings(source.name())).composeString(source.text());
            return node.orElseGet(() -> emptyMapping(null));
        } catch (MarkedYamlEngineException e) {
            Mark mark = e.getProblemMark().or(e::getContextMark).orElse(null);
            String problem = e.getProblem() == null ? "not valid YAML" : "not valid YAML: " + e.getProblem();
            throw source.error(mark, 1, problem);
        } catch (YamlEngineException e) {
            throw new ConfigException(source.name() + ": not valid YAML: " + firstLine(e.getMessage()));
        }
    }

    /// Composing nodes and binding them go down by recursion, so this looks at the events first.
    private static void requireShallow(Source source) {
        int depth = 0;
        int aliases = 0;
        for (Event e : new Parse(settings(source.name())).parseString(source.text())) {
            if (e instanceof CollectionStartEvent && ++depth > DEPTH)
                throw source.error(e.getStartMark().orElse(null), 1, "nested more than " + DEPTH + " deep");
            if (e instanceof CollectionEndEvent)
                depth--;
            if (e instanceof AliasEvent && ++aliases > ALIASES)
                throw source.error(e.getStartMark().orElse(null), 1, "more than " + ALIASES + " aliases");
        }
    }

    private static String firstLine(@Nullable String s) {
        return s == null ? "" : s.lines().findFirst().orElse("");
    }

    private static LoadSettings settings(String label) {
        return LoadSettings.builder().setLabel(label).setUseMarks(true).setAllowDuplicateKeys(true).build();
    }

    /// A mapping of nothing, at `mark`.
    static MappingNode emptyMapping(@Nullable Mark mark) {
        return new MappingNode(Tag.MAP, true, new ArrayList<>(), FlowStyle.BLOCK, Optional.ofNullable(mark),
                Optional.empty());
    }

    private static Node override(Node root, String setting) {
        int eq = setting.indexOf('=');
        String path = eq < 0 ? setting : setting.substring(0, eq).strip();
        if (eq < 0 || path.isEmpty())
            throw new ConfigException("--set " + setting + ": needs the form key.path=value");
        Source source = new Source("--set " + setting, setting.substring(eq + 1));
        Node value = compose(source);
        if (source.text().isBlank())
            value = new ScalarNode(Tag.NULL, "", ScalarStyle.PLAIN);
        Mark mark = new Mark(source.name(), 0, 0, 0, new int[0], 0);
        Node top = root instanceof MappingNode ? root : emptyMapping(mark);
        MappingNode at = (MappingNode) top;
        String[] keys = path.split("\\.", -1);
        for (int i = 0; i < keys.length; i++) {
            ScalarNode key =
                    new ScalarNode(Tag.STR, true, keys[i], ScalarStyle.PLAIN, Optional.of(mark), Optional.of(mark));
            String name = keys[i];
            Node below = null;
            for (NodeTuple t : at.getValue())
                if (t.getKeyNode() instanceof ScalarNode s && s.getValue().equals(name))
                    below = t.getValueNode();
            boolean last = i == keys.length - 1;
            Node next = last ? value : below instanceof MappingNode ? below : emptyMapping(mark);
            if (last || !(below instanceof MappingNode)) {
                List<NodeTuple> tuples = new ArrayList<>(at.getValue());
                tuples.removeIf(t -> t.getKeyNode() instanceof ScalarNode s && s.getValue().equals(name));
                tuples.add(new NodeTuple(key, next));
                at.setValue(tuples);
            }
            if (next instanceof MappingNode m)
                at = m;
        }
        return top;
    }

    /// In one line, whatever the values have that it shows.
    private static String cut(String message) {
        String s = message.replaceAll("\\s*\\R\\s*", " ");
        return s.length() <= LONG ? s : s.substring(0, LONG - 3) + "...";
    }

    /// A text with a name, able to show one of its lines under a message.
    record Source(String name, String text) {
        /// `name:line:col: message`, then the line with `width` carets under the place.
        ConfigException error(@Nullable Mark mark, int width, String message) {
            if (mark == null)
                return new ConfigException(name + ": " + cut(message));
            if (mark.getName().startsWith("--set "))
                return new ConfigException(cut(mark.getName()) + ": " + cut(message));
            int line = mark.getLine();
            int column = mark.getColumn();
            List<String> lines = text.lines().toList();
            String head = name + ":" + (line + 1) + ":" + (column + 1) + ": " + cut(message);
            if (line >= lines.size())
                return new ConfigException(head);
            String shown = lines.get(line).replace('\t', ' ');
            if (shown.length() > SHOWN) {
                int from = Math.clamp(column - SHOWN / 2, 0, shown.length() - SHOWN);
                shown = shown.substring(from, from + SHOWN);
                column -= from;
            }
            String number = String.valueOf(line + 1);
            int carets = Math.max(1, Math.min(width, shown.length() - column));
            return new ConfigException(head + "\n  " + number + " | " + shown + "\n  " + " ".repeat(number.length())
                    + " | " + " ".repeat(column) + "^".repeat(carets));
        }
    }
}
