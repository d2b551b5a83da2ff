package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Callable;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Loop;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import dev.gyre.model.token.jinja.JinjaTypes.Namespace;
import dev.gyre.model.token.jinja.JinjaTypes.Range;
import dev.gyre.model.token.jinja.JinjaTypes.Stream;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import dev.gyre.model.token.jinja.JinjaTypes.Undefined;
import dev.gyre.model.token.jinja.JinjaTypes.View;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.PrimitiveIterator;
import org.jspecify.annotations.Nullable;

/// Python's behaviour of template values: truth, text, comparison, arithmetic, iteration and slices.
final class JinjaValues {
    private static final String WHOLE = "a whole number beyond 64 bits, which is not supported";
    final JinjaBudget budget;

    JinjaValues(JinjaBudget budget) {
        this.budget = budget;
    }

    /// A Java value as a template sees it.
    @Nullable
    Object of(@Nullable Object v) {
        return switch (v) {
            case Map<?, ?> m -> {
                budget.enter();
                var d = new Dict(m);
                budget.elements(m.size());
                m.forEach((k, x) -> d.put(of(k), of(x)));
                budget.leave();
                yield d;
            }
            case List<?> l -> {
                budget.enter();
                List<@Nullable Object> all = new ArrayList<>(budget.elements(l.size()));
                l.forEach(x -> all.add(of(x)));
                budget.leave();
                yield all;
            }
            case Integer n -> (long) n;
            case Float f -> (double) f;
            case null, default -> v;
        };
    }

    static boolean truth(@Nullable Object v) {
        return switch (v) {
            case null -> false;
            case Undefined _ -> false;
            case Boolean b -> b;
            case Long n -> n != 0;
            case Double d -> d != 0;
            case String s -> !s.isEmpty();
            case Markup m -> !m.text().isEmpty();
            case List<?> l -> !l.isEmpty();
            case Tuple t -> !t.items().isEmpty();
            case Dict d -> d.size() > 0;
            case Range r -> r.size() > 0;
            case View w -> w.of().size() > 0;
            default -> true;
        };
    }

    /// What a message calls a value.
    static String kind(@Nullable Object v) {
        return switch (v) {
            case null -> "None";
            case Undefined u -> u.why();
            case Boolean b -> b ? "True" : "False";
            case Long n -> n.toString();
            case Double d -> PythonFormat.repr(d);
            case String s -> s.length() > 40 ? "a text" : PythonText.quoted(s);
            case Markup _ -> "a text marked as safe";
            case List<?> _ -> "a list";
            case Tuple _ -> "a tuple";
            case Dict _ -> "a mapping";
            case Range _ -> "a range";
            case View _ -> "a part of a mapping";
            case Namespace _ -> "a namespace";
            case Stream _ -> "the result of a filter that makes its items when they are asked for (add '| list')";
            case Loop _ -> "the loop";
            case Callable c -> "the function '" + c.name + "'";
            default -> "this value";
        };
    }

    /// Python's `str`.
    String text(@Nullable Object v) {
        return switch (v) {
            case String s -> s;
            case Markup m -> m.text();
            case Undefined _ -> "";
            case null, default -> representation(v);
        };
    }

    /// Text of a text or of what is none, as most filters take their value.
    String representation(@Nullable Object v) {
        var out = new StringBuilder();
        represent(out, v);
        return out.toString();
    }

    private void append(StringBuilder out, String s) {
        budget.characters(s.length());
        out.append(s);
    }

    /// Python's `repr`.
    private void represent(StringBuilder out, @Nullable Object v) {
        budget.enter();
        budget.step();
        switch (v) {
            case null -> out.append("None");
            case Undefined _ -> out.append("Undefined");
            case Boolean b -> out.append(b ? "True" : "False");
            case Long n -> out.append((long) n);
            case Double d -> out.append(PythonFormat.repr(d));
            case String s -> append(out, PythonText.quoted(s));
            case Markup m -> append(out, "Markup(" + PythonText.quoted(m.text()) + ")");
            case List<?> l -> all(out, "[", l, "]");
            case Tuple t -> all(out, "(", t.items(), t.items().size() == 1 ? ",)" : ")");
            case Dict d -> represent(out, d);
            case Range r -> out.append("range(").append(r.from()).append(", ").append(r.to())
                    .append(r.step() == 1 ? "" : ", " + r.step()).append(')');
            case View w -> all(out, "dict_" + PythonText.lower(w.part().name()) + "([", list(w), "])");
            case Namespace n -> {
                out.append("<Namespace ");
                represent(out, n.values());
                out.append('>');
            }
            case Loop l -> out.append("<LoopContext ").append(l.index + 1).append('/').append(l.length()).append('>');
            default -> throw new Problem(kind(v) + " has no text that is the same every time");
        }
        budget.leave();
    }

