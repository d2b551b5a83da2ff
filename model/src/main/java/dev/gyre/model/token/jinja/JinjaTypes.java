package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Values of templates that Java has no type for. None is null, whole numbers are Long, others Double, texts String, lists
/// List.
final class JinjaTypes {
    private JinjaTypes() {
    }

    /// Whether two values are one object, which Python asks before it compares.
    @SuppressWarnings("ReferenceEquality")
    static boolean identical(@Nullable Object a, @Nullable Object b) {
        return a == b;
    }

    /// A name that stands for nothing: empty as text, false as a condition, an error when looked into.
    record Undefined(String why) {
        static Undefined name(String name) {
            return new Undefined("'" + name + "' is undefined");
        }

        Problem problem() {
            return new Problem(why);
        }
    }

    /// A text that filters marked as HTML; a text that is added to it is escaped.
    record Markup(String text) {
    }

    record Tuple(List<@Nullable Object> items, List<String> names) {
        Tuple(List<@Nullable Object> items) {
            this(items, List.of());
        }
    }

    record Range(long from, long to, long step) {
        long size() {
            return step > 0 ? from < to ? (to - from - 1) / step + 1 : 0 : from > to ? (from - to - 1) / -step + 1 : 0;
        }
    }

    /// A Python dict: 1, 1.0 and true are one key, which is written as it was first.
    static final class Dict {
        record Entry(@Nullable Object key, @Nullable Object value) {
        }

        private final Map<@Nullable Object, Entry> entries = new LinkedHashMap<>();
        /// The Java value that this one was made of, to know it again.
        final @Nullable Object origin;

        Dict(@Nullable Object origin) {
            this.origin = origin;
        }

        Dict() {
            this(null);
        }

        void put(@Nullable Object key, @Nullable Object value) {
            Object k = key(key);
            Entry before = entries.get(k);
            entries.put(k, new Entry(before == null ? key : before.key, value));
        }

        @Nullable
        Entry get(@Nullable Object key) {
            return entries.get(key(key));
        }

        boolean has(@Nullable Object key) {
            return get(key) != null;
        }

        int size() {
            return entries.size();
        }

        Iterable<Entry> entries() {
            return entries.values();
        }

        List<Entry> list() {
            return new ArrayList<>(entries.values());
        }
    }

    private record TupleKey(List<@Nullable Object> keys) {
    }

    /// What Python's hash and equality see of a key.
    static @Nullable Object key(@Nullable Object v) {
        return key(v, 0);
    }

    private static @Nullable Object key(@Nullable Object v, int depth) {
        if (depth > JinjaBudget.DEPTH / 4)
            throw new Problem("a key of more than " + depth + " tuples inside each other");
        return switch (v) {
            case null -> null;
            case Boolean b -> b ? 1L : 0L;
            case Double d when d == Math.rint(d) && Math.abs(d) < 0x1p62 -> (long) (double) d;
            case Markup m -> m.text();
            case Undefined _ -> Undefined.class;
            case Tuple t -> {
                List<@Nullable Object> keys = new ArrayList<>();
                for (Object item : t.items())
                    keys.add(key(item, depth + 1));
                yield new TupleKey(keys);
            }
            case List<?> _ -> throw new Problem("a list cannot be a key");
            case Dict _ -> throw new Problem("a mapping cannot be a key");
            default -> v;
        };
    }

    enum Part {
        KEYS, VALUES, ITEMS
    }

    /// `d.keys()`, `d.values()`, `d.items()`
    record View(Dict of, Part part) {
        @Nullable
        Object of(Dict.Entry e) {
            return switch (part) {
                case KEYS -> e.key();
                case VALUES -> e.value();
                case ITEMS -> {
                    List<@Nullable Object> pair = new ArrayList<>();
                    pair.add(e.key());
                    pair.add(e.value());
                    yield new Tuple(pair);
                }
            };
        }
    }

    /// A Python generator: it goes through its items once, and makes each when it is asked for.
    static final class Stream implements Iterator<@Nullable Object> {
        private final JinjaBudget budget;
        private final Supplier<Iterator<@Nullable Object>> start;
        private @Nullable Iterator<@Nullable Object> items;

        Stream(JinjaBudget budget, Supplier<Iterator<@Nullable Object>> start) {
            this.budget = budget;
            this.start = start;
        }

        private Iterator<@Nullable Object> items() {
            Iterator<@Nullable Object> i = items;
            if (i == null) {
                i = start.get();
                items = i;
            }
            return i;
        }

        @Override
        public boolean hasNext() {
            budget.enter();
            budget.step();
            boolean more = items().hasNext();
            budget.leave();
            return more;
        }

        @Override
        public @Nullable Object next() {
            budget.enter();
            Object next = items().next();
            budget.leave();
            return next;
        }
    }

    /// `namespace(...)`: the one value whose attributes a template can set.
    record Namespace(Dict values) {
    }

    record Arguments(List<@Nullable Object> positional, Map<String, @Nullable Object> named) {
    }

    /// A function, method or macro.
    static class Callable {
        final String name;
        private final java.util.function.Function<Arguments, @Nullable Object> body;

        Callable(String name, java.util.function.Function<Arguments, @Nullable Object> body) {
            this.name = name;
            this.body = body;
        }

        @Nullable
        Object call(Arguments a) {
            return body.apply(a);
        }
    }

    /// `cycler(...)`
    static final class Cycler {
        final List<@Nullable Object> items;
        int at;

        Cycler(List<@Nullable Object> items) {
            this.items = items;
        }
    }

    /// `loop`
    static final class Loop {
        final Iterator<@Nullable Object> items;
        final int depth;
        final @Nullable Callable recurse;
        private final List<@Nullable Object> ahead = new ArrayList<>();
        @Nullable
        Object before;
        @Nullable
        Object now;
        int index = -1;
        @Nullable
        List<@Nullable Object> changed;

        Loop(Iterator<@Nullable Object> items, int depth, @Nullable Callable recurse) {
            this.items = items;
            this.depth = depth;
            this.recurse = recurse;
        }

        boolean advance() {
            if (!more())
                return false;
            index++;
            before = now;
            now = ahead.removeFirst();
            return true;
        }

        boolean more() {
            if (ahead.isEmpty() && items.hasNext())
                ahead.add(items.next());
            return !ahead.isEmpty();
        }

        @Nullable
        Object following() {
            return more() ? ahead.getFirst() : new Undefined("there is no next item");
        }

        long length() {
            while (items.hasNext())
                ahead.add(items.next());
            return index + 1L + ahead.size();
        }
    }
}
