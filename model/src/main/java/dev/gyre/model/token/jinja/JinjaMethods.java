package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSignature.Bound;
import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Arguments;
import dev.gyre.model.token.jinja.JinjaTypes.Callable;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiPredicate;
import org.jspecify.annotations.Nullable;

/// Python's methods of texts and lists, each with its parameters.
final class JinjaMethods {
    private interface Body {
        @Nullable
        Object apply(JinjaValues v, String s, Bound b);
    }

    private record Entry(JinjaSignature signature, Body body) {
    }

    private static final Map<String, Entry> TEXT = new HashMap<>();
    private static final Set<String> UNSUPPORTED = Set.of("encode", "isidentifier", "maketrans", "translate");
    /// Methods whose result of a text marked as safe is so too; those that take or make more are not supported on it.
    private static final Set<String> SAFE = Set.of("strip", "lstrip", "rstrip", "upper", "lower", "capitalize", "title",
            "swapcase", "removeprefix", "removesuffix", "zfill", "expandtabs", "split", "rsplit", "splitlines");
    private static final Set<String> PLAIN = Set.of("startswith", "endswith", "find", "rfind", "index", "rindex",
            "count");
    private static final Object NEEDED = JinjaSignature.NEEDED;

    static {
        JinjaSignature none = JinjaSignature.of();
        JinjaSignature chars = JinjaSignature.positional("chars", null);
        JinjaSignature range = JinjaSignature.positional("sub", NEEDED, "start", null, "end", null);
        JinjaSignature width = JinjaSignature.positional("width", NEEDED, "fillchar", " ");
        JinjaSignature split = JinjaSignature.of("sep", null, "maxsplit", -1L);
        JinjaSignature one = JinjaSignature.positional("text", NEEDED);
        text("strip", chars, (_, s, b) -> PythonText.strip(s, b.textOrNone(0), true, true));
        text("lstrip", chars, (_, s, b) -> PythonText.strip(s, b.textOrNone(0), true, false));
        text("rstrip", chars, (_, s, b) -> PythonText.strip(s, b.textOrNone(0), false, true));
        text("upper", none, (_, s, _) -> PythonText.upper(s));
        text("lower", none, (_, s, _) -> PythonText.lower(s));
        text("capitalize", none, (_, s, _) -> PythonText.capitalize(s));
        text("title", none, (_, s, _) -> PythonText.title(s));
        text("swapcase", none, (_, s, _) -> PythonText.swapCase(s));
        text("casefold", none, (_, s, _) -> {
            if (s.codePoints().anyMatch(c -> c >= 0x80))
                throw new Problem("the method 'casefold' is supported for ASCII only; use 'lower'");
            return PythonText.lower(s);
        });
        for (String is : List.of("isalpha", "isdecimal", "isdigit", "isnumeric", "isalnum", "isspace", "isprintable",
                "isascii", "islower", "isupper", "istitle"))
            text(is, none, (_, s, _) -> PythonText.is(is, s));
        text("startswith", range, (v, s, b) -> any(v, s, b, String::startsWith));
        text("endswith", range, (v, s, b) -> any(v, s, b, String::endsWith));
        text("removeprefix", one, (_, s, b) -> s.startsWith(b.text(0)) ? s.substring(b.text(0).length()) : s);
        text("removesuffix", one, (_, s, b) -> s.endsWith(b.text(0))
                ? s.substring(0, s.length() - b.text(0).length())
                : s);
        text("find", range, (v, s, b) -> find(v, s, b, false));
        text("rfind", range, (v, s, b) -> find(v, s, b, true));
        text("index", range, (v, s, b) -> found(find(v, s, b, false), s));
        text("rindex", range, (v, s, b) -> found(find(v, s, b, true), s));
        text("count", range, (v, s, b) -> {
            String part = part(v, s, b);
            if (part == null)
                return 0L;
            v.search(part, b.text(0));
            return (long) PythonText.count(part, b.text(0));
        });
        text("join", JinjaSignature.positional("iterable", NEEDED), (v, s, b) -> join(v, s, b.get(0)));
        text("replace", JinjaSignature.positional("old", NEEDED, "new", NEEDED, "count", -1L), (v, s, b) -> {
            v.search(s, b.text(0));
            return PythonText.replace(v.budget, s, b.text(0), b.text(1), b.whole(2));
        });
        text("splitlines", JinjaSignature.of("keepends", false),
                (v, s, b) -> PythonText.lines(v.budget, s, JinjaValues.truth(b.get(0))));
        text("split", split, (v, s, b) -> split(v, s, b, false));
        text("rsplit", split, (v, s, b) -> split(v, s, b, true));
        text("partition", JinjaSignature.positional("sep", NEEDED), (v, s, b) -> partition(v, s, b.text(0), false));
        text("rpartition", JinjaSignature.positional("sep", NEEDED), (v, s, b) -> partition(v, s, b.text(0), true));
        text("center", width, (v, s, b) -> PythonText.pad(v.budget, s, b.whole(0), b.text(1), 0));
        text("ljust", width, (v, s, b) -> PythonText.pad(v.budget, s, b.whole(0), b.text(1), 1));
        text("rjust", width, (v, s, b) -> PythonText.pad(v.budget, s, b.whole(0), b.text(1), -1));
        text("zfill", JinjaSignature.positional("width", NEEDED), (v, s, b) -> {
            int sign = s.startsWith("-") || s.startsWith("+") ? 1 : 0;
            return s.substring(0, sign)
                    + PythonText.pad(v.budget, s.substring(sign), b.whole(0) - sign, "0", -1);
        });
        text("expandtabs", JinjaSignature.of("tabsize", 8L),
                (v, s, b) -> PythonText.expandTabs(v.budget, s, b.whole(0)));
    }