    private void represent(StringBuilder out, Dict d) {
        append(out, "{");
        String before = "";
        for (Dict.Entry e : d.entries()) {
            append(out, before);
            represent(out, e.key());
            append(out, ": ");
            represent(out, e.value());
            before = ", ";
        }
        append(out, "}");
    }

    private void all(StringBuilder out, String open, List<?> items, String close) {
        append(out, open);
        String before = "";
        for (Object item : items) {
            append(out, before);
            represent(out, item);
            before = ", ";
        }
        append(out, close);
    }

    /// What a loop goes over: items of a list, keys of a mapping, characters of a text.
    Iterator<@Nullable Object> iterator(@Nullable Object v) {
        Iterator<@Nullable Object> i = iteratorOrNull(v);
        if (i == null)
            throw new Problem(kind(v) + " has no items to go through");
        return i;
    }

    private @Nullable Iterator<@Nullable Object> iteratorOrNull(@Nullable Object v) {
        return switch (v) {
            case List<?> l -> new ArrayList<@Nullable Object>(l.subList(0, l.size())).iterator();
            case Tuple t -> t.items().iterator();
            case Dict d -> d.list().stream().<@Nullable Object>map(Dict.Entry::key).iterator();
            case View w -> w.of().list().stream().<@Nullable Object>map(w::of).iterator();
            case String s -> characters(s);
            case Markup m -> characters(m.text());
            case Range r -> new Iterator<@Nullable Object>() {
                private long at;

                @Override
                public boolean hasNext() {
                    return at < r.size();
                }

                @Override
                public Object next() {
                    if (!hasNext())
                        throw new NoSuchElementException();
                    return r.from() + r.step() * at++;
                }
            };
            case Stream s -> s;
            case Undefined _ -> Collections.emptyIterator();
            case Loop _ -> throw new Problem("to go through 'loop' is not supported");
            case null, default -> null;
        };
    }

    private Iterator<@Nullable Object> characters(String s) {
        budget.characters(s.length());
        PrimitiveIterator.OfInt i = s.codePoints().iterator();
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return i.hasNext();
            }

