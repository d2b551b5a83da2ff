package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSignature.Bound;
import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Arguments;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import dev.gyre.model.token.jinja.JinjaTypes.Part;
import dev.gyre.model.token.jinja.JinjaTypes.Stream;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import dev.gyre.model.token.jinja.JinjaTypes.Undefined;
import dev.gyre.model.token.jinja.JinjaTypes.View;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Jinja's filters, each with its parameters, and transformers' `tojson`.
final class JinjaFilters {
    private interface Body {
        @Nullable
        Object apply(Jinja j, @Nullable Object v, Bound b);
    }

    private interface OpenBody {
        @Nullable
        Object apply(Jinja j, @Nullable Object v, Arguments a);
    }

    interface Keeps {
        boolean keeps(@Nullable Object item);
    }

    private interface Makes {
        @Nullable
        Object make(@Nullable Object item);
    }

    private static final Map<String, OpenBody> ALL = new HashMap<>();
    private static final Object NEEDED = JinjaSignature.NEEDED;
    private static final Pattern FLOAT = Pattern.compile(
            "[+-]?(?:(?:[0-9](?:_?[0-9])*)?\\.?(?:[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?)");
    private static final int LONGEST_NUMBER = 400;
    private static final Pattern WORD_START = Pattern.compile("[-({\\[<]");

