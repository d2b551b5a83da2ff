package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Expr;
import dev.gyre.model.token.jinja.JinjaSyntax.Failure;
import dev.gyre.model.token.jinja.JinjaSyntax.Node;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Renders a chat template: a small interpreter of the Jinja subset in [JinjaSyntax] with Python's meaning of values.
/// None is null; whole numbers are Long, others Double.
///
/// The Java ports of Jinja do not render current templates: they lack `messages[::-1]` and Python's string methods.
public final class Jinja {
    /// What the template says with `raise_exception`.
    public static final class Refusal extends RuntimeException {
        private static final long serialVersionUID = 1;

        Refusal(String message) {
            super(message);
        }
    }

    /// Hears which part of the output each turn of a loop wrote, and each generation block. Positions count characters
    /// of the whole output; parts written inside macros or captured are not reported.
    public interface Listener {
        void turn(@Nullable Object item, int from, int to);

        void generation(int from, int to);
    }

    /// A name that stands for nothing: empty as text, false as a condition, an error when looked into.
    record Undefined(String name) {
    }

    /// `namespace(...)`: the one value whose attributes a template can set.
    private record Namespace(Map<String, @Nullable Object> values) {
    }

    /// A function or macro.
    interface Function {
        @Nullable
        Object call(List<@Nullable Object> arguments, Map<String, @Nullable Object> named);
    }

    private static final class Scope {
        final Map<String, @Nullable Object> values = new HashMap<>();
        final @Nullable Scope outer;

        Scope(@Nullable Scope outer) {
            this.outer = outer;
        }

        @Nullable
        Object get(String name) {
            for (Scope s = this; s != null; s = s.outer)
                if (s.values.containsKey(name))
                    return s.values.get(name);
            return new Undefined(name);
        }
    }

    private enum Flow {
        NEXT, BREAK, CONTINUE
    }

    /// A template cannot run away: no template in use comes near this many loop turns.
    private static final int TURN_LIMIT = 200_000;

    private final Listener listener;
    private final StringBuilder root = new StringBuilder();
    /// What the template sets at its top level; macros see that and the variables, not the place they are called from.
    private final Scope template = new Scope(null);
    private StringBuilder out = root;
    private int turns;

    private Jinja(Listener listener) {
        this.listener = listener;
    }

    public static String render(List<Node> template, Map<String, ? extends @Nullable Object> variables,
            Listener listener) {
        var j = new Jinja(listener);
        j.template.values.put("namespace", (Function) Jinja::namespace);
        j.template.values.put("dict", (Function) Jinja::dict);
        j.template.values.put("range", (Function) Jinja::range);
        j.template.values.put("raise_exception", (Function) Jinja::refuse);
        j.template.values.putAll(variables);
        try {
            j.run(template, j.template);
        } catch (StackOverflowError e) {
            throw new Failure(1, "macros call each other without end");
        }
        return j.root.toString();
    }

    private static Namespace namespace(List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        return new Namespace(dict(args, named));
    }

    private static Map<String, @Nullable Object> dict(List<@Nullable Object> args,
            Map<String, @Nullable Object> named) {
        Map<String, @Nullable Object> values = new LinkedHashMap<>();
        for (Object a : args)
            if (a instanceof Map<?, ?> m)
                m.forEach((k, v) -> values.put(String.valueOf(k), v));
        values.putAll(named);
        return values;
    }

    private static @Nullable Object refuse(List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        throw new Refusal(args.isEmpty() ? "refused" : JinjaValues.text(args.getFirst()));
    }

    private static List<@Nullable Object> range(List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        long[] n = args.stream().mapToLong(a -> a instanceof Long l ? l : 0).toArray();
        long from = n.length > 1 ? n[0] : 0;
        long to = n.length > 1 ? n[1] : n.length == 1 ? n[0] : 0;
        long step = n.length > 2 ? n[2] : 1;
        List<@Nullable Object> all = new ArrayList<>();
        if (step != 0)
            for (long i = from; (step > 0 ? i < to : i > to) && all.size() <= TURN_LIMIT; i += step)
                all.add(i);
        return all;
    }

    private Flow run(List<Node> nodes, Scope scope) {
        for (Node n : nodes) {
            Flow flow = run(n, scope);
            if (flow != Flow.NEXT)
                return flow;
        }
        return Flow.NEXT;
    }

    private Flow run(Node node, Scope scope) {
        switch (node) {
            case JinjaSyntax.Text t -> out.append(t.text());
            case JinjaSyntax.Output o -> out.append(JinjaValues.text(eval(o.value(), scope)));
            case JinjaSyntax.If n -> {
                for (int i = 0; i < n.tests().size(); i++)
                    if (JinjaValues.truth(eval(n.tests().get(i), scope)))
                        return run(n.bodies().get(i), scope);
                return run(n.otherwise(), scope);
            }
            case JinjaSyntax.For n -> loop(n, scope);
            case JinjaSyntax.Assign n -> assign(n, scope);
            case JinjaSyntax.Capture n -> scope.values.put(n.name(), capture(n.body(), new Scope(scope)));
            case JinjaSyntax.Macro n -> scope.values.put(n.name(), macro(n));
            case JinjaSyntax.Generation n -> {
                int from = out.length();
                Flow flow = run(n.body(), scope);
                if (out == root)
                    listener.generation(from, out.length());
                return flow;
            }
            case JinjaSyntax.Break _ -> {
                return Flow.BREAK;
            }
            case JinjaSyntax.Continue _ -> {
                return Flow.CONTINUE;
            }
        }
        return Flow.NEXT;
    }