            @Override
            public Object next() {
                return Character.toString(i.nextInt());
            }
        };
    }

    boolean iterable(@Nullable Object v) {
        return v instanceof Loop || iteratorOrNull(v) != null;
    }

    /// All items of a value, in a list of their own.
    List<@Nullable Object> list(@Nullable Object v) {
        List<@Nullable Object> all = new ArrayList<>();
        for (Iterator<@Nullable Object> i = iterator(v); i.hasNext();) {
            budget.elements(1);
            budget.step();
            all.add(i.next());
        }
        return all;
    }

    /// Python's `len`, -1 if the value has none.
    static long sizeOrNone(@Nullable Object v) {
        return switch (v) {
            case String s -> PythonText.length(s);
            case Markup m -> PythonText.length(m.text());
            case List<?> l -> l.size();
            case Tuple t -> t.items().size();
            case Dict d -> d.size();
            case View w -> w.of().size();
            case Range r -> r.size();
            case Undefined _ -> 0;
            case Loop l -> l.length();
            case null, default -> -1;
        };
    }

    long size(@Nullable Object v) {
        if (v instanceof String s)
            budget.characters(s.length());
        long n = sizeOrNone(v);
        if (n < 0)
            throw new Problem(kind(v) + " has no length");
        return n;
    }

    /// Items from the last to the first, null for what Python cannot reverse.
    @Nullable
    List<@Nullable Object> reversed(@Nullable Object v) {
        if (v instanceof Stream || v == null || v instanceof Undefined || iteratorOrNull(v) == null)
            return null;
        List<@Nullable Object> all = list(v);
        Collections.reverse(all);
        return all;
    }

    boolean equal(@Nullable Object a, @Nullable Object b) {
        budget.enter();
        budget.step();
        boolean same = same(a, b);
        budget.leave();
        return same;
    }

    private boolean same(@Nullable Object a, @Nullable Object b) {
        if (number(a) != null && number(b) != null)
            return order(a, b) == 0;
        Object x = a instanceof Markup m ? m.text() : a;
        Object y = b instanceof Markup m ? m.text() : b;
        return switch (x) {
            case String s -> y instanceof String t && s.length() == t.length()
                    && budget.characters(s.length()) >= 0 && s.equals(t);
            case Undefined _ -> y instanceof Undefined;
            case List<?> l -> y instanceof List<?> m && pairs(l, m);
            case Tuple t -> y instanceof Tuple u && pairs(t.items(), u.items());
            case Dict d -> y instanceof Dict e && entries(d, e);
            case Range r -> {
                if (y instanceof Range q && r.size() != q.size())
                    yield false;
                if (y instanceof Range && !r.equals(y))
                    throw new Problem("the comparison of ranges is not supported; use '| list'");
                yield r.equals(y);
            }
            case View _ -> {
                if (y instanceof View)
                    throw new Problem("the comparison of parts of mappings is not supported; use '| list'");
                yield false;
            }
            case Namespace _ -> JinjaTypes.identical(x, y);
            case null, default -> Objects.equals(x, y);
        };
    }

    private boolean pairs(List<?> a, List<?> b) {
        if (a.size() != b.size())
            return false;
        for (int i = 0; i < a.size(); i++)
            if (!JinjaTypes.identical(a.get(i), b.get(i)) && !equal(a.get(i), b.get(i)))
                return false;
        return true;
    }

    private boolean entries(Dict a, Dict b) {
        if (a.size() != b.size())
            return false;
        for (Dict.Entry e : a.entries()) {
            Dict.Entry other = b.get(e.key());
            if (other == null || !JinjaTypes.identical(other.value(), e.value()) && !equal(e.value(), other.value()))
                return false;
        }
        return true;
    }

    /// Numbers and truth values as Python computes with them, null for all else.
    static @Nullable Double number(@Nullable Object v) {
        return switch (v) {
            case Long n -> (double) n;
            case Double d -> d;
            case Boolean b -> b ? 1.0 : 0.0;
            case null, default -> null;
        };
    }

    private static long whole(@Nullable Object v) {
        return v instanceof Long n ? n : Boolean.TRUE.equals(v) ? 1 : 0;
    }

    boolean holds(String operator, @Nullable Object a, @Nullable Object b) {
        switch (operator) {
            case "==" -> {
                return equal(a, b);
            }
            case "!=" -> {
                return !equal(a, b);
            }
            case "in" -> {
                return contains(b, a);
            }
            case "not in" -> {
                return !contains(b, a);
            }
            default -> {
                if (Double.valueOf(Double.NaN).equals(a) || Double.valueOf(Double.NaN).equals(b))
                    return number(a) != null && number(b) != null ? false : order(a, b) < 0;
                int o = order(a, b);
                return switch (operator) {
                    case "<" -> o < 0;
                    case "<=" -> o <= 0;
                    case ">" -> o > 0;
                    case ">=" -> o >= 0;
                    default -> throw new IllegalArgumentException(operator);
                };
            }
        }
    }

    int order(@Nullable Object a, @Nullable Object b) {
        budget.step();
        Double m = number(a);
        Double n = number(b);
        if (m != null && n != null) {
            if (!(a instanceof Double) && !(b instanceof Double))
                return Long.compare(whole(a), whole(b));
            if (m.isNaN() || n.isNaN())
                return 2;
            if (m.isInfinite() || n.isInfinite() || a instanceof Double && b instanceof Double)
                return m.doubleValue() == n.doubleValue() ? 0 : Double.compare(m, n);
            return exact(a).compareTo(exact(b));
        }
        Object x = a instanceof Markup t ? t.text() : a;
        Object y = b instanceof Markup t ? t.text() : b;
        if (x instanceof String s && y instanceof String t) {
            budget.characters(Math.min(s.length(), t.length()));
            return PythonText.compare(s, t);
        }
        List<?> p = x instanceof Tuple t ? t.items() : x instanceof List<?> l ? l : null;
        List<?> q = y instanceof Tuple t ? t.items() : y instanceof List<?> l ? l : null;
        if (p == null || q == null || x instanceof Tuple != y instanceof Tuple)
            throw new Problem("cannot compare " + kind(a) + " and " + kind(b));
        budget.enter();
        int result = Integer.compare(p.size(), q.size());
        for (int i = 0; i < Math.min(p.size(), q.size()); i++)
            if (!equal(p.get(i), q.get(i))) {
                result = order(p.get(i), q.get(i));
                break;
            }
        budget.leave();
        return result;
    }

    private static BigDecimal exact(@Nullable Object v) {
        return v instanceof Double d ? new BigDecimal(d) : BigDecimal.valueOf(whole(v));
    }

    void sort(List<@Nullable Object> items, List<@Nullable Object> keys, boolean reverse) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < items.size(); i++) {
            if (keys.get(i) instanceof Double d && d.isNaN())
                throw new Problem("NaN cannot be sorted");
            order.add(i);
        }
        budget.elements(items.size());
        try {
            order.sort((a, b) -> reverse ? order(keys.get(b), keys.get(a)) : order(keys.get(a), keys.get(b)));
        } catch (IllegalArgumentException e) {
            throw new Problem("the values have no order");
        }
        List<@Nullable Object> sorted = new ArrayList<>();
        for (int i : order)
            sorted.add(items.get(i));
        List<@Nullable Object> sortedKeys = new ArrayList<>();
        for (int i : order)
            sortedKeys.add(keys.get(i));
        for (int i = 0; i < sorted.size(); i++) {
            items.set(i, sorted.get(i));
            keys.set(i, sortedKeys.get(i));
        }
    }

    boolean contains(@Nullable Object in, @Nullable Object item) {
        switch (in) {
            case String s -> {
                return inText(s, item);
            }
            case Markup m -> {
                return inText(m.text(), item);
            }
            case Dict d -> {
                return d.has(item);
            }
            case View w when w.part() == JinjaTypes.Part.KEYS -> {
                return w.of().has(item);
            }
            case null, default -> {
                for (Iterator<@Nullable Object> i = iterator(in); i.hasNext();) {
                    budget.step();
                    Object x = i.next();
                    if (JinjaTypes.identical(x, item) || equal(x, item))
                        return true;
                }
                return false;
            }
        }
    }

    private boolean inText(String s, @Nullable Object item) {
        Object part = item instanceof Markup m ? m.text() : item;
        if (!(part instanceof String p))
            throw new Problem("'in' a text needs a text before it, not " + kind(item));
        return find(s, p) >= 0;
    }

    int find(String s, String part) {
        search(s, part);
        return PythonText.find(s, part, 0);
    }

    /// Charges the budget for a search.
    void search(String s, String part) {
        budget.characters(s.length() + (part.length() > 16 ? 4L : 1L) * part.length());
    }

    @Nullable
    Object arithmetic(String operator, @Nullable Object a, @Nullable Object b) {
        if (a instanceof Undefined u)
            throw u.problem();
        if (operator.equals("%") && (a instanceof String || a instanceof Markup)) {
            if (a instanceof Markup)
                throw new Problem("'%' of a text marked as safe is not supported; use it before '| safe'");
            return PythonPercent.format(this, text(a), b);
        }
        if (b instanceof Undefined u)
            throw u.problem();
        if (operator.equals("+")) {
            Object sum = joined(a, b);
            if (sum != null)
                return sum;
        }
        if (operator.equals("*")) {
            Object product = a instanceof Long || a instanceof Boolean ? repeated(b, whole(a)) : b instanceof Long
                    || b instanceof Boolean ? repeated(a, whole(b)) : null;
            if (product != null)
                return product;
        }
        Double x = number(a);
        Double y = number(b);
        if (x == null || y == null)
            throw new Problem("cannot compute " + kind(a) + " " + operator + " " + kind(b));
        if (a instanceof Double || b instanceof Double || operator.equals("/"))
            return real(operator, x, y);
        return whole(operator, whole(a), whole(b));
    }

    private @Nullable Object joined(@Nullable Object a, @Nullable Object b) {
        if (a instanceof String s && b instanceof String t) {
            budget.characters((long) s.length() + t.length());
            return s + t;
        }
        if (a instanceof Markup || b instanceof Markup) {
            if (!(a instanceof Markup || a instanceof String) || !(b instanceof Markup || b instanceof String))
                return null;
            return new Markup(escaped(a) + escaped(b));
        }
        List<?> p = a instanceof Tuple t ? t.items() : a instanceof List<?> l ? l : null;
        List<?> q = b instanceof Tuple t ? t.items() : b instanceof List<?> l ? l : null;
        if (p == null || q == null || a instanceof Tuple != b instanceof Tuple)
            return null;
        List<@Nullable Object> both = new ArrayList<>(budget.elements((long) p.size() + q.size()));
        both.addAll(p);
        both.addAll(q);
        return a instanceof Tuple ? new Tuple(both) : both;
    }

    /// A text with HTML's special characters escaped, unless it is marked as safe.
    String escaped(@Nullable Object v) {
        String s = text(v);
        budget.characters(s.length());
        return v instanceof Markup ? s : s.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;")
                .replace("'", "&#39;").replace("\"", "&#34;");
    }

    private @Nullable Object repeated(@Nullable Object v, long n) {
        long times = Math.max(0, n);
        switch (v) {
            case String s -> {
                return s.isEmpty() ? s : s.repeat(budget.characters(product(times, s.length())) / s.length());
            }
            case Markup m -> {
                return new Markup((String) Objects.requireNonNull(repeated(m.text(), n)));
            }
            case List<?> _,Tuple _ -> {
                List<?> l = v instanceof Tuple t ? t.items() : Objects.requireNonNull((List<?>) v);
                List<@Nullable Object> all = new ArrayList<>(budget.elements(product(times, l.size())));
                for (long i = 0; i < times && !l.isEmpty(); i++)
                    all.addAll(l);
                return v instanceof Tuple ? new Tuple(all) : all;
            }
            case null, default -> {
                return null;
            }
        }
    }

    private static long product(long a, long b) {
        return b == 0 ? 0 : a > Integer.MAX_VALUE ? Integer.MAX_VALUE : a * b;
    }

    private static Object whole(String operator, long x, long y) {
        try {
            return switch (operator) {
                case "+" -> Math.addExact(x, y);
                case "-" -> Math.subtractExact(x, y);
                case "*" -> Math.multiplyExact(x, y);
                case "//" -> y == -1 ? Math.negateExact(x) : Math.floorDiv(x, divisor(y));
                case "%" -> Math.floorMod(x, divisor(y));
                case "**" -> power(x, y);
                default -> throw new IllegalArgumentException(operator);
            };
        } catch (ArithmeticException e) {
            throw new Problem(x + " " + operator + " " + y + " is " + WHOLE);
        }
    }

    private static long divisor(long y) {
        if (y == 0)
            throw new Problem("division by zero");
        return y;
    }

    private static Object power(long x, long y) {
        if (y < 0)
            return real("**", x, y);
        if (x == 0 || x == 1 || y == 0)
            return y == 0 ? 1L : x;
        if (x == -1)
            return y % 2 == 0 ? 1L : -1L;
        if (y > 64)
            throw new ArithmeticException();
        long p = 1;
        for (long i = 0; i < y; i++)
            p = Math.multiplyExact(p, x);
        return p;
    }

    private static double real(String operator, double x, double y) {
        if (y == 0 && (operator.equals("/") || operator.equals("//") || operator.equals("%"))
                || operator.equals("**") && x == 0 && y < 0)
            throw new Problem("division by zero");
        return switch (operator) {
            case "+" -> x + y;
            case "-" -> x - y;
            case "*" -> x * y;
            case "/" -> x / y;
            case "//" -> {
                double r = remainder(x, y);
                double q = (x - r) / y;
                double floor = Math.floor(q);
                yield q == 0 ? Math.copySign(0.0, x / y) : q - floor > 0.5 ? floor + 1 : floor;
            }
            case "%" -> remainder(x, y);
            case "**" -> {
                if (x < 0 && y != Math.rint(y) && !Double.isInfinite(x) && !Double.isInfinite(y))
                    throw new Problem("complex numbers are not supported");
                double p = x == 1 ? 1 : Math.pow(x, y);
                if (Double.isInfinite(p) && !Double.isInfinite(x) && !Double.isInfinite(y))
                    throw new Problem("the power is too large");
                yield p;
            }
            default -> throw new IllegalArgumentException(operator);
        };
    }

    private static double remainder(double x, double y) {
        double r = x % y;
        return r == 0 ? Math.copySign(0.0, y) : r < 0 != y < 0 ? r + y : r;
    }

    @Nullable
    Object negative(@Nullable Object v) {
        return switch (v) {
            case Double d -> -d;
            case Undefined u -> throw u.problem();
            case Long _,Boolean _ -> whole("-", 0, whole(v));
            case null, default -> throw new Problem("cannot compute -" + kind(v));
        };
    }

    @Nullable
    Object slice(@Nullable Object of, @Nullable Object from, @Nullable Object to, @Nullable Object step) {
        if (of instanceof Undefined u)
            throw u.problem();
        if (!(of instanceof String || of instanceof Markup || of instanceof List<?> || of instanceof Tuple
                || of instanceof Range))
            throw new Problem(kind(of) + " cannot be sliced");
        Long by = bound(step);
        if (by != null && by == 0)
            throw new Problem("a slice cannot step by 0");
        long s = by == null ? 1 : Math.max(by, -Long.MAX_VALUE);
        long n = size(of);
        Long first = bound(from);
        Long last = bound(to);
        long start = first == null ? s > 0 ? 0 : n - 1 : clamp(first, n, s);
        long end = last == null ? s > 0 ? n : -1 : clamp(last, n, s);
        long size = s > 0 ? start < end ? (end - start - 1) / s + 1 : 0
                : start > end ? (start - end - 1) / -s + 1 : 0;
        if (of instanceof Range r)
            return new Range(r.from() + start * r.step(), r.from() + end * r.step(), size < 2 && s != 1
                    ? refuseStep() : r.step() * s);
        if (of instanceof String || of instanceof Markup) {
            String part = characters(text(of), start, s, size, n);
            return of instanceof Markup ? new Markup(part) : part;
        }
        List<?> items = of instanceof Tuple t ? t.items() : (List<?>) of;
        List<@Nullable Object> part = new ArrayList<>(budget.elements(size));
        for (long i = 0, at = start; i < size; i++, at += s)
            part.add(items.get((int) at));
        return of instanceof Tuple ? new Tuple(part) : part;
    }

    private static long refuseStep() {
        throw new Problem("this slice of a range is not supported; use '| list'");
    }

    private String characters(String s, long start, long step, long size, long n) {
        budget.characters(2L * s.length());
        if (size == 0)
            return "";
        if (step == 1) {
            int from = s.offsetByCodePoints(0, (int) start);
            return s.substring(from, s.offsetByCodePoints(from, (int) size));
        }
        var out = new StringBuilder();
        int[] all = n == s.length() ? null : s.codePoints().toArray();
        for (long i = 0, at = start; i < size; i++, at += step)
            if (all == null)
                out.append(s.charAt((int) at));
            else
                out.appendCodePoint(all[(int) at]);
        return out.toString();
    }

    private static @Nullable Long bound(@Nullable Object v) {
        return switch (v) {
            case null -> null;
            case Long n -> n;
            case Boolean b -> b ? 1L : 0L;
            case Undefined u -> throw u.problem();
            default -> throw new Problem("a slice needs whole numbers, not " + kind(v));
        };
    }

    private static long clamp(long i, long n, long by) {
        long at = i < 0 ? i + n : i;
        return by > 0 ? Math.clamp(at, 0, n) : Math.clamp(at, -1, n - 1);
    }
}