    static {
        JinjaSignature none = JinjaSignature.of();
        JinjaSignature cased = JinjaSignature.of("case_sensitive", false, "attribute", null);
        filter("abs", none, (_, v, _) -> switch (v) {
            case Long n when n != Long.MIN_VALUE -> Math.abs(n);
            case Double d -> Math.abs(d);
            case Boolean b -> b ? 1L : 0L;
            case Undefined u -> throw new Problem(u.why());
            case null, default -> throw new Problem("the filter 'abs' needs a number, not " + JinjaValues.kind(v));
        });
        filter("attr", JinjaSignature.of("name", NEEDED), (j, v, b) -> {
            Object found = v instanceof Undefined ? JinjaAttributes.MISSING : j.attributes.own(v, b.text(0));
            return JinjaAttributes.MISSING.equals(found)
                    ? new Undefined(JinjaValues.kind(v) + " has no attribute '" + b.text(0) + "'")
                    : found;
        });
        filter("batch", JinjaSignature.of("linecount", NEEDED, "fill_with", null), JinjaFilters::batch);
        text("capitalize", none, (_, s, _) -> PythonText.capitalize(s));
        text("center", JinjaSignature.of("width", 80L),
                (j, s, b) -> PythonText.pad(j.values.budget, s, b.whole(0), " ", 0));
        for (String name : List.of("length", "count"))
            filter(name, none, (j, v, _) -> j.values.size(v));
        for (String name : List.of("default", "d"))
            filter(name, JinjaSignature.of("default_value", "", "boolean", false), (_, v, b) -> v instanceof Undefined
                    || JinjaValues.truth(b.get(1)) && !JinjaValues.truth(v) ? b.get(0) : v);
        filter("dictsort", JinjaSignature.of("case_sensitive", false, "by", "key", "reverse", false), (j, v, b) -> {
            if (!"key".equals(b.get(1)) && !"value".equals(b.get(1)))
                throw new Problem(b.what() + " sorts by 'key' or 'value'");
            boolean key = "key".equals(b.get(1));
            return sorted(j, j.values.list(new View(mapping(v, b), Part.ITEMS)), JinjaValues.truth(b.get(2)),
                    x -> folded(((Tuple) Objects.requireNonNull(x)).items().get(key ? 0 : 1), b.get(0)));
        });
        for (String name : List.of("escape", "e"))
            filter(name, none, (j, v, _) -> v instanceof Markup ? v : new Markup(j.values.escaped(v)));
        filter("forceescape", none, (j, v, _) -> new Markup(j.values.escaped(j.values.text(v))));
        filter("filesizeformat", JinjaSignature.of("binary", false),
                (_, v, b) -> fileSize(v, JinjaValues.truth(b.get(0))));
        filter("first", none, (j, v, _) -> {
            Iterator<@Nullable Object> i = j.values.iterator(v);
            return i.hasNext() ? i.next() : new Undefined("there is no first item");
        });
        filter("last", none, (j, v, _) -> {
            if (v instanceof Undefined)
                return new Undefined("there is no last item");
            List<@Nullable Object> all = j.values.reversed(v);
            if (all == null)
                throw new Problem("the filter 'last' needs a list or text, not " + JinjaValues.kind(v));
            return all.isEmpty() ? new Undefined("there is no last item") : all.getFirst();
        });
        filter("float", JinjaSignature.of("default", 0.0), (_, v, b) -> {
            Double d = real(v);
            return d == null ? b.get(0) : d;
        });
        filter("int", JinjaSignature.of("default", 0L, "base", 10L), JinjaFilters::integer);
        open("format", (j, v, a) -> {
            if (!a.positional().isEmpty() && !a.named().isEmpty())
                throw new Problem("the filter 'format' takes values with or without names, not both");
            var named = new Dict();
            a.named().forEach(named::put);
            if (v instanceof Markup)
                throw new Problem("the filter 'format' of a text marked as safe is not supported");
            return PythonPercent.format(j.values, j.values.text(v),
                    a.named().isEmpty() ? new Tuple(a.positional()) : named);
        });
        filter("groupby", JinjaSignature.of("attribute", NEEDED, "default", null, "case_sensitive", false),
                JinjaFilters::groups);
        filter("indent", JinjaSignature.of("width", 4L, "first", false, "blank", false), JinjaFilters::indented);
        filter("join", JinjaSignature.of("d", "", "attribute", null), (j, v, b) -> {
            Makes get = getter(j, b.get(1), null);
            var out = new StringBuilder();
            String separator = j.values.text(b.get(0));
            boolean first = true;
            for (Iterator<@Nullable Object> i = j.values.iterator(v); i.hasNext();) {
                String s = (first ? "" : separator) + j.values.text(get.make(i.next()));
                j.values.budget.step();
                out.append(s, 0, j.values.budget.characters(s.length()));
                first = false;
            }
            return out.toString();
        });
        filter("list", none, (j, v, _) -> j.values.list(v));
        text("lower", none, (_, s, _) -> PythonText.lower(s));
        text("upper", none, (_, s, _) -> PythonText.upper(s));
        text("title", none, (_, s, _) -> title(s));
        text("trim", JinjaSignature.of("chars", null), (_, s, b) -> PythonText.strip(s, b.textOrNone(0), true, true));
        filter("items", none,
                (j, v, b) -> new Stream(j.values.budget,
                        () -> v instanceof Undefined ? List.<@Nullable Object>of().iterator()
                                : j.values.iterator(new View(mapping(v, b), Part.ITEMS))));
        open("map", JinjaFilters::mapped);
        open("select", (j, v, a) -> selected(j, v, a, false, true, "select"));
        open("reject", (j, v, a) -> selected(j, v, a, false, false, "reject"));
        open("selectattr", (j, v, a) -> selected(j, v, a, true, true, "selectattr"));
        open("rejectattr", (j, v, a) -> selected(j, v, a, true, false, "rejectattr"));
        filter("min", cased, (j, v, b) -> extreme(j, v, b, -1));
        filter("max", cased, (j, v, b) -> extreme(j, v, b, 1));
        filter("replace", JinjaSignature.of("old", NEEDED, "new", NEEDED, "count", null), (j, v, b) -> {
            String s = j.values.text(v);
            String old = j.values.text(b.get(0));
            j.values.search(s, old);
            return PythonText.replace(j.values.budget, s, old, j.values.text(b.get(1)),
                    b.get(2) == null ? -1 : b.whole(2));
        });
        filter("reverse", none, (j, v, _) -> {
            if (v instanceof String || v instanceof Markup) {
                String s = new StringBuilder(j.values.text(v)).reverse().toString();
                j.values.budget.characters(s.length());
                return v instanceof Markup ? new Markup(s) : s;
            }
            if (v instanceof Stream) {
                List<@Nullable Object> all = j.values.list(v);
                Collections.reverse(all);
                return all;
            }
            List<@Nullable Object> all = v instanceof Undefined ? new ArrayList<>() : j.values.reversed(v);
            if (all == null)
                throw new Problem("the filter 'reverse' needs a list or text, not " + JinjaValues.kind(v));
            return new Stream(j.values.budget, all::iterator);
        });
        filter("round", JinjaSignature.of("precision", 0L, "method", "common"), JinjaFilters::rounded);
        filter("safe", none, (j, v, _) -> v instanceof Markup ? v : new Markup(j.values.text(v)));
        filter("string", none, (j, v, _) -> v instanceof Markup ? v : j.values.text(v));
        filter("slice", JinjaSignature.of("slices", NEEDED, "fill_with", null), JinjaFilters::slices);
        filter("sort", JinjaSignature.of("reverse", false, "case_sensitive", false, "attribute", null), (j, v, b) -> {
            List<Makes> parts = new ArrayList<>();
            if (b.get(2) instanceof String s)
                for (String part : s.split(",", -1))
                    parts.add(getter(j, part, null));
            else
                parts.add(getter(j, b.get(2), null));
            return sorted(j, j.values.list(v), JinjaValues.truth(b.get(0)), x -> {
                List<@Nullable Object> keys = new ArrayList<>();
                parts.forEach(p -> keys.add(folded(p.make(x), b.get(1))));
                return keys;
            });
        });
        filter("sum", JinjaSignature.of("attribute", null, "start", 0L), (j, v, b) -> {
            if (b.get(1) instanceof String)
                throw new Problem("the filter 'sum' does not join texts; use 'join'");
            Makes get = getter(j, b.get(0), null);
            Object sum = b.get(1);
            for (Iterator<@Nullable Object> i = j.values.iterator(v); i.hasNext();) {
                j.values.budget.step();
                sum = j.values.arithmetic("+", sum, get.make(i.next()));
            }
            return sum;
        });
        filter("tojson",
                JinjaSignature.of("ensure_ascii", false, "indent", null, "separators", null, "sort_keys", false),
                (j, v, b) -> JinjaJson.write(j.values, v, b));
        filter("truncate", JinjaSignature.of("length", 255L, "killwords", false, "end", "...", "leeway", null),
                JinjaFilters::truncated);
        filter("unique", cased, JinjaFilters::unique);
        filter("urlencode", none, (j, v, _) -> urlEncoded(j, v));
        filter("wordcount", none, (j, v, _) -> words(j.values.text(v)));
        for (String name : List.of("pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"))
            open(name, (_, _, _) -> {
                throw new Problem("the filter '" + name + "' is not supported");
            });
    }