    private final JinjaValues values;
    private final JinjaAttributes attributes;

    JinjaMethods(JinjaValues values, JinjaAttributes attributes) {
        this.values = values;
        this.attributes = attributes;
    }

    private static void text(String name, JinjaSignature signature, Body body) {
        TEXT.put(name, new Entry(signature, body));
    }

    @Nullable
    Object text(Object of, String name) {
        String s = values.text(of);
        if (UNSUPPORTED.contains(name))
            throw new Problem("the method '" + name + "' of a text is not supported");
        if (name.equals("format") || name.equals("format_map")) {
            safe(of, name);
            return new Callable(name, a -> new Braces(a, name.equals("format_map")).format(s, 2));
        }
        Entry e = TEXT.get(name);
        if (e == null)
            return JinjaAttributes.MISSING;
        if (!SAFE.contains(name) && !PLAIN.contains(name) && !name.startsWith("is"))
            safe(of, name);
        return new Callable(name, a -> {
            values.budget.characters(s.length());
            Object result = e.body.apply(values, s, e.signature.bind("the method '" + name + "'", a));
            Object made = of instanceof Markup ? marked(result) : result;
            if (made instanceof String t)
                values.budget.characters(t.length());
            return made;
        });
    }

    private static void safe(Object of, String name) {
        if (of instanceof Markup)
            throw new Problem("the method '" + name + "' of a text marked as safe is not supported; call it before"
                    + " '| safe'");
    }

    private static @Nullable Object marked(@Nullable Object v) {
        if (v instanceof List<?> l) {
            List<@Nullable Object> all = new ArrayList<>();
            l.forEach(x -> all.add(marked(x)));
            return all;
        }
        return v instanceof String s ? new Markup(s) : v;
    }

    /// The part of a text between the arguments `start` and `end`; null if the text ends before it.
    private static @Nullable String part(JinjaValues v, String s, Bound b) {
        if (b.get(1) == null && b.get(2) == null)
            return s;
        long n = PythonText.length(s);
        long from = bound(b, 1, 0, n);
        long to = Math.min(bound(b, 2, n, n), n);
        if (from > n || to < from)
            return null;
        int start = s.offsetByCodePoints(0, (int) from);
        return s.substring(start, s.offsetByCodePoints(start, (int) (to - from)));
    }

    private static long bound(Bound b, int i, long otherwise, long n) {
        if (b.get(i) == null)
            return otherwise;
        long at = b.whole(i);
        return at < 0 ? Math.max(0, at + n) : at;
    }

