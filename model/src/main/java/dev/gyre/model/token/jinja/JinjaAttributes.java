package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Callable;
import dev.gyre.model.token.jinja.JinjaTypes.Cycler;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Loop;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import dev.gyre.model.token.jinja.JinjaTypes.Namespace;
import dev.gyre.model.token.jinja.JinjaTypes.Part;
import dev.gyre.model.token.jinja.JinjaTypes.Range;
import dev.gyre.model.token.jinja.JinjaTypes.Stream;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import dev.gyre.model.token.jinja.JinjaTypes.Undefined;
import dev.gyre.model.token.jinja.JinjaTypes.View;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// `a.b` and `a[b]`: attributes and methods of values first for the one, items first for the other.
final class JinjaAttributes {
    static final Object MISSING = new Object();
    private static final Set<String> CHANGES_MAPPING = Set.of("clear", "pop", "popitem", "setdefault", "update");
    private static final Set<String> CHANGES_LIST = Set.of("append", "clear", "pop", "reverse", "insert", "sort",
            "extend", "remove");
    /// Attributes that Python's values have and this interpreter does not.
    private static final Set<String> OF_NUMBERS = Set.of("as_integer_ratio", "bit_count", "bit_length", "conjugate",
            "denominator", "from_bytes", "numerator", "real", "imag", "to_bytes", "is_integer", "fromhex", "hex");
    private static final Set<String> OF_STREAMS = Set.of("close", "send", "throw", "gi_code", "gi_frame",
            "gi_running", "gi_suspended", "gi_yieldfrom");
    private static final Set<String> OF_VIEWS = Set.of("isdisjoint", "mapping");
    private static final Set<String> OF_RANGES = Set.of("start", "stop", "step", "count", "index");

    private final JinjaValues values;
    private final JinjaMethods methods;

    JinjaAttributes(JinjaValues values) {
        this.values = values;
        this.methods = new JinjaMethods(values, this);
    }

    @Nullable
    Object attribute(@Nullable Object of, String name) {
        Object found = own(of, name);
        if (!MISSING.equals(found))
            return found;
        Dict.Entry e = of instanceof Dict d ? d.get(name) : null;
        return e != null ? e.value() : undefined(of, name);
    }

    @Nullable
    Object item(@Nullable Object of, @Nullable Object index) {
        if (of instanceof Undefined u)
            throw u.problem();
        if (of instanceof Dict d) {
            if (index instanceof List<?> || index instanceof Dict)
                return undefined(of, values.text(index));
            Dict.Entry e = d.get(index);
            if (e != null)
                return e.value();
        } else if (index instanceof Long || index instanceof Boolean) {
            long i = index instanceof Long n ? n : Boolean.TRUE.equals(index) ? 1 : 0;
            Object found = at(of, i);
            return MISSING.equals(found) ? undefined(of, String.valueOf(i)) : found;
        }
        if (index instanceof String || index instanceof Markup) {
            Object found = own(of, values.text(index));
            if (!MISSING.equals(found))
                return found;
        }
        return undefined(of, index instanceof Undefined ? "" : JinjaValues.kind(index));
    }

    private @Nullable Object at(@Nullable Object of, long i) {
        if (!(of instanceof String || of instanceof Markup || of instanceof List<?> || of instanceof Tuple
                || of instanceof Range))
            return MISSING;
        long n = values.size(of);
        long at = i < 0 ? i + n : i;
        if (at < 0 || at >= n)
            return MISSING;
        return switch (of) {
            case List<?> l -> l.get((int) at);
            case Tuple t -> t.items().get((int) at);
            case Range r -> r.from() + at * r.step();
            default -> {
                String s = values.text(of);
                String c = Character.toString(s.codePointAt(s.offsetByCodePoints(0, (int) at)));
                yield of instanceof Markup ? new Markup(c) : c;
            }
        };
    }

    private static Undefined undefined(@Nullable Object of, String name) {
        return new Undefined(JinjaValues.kind(of) + " has no '" + name + "'");
    }

    private static Object unsupported(@Nullable Object of, String name) {
        throw new Problem("'" + name + "' of " + JinjaValues.kind(of) + " is not supported");
    }

    private static Undefined changes(@Nullable Object of, String name) {
        return new Undefined("'" + name + "' would change " + JinjaValues.kind(of) + ", which templates may not");
    }