    private JinjaFilters() {
    }

    private static void filter(String name, JinjaSignature signature, Body body) {
        ALL.put(name, (j, v, a) -> body.apply(j, v, signature.bind("the filter '" + name + "'", a)));
    }

    private static void open(String name, OpenBody body) {
        ALL.put(name, body);
    }

    private interface TextBody {
        String apply(Jinja j, String s, Bound b);
    }

    /// A filter that makes a text of a text; what is marked as safe stays so.
    private static void text(String name, JinjaSignature signature, TextBody body) {
        filter(name, signature, (j, v, b) -> {
            String s = j.values.text(v);
            j.values.budget.characters(2L * s.length());
            String made = body.apply(j, s, b);
            return v instanceof Markup ? new Markup(made) : made;
        });
    }

    static boolean known(String name) {
        return ALL.containsKey(name);
    }

    static @Nullable Object apply(Jinja j, String name, @Nullable Object v, Arguments a) {
        OpenBody f = ALL.get(name);
        if (f == null)
            throw new Problem("there is no filter '" + name + "'");
        return f.apply(j, v, a);
    }

    private static Dict mapping(@Nullable Object v, Bound b) {
        if (v instanceof Dict d)
            return d;
        if (v instanceof Undefined u)
            throw u.problem();
        throw new Problem(b.what() + " needs a mapping, not " + JinjaValues.kind(v));
    }

