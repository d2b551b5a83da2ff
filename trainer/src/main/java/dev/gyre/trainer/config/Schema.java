package dev.gyre.trainer.config;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
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

    /// Keys of a record, in order.
    static List<String> keys(Class<?> record) {
        return Arrays.stream(record.getRecordComponents()).map(Schema::key).toList();
    }

    /// Whether `record` has a key of that name.
    public static boolean has(Class<?> record, String key) {
        return keys(record).contains(key);
    }

    static String word(Enum<?> e) {
        return e.name().toLowerCase(Locale.ROOT);
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
        List<Class<?>> out = new ArrayList<>();
        for (Class<?> c : oneOf.getPermittedSubclasses())
            if (c.isRecord())
                out.add(c);
            else
                out.addAll(cases(c));
        return out;
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
        return type.isRecord() && type != Names.class || type.isAnnotationPresent(OneOf.class);
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
        for (RecordComponent c : type.getRecordComponents()) {
            if (key(c).equals(key))
                found.add(prefix + key);
            if (isSection(c.getType()))
                found.addAll(homes(c.getType(), key, prefix + key(c) + "."));
        }
        return found;
    }

    /// The candidate that a typing mistake away from `word` (Damerau-Levenshtein, at most a third of its letters), or null.
    public static @Nullable String nearest(String word, List<String> candidates) {
        String best = null;
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
