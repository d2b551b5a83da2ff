package dev.gyre.model.token.jinja;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// The interpreter against jinja2, expression by expression.
class JinjaExpressionsTest {
    private static final JsonNode FILE = read();
    private static final LocalDateTime DATE = LocalDateTime.of(2025, 7, 26, 14, 30);
    /// What jinja2 renders and this interpreter refuses. Nothing else may be refused.
    private static final Map<String, String> REFUSED = Map.of(
            "{{ (-8)**0.5 }}", "complex numbers are not supported",
            "{{ d['items']|string|length > 5 }}", "has no text that is the same every time",
            "{{ l|batch(0)|list }}", "lists of 0 items is not supported",
            "{{ self is defined }}", "'self' is not supported",
            "{% autoescape true %}{{ '<' }}{% endautoescape %}", "the tag 'autoescape' is not supported");

    private static JsonNode read() {
        try (var in = JinjaExpressionsTest.class.getResourceAsStream("/chat/jinja-expressions.json")) {
            return JsonMapper.builder().build().readTree(in);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static @Nullable Object value(JsonNode n) {
        if (n.isArray()) {
            List<@Nullable Object> list = new ArrayList<>();
            n.forEach(x -> list.add(value(x)));
            return list;
        }
        if (n.isObject()) {
            Map<String, @Nullable Object> map = new LinkedHashMap<>();
            n.properties().forEach(e -> map.put(e.getKey(), value(e.getValue())));
            return map;
        }
        return n.isNull() ? null : n.isString() ? n.stringValue() : n.isBoolean() ? (Object) n.booleanValue()
                : n.isIntegralNumber() ? (Object) n.longValue() : (Object) n.doubleValue();
    }

    private static final class Quiet implements Jinja.Listener {
        @Override
        public void turn(@Nullable Object item, int from, int to) {
            // the places of turns are ChatTemplateTest's
        }

        @Override
        public void generation(int from, int to) {
            // so are those of generation blocks
        }

        @Override
        public void lost(int line) {
            // and those that have none
        }
    }

    private static String render(String template, @Nullable LocalDateTime date) {
        @SuppressWarnings("unchecked") var variables =
                (Map<String, @Nullable Object>) Objects.requireNonNull(value(FILE.path("variables")));
        return Jinja.render(JinjaParser.parse(template), variables, date, new Quiet());
    }

    private static String render(String template) {
        return render(template, DATE);
    }

    @Test
    void everyExpressionEqualsJinja2OrIsRefused() {
        List<String> wrong = new ArrayList<>();
        Map<String, String> refused = new LinkedHashMap<>();
        int equal = 0;
        int both = 0;
        for (JsonNode c : FILE.path("cases")) {
            String template = c.path("template").stringValue();
            String text = null;
            String problem = null;
            try {
                text = render(template);
            } catch (JinjaSyntax.Failure e) {
                problem = String.valueOf(e.getMessage());
                if (!problem.matches("(?s)line \\d+: \\S.*") || problem.length() > 300)
                    wrong.add(template + " has the message " + problem);
            } catch (Jinja.Refusal e) {
                problem = String.valueOf(e.getMessage());
            }
            if (c.has("text") && text == null)
                refused.put(template, problem);
            if (c.has("text") && text != null && !text.equals(c.path("text").stringValue()))
                wrong.add(template + " is [" + text + "], not [" + c.path("text").stringValue() + "]");
            if (c.has("refused") && text != null)
                wrong.add(template + " is [" + text + "], but jinja2 refuses: " + c.path("refused").stringValue());
            equal += c.has("text") && text != null ? 1 : 0;
            both += c.has("refused") ? 1 : 0;
        }
        assertThat(wrong).isEmpty();
        assertThat(new TreeSet<>(refused.keySet())).isEqualTo(new TreeSet<>(REFUSED.keySet()));
        refused.forEach((template, problem) -> assertThat(problem).contains(REFUSED.get(template)));
        assertThat(equal).isGreaterThan(1390);
        assertThat(both).isGreaterThan(270);
    }

    /// Filters and methods of jinja2 that are refused by name.
    @ParameterizedTest
    @CsvSource(delimiterString = " => ", quoteCharacter = '`',
            value = {"{{ s|pprint }} => the filter 'pprint' is not supported",
                "{{ l|random }} => the filter 'random' is not supported",
                "{{ s|striptags }} => the filter 'striptags' is not supported",
                "{{ s|urlize }} => the filter 'urlize' is not supported",
                "{{ s|wordwrap }} => the filter 'wordwrap' is not supported",
                "{{ d|xmlattr }} => the filter 'xmlattr' is not supported",
                "{{ s.encode() }} => the method 'encode' of a text is not supported",
                "{{ s.translate({}) }} => the method 'translate' of a text is not supported",
                "{{ s.maketrans({}) }} => the method 'maketrans' of a text is not supported",
                "{{ s.isidentifier() }} => the method 'isidentifier' of a text is not supported",
                "{{ d.fromkeys([]) }} => 'fromkeys' of a mapping is not supported",
                "{{ n.bit_length() }} => 'bit_length' of 7 is not supported",
                "{{ f.is_integer() }} => 'is_integer' of 2.5 is not supported",
                "{{ s.__class__ }} => '__class__' of 'Hello World' is not supported",
                "{{ u.casefold() }} => the method 'casefold' is supported for ASCII only",
                "{{ lipsum() }} => the function 'lipsum' is not supported",
                "{{ 9223372036854775807 + 1 }} => beyond 64 bits", "{{ 99999999999999999999 }} => beyond 64 bits",
                "{{ '\\N{BULLET}' }} => not supported", "{{ '\\ud800' }} => is no character",
                "{{ (s|safe) % 1 }} => marked as safe is not supported",
                "{{ (s|safe).replace('a', 'b') }} => of a text marked as safe is not supported",
                "{{ range(3) == range(4, 7) }} => the comparison of ranges is not supported"})
    void whatIsNotDoneIsRefusedByName(String template, String problem) {
        assertThatThrownBy(() -> render(template)).isInstanceOf(JinjaSyntax.Failure.class)
                .hasMessageContaining(problem);
    }

    @Test
    void datesAreThoseOfPython() {
        int n = 0;
        for (JsonNode d : FILE.path("dates")) {
            LocalDateTime date = LocalDateTime.parse(d.path("date").stringValue());
            assertThat(render("{{ strftime_now('" + d.path("format").stringValue() + "') }}", date))
                    .isEqualTo(d.path("text").stringValue());
            n++;
        }
        assertThat(n).isGreaterThan(100);
        assertThatThrownBy(() -> render("{{ strftime_now('%Q') }}")).hasMessageContaining("'%Q' of 'strftime_now'");
        assertThatThrownBy(() -> render("{{ strftime_now('%') }}")).hasMessageContaining("ends in '%'");
        assertThatThrownBy(() -> render("\n{{ strftime_now('%d') }}", null)).hasMessageContaining("line 2:")
                .hasMessageContaining("data.date in run.yaml");
        assertThat(render("{{ strftime_now is defined }}", null)).isEqualTo("False");
    }

    private static String nested(String open, String inside, String close, int depth) {
        return open.repeat(depth) + inside + close.repeat(depth);
    }

    static List<String> withoutBounds() {
        var macros = new StringBuilder("{% macro m0() %}{% endmacro %}");
        for (int i = 1; i <= 40; i++)
            macros.append("{% macro m").append(i).append("() %}{{ m").append(i - 1).append("() }}{{ m").append(i - 1)
                    .append("() }}{% endmacro %}");
        String grow = "{% set ns = namespace(x='ab', l=[1]) %}{% for i in range(100) %}";
        return List.of(macros + "{{ m40() }}", "{{ (' a'*400000).split()|length }}{{ (' a'*4000000).split()|length }}",
                "{{ [1] | tojson(indent=2000000000) }}", "{{ 'a' * 2000000000 }}", "{{ 'a' * 9223372036854775807 }}",
                "{{ [1] * 2000000000 }}", "{{ [1]|tojson(indent=9223372036854775807) }}",
                "{{ 'a'.center(9223372036854775807) }}", "{{ l|slice(9223372036854775807)|list }}",
                "{{ range(10**18) }}", "{{ range(0 - 10**18, 10**18) }}",
                "{{ '%2000000000d' % 1 }}", "{{ '%.2000000000d' % 1 }}", "{{ '%.999999999f' % 1 }}",
                "{{ '{:2000000000}'.format(1) }}", "{{ 'a'.center(2000000000) }}", "{{ 'a'.zfill(2000000000) }}",
                "{{ 'a\tb'.expandtabs(2000000000) }}", "{{ 'a\nb'|indent(2000000000) }}",
                "{{ l|batch(2000000000, 1)|list }}", "{{ l|slice(2000000000)|list }}",
                "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
                grow + "{% set ns.x = ns.x + ns.x %}{% endfor %}", grow + "{% set ns.l = ns.l + ns.l %}{% endfor %}",
                grow + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
                grow + "{% set ns.x = ns.x.replace('a', 'aaaa') %}{% endfor %}",
                grow + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
                "{% set ns = namespace(x=[1], l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}"
                        + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.l == ns.x }}",
                grow + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}",
                "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
                "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l|map('string') %}{% endfor %}"
                        + "{{ ns.l|list }}",
                "{% set ns = namespace(l=()) %}{% for i in range(99999) %}{% set ns.l = (ns.l,) %}{% endfor %}{{ {ns.l: 1} }}",
                "{% for i in range(99999) %}{{ ('a' * 100000).find('b') }}{% endfor %}",
                "{% for i in range(99999) %}{{ 'b' in 'a' * 100000 }}{% endfor %}",
                "{{ ('a' * 9000000).find('a' * 4000000 ~ 'b') }}{{ ('a' * 9000000).find('a' * 4000000 ~ 'b') }}",
                "{% for i in range(99999) %}{% set x = l|sort %}{{ range(9999)|sort|length }}{% endfor %}",
                "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
                "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
                "{% for x in [[[1]]] recursive %}{{ loop([x]) }}{% endfor %}",
                "{{ " + nested("(", "1", ")", 20000) + " }}", "{{ " + nested("[", "", "]", 20000) + " }}",
                "{{ " + nested("{1:", "1", "}", 20000) + " }}", "{{ " + "not ".repeat(20000) + "1 }}",
                "{{ " + "-".repeat(20000) + "1 }}", "{{ 1" + "+1".repeat(20000) + " }}",
                "{{ a" + ".a".repeat(20000) + " }}", "{{ s" + "|upper".repeat(20000) + " }}",
                "{{ 1" + " if 1 else 1".repeat(20000) + " }}", "{{ s" + "[0]".repeat(20000) + " }}",
                nested("{% if 1 %}", "", "{% endif %}", 20000),
                nested("{% for x in l %}", "", "{% endfor %}", 20000),
                "{% for " + nested("(", "a", ")", 20000) + " in l %}{% endfor %}",
                "{{ " + "1_".repeat(500000) + "1 }}", "{{ '" + "1".repeat(100000) + "'|int }}",
                "{{ ('1' * 100000)|float }}", "x".repeat(3_000_000),
                "{{ 10 ** 400 }}", "{{ 10.0 ** 400 }}",
                "{% set ns = namespace(g=[1]) %}{% for i in range(5000) %}{% set ns.g = ns.g|select %}{% endfor %}"
                        + "{{ ns.g|first }}");
    }

    /// Each ends in refusal within two seconds of a processor (and one for code not compiled yet), with a small stack.
    @ParameterizedTest
    @MethodSource("withoutBounds")
    void whatHasNoBoundsIsRefused(String template) throws InterruptedException {
        Throwable[] thrown = new Throwable[1];
        long[] nanos = new long[1];
        var thread = new Thread(null, () -> {
            try {
                render(template);
            } catch (Throwable e) {
                thrown[0] = e;
            }
            nanos[0] = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        }, "small", 512 * 1024);
        thread.start();
        thread.join();
        assertThat(thrown[0]).isInstanceOf(JinjaSyntax.Failure.class).hasMessageStartingWith("line ");
        assertThat(String.valueOf(thrown[0].getMessage())).hasSizeLessThan(300).doesNotContain("too deep");
        assertThat(nanos[0] / 1e9).isBetween(0.0, 3.0);
    }

    /// Deep, but no deeper than templates in use.
    @ParameterizedTest
    @ValueSource(ints = {30, 60})
    void whatIsDeepButBoundedRenders(int depth) {
        assertThat(render("{{ " + nested("(", "7", ")", depth) + " }}")).isEqualTo("7");
        assertThat(render(nested("{% if 1 %}", "7", "{% endif %}", depth))).isEqualTo("7");
        assertThat(render("{{ ''" + " + 'a'".repeat(depth * 4) + " }}")).hasSize(depth * 4);
        assertThat(render("{% macro f(n) %}{% if n %}a{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(" + depth + ") }}"))
                .hasSize(depth);
        assertThat(render("{{ 'abc'[::9223372036854775807] }}")).isEqualTo("a");
        assertThat(render("{{ (' a' * 400000).split() | length }}")).isEqualTo("400000");
    }
}