    private static @Nullable Object folded(@Nullable Object v, @Nullable Object caseSensitive) {
        return JinjaValues.truth(caseSensitive) ? v : v instanceof String s ? PythonText.lower(s)
                : v instanceof Markup m ? PythonText.lower(m.text()) : v;
    }

    /// `a.b.0` of an item.
    private static Makes getter(Jinja j, @Nullable Object attribute, @Nullable Object otherwise) {
        if (attribute == null)
            return x -> x;
        List<Object> path = new ArrayList<>();
        if (attribute instanceof String s)
            for (String part : s.split("\\.", -1))
                path.add(Boolean.TRUE.equals(PythonText.is("isdigit", part)) ? index(part) : part);
        else
            path.add(attribute);
        return x -> {
            Object v = x;
            for (Object part : path) {
                v = j.attributes.item(v, part);
                if (otherwise != null && v instanceof Undefined)
                    v = otherwise;
            }
            return v;
        };
    }

    private static Object index(String digits) {
        Long n = parsed(digits, 10);
        if (n == null)
            throw new Problem("'" + digits + "' is no index");
        return n;
    }

    private static List<@Nullable Object> sorted(Jinja j, List<@Nullable Object> items, boolean reverse, Makes key) {
        List<@Nullable Object> keys = new ArrayList<>();
        for (Object item : items)
            keys.add(key.make(item));
        j.values.sort(items, keys, reverse);
        return items;
    }

    private static @Nullable Object extreme(Jinja j, @Nullable Object v, Bound b, int sign) {
        Makes get = getter(j, b.get(1), null);
        Object best = null;
        Object bestKey = null;
        boolean any = false;
        for (Iterator<@Nullable Object> i = j.values.iterator(v); i.hasNext();) {
            Object item = i.next();
            Object key = folded(get.make(item), b.get(0));
            if (any && !j.values.holds(sign > 0 ? ">" : "<", key, bestKey))
                continue;
            any = true;
            best = item;
            bestKey = key;
        }
        return any ? best : new Undefined("the list is empty");
    }

    private static List<@Nullable Object> groups(Jinja j, @Nullable Object v, Bound b) {
        Makes get = getter(j, b.get(0), b.get(1));
        List<@Nullable Object> items = j.values.list(v);
        List<@Nullable Object> keys = new ArrayList<>();
        for (Object item : items)
            keys.add(folded(get.make(item), b.get(2)));
        j.values.sort(items, keys, false);
        List<@Nullable Object> groups = new ArrayList<>();
        for (int i = 0; i < items.size();) {
            List<@Nullable Object> group = new ArrayList<>();
            int first = i;
            while (i < items.size() && j.values.equal(keys.get(i), keys.get(first)))
                group.add(items.get(i++));
            List<@Nullable Object> pair = new ArrayList<>();
            pair.add(JinjaValues.truth(b.get(2)) ? keys.get(first) : get.make(items.get(first)));
            pair.add(group);
            groups.add(new Tuple(pair, List.of("grouper", "list")));
        }
        return groups;
    }

    /// The items of another iterator that are kept, each looked at when it is asked for.
    static Iterator<@Nullable Object> kept(Iterator<@Nullable Object> all, Keeps test) {
        return new Iterator<>() {
            private boolean found;
            private @Nullable Object next;

            @Override
            public boolean hasNext() {
                while (!found && all.hasNext()) {
                    next = all.next();
                    found = test.keeps(next);
                }
                return found;
            }

            @Override
            public @Nullable Object next() {
                if (!hasNext())
                    throw new NoSuchElementException();
                found = false;
                return next;
            }
        };
    }

