package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Expr;
import dev.gyre.model.token.jinja.JinjaSyntax.Failure;
import dev.gyre.model.token.jinja.JinjaSyntax.Node;
import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Arguments;
import dev.gyre.model.token.jinja.JinjaTypes.Callable;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Loop;
import dev.gyre.model.token.jinja.JinjaTypes.Namespace;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import dev.gyre.model.token.jinja.JinjaTypes.Undefined;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Renders a chat template as jinja2 3.1.6 does in the environment of transformers (a sandbox without changes of values,
/// trim_blocks, lstrip_blocks, loopcontrols, the `generation` tag), and refuses by name what it does not know.
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
    /// of the whole output. Turns inside macros and captured parts are not reported.
    public interface Listener {
        void turn(@Nullable Object item, int from, int to);

        void generation(int from, int to);

        /// A generation block whose text was changed before it was written, so that its place is not known.
        void lost(int line);
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
            return Undefined.name(name);
        }
    }

    private enum Flow {
        NEXT, BREAK, CONTINUE
    }

    /// Where generation blocks lie in a text that is not written yet.
    private record Mark(int line, int from, int to) {
    }

    private static final Arguments NONE = JinjaSignature.none();

    final JinjaValues values = new JinjaValues(new JinjaBudget());
    final JinjaAttributes attributes = new JinjaAttributes(values);
    private final JinjaBudget budget = values.budget;
    private final Listener listener;
    private final StringBuilder root = new StringBuilder();
    /// What the template sets at its top level; blocks see that, not the place they stand in.
    private final Scope template = new Scope(null);
    private StringBuilder out = root;
    private List<Mark> marks = new ArrayList<>();
    private final Map<String, List<Mark>> captured = new IdentityHashMap<>();
    private final Map<Mark, Boolean> open = new IdentityHashMap<>();

    private Jinja(Listener listener) {
        this.listener = listener;
    }

    /// @param date what `strftime_now` shows; without one there is no such function
    public static String render(List<Node> template, Map<String, ? extends @Nullable Object> variables,
            @Nullable LocalDateTime date, Listener listener) {
        var j = new Jinja(listener);
        try {
            new JinjaFunctions(j).all(date).forEach(f -> j.template.values.put(f.name, f));
            variables.forEach((name, value) -> j.template.values.put(name, j.values.of(value)));
            j.run(template, j.template);
        } catch (Problem e) {
            throw new Failure(1, String.valueOf(e.getMessage()));
        } catch (StackOverflowError e) {
            throw new Failure(1, "expressions, macros or values lie too deep inside each other");
        }
        j.open.keySet().forEach(mark -> listener.lost(mark.line));
        return j.root.toString();
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
            case JinjaSyntax.Text t -> write(1, t.text());
            case JinjaSyntax.Output o -> write(o.value().line(), at(o.value().line(),
                    () -> values.text(eval(o.value(), scope))));
            case JinjaSyntax.If n -> {
                for (int i = 0; i < n.tests().size(); i++)
                    if (JinjaValues.truth(eval(n.tests().get(i), scope)))
                        return run(n.bodies().get(i), scope);
                return run(n.otherwise(), scope);
            }
            case JinjaSyntax.For n -> {
                return loop(n, eval(n.items(), scope), scope, 0);
            }
            case JinjaSyntax.Assign n -> {
                Object value = eval(n.value(), scope);
                at(n.line(), () -> assign(n.target(), value, scope));
            }
            case JinjaSyntax.Capture n -> {
                var flow = new Flow[] {Flow.NEXT};
                String body = capture(n.line(), n.body(), new Scope(scope), flow);
                if (flow[0] != Flow.NEXT)
                    return flow[0];
                Object value = n.filter() == null ? body : filtered(n.filter(), body, scope);
                at(n.line(), () -> assign(n.target(), value, scope));
            }
            case JinjaSyntax.Macro n -> scope.values.put(n.signature().name(),
                    new JinjaMacro(this, n.signature(), n.body(), scope));
            case JinjaSyntax.CallBlock n -> {
                Object function = eval(n.call().function(), scope);
                Arguments a = arguments(n.line(), n.call().arguments(), scope);
                Map<String, @Nullable Object> named = new LinkedHashMap<>(a.named());
                named.put("caller", new JinjaMacro(this, n.signature(), n.body(), scope));
                write(n.line(), at(n.line(), () -> values.text(call(function, new Arguments(a.positional(), named)))));
            }
            case JinjaSyntax.FilterBlock n -> {
                var flow = new Flow[] {Flow.NEXT};
                String body = capture(n.line(), n.body(), new Scope(scope), flow);
                if (flow[0] != Flow.NEXT)
                    return flow[0];
                write(n.line(), at(n.line(), () -> values.text(filtered(n.filter(), body, scope))));
            }
            case JinjaSyntax.With n -> {
                var inner = new Scope(scope);
                for (int i = 0; i < n.targets().size(); i++) {
                    Object value = eval(n.values().get(i), scope);
                    JinjaSyntax.Target target = n.targets().get(i);
                    at(n.line(), () -> assign(target, value, inner));
                }
                return run(n.body(), inner);
            }
            case JinjaSyntax.Block n -> run(n.body(), new Scope(n.scoped() ? scope : template));
            case JinjaSyntax.Generation n -> {
                int from = out.length();
                run(n.body(), new Scope(scope));
                if (out == root)
                    listener.generation(from, out.length());
                else
                    marks.add(new Mark(n.line(), from, out.length()));
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

    private interface Action<T extends @Nullable Object> {
        T run();
    }

    /// Adds the line to what goes wrong, and counts one step.
    private <T extends @Nullable Object> T at(int line, Action<T> action) {
        try {
            budget.enter();
            budget.step();
            T result = action.run();
            budget.leave();
            return result;
        } catch (Problem e) {
            throw new Failure(line, String.valueOf(e.getMessage()));
        }
    }

    private void write(int line, String text) {
        List<Mark> inside = captured.get(text);
        if (inside != null)
            for (Mark m : inside) {
                open.remove(m);
                int from = out.length() + m.from;
                if (out == root)
                    listener.generation(from, out.length() + m.to);
                else
                    marks.add(new Mark(m.line, from, out.length() + m.to));
            }
        at(line, () -> out.append(text, 0, budget.characters(text.length())));
    }

    private String capture(int line, List<Node> body, Scope scope, Flow[] flow) {
        StringBuilder before = out;
        List<Mark> outside = marks;
        out = new StringBuilder();
        marks = new ArrayList<>();
        try {
            flow[0] = at(line, () -> run(body, scope));
            String text = out.toString();
            budget.characters(text.length());
            if (!marks.isEmpty()) {
                captured.put(text, marks);
                marks.forEach(m -> open.put(m, true));
            }
            return text;
        } finally {
            out = before;
            marks = outside;
        }
    }

    private @Nullable Object filtered(Expr filter, String body, Scope scope) {
        var inner = new Scope(scope);
        inner.values.put("", body);
        return eval(filter, inner);
    }

    private Flow loop(JinjaSyntax.For n, @Nullable Object items, Scope scope, int depth) {
        Iterator<@Nullable Object> all = at(n.line(), () -> values.iterator(items));
        JinjaSyntax.Expr condition = n.condition();
        if (condition != null)
            all = kept(n, all, condition, scope);
        Callable recurse = !n.recursive() ? null : new Callable("loop", a -> {
            if (a.positional().size() != 1 || !a.named().isEmpty())
                throw new Problem("'loop' takes the items to go through");
            return capture(n.line(), a.positional().getFirst(), n, scope, depth + 1);
        });
        var state = new Loop(all, depth, recurse);
        if (!at(n.line(), state::more))
            return run(n.otherwise(), new Scope(scope));
        while (at(n.line(), state::advance)) {
            var inner = new Scope(scope);
            inner.values.put("loop", state);
            at(n.line(), () -> assign(n.target(), state.now, inner));
            int from = out.length();
            Flow flow = at(n.line(), () -> run(n.body(), inner));
            if (out == root && out.length() > from)
                listener.turn(state.now instanceof Dict d ? d.origin : state.now, from, out.length());
            if (flow == Flow.BREAK)
                break;
        }
        return Flow.NEXT;
    }

    private String capture(int line, @Nullable Object items, JinjaSyntax.For n, Scope scope, int depth) {
        StringBuilder before = out;
        out = new StringBuilder();
        try {
            at(line, () -> loop(n, items, scope, depth));
            return out.toString();
        } finally {
            out = before;
        }
    }

    private Iterator<@Nullable Object> kept(JinjaSyntax.For n, Iterator<@Nullable Object> all, Expr condition,
            Scope scope) {
        return JinjaFilters.kept(all, item -> at(n.line(), () -> {
            var inner = new Scope(scope);
            inner.values.put("loop", new Undefined("'loop' is undefined in the condition of a loop"));
            assign(n.target(), item, inner);
            return JinjaValues.truth(eval(condition, inner));
        }));
    }

    private boolean assign(JinjaSyntax.Target target, @Nullable Object value, Scope scope) {
        switch (target) {
            case JinjaSyntax.NameTarget t -> scope.values.put(t.name(), value);
            case JinjaSyntax.FieldTarget t -> {
                if (!(scope.get(t.name()) instanceof Namespace ns))
                    throw new Problem("'" + t.name() + "' is no namespace, its '" + t.attribute() + "' cannot be set");
                ns.values().put(t.attribute(), value);
            }
            case JinjaSyntax.TupleTarget t -> {
                Iterator<@Nullable Object> parts = values.iterator(value);
                List<@Nullable Object> all = new ArrayList<>();
                while (parts.hasNext() && all.size() <= t.parts().size())
                    all.add(parts.next());
                if (all.size() != t.parts().size())
                    throw new Problem(t.parts().size() + " names for "
                            + (all.size() > t.parts().size() ? "more" : String.valueOf(all.size())) + " values");
                for (int i = 0; i < all.size(); i++)
                    assign(t.parts().get(i), all.get(i), scope);
            }
        }
        return true;
    }

    /// A macro or call block that the template defines.
    static final class JinjaMacro extends Callable {
        final JinjaSyntax.Signature signature;
        private final Jinja jinja;
        private final List<Node> body;
        private final Scope around;

        JinjaMacro(Jinja jinja, JinjaSyntax.Signature signature, List<Node> body, Scope around) {
            super(signature.name(), a -> null);
            this.jinja = jinja;
            this.signature = signature;
            this.body = body;
            this.around = around;
        }

        @Override
        Object call(Arguments a) {
            List<String> parameters = signature.parameters();
            Map<String, @Nullable Object> named = new LinkedHashMap<>(a.named());
            var scope = new Scope(around);
            int given = Math.min(a.positional().size(), parameters.size());
            List<Integer> missing = new ArrayList<>();
            for (int i = 0; i < parameters.size(); i++) {
                String p = parameters.get(i);
                if (i < given) {
                    scope.values.put(p, a.positional().get(i));
                } else if (named.containsKey(p)) {
                    scope.values.put(p, named.remove(p));
                } else {
                    scope.values.put(p, new Undefined("the parameter '" + p + "' was not given"));
                    missing.add(i);
                }
            }
            boolean callerOpen = parameters.indexOf("caller") < 0;
            if (signature.special().contains("caller") && callerOpen)
                scope.values.put("caller", named.get("caller") == null ? new Undefined("there is no caller: the macro '"
                        + name + "' is not called by a call block") : named.get("caller"));
            if (signature.special().contains("caller") && callerOpen)
                named.remove("caller");
            if (signature.special().contains("kwargs"))
                scope.values.put("kwargs", dict(named));
            else
                if (!named.isEmpty())
                    throw new Problem("the macro '" + name + "' has no argument '" + named.keySet().iterator().next()
                            + "'");
            if (signature.special().contains("varargs"))
                scope.values.put("varargs", new Tuple(a.positional().subList(given, a.positional().size())));
            else
                if (a.positional().size() > parameters.size())
                    throw new Problem("the macro '" + name + "' takes at most " + parameters.size() + " arguments");
            for (int i : missing) {
                Expr fallback = signature.defaults().get(i);
                if (fallback != null)
                    scope.values.put(parameters.get(i), jinja.eval(fallback, scope));
            }
            return jinja.capture(1, body, scope, new Flow[1]);
        }

        private static Dict dict(Map<String, @Nullable Object> named) {
            var d = new Dict();
            named.forEach(d::put);
            return d;
        }
    }

    private @Nullable Object eval(Expr e, Scope scope) {
        return at(e.line(), () -> value(e, scope));
    }

    private @Nullable Object value(Expr e, Scope scope) {
        return switch (e) {
            case JinjaSyntax.Const c -> c.value();
            case JinjaSyntax.Body _ -> scope.get("");
            case JinjaSyntax.Name n -> {
                Object v = scope.get(n.name());
                if (v instanceof Undefined && n.name().equals("self"))
                    throw new Problem("'self' is not supported");
                yield v;
            }
            case JinjaSyntax.ListOf l -> all(l.items(), scope);
            case JinjaSyntax.TupleOf t -> new Tuple(all(t.items(), scope));
            case JinjaSyntax.DictOf d -> {
                var dict = new Dict();
                budget.elements(d.keys().size());
                for (int i = 0; i < d.keys().size(); i++) {
                    Object key = eval(d.keys().get(i), scope);
                    dict.put(key, eval(d.values().get(i), scope));
                }
                yield dict;
            }
            case JinjaSyntax.Attribute a -> attributes.attribute(eval(a.of(), scope), a.name());
            case JinjaSyntax.Index i -> attributes.item(eval(i.of(), scope), eval(i.index(), scope));
            case JinjaSyntax.Slice s -> values.slice(eval(s.of(), scope), orNone(s.from(), scope),
                    orNone(s.to(), scope), orNone(s.step(), scope));
            case JinjaSyntax.Call c -> {
                Object function = eval(c.function(), scope);
                yield call(function, arguments(c.line(), c.arguments(), scope));
            }
            case JinjaSyntax.Filter f -> {
                Object of = eval(f.of(), scope);
                yield JinjaFilters.apply(this, f.name(), of, arguments(f.line(), f.arguments(), scope));
            }
            case JinjaSyntax.Test t -> {
                Object of = eval(t.of(), scope);
                yield JinjaTests.holds(this, t.name(), of, arguments(t.line(), t.arguments(), scope));
            }
            case JinjaSyntax.Not n -> !JinjaValues.truth(eval(n.of(), scope));
            case JinjaSyntax.Sign s -> sign(s, scope);
            case JinjaSyntax.Binary b -> binary(b, scope);
            case JinjaSyntax.Concat c -> {
                var text = new StringBuilder();
                for (Expr part : c.parts()) {
                    String s = values.text(eval(part, scope));
                    text.append(s, 0, budget.characters(s.length()));
                }
                yield text.toString();
            }
            case JinjaSyntax.Compare c -> compare(c, scope);
            case JinjaSyntax.Conditional c -> JinjaValues.truth(eval(c.test(), scope)) ? eval(c.then(), scope)
                    : c.otherwise() == null ? new Undefined("the conditional expression has no 'else'")
                    : eval(c.otherwise(), scope);
        };
    }

    private @Nullable Object orNone(@Nullable Expr e, Scope scope) {
        return e == null ? null : eval(e, scope);
    }

    private List<@Nullable Object> all(List<Expr> items, Scope scope) {
        List<@Nullable Object> all = new ArrayList<>(budget.elements(items.size()));
        for (Expr item : items)
            all.add(eval(item, scope));
        return all;
    }

    private Arguments arguments(int line, JinjaSyntax.Arguments a, Scope scope) {
        if (a.positional().isEmpty() && a.named().isEmpty() && a.more() == null && a.moreNamed() == null)
            return NONE;
        List<@Nullable Object> positional = all(a.positional(), scope);
        Map<String, @Nullable Object> named = new LinkedHashMap<>();
        for (int i = 0; i < a.names().size(); i++)
            named.put(a.names().get(i), eval(a.named().get(i), scope));
        if (a.more() != null)
            positional.addAll(values.list(eval(a.more(), scope)));
        if (a.moreNamed() != null) {
            if (!(eval(a.moreNamed(), scope) instanceof Dict more))
                throw new Problem("'**' needs a mapping");
            for (Dict.Entry e : more.entries()) {
                if (!(e.key() instanceof String key))
                    throw new Problem("'**' needs a mapping whose keys are texts");
                if (named.containsKey(key))
                    throw new Problem("the argument '" + key + "' is there twice");
                named.put(key, e.value());
            }
        }
        return new Arguments(positional, named);
    }

    @Nullable
    Object call(@Nullable Object function, Arguments a) {
        return switch (function) {
            case Callable c -> c.call(a);
            case Loop l when l.recurse != null -> l.recurse.call(a);
            case Loop _ -> throw new Problem("a loop is called that is not marked 'recursive'");
            case Undefined(String why) -> {
                if (why.equals("'strftime_now' is undefined"))
                    throw new Problem("the template asks for today's date (strftime_now), and a run must not depend on"
                            + " the day; give the date: data.date in run.yaml, --date DATE for commands");
                throw new Problem(why + ", so it cannot be called");
            }
            case null, default -> throw new Problem(JinjaValues.kind(function) + " is not a function");
        };
    }

    private @Nullable Object sign(JinjaSyntax.Sign s, Scope scope) {
        Object v = eval(s.of(), scope);
        return s.negative() || !(v instanceof Long || v instanceof Double) ? s.negative() ? values.negative(v)
                : values.arithmetic("+", 0L, v) : v;
    }

    private @Nullable Object binary(JinjaSyntax.Binary b, Scope scope) {
        Object left = eval(b.left(), scope);
        return switch (b.operator()) {
            case "and" -> JinjaValues.truth(left) ? eval(b.right(), scope) : left;
            case "or" -> JinjaValues.truth(left) ? left : eval(b.right(), scope);
            default -> values.arithmetic(b.operator(), left, eval(b.right(), scope));
        };
    }

    private boolean compare(JinjaSyntax.Compare c, Scope scope) {
        Object left = eval(c.first(), scope);
        for (int i = 0; i < c.operators().size(); i++) {
            Object right = eval(c.others().get(i), scope);
            if (!values.holds(c.operators().get(i), left, right))
                return false;
            left = right;
        }
        return true;
    }
}