    /// What Python's `getattr` finds, or MISSING.
    @Nullable
    Object own(@Nullable Object of, String name) {
        if (of instanceof Undefined u)
            throw u.problem();
        if (of instanceof Namespace ns) {
            Dict.Entry e = ns.values().get(name);
            return e == null ? MISSING : e.value();
        }
        if (name.startsWith("__") && name.endsWith("__"))
            return unsupported(of, name);
        return switch (of) {
            case null -> MISSING;
            case String _,Markup _ -> methods.text(of, name);
            case Dict d -> CHANGES_MAPPING.contains(name) ? changes(of, name) : mapping(d, name);
            case List<?> l -> CHANGES_LIST.contains(name) ? changes(of, name)
                    : name.equals("copy") ? new Callable("copy", a -> {
                        JinjaSignature.of().bind("'copy' of a list", a);
                        return values.list(l);
                    }) : methods.list(l, name);
            case Tuple t -> t.names().contains(name) ? t.items().get(t.names().indexOf(name))
                    : methods.list(t.items(), name);
            case Long _,Double _,Boolean _ -> OF_NUMBERS.contains(name)
                    && !(name.equals("is_integer") && !(of instanceof Double)) ? unsupported(of, name) : MISSING;
            case Stream _ -> OF_STREAMS.contains(name) ? unsupported(of, name) : MISSING;
            case View _ -> OF_VIEWS.contains(name) ? unsupported(of, name) : MISSING;
            case Range _ -> OF_RANGES.contains(name) ? unsupported(of, name) : MISSING;
            case Loop l -> loop(l, name);
            case Jinja.JinjaMacro m -> macro(m, name);
            case Cycler c -> cycler(c, name);
            default -> MISSING;
        };
    }

    private @Nullable Object mapping(Dict d, String name) {
        JinjaSignature none = JinjaSignature.of();
        String what = "'" + name + "' of a mapping";
        return switch (name) {
            case "items", "keys", "values" -> new Callable(name, a -> {
                none.bind(what, a);
                return new View(d, Part.valueOf(PythonText.upper(name)));
            });
            case "copy" -> new Callable(name, a -> {
                none.bind(what, a);
                values.budget.elements(d.size());
                var copy = new Dict(d.origin);
                d.entries().forEach(e -> copy.put(e.key(), e.value()));
                return copy;
            });
            case "get" -> {
                var signature = JinjaSignature.positional("key", JinjaSignature.NEEDED, "default", null);
                yield new Callable(name, a -> {
                    var b = signature.bind(what, a);
                    Dict.Entry e = d.get(b.get(0));
                    return e == null ? b.get(1) : e.value();
                });
            }
            case "fromkeys" -> unsupported(d, name);
            default -> MISSING;
        };
    }

    private @Nullable Object loop(Loop l, String name) {
        return switch (name) {
            case "index" -> l.index + 1L;
            case "index0" -> (long) l.index;
            case "revindex" -> l.length() - l.index;
            case "revindex0" -> l.length() - l.index - 1;
            case "first" -> l.index == 0;
            case "last" -> !l.more();
            case "length" -> l.length();
            case "depth" -> l.depth + 1L;
            case "depth0" -> (long) l.depth;
            case "previtem" -> l.index == 0 ? new Undefined("there is no previous item") : l.before;
            case "nextitem" -> l.following();
            case "cycle" -> new Callable("cycle", a -> {
                if (a.positional().isEmpty() || !a.named().isEmpty())
                    throw new Problem("'loop.cycle' takes at least one value and no names");
                return a.positional().get(l.index % a.positional().size());
            });
            case "changed" -> new Callable("changed", a -> {
                if (!a.named().isEmpty())
                    throw new Problem("'loop.changed' takes no named arguments");
                List<@Nullable Object> before = l.changed;
                boolean changed = before == null || !values.equal(before, a.positional());
                l.changed = new ArrayList<>(a.positional());
                return changed;
            });
            default -> MISSING;
        };
    }

    private static @Nullable Object macro(Jinja.JinjaMacro m, String name) {
        return switch (name) {
            case "name" -> m.signature.name().equals("caller") ? null : m.name;
            case "arguments" -> new Tuple(new ArrayList<>(m.signature.parameters()));
            case "catch_kwargs" -> m.signature.special().contains("kwargs");
            case "catch_varargs" -> m.signature.special().contains("varargs");
            case "caller" -> m.signature.special().contains("caller");
            case "explicit_caller" -> m.signature.parameters().contains("caller");
            default -> MISSING;
        };
    }

    private static @Nullable Object cycler(Cycler c, String name) {
        JinjaSignature none = JinjaSignature.of();
        return switch (name) {
            case "current" -> c.items.get(c.at);
            case "pos" -> (long) c.at;
            case "items" -> new Tuple(c.items);
            case "next" -> new Callable(name, a -> {
                none.bind("'next' of a cycler", a);
                Object now = c.items.get(c.at);
                c.at = (c.at + 1) % c.items.size();
                return now;
            });
            case "reset" -> new Callable(name, a -> {
                none.bind("'reset' of a cycler", a);
                c.at = 0;
                return null;
            });
            default -> MISSING;
        };
    }
}