    private static Stream mapped(Jinja j, @Nullable Object v, Arguments a) {
        return new Stream(j.values.budget, () -> {
            if (!JinjaValues.truth(v))
                return List.<@Nullable Object>of().iterator();
            Makes makes;
            if (a.positional().isEmpty() && a.named().containsKey("attribute")) {
                Map<String, @Nullable Object> named = new LinkedHashMap<>(a.named());
                makes = getter(j, named.remove("attribute"), named.remove("default"));
                if (!named.isEmpty())
                    throw new Problem("the filter 'map' has no argument '" + named.keySet().iterator().next()
                            + "'; it has attribute, default");
            } else {
                if (a.positional().isEmpty())
                    throw new Problem("the filter 'map' needs the name of a filter, or 'attribute'");
                String name = j.values.text(a.positional().getFirst());
                var rest = new Arguments(a.positional().subList(1, a.positional().size()), a.named());
                makes = x -> apply(j, name, x, rest);
            }
            Iterator<@Nullable Object> all = j.values.iterator(v);
            return new Iterator<>() {
                @Override
                public boolean hasNext() {
                    return all.hasNext();
                }

                @Override
                public @Nullable Object next() {
                    return makes.make(all.next());
                }
            };
        });
    }

    private static Stream selected(Jinja j, @Nullable Object v, Arguments a, boolean attribute, boolean keep,
            String name) {
        return new Stream(j.values.budget, () -> {
            if (!JinjaValues.truth(v))
                return List.<@Nullable Object>of().iterator();
            int off = attribute ? 1 : 0;
            if (a.positional().size() < off)
                throw new Problem("the filter '" + name + "' needs the name of an attribute");
            Makes get = attribute ? getter(j, a.positional().getFirst(), null) : x -> x;
            Keeps test;
            if (a.positional().size() == off) {
                test = JinjaValues::truth;
            } else {
                String t = j.values.text(a.positional().get(off));
                var rest = new Arguments(a.positional().subList(off + 1, a.positional().size()), a.named());
                test = x -> JinjaTests.holds(j, t, x, rest);
            }
            return kept(j.values.iterator(v), x -> {
                j.values.budget.step();
                return test.keeps(get.make(x)) == keep;
            });
        });
    }

    private static Stream unique(Jinja j, @Nullable Object v, Bound b) {
        return new Stream(j.values.budget, () -> {
            Makes get = getter(j, b.get(1), null);
            Set<@Nullable Object> seen = new HashSet<>();
            return kept(j.values.iterator(v), x -> {
                j.values.budget.elements(1);
                return seen.add(JinjaTypes.key(folded(get.make(x), b.get(0))));
            });
        });
    }

    private static Stream batch(Jinja j, @Nullable Object v, Bound b) {
        return new Stream(j.values.budget, () -> {
            Iterator<@Nullable Object> all = j.values.iterator(v);
            if (j.values.equal(0L, b.get(0)))
                throw new Problem(b.what() + " with lists of 0 items is not supported");
            return new Iterator<>() {
                @Override
                public boolean hasNext() {
                    return all.hasNext();
                }

                @Override
                public Object next() {
                    List<@Nullable Object> part = new ArrayList<>();
                    part.add(all.next());
                    while (!j.values.equal((long) part.size(), b.get(0)) && all.hasNext())
                        part.add(all.next());
                    j.values.budget.elements(part.size());
                    if (b.get(1) != null && !all.hasNext())
                        for (long n = j.values.budget.elements(Math.max(0, b.whole(0) - part.size())); n > 0; n--)
                            part.add(b.get(1));
                    return part;
                }
            };
        });
    }

