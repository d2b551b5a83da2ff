package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Arguments;
import dev.gyre.model.token.jinja.JinjaTypes.Callable;
import dev.gyre.model.token.jinja.JinjaTypes.Cycler;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Namespace;
import dev.gyre.model.token.jinja.JinjaTypes.Range;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The functions that every template can call.
final class JinjaFunctions {
    /// The sandbox's limit of a range.
    private static final int LONGEST_RANGE = 100_000;
    private final Jinja jinja;

    JinjaFunctions(Jinja jinja) {
        this.jinja = jinja;
    }

    List<Callable> all(@Nullable LocalDateTime date) {
        List<Callable> all = new ArrayList<>();
        all.add(new Callable("range", JinjaFunctions::range));
        all.add(new Callable("dict", this::dict));
        all.add(new Callable("namespace", a -> new Namespace(dict(a))));
        all.add(new Callable("cycler", JinjaFunctions::cycler));
        all.add(new Callable("joiner", JinjaFunctions::joiner));
        all.add(new Callable("lipsum", _ -> {
            throw new Problem("the function 'lipsum' is not supported: its text is another every time");
        }));
        var refusal = JinjaSignature.of("message", JinjaSignature.NEEDED);
        all.add(new Callable("raise_exception", a -> {
            throw new Jinja.Refusal(jinja.values.text(refusal.bind("the function 'raise_exception'", a).get(0)));
        }));
        if (date != null) {
            var format = JinjaSignature.of("format", JinjaSignature.NEEDED);
            all.add(new Callable("strftime_now", a -> JinjaDate.format(date,
                    format.bind("the function 'strftime_now'", a).text(0))));
        }
        return all;
    }

    private static Range range(Arguments a) {
        var b = JinjaSignature.positional("start", JinjaSignature.NEEDED, "stop", JinjaSignature.ABSENT, "step", 1L)
                .bind("the function 'range'", a);
        long first = b.whole(0);
        long from = b.given(1) ? first : 0;
        long to = b.given(1) ? b.whole(1) : first;
        long step = b.whole(2);
        if (step == 0)
            throw new Problem("a range cannot step by 0");
        // within these a range is small enough or far too large, and nothing overflows
        long bound = 1L << 60;
        var r = new Range(Math.clamp(from, -bound, bound), Math.clamp(to, -bound, bound),
                Math.clamp(step, -bound, bound));
        if (r.size() > LONGEST_RANGE)
            throw new Problem("a range of more than " + LONGEST_RANGE + " numbers");
        return new Range(from, to, step);
    }

    private Dict dict(Arguments a) {
        var d = new Dict();
        if (a.positional().size() > 1)
            throw new Problem("'dict' takes at most 1 argument without a name");
        for (Object of : a.positional())
            if (of instanceof Dict m) {
                jinja.values.budget.elements(m.size());
                m.entries().forEach(e -> d.put(e.key(), e.value()));
            } else {
                for (Object pair : jinja.values.list(of)) {
                    List<@Nullable Object> two = jinja.values.list(pair);
                    if (two.size() != 2)
                        throw new Problem("'dict' needs pairs");
                    d.put(two.get(0), two.get(1));
                }
            }
        a.named().forEach(d::put);
        return d;
    }

    private static Cycler cycler(Arguments a) {
        if (a.positional().isEmpty() || !a.named().isEmpty())
            throw new Problem("'cycler' takes at least one value and no names");
        return new Cycler(a.positional());
    }

    private static Callable joiner(Arguments a) {
        Object separator = JinjaSignature.of("sep", ", ").bind("the function 'joiner'", a).get(0);
        boolean[] used = {false};
        return new Callable("joiner", _ -> {
            boolean first = !used[0];
            used[0] = true;
            return first ? "" : separator;
        });
    }
}