    private static boolean any(JinjaValues v, String s, Bound b, BiPredicate<String, String> test) {
        String part = part(v, s, b);
        if (b.get(0) instanceof Tuple t) {
            boolean hit = false;
            for (Object o : t.items()) {
                if (!(o instanceof String p))
                    throw new Problem(b.what() + " needs a text or a tuple of texts");
                v.budget.characters(p.length());
                hit |= part != null && test.test(part, p);
            }
            return hit;
        }
        return test.test(part == null ? "" : part, b.text(0)) && part != null;
    }

    private static long find(JinjaValues v, String s, Bound b, boolean last) {
        String sub = b.text(0);
        String part = part(v, s, b);
        if (part == null)
            return -1;
        v.search(part, sub);
        int at = last ? PythonText.findLast(part, sub) : PythonText.find(part, sub, 0);
        return at < 0 ? -1 : part.codePointCount(0, at) + bound(b, 1, 0, PythonText.length(s));
    }

    private static long found(long at, String s) {
        if (at < 0)
            throw new Problem("the text looked for is not in " + JinjaValues.kind(s));
        return at;
    }

    private static String join(JinjaValues v, String separator, @Nullable Object items) {
        var out = new StringBuilder();
        boolean first = true;
        for (Iterator<@Nullable Object> i = v.iterator(items); i.hasNext();) {
            Object item = i.next();
            if (!(item instanceof String || item instanceof Markup))
                throw new Problem("the method 'join' needs texts, not " + JinjaValues.kind(item)
                        + "; use the filter 'join'");
            String s = (first ? "" : separator) + v.text(item);
            v.budget.characters(s.length());
            v.budget.step();
            out.append(s);
            first = false;
        }
        return out.toString();
    }

    private static List<@Nullable Object> split(JinjaValues v, String s, Bound b, boolean right) {
        String by = b.textOrNone(0);
        if (by == null)
            return PythonText.words(v.budget, s, b.whole(1), right);
        v.search(s, by);
        return PythonText.split(v.budget, s, by, b.whole(1), right);
    }

    private static Tuple partition(JinjaValues v, String s, String by, boolean last) {
        v.search(s, by);
        List<@Nullable Object> parts = PythonText.split(v.budget, s, by, 1, last);
        if (parts.size() == 1)
            return new Tuple(last ? new ArrayList<>(List.of("", "", s)) : new ArrayList<>(List.of(s, "", "")));
        parts.add(1, by);
        return new Tuple(parts);
    }

    @Nullable
    Object list(List<?> l, String name) {
        JinjaSignature signature = switch (name) {
            case "index" -> JinjaSignature.positional("value", NEEDED, "start", 0L, "stop", Long.MAX_VALUE);
            case "count" -> JinjaSignature.positional("value", NEEDED);
            default -> null;
        };
        if (signature == null)
            return JinjaAttributes.MISSING;
        return new Callable(name, a -> {
            Bound b = signature.bind("the method '" + name + "'", a);
            long hits = 0;
            long n = l.size();
            long from = name.equals("count") ? 0 : bound(b, 1, 0, n);
            long to = name.equals("count") ? n : Math.min(n, bound(b, 2, n, n));
            for (long i = from; i < to; i++) {
                Object x = l.get((int) i);
                boolean hit = JinjaTypes.identical(x, b.get(0)) || values.equal(x, b.get(0));
                if (hit && name.equals("index"))
                    return i;
                hits += hit ? 1 : 0;
            }
            if (name.equals("index"))
                throw new Problem("the list does not hold " + JinjaValues.kind(b.get(0)));
            return hits;
        });
    }

    /// `text.format(...)`
    private final class Braces {
        private final List<@Nullable Object> positional;
        private final Dict named = new Dict();
        private int next;
        private boolean numbered;

        Braces(Arguments a, boolean map) {
            if (map) {
                Object of = JinjaSignature.positional("mapping", NEEDED).bind("the method 'format_map'", a).get(0);
                if (!(of instanceof Dict d))
                    throw new Problem("the method 'format_map' needs a mapping");
                positional = List.of();
                d.entries().forEach(e -> named.put(e.key(), e.value()));
            } else {
                positional = a.positional();
                a.named().forEach(named::put);
            }
        }