    private static Stream slices(Jinja j, @Nullable Object v, Bound b) {
        return new Stream(j.values.budget, () -> {
            List<@Nullable Object> all = j.values.list(v);
            long slices = b.whole(0);
            if (slices == 0)
                throw new Problem("division by zero: the filter 'slice' needs a number of slices");
            j.values.budget.elements(Math.max(0, slices));
            long size = Math.floorDiv(all.size(), slices);
            long extra = Math.floorMod(all.size(), slices);
            List<@Nullable Object> parts = new ArrayList<>();
            int from = 0;
            for (long i = 0; i < slices; i++) {
                int to = (int) (from + size + (i < extra ? 1 : 0));
                List<@Nullable Object> part = new ArrayList<>(all.subList(from, to));
                if (b.get(1) != null && i >= extra)
                    part.add(b.get(1));
                parts.add(part);
                from = to;
            }
            return parts.iterator();
        });
    }

    private static Object indented(Jinja j, @Nullable Object v, Bound b) {
        if (!(v instanceof String || v instanceof Markup))
            throw new Problem("the filter 'indent' needs a text, not " + JinjaValues.kind(v));
        JinjaBudget budget = j.values.budget;
        String pad = b.get(0) instanceof String s ? s : " ".repeat(budget.characters(Math.max(0, b.whole(0))));
        boolean blank = JinjaValues.truth(b.get(2));
        var out = new StringBuilder();
        boolean first = true;
        for (Object o : PythonText.lines(budget, j.values.text(v) + "\n", false)) {
            String line = String.valueOf(o);
            budget.characters((long) pad.length() + line.length() + 1);
            if (!first)
                out.append('\n');
            if (first ? JinjaValues.truth(b.get(1)) : blank || !line.isEmpty())
                out.append(pad);
            out.append(line);
            first = false;
        }
        return v instanceof Markup ? new Markup(out.toString()) : out.toString();
    }

    private static String title(String s) {
        var out = new StringBuilder();
        for (int i = 0; i < s.length();) {
            boolean between = starts(s.charAt(i));
            int end = i;
            while (end < s.length() && starts(s.charAt(end)) == between)
                end++;
            int first = i + Character.charCount(s.codePointAt(i));
            out.append(PythonText.upper(s.substring(i, first))).append(PythonText.lower(s.substring(first, end)));
            i = end;
        }
        return out.toString();
    }

    private static boolean starts(char c) {
        return PythonText.isSpace(c) || WORD_START.matcher(String.valueOf(c)).matches();
    }

    private static long words(String s) {
        long n = 0;
        boolean inside = false;
        for (int c : s.codePoints().toArray()) {
            boolean word = c == '_' || Boolean.TRUE.equals(PythonText.is("isalnum", Character.toString(c)));
            n += word && !inside ? 1 : 0;
            inside = word;
        }
        return n;
    }

    private static Object truncated(Jinja j, @Nullable Object v, Bound b) {
        if (!(v instanceof String s))
            throw new Problem("the filter 'truncate' needs a text, not " + JinjaValues.kind(v));
        String end = b.text(2);
        long leeway = b.get(3) == null ? 5 : Math.min(b.whole(3), Integer.MAX_VALUE);
        long length = Math.min(b.whole(0), Integer.MAX_VALUE);
        int tail = PythonText.length(end);
        if (length < tail || leeway < 0)
            throw new Problem("the filter 'truncate' needs a length of at least " + tail + " and no negative leeway");
        if (j.values.size(s) <= length + leeway)
            return s;
        String head = s.substring(0, s.offsetByCodePoints(0, (int) (length - tail)));
        int space = head.lastIndexOf(' ');
        return (JinjaValues.truth(b.get(1)) || space < 0 ? head : head.substring(0, space)) + end;
    }

