package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSignature.Bound;
import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Arguments;
import dev.gyre.model.token.jinja.JinjaTypes.Callable;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Loop;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import dev.gyre.model.token.jinja.JinjaTypes.Range;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import dev.gyre.model.token.jinja.JinjaTypes.Undefined;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// The tests behind `is`, each with its parameters.
final class JinjaTests {
    private interface Body {
        boolean holds(Jinja j, @Nullable Object v, Bound b);
    }

    private record Entry(JinjaSignature signature, Body body) {
    }

    private static final Map<String, Entry> ALL = new HashMap<>();

    static {
        one("defined", v -> !(v instanceof Undefined));
        one("undefined", Undefined.class::isInstance);
        one("none", v -> v == null);
        one("boolean", Boolean.class::isInstance);
        one("true", Boolean.TRUE::equals);
        one("false", Boolean.FALSE::equals);
        one("integer", Long.class::isInstance);
        one("float", Double.class::isInstance);
        one("number", v -> JinjaValues.number(v) != null);
        one("string", v -> v instanceof String || v instanceof Markup);
        one("mapping", Dict.class::isInstance);
        one("sequence", v -> v instanceof List<?> || v instanceof Tuple || v instanceof String || v instanceof Markup
                || v instanceof Dict || v instanceof Range || v instanceof Undefined);
        one("callable", v -> v instanceof Callable || v instanceof Loop || v instanceof Undefined);
        one("escaped", Markup.class::isInstance);
        test("iterable", JinjaSignature.of(), (j, v, _) -> j.values.iterable(v));
        test("lower", JinjaSignature.of(), (j, v, _) -> PythonText.isLower(j.values.text(v)));
        test("upper", JinjaSignature.of(), (j, v, _) -> PythonText.isUpper(j.values.text(v)));
        test("odd", JinjaSignature.of(), (j, v, _) -> j.values.equal(remainder(j, v, 2L), 1L));
        test("even", JinjaSignature.of(), (j, v, _) -> j.values.equal(remainder(j, v, 2L), 0L));
        test("divisibleby", JinjaSignature.of("num", JinjaSignature.NEEDED),
                (j, v, b) -> j.values.equal(remainder(j, v, b.get(0)), 0L));
        test("filter", JinjaSignature.of(), (_, v, _) -> JinjaFilters.known(String.valueOf(v)));
        test("test", JinjaSignature.of(), (_, v, _) -> known(String.valueOf(v)));
        test("in", JinjaSignature.of("seq", JinjaSignature.NEEDED), (j, v, b) -> j.values.contains(b.get(0), v));
        test("sameas", JinjaSignature.of("other", JinjaSignature.NEEDED), (j, v, b) -> same(j, v, b.get(0)));
        compare("==", "==", "eq", "equalto");
        compare("!=", "!=", "ne");
        compare("<", "<", "lt", "lessthan");
        compare("<=", "<=", "le");
        compare(">", ">", "gt", "greaterthan");
        compare(">=", ">=", "ge");
    }

    private JinjaTests() {
    }

    private static void test(String name, JinjaSignature signature, Body body) {
        ALL.put(name, new Entry(signature, body));
    }

    private interface One {
        boolean holds(@Nullable Object v);
    }

    private static void one(String name, One test) {
        test(name, JinjaSignature.of(), (_, v, _) -> test.holds(v));
    }

    private static void compare(String operator, String... names) {
        for (String name : names)
            test(name, JinjaSignature.positional("other", JinjaSignature.NEEDED),
                    (j, v, b) -> j.values.holds(operator, v, b.get(0)));
    }

    private static @Nullable Object remainder(Jinja j, @Nullable Object v, @Nullable Object by) {
        if (JinjaValues.number(v) == null && !(v instanceof Undefined))
            throw new Problem(JinjaValues.kind(v) + " is not a number");
        return j.values.arithmetic("%", v, by);
    }

    /// Python's `is`, as far as the language says which values are one object.
    private static boolean same(Jinja j, @Nullable Object a, @Nullable Object b) {
        if (JinjaTypes.identical(a, b))
            return true;
        if (a == null || b == null || a instanceof Boolean || b instanceof Boolean)
            return Objects.equals(a, b);
        if (a.getClass() != b.getClass() || !j.values.equal(a, b))
            return false;
        if (a instanceof Long n)
            if (n >= -5 && n <= 256)
                return true;
        if (a instanceof Long || a instanceof Double || a instanceof String || a instanceof Markup)
            throw new Problem("the test 'sameas' of equal texts and numbers is not supported; use '=='");
        return false;
    }

    static boolean known(String name) {
        return ALL.containsKey(name);
    }

    static boolean holds(Jinja j, String name, @Nullable Object v, Arguments a) {
        Entry e = ALL.get(name);
        if (e == null)
            throw new Problem("there is no test '" + name + "'");
        return e.body.holds(j, v, e.signature.bind("the test '" + name + "'", a));
    }
}