        String format(String s, int depth) {
            var out = new StringBuilder();
            for (int i = 0; i < s.length(); i++) {
                char c = s.charAt(i);
                if (c != '{' && c != '}') {
                    out.append(c);
                } else if (i + 1 < s.length() && s.charAt(i + 1) == c && (c == '{' || depth == 2)) {
                    out.append(c);
                    i++;
                } else {
                    int end = c == '}' ? -1 : end(s, i + 1);
                    if (end < 0 || depth == 0)
                        throw new Problem("'" + c + "' alone in a format");
                    String field = field(s.substring(i + 1, end), depth);
                    out.append(field, 0, values.budget.characters(field.length()));
                    i = end;
                }
            }
            return out.toString();
        }

        private int end(String s, int from) {
            int open = 1;
            for (int i = from; i < s.length(); i++) {
                if (s.charAt(i) == '[') {
                    int close = s.indexOf(']', i);
                    i = close < 0 ? i : close;
                }
                open += s.charAt(i) == '{' ? 1 : s.charAt(i) == '}' ? -1 : 0;
                if (open == 0)
                    return i;
            }
            return -1;
        }

        private String field(String field, int depth) {
            int cut = 0;
            while (cut < field.length() && field.charAt(cut) != ':' && field.charAt(cut) != '!') {
                int close = field.charAt(cut) == '[' ? field.indexOf(']', cut) : -1;
                cut = close > 0 ? close + 1 : cut + 1;
            }
            Object v = value(field.substring(0, cut));
            String rest = field.substring(cut);
            if (rest.startsWith("!")) {
                if (rest.length() < 2 || rest.length() > 2 && rest.charAt(2) != ':')
                    throw new Problem("a format has '!' without r, s or a");
                v = switch (rest.charAt(1)) {
                    case 'r' -> values.representation(v);
                    case 's' -> values.text(v);
                    case 'a' -> PythonPercent.ascii(values.representation(v));
                    default -> throw new Problem("a format has '!' without r, s or a");
                };
                rest = rest.substring(2);
            }
            String spec = rest.isEmpty() ? "" : format(rest.substring(1), depth - 1);
            if (v instanceof String || v instanceof Long || v instanceof Double)
                return PythonFormat.format(values.budget, v, spec);
            if (spec.isEmpty())
                return values.text(v);
            if (v instanceof Boolean b)
                return PythonFormat.format(values.budget, b ? 1L : 0L, spec);
            throw new Problem("the format '" + spec + "' does not fit " + JinjaValues.kind(v));
        }

        private @Nullable Object value(String path) {
            int cut = 0;
            while (cut < path.length() && path.charAt(cut) != '.' && path.charAt(cut) != '[')
                cut++;
            String first = path.substring(0, cut);
            Object v;
            if (first.isEmpty() || first.chars().allMatch(c -> c >= '0' && c <= '9')) {
                if (next > 0 && !first.isEmpty() || numbered && first.isEmpty())
                    throw new Problem("a format numbers only some of its fields");
                numbered |= !first.isEmpty();
                long i = first.isEmpty() ? next++ : first.length() > 9 ? Integer.MAX_VALUE : Long.parseLong(first);
                if (i >= positional.size())
                    throw new Problem("a format needs more values than it gets");
                v = positional.get((int) i);
            } else {
                Dict.Entry e = named.get(first);
                if (e == null)
                    throw new Problem("a format needs a value '" + first + "'");
                v = e.value();
            }
            for (int i = cut; i < path.length();) {
                boolean item = path.charAt(i) == '[';
                int end = i + 1;
                while (end < path.length() && (item ? path.charAt(end) != ']'
                        : path.charAt(end) != '.' && path.charAt(end) != '['))
                    end++;
                String name = path.substring(i + 1, end);
                if (name.isEmpty() || item && end == path.length())
                    throw new Problem("a format has an empty name");
                boolean number = item && name.length() < 10 && name.chars().allMatch(c -> c >= '0' && c <= '9');
                v = item ? attributes.item(v, number ? (Object) Long.parseLong(name) : name)
                        : attributes.attribute(v, name);
                i = item ? end + 1 : end;
            }
            return v;
        }
    }
}
