package dev.gyre.model.fuzz;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Chat templates made of the parts of others: tags moved, doubled, left out and taken over, and words inside them changed.
final class Templates {
    private static final Pattern PARTS = Pattern.compile("\\{%.*?%\\}|\\{\\{.*?\\}\\}|\\{#.*?#\\}|[^{]+|\\{",
            Pattern.DOTALL);
    private static final Pattern WORDS =
            Pattern.compile("'[^']*'|\"[^\"]*\"|\\w+|\\s+|==|!=|<=|>=|\\*\\*|//|[{%]%?|%\\}|.", Pattern.DOTALL);
    private static final List<String> OTHERS = List.of("99999999999", "9223372036854775807", "-1", "0", "1.5e308", "''",
            "'a' * 1000000", "range(1000000)", "none", "[]", "{}", "|", "|tojson(indent=2000000000)", "|map('upper')",
            "|list", "|sort", "|groupby('role')", "|batch(1000000)", "|join(',')", "|default('x', true)", "|center(99)",
            ".split()", ".format(1)", ".replace('', 'aa')", "[::-1]", "[0]", "[-9:9:-1]", "(", ")", "loop.index",
            "loop(messages)", "recursive", "namespace(x=1)", "messages", "messages[-1].content", "cycle", "not", "is",
            "in", "if", "else", "%", "~", "**", "\\u0000", "é🙂", "strftime_now('%Y')", "raise_exception('x')");

    private final List<List<String>> parts = new ArrayList<>();
    private final List<String> words = new ArrayList<>(OTHERS);

    Templates(List<String> templates) {
        for (String t : templates) {
            List<String> all = split(PARTS, t);
            parts.add(all);
            for (String p : all)
                if (p.startsWith("{%") || p.startsWith("{{"))
                    split(WORDS, p).stream().filter(w -> !w.isBlank()).forEach(words::add);
        }
    }

    private static List<String> split(Pattern by, String text) {
        List<String> out = new ArrayList<>();
        for (Matcher m = by.matcher(text); m.find();)
            out.add(m.group());
        return out;
    }

    /// A template with one to four changes.
    String make(SplittableRandom random) {
        List<String> all = new ArrayList<>(any(parts, random));
        for (int n = 1 + random.nextInt(4); n > 0 && !all.isEmpty(); n--) {
            int i = random.nextInt(all.size());
            switch (random.nextInt(8)) {
                case 0 -> all.remove(i);
                case 1 -> all.add(i, any(all, random));
                case 2 -> all.add(i, any(any(parts, random), random));
                case 3 -> all.set(i, any(any(parts, random), random));
                default -> all.set(i, word(all.get(i), random));
            }
        }
        return String.join("", all);
    }

    private String word(String part, SplittableRandom random) {
        List<String> all = split(WORDS, part);
        if (all.isEmpty())
            return part;
        int i = random.nextInt(all.size());
        switch (random.nextInt(4)) {
            case 0 -> all.remove(i);
            case 1 -> all.add(i, any(words, random));
            case 2 -> all.add(i, all.get(random.nextInt(all.size())));
            default -> all.set(i, any(words, random));
        }
        return String.join("", all);
    }

    private static <T> T any(List<T> of, SplittableRandom random) {
        return of.get(random.nextInt(of.size()));
    }
}
