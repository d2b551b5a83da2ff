package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Arguments;
import dev.gyre.model.token.jinja.JinjaTypes.Markup;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Names and defaults of a filter's, test's, method's or function's parameters.
final class JinjaSignature {
    /// The default of a parameter that must be given.
    static final Object NEEDED = new Object();
    /// The default of a parameter for which no value says that it is not given.
    static final Object ABSENT = new Object();
    private final List<String> names = new ArrayList<>();
    private final List<@Nullable Object> defaults = new ArrayList<>();
    private final boolean named;

    private JinjaSignature(boolean named, @Nullable Object... namesAndDefaults) {
        this.named = named;
        for (int i = 0; i < namesAndDefaults.length; i += 2) {
            names.add(String.valueOf(namesAndDefaults[i]));
            defaults.add(namesAndDefaults[i + 1]);
        }
    }

    /// @param namesAndDefaults in turn
    static JinjaSignature of(@Nullable Object... namesAndDefaults) {
        return new JinjaSignature(true, namesAndDefaults);
    }

    /// Parameters that cannot be given by name, as those of most of Python's own methods.
    static JinjaSignature positional(@Nullable Object... namesAndDefaults) {
        return new JinjaSignature(false, namesAndDefaults);
    }

    /// @param what for messages, such as "the filter 'join'"
    Bound bind(String what, Arguments a) {
        int given = a.positional().size();
        if (given > names.size())
            throw new Problem(what + " takes " + (names.isEmpty() ? "no arguments" : "at most " + names.size()
                    + (names.size() == 1 ? " argument" : " arguments")) + ", not " + given);
        @Nullable Object[] values = Arrays.copyOf(a.positional().toArray(), names.size());
        Set<String> used = new HashSet<>();
        for (int i = 0; i < names.size(); i++) {
            String name = names.get(i);
            boolean byName = a.named().containsKey(name);
            used.add(name);
            if (byName && (i < given || !named))
                throw new Problem(what + (named ? " gets '" + name + "' twice" : " takes no named arguments"));
            if (i < given)
                continue;
            values[i] = byName ? a.named().get(name) : defaults.get(i);
            if (NEEDED.equals(values[i]))
                throw new Problem(what + " needs the argument '" + name + "'");
        }
        for (String name : a.named().keySet())
            if (!used.contains(name))
                throw new Problem(what + " has no argument '" + name + "'"
                        + (names.isEmpty() || !named ? "" : "; it has " + String.join(", ", names)));
        return new Bound(what, names, values);
    }

    /// The arguments of one call, in the order of the parameters.
    @SuppressWarnings("ArrayRecordComponent")
    record Bound(String what, List<String> names, @Nullable Object[] values) {
        @Nullable
        Object get(int i) {
            return values[i];
        }

        boolean given(int i) {
            return !ABSENT.equals(values[i]);
        }

        String text(int i) {
            if (values[i] instanceof Markup m)
                return m.text();
            if (values[i] instanceof String s)
                return s;
            throw new Problem(what + " needs a text as '" + names.get(i) + "'");
        }

        @Nullable
        String textOrNone(int i) {
            return values[i] == null ? null : text(i);
        }

        long whole(int i) {
            if (values[i] instanceof Long n)
                return n;
            if (values[i] instanceof Boolean b)
                return b ? 1 : 0;
            throw new Problem(what + " needs a whole number as '" + names.get(i) + "'");
        }
    }

    static Arguments none() {
        return new Arguments(List.of(), Map.of());
    }
}