    private static Object rounded(Jinja j, @Nullable Object v, Bound b) {
        String method = String.valueOf(b.get(1));
        if (!Set.of("common", "ceil", "floor").contains(method))
            throw new Problem(b.what() + " needs 'common', 'ceil' or 'floor' as 'method'");
        if (v instanceof Undefined u)
            throw u.problem();
        Double d = JinjaValues.number(v);
        if (d == null)
            throw new Problem(b.what() + " needs a number, not " + JinjaValues.kind(v));
        boolean common = method.equals("common");
        boolean whole = b.get(0) == null && common;
        int precision = whole ? 0 : (int) Math.clamp(b.whole(0), -400, 400);
        if (common && v instanceof Double) {
            if (d.isNaN() || d.isInfinite()) {
                if (whole)
                    throw new Problem(b.what() + " cannot make a whole number of " + JinjaValues.kind(v));
                return d;
            }
            BigDecimal r = new BigDecimal(d).setScale(precision, RoundingMode.HALF_EVEN);
            return whole ? (Object) narrowed(r.toBigInteger()) : (Object) Math.copySign(r.doubleValue(), d);
        }
        long n = v instanceof Long x ? x : d.longValue();
        if (common)
            return precision >= 0 ? (Object) n
                    : narrowed(BigDecimal.valueOf(n).setScale(precision, RoundingMode.HALF_EVEN).toBigInteger());
        Object factor = j.values.arithmetic("**", 10L, (long) precision);
        Object scaled = j.values.arithmetic("*", v, factor);
        Object cut = scaled instanceof Double x ? narrowed(new BigDecimal(finite(x))
                .setScale(0, method.equals("ceil") ? RoundingMode.CEILING : RoundingMode.FLOOR).toBigInteger())
                : scaled;
        return Objects.requireNonNull(j.values.arithmetic("/", cut, factor));
    }

    private static double finite(double d) {
        if (Double.isNaN(d) || Double.isInfinite(d))
            throw new Problem(JinjaValues.kind(d) + " is no whole number");
        return d;
    }

    private static Long narrowed(BigInteger n) {
        if (n.bitLength() > 63)
            throw new Problem("a whole number beyond 64 bits, which is not supported");
        return n.longValue();
    }

    private static @Nullable Object integer(Jinja j, @Nullable Object v, Bound b) {
        if (v instanceof Undefined u)
            throw u.problem();
        if (v instanceof Long || v instanceof Boolean)
            return v instanceof Long ? v : (Object) (Boolean.TRUE.equals(v) ? 1L : 0L);
        if (v instanceof Double d)
            return d.isNaN() ? b.get(0) : narrowed(new BigDecimal(finite(d)).toBigInteger());
        if (!(v instanceof String || v instanceof Markup))
            return b.get(0);
        String s = j.values.text(v);
        long base = b.whole(1);
        Long n = base == 0 || base >= 2 && base <= 36 ? parsed(s, (int) base) : null;
        if (n != null)
            return n;
        Double d = real(s);
        return d == null || d.isNaN() || d.isInfinite() ? b.get(0) : narrowed(new BigDecimal(d).toBigInteger());
    }

    /// Decimal digits of all scripts as those of ASCII, without white space at the ends.
    private static String digits(String text) {
        var out = new StringBuilder();
        PythonText.strip(text, null, true, true).codePoints()
                .forEach(c -> out.appendCodePoint(c >= 0x80 && Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER
                        ? '0' + Character.digit(c, 10)
                        : c));
        return out.toString();
    }