    private String capture(List<Node> body, Scope scope) {
        StringBuilder before = out;
        out = new StringBuilder();
        try {
            run(body, scope);
            return out.toString();
        } finally {
            out = before;
        }
    }

    private void loop(JinjaSyntax.For n, Scope scope) {
        List<@Nullable Object> items = new ArrayList<>();
        for (Object item : JinjaValues.items(n.line(), eval(n.items(), scope))) {
            var inner = new Scope(scope);
            bind(n.line(), n.names(), item, inner);
            if (n.condition() == null || JinjaValues.truth(eval(n.condition(), inner)))
                items.add(item);
        }
        if (items.isEmpty())
            run(n.otherwise(), scope);
        for (int i = 0; i < items.size(); i++) {
            if (++turns > TURN_LIMIT)
                throw new Failure(n.line(), "more than " + TURN_LIMIT + " loop turns");
            var inner = new Scope(scope);
            bind(n.line(), n.names(), items.get(i), inner);
            inner.values.put("loop", loopState(items, i));
            int from = out.length();
            Flow flow = run(n.body(), inner);
            if (out == root && out.length() > from)
                listener.turn(items.get(i), from, out.length());
            if (flow == Flow.BREAK)
                break;
        }
    }

    private static Map<String, @Nullable Object> loopState(List<@Nullable Object> items, int i) {
        Map<String, @Nullable Object> loop = new HashMap<>();
        int n = items.size();
        loop.put("index", i + 1L);
        loop.put("index0", (long) i);
        loop.put("revindex", (long) n - i);
        loop.put("revindex0", n - i - 1L);
        loop.put("first", i == 0);
        loop.put("last", i == n - 1);
        loop.put("length", (long) n);
        loop.put("previtem", i == 0 ? new Undefined("loop.previtem") : items.get(i - 1));
        loop.put("nextitem", i == n - 1 ? new Undefined("loop.nextitem") : items.get(i + 1));
        return loop;
    }

    private static void bind(int line, List<String> names, @Nullable Object value, Scope scope) {
        if (names.size() == 1) {
            scope.values.put(names.getFirst(), value);
            return;
        }
        List<@Nullable Object> parts = JinjaValues.items(line, value);
        if (parts.size() != names.size())
            throw new Failure(line, names.size() + " names for " + parts.size() + " values");
        for (int i = 0; i < names.size(); i++)
            scope.values.put(names.get(i), parts.get(i));
    }

    private void assign(JinjaSyntax.Assign n, Scope scope) {
        Object value = eval(n.value(), scope);
        if (n.attribute() == null)
            bind(n.line(), n.names(), value, scope);
        else
            if (scope.get(n.names().getFirst()) instanceof Namespace ns)
                ns.values.put(n.attribute(), value);
            else
                throw new Failure(n.line(), "'" + n.names().getFirst() + "' is no namespace, its '" + n.attribute()
                        + "' cannot be set");
    }

    private Function macro(JinjaSyntax.Macro n) {
        return (args, named) -> {
            var scope = new Scope(template);
            for (int i = 0; i < n.parameters().size(); i++) {
                String p = n.parameters().get(i);
                Expr fallback = n.defaults().get(p);
                Object value = i < args.size() ? args.get(i)
                        : named.containsKey(p) ? named.get(p)
                        : fallback != null ? eval(fallback, scope) : new Undefined(p);
                scope.values.put(p, value);
            }
            return capture(n.body(), scope);
        };
    }

