package dev.gyre.trainer.config;

import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.Names;
import dev.gyre.model.options.OneOf;
import dev.gyre.model.options.Unlisted;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What reader and writer both need to know of configuration records.
public final class Schema {
    private Schema() {
    }

    /// `blockSize` is written `block_size`.
    static String key(RecordComponent c) {
        StringBuilder s = new StringBuilder();
        for (char ch : c.getName().toCharArray())
            if (Character.isUpperCase(ch))
                s.append('_').append(Character.toLowerCase(ch));
            else
                s.append(ch);
        return s.toString();
    }

    /// One key of a section: the component that it gives, in the section's record or in a record inlined there.
    ///
    /// @param path from the section's record to the component
    record Entry(List<RecordComponent> path) {
        RecordComponent component() {
            return path.getLast();
        }

        /// [#path] by names, of which there are no two alike: components have no equality.
        List<String> names() {
            return path.stream().map(RecordComponent::getName).toList();
        }

        String key() {
            return Schema.key(component());
        }

        Key annotation() {
            return Schema.annotation(component());
        }

        boolean isSection() {
            return Schema.isSection(component().getType());
        }

        @Nullable
        Object of(Object section) {
            Object at = section;
            for (RecordComponent c : path)
                at = at == null ? null : get(c, at);
            return at;
        }
    }

    /// The keys of a record in order, those of inlined records among them.
    static List<Entry> entries(Class<?> record) {
        List<Entry> out = new ArrayList<>();
        entries(record, List.of(), Set.of(), out);
        return out;
    }

    private static void entries(Class<?> record, List<RecordComponent> above, Set<String> without, List<Entry> out) {
        for (RecordComponent c : record.getRecordComponents()) {
            List<RecordComponent> path = new ArrayList<>(above);
            path.add(c);
            Inline inline = c.getAnnotation(Inline.class);
            if (inline != null)
                entries(c.getType(), path, Set.of(inline.without()), out);
            else
                if (!c.isAnnotationPresent(Unlisted.class) && !without.contains(c.getName()))
                    out.add(new Entry(List.copyOf(path)));
        }
    }

    /// Keys of a record, in order.
    static List<String> keys(Class<?> record) {
        return entries(record).stream().map(Entry::key).toList();
    }

    /// Whether `record` has a key of that name.
    public static boolean has(Class<?> record, String key) {
        return keys(record).contains(key);
    }

    static String word(Enum<?> e) {
        return e.name().toLowerCase(Locale.ROOT);
    }

    /// The constants that a configuration may name.
    static List<Enum<?>> listed(Class<?> type) {
        List<Enum<?>> out = new ArrayList<>();
        for (Object o : type.getEnumConstants()) {
            Enum<?> e = (Enum<?>) o;
            try {
                if (!type.getField(e.name()).isAnnotationPresent(Unlisted.class))
                    out.add(e);
            } catch (NoSuchFieldException x) {
                throw new IllegalStateException(x);
            }
        }
        return out;
    }

    static Key annotation(RecordComponent c) {
        Key k = c.getAnnotation(Key.class);
        if (k == null)
            throw new IllegalStateException(
                    c.getDeclaringRecord().getSimpleName() + "." + c.getName() + " has no @Key");
        return k;
    }

    /// The values of the choosing key and the records they select.
    static List<Class<?>> cases(Class<?> oneOf) {
        try {
            return oneOf.getAnnotation(OneOf.class).cases().getDeclaredConstructor().newInstance().all();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    /// The key that selected `record` among its siblings.
    static String chooser(Class<?> record) {
        for (Class<?> i : record.getInterfaces()) {
            OneOf o = i.getAnnotation(OneOf.class);
            String above = o != null ? o.value() : chooser(i);
            if (!above.isEmpty())
                return above;
        }
        return "";
    }

    /// The words among which [#chooser] chose `record`, its own included.
    static List<String> siblings(Class<?> record) {
        for (Class<?> i : record.getInterfaces()) {
            if (i.isAnnotationPresent(OneOf.class))
                return cases(i).stream().map(c -> caseOf(c).value()).toList();
            List<String> above = siblings(i);
            if (!above.isEmpty())
                return above;
        }
        return List.of();
    }

    static OneOf.Case caseOf(Class<?> record) {
        OneOf.Case c = record.getAnnotation(OneOf.Case.class);
        if (c == null)
            throw new IllegalStateException(record.getSimpleName() + " has no @OneOf.Case");
        return c;
    }

    static boolean isSection(Class<?> type) {
        return type.isRecord() && type != Names.class && type != DataFiles.class
                || type.isAnnotationPresent(OneOf.class);
    }

    static @Nullable Object get(RecordComponent c, Object record) {
        try {
            c.getAccessor().setAccessible(true);
            return c.getAccessor().invoke(record);
        } catch (IllegalAccessException | InvocationTargetException e) {
            throw new IllegalStateException(e);
        }
    }

    /// Paths of all keys named `key` below `type`: where a misplaced key belongs.
    static List<String> homes(Class<?> type, String key, String prefix) {
        List<String> found = new ArrayList<>();
        if (type.isAnnotationPresent(OneOf.class)) {
            for (Class<?> c : cases(type))
                found.addAll(homes(c, key, prefix));
            return found;
        }
        for (Entry e : entries(type)) {
            if (e.key().equals(key))
                found.add(prefix + key);
            if (e.isSection())
                found.addAll(homes(e.component().getType(), key, prefix + e.key() + "."));
        }
        return found;
    }

    /// The candidate that a typing mistake away from `word` (Damerau-Levenshtein, at most a third of its letters), or null.
    public static @Nullable String nearest(String word, List<String> candidates) {
        String best = null;
        if (word.length() > 64)
            return null; // no key, and the table of distances would be as long as the word
        int least = Math.max(1, word.length() / 3) + 1;
        for (String c : candidates) {
            int d = distance(word.toLowerCase(Locale.ROOT).replace('-', '_'), c);
            if (d < least) {
                least = d;
                best = c;
            }
        }
        return best;
    }

    private static int distance(String a, String b) {
        int[][] d = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++)
            for (int j = 0; j <= b.length(); j++) {
                if (i == 0 || j == 0) {
                    d[i][j] = i + j;
                    continue;
                }
                int same = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
                d[i][j] = Math.min(Math.min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + same);
                if (i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1))
                    d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
            }
        return d[a.length()][b.length()];
    }
}