    /// Python's `int(text, base)`, null if it is none.
    private static @Nullable Long parsed(String text, int base) {
        String s = digits(text);
        String sign = s.startsWith("-") || s.startsWith("+") ? s.substring(0, 1) : "";
        s = PythonText.lower(s.substring(sign.length()));
        int radix = base;
        for (int b : new int[] {2, 8, 16}) {
            String prefix = b == 2 ? "0b" : b == 8 ? "0o" : "0x";
            if (s.startsWith(prefix) && (base == 0 || base == b)) {
                s = s.substring(2);
                s = s.startsWith("_") ? s.substring(1) : s;
                radix = b;
            }
        }
        if (radix == 0) {
            if (s.length() > 1 && s.startsWith("0") && !s.matches("0(_?0)*"))
                return null;
            radix = 10;
        }
        if (s.length() > LONGEST_NUMBER)
            throw new Problem("a number of more than " + LONGEST_NUMBER + " characters");
        if (!s.matches("[0-9a-z]+(?:_[0-9a-z]+)*+"))
            return null;
        try {
            return narrowed(new BigInteger(sign + s.replace("_", ""), radix));
        } catch (NumberFormatException e) {
            return null;
        }
    }

    /// Python's `float(v)`, null if it is none.
    private static @Nullable Double real(@Nullable Object v) {
        if (v instanceof Undefined u)
            throw u.problem();
        if (JinjaValues.number(v) instanceof Double d)
            return d;
        if (!(v instanceof String || v instanceof Markup))
            return null;
        String s = digits(v instanceof Markup m ? m.text() : (String) v);
        String bare = PythonText.lower(s.startsWith("-") || s.startsWith("+") ? s.substring(1) : s);
        double sign = s.startsWith("-") ? -1 : 1;
        if (bare.equals("inf") || bare.equals("infinity"))
            return sign * Double.POSITIVE_INFINITY;
        if (bare.equals("nan"))
            return Double.NaN;
        if (s.length() > LONGEST_NUMBER)
            throw new Problem("a number of more than " + LONGEST_NUMBER + " characters");
        if (!FLOAT.matcher(s).matches() || bare.isEmpty() || bare.equals(".")
                || bare.startsWith("e") || bare.startsWith(".e"))
            return null;
        return Double.parseDouble(s.replace("_", ""));
    }

    private static String fileSize(@Nullable Object v, boolean binary) {
        Double bytes = real(v);
        if (bytes == null)
            throw new Problem("the filter 'filesizeformat' needs a number, not " + JinjaValues.kind(v));
        double base = binary ? 1024 : 1000;
        if (bytes == 1)
            return "1 Byte";
        if (bytes < base)
            return narrowed(new BigDecimal(finite(bytes)).toBigInteger()) + " Bytes";
        double unit = 0;
        String letter = "";
        for (int i = 0; i < 8; i++) {
            unit = Math.pow(base, i + 2);
            letter = String.valueOf((binary ? "KMGTPEZY" : "kMGTPEZY").charAt(i));
            if (bytes < unit)
                break;
        }
        return PythonFormat.real(base * bytes / unit, 'f', 1, false) + " " + letter + (binary ? "iB" : "B");
    }

    private static String urlEncoded(Jinja j, @Nullable Object v) {
        if (v instanceof String || v instanceof Markup || !j.values.iterable(v))
            return quoted(j, v, "/");
        List<String> parts = new ArrayList<>();
        for (Object pair : j.values.list(v instanceof Dict d ? new View(d, Part.ITEMS) : v)) {
            List<@Nullable Object> two = j.values.list(pair);
            if (two.size() != 2)
                throw new Problem("the filter 'urlencode' needs pairs");
            parts.add(quoted(j, two.get(0), "").replace("%20", "+") + "="
                    + quoted(j, two.get(1), "").replace("%20", "+"));
        }
        return String.join("&", parts);
    }

    private static String quoted(Jinja j, @Nullable Object v, String safe) {
        var out = new StringBuilder();
        String s = j.values.text(v);
        j.values.budget.characters(4L * s.length());
        for (byte b : s.getBytes(StandardCharsets.UTF_8))
            if (b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || "_.-~".indexOf(b) >= 0
                    || safe.indexOf(b) >= 0)
                out.append((char) b);
            else
                out.append("%%%02X".formatted(b & 0xff));
        return out.toString();
    }
}