    private @Nullable Object eval(Expr e, Scope scope) {
        return switch (e) {
            case JinjaSyntax.Const c -> c.value();
            case JinjaSyntax.Name n -> scope.get(n.name());
            case JinjaSyntax.Items l -> all(l.items(), scope);
            case JinjaSyntax.Dict d -> {
                Map<@Nullable Object, @Nullable Object> map = new LinkedHashMap<>();
                for (int i = 0; i < d.keys().size(); i++)
                    map.put(eval(d.keys().get(i), scope), eval(d.values().get(i), scope));
                yield map;
            }
            case JinjaSyntax.Attribute a -> attribute(a.line(), eval(a.of(), scope), a.name());
            case JinjaSyntax.Index i -> index(i.line(), eval(i.of(), scope), eval(i.index(), scope));
            case JinjaSyntax.Slice s -> JinjaValues.slice(s.line(), eval(s.of(), scope), number(s.from(), scope),
                    number(s.to(), scope), number(s.step(), scope));
            case JinjaSyntax.Call c -> call(c, scope);
            case JinjaSyntax.Filter f -> JinjaValues.filter(f.line(), f.name(), eval(f.of(), scope),
                    all(f.arguments(), scope), named(f.named(), scope));
            case JinjaSyntax.Test t -> JinjaValues.test(t.line(), t.name(), eval(t.of(), scope),
                    all(t.arguments(), scope));
            case JinjaSyntax.Not n -> !JinjaValues.truth(eval(n.of(), scope));
            case JinjaSyntax.Negative n -> JinjaValues.arithmetic(n.line(), "-", 0L, eval(n.of(), scope));
            case JinjaSyntax.Binary b -> binary(b, scope);
            case JinjaSyntax.Compare c -> compare(c, scope);
            case JinjaSyntax.Conditional c -> JinjaValues.truth(eval(c.test(), scope)) ? eval(c.then(), scope)
                    : c.otherwise() == null ? new Undefined("else") : eval(c.otherwise(), scope);
        };
    }

    private List<@Nullable Object> all(List<Expr> items, Scope scope) {
        List<@Nullable Object> values = new ArrayList<>();
        for (Expr item : items)
            values.add(eval(item, scope));
        return values;
    }

    private Map<String, @Nullable Object> named(Map<String, Expr> named, Scope scope) {
        Map<String, @Nullable Object> values = new LinkedHashMap<>();
        named.forEach((k, v) -> values.put(k, eval(v, scope)));
        return values;
    }

    private @Nullable Long number(@Nullable Expr e, Scope scope) {
        return e != null && eval(e, scope) instanceof Long n ? n : null;
    }

    private static @Nullable Object attribute(int line, @Nullable Object of, String name) {
        return switch (of) {
            case Namespace ns -> ns.values.containsKey(name) ? ns.values.get(name) : new Undefined(name);
            case Map<?, ?> m -> m.containsKey(name) ? m.get(name) : new Undefined(name);
            case Undefined u -> throw new Failure(line, "'" + u.name + "' is undefined, it has no '" + name + "'");
            case null -> new Undefined(name);
            default -> new Undefined(name);
        };
    }

    private static @Nullable Object index(int line, @Nullable Object of, @Nullable Object index) {
        return switch (of) {
            case Undefined u -> throw new Failure(line, "'" + u.name + "' is undefined, it has no [" + index + "]");
            case Map<?, ?> m -> m.containsKey(index) ? m.get(index) : new Undefined(JinjaValues.text(index));
            case Namespace ns -> attribute(line, ns, JinjaValues.text(index));
            case null -> new Undefined(JinjaValues.text(index));
            default -> {
                if (!(index instanceof Long i) || !(of instanceof List<?> || of instanceof String))
                    yield new Undefined(JinjaValues.text(index));
                List<@Nullable Object> items = JinjaValues.items(line, of);
                long at = i < 0 ? i + items.size() : i;
                yield at >= 0 && at < items.size() ? items.get((int) at) : new Undefined("[" + i + "]");
            }
        };
    }

    private @Nullable Object call(JinjaSyntax.Call c, Scope scope) {
        List<@Nullable Object> arguments = all(c.arguments(), scope);
        Map<String, @Nullable Object> named = named(c.named(), scope);
        if (c.function() instanceof JinjaSyntax.Attribute a) {
            Object of = eval(a.of(), scope);
            if (!(attribute(a.line(), of, a.name()) instanceof Function f))
                return JinjaValues.method(a.line(), a.name(), of, arguments);
            return f.call(arguments, named);
        }
        Object f = eval(c.function(), scope);
        if (f instanceof Function function)
            return function.call(arguments, named);
        if (f instanceof Undefined(String name))
            throw new Failure(c.line(), name.equals("strftime_now")
                    ? "asks for today's date (strftime_now), and runs must not depend on the day; write a date there"
                    : "there is no function '" + name + "'");
        throw new Failure(c.line(), JinjaValues.text(f) + " is not a function");
    }

    private @Nullable Object binary(JinjaSyntax.Binary b, Scope scope) {
        Object left = eval(b.left(), scope);
        switch (b.operator()) {
            case "and" -> {
                return JinjaValues.truth(left) ? eval(b.right(), scope) : left;
            }
            case "or" -> {
                return JinjaValues.truth(left) ? left : eval(b.right(), scope);
            }
            case "~" -> {
                return JinjaValues.text(left) + JinjaValues.text(eval(b.right(), scope));
            }
            default -> {
                return JinjaValues.arithmetic(b.line(), b.operator(), left, eval(b.right(), scope));
            }
        }
    }

    private boolean compare(JinjaSyntax.Compare c, Scope scope) {
        Object left = eval(c.first(), scope);
        for (int i = 0; i < c.operators().size(); i++) {
            Object right = eval(c.others().get(i), scope);
            if (!JinjaValues.holds(c.line(), c.operators().get(i), left, right))
                return false;
            left = right;
        }
        return true;
    }
}
