package dev.gyre.model.options;

import dev.gyre.kernels.InputException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/// A regular expression out of a configuration, in Python's syntax. It is compiled once, and a match ends: Java's engine
/// backtracks, so that `(\w+\.?)+!` on a module path would run for minutes.
public final class Regex {
    /// Characters looked at in one match. Expressions for module paths need hundreds.
    private static final int STEPS = 100_000;
    private static final int LENGTH = 4096;
    /// Product of all `{n,m}` of an expression: repetitions of nothing look at no character.
    private static final long REPEATS = 100_000;
    private static final Pattern REPEAT = Pattern.compile("\\{(\\d+)(?:,(\\d*))?\\}");
    private static final int CACHED = 1024;
    private static final Map<String, Regex> CACHE = new ConcurrentHashMap<>();

    private final String expression;
    private final Pattern pattern;

    private Regex(String expression, Pattern pattern) {
        this.expression = expression;
        this.pattern = pattern;
    }

    /// @throws InputException when it is not a regular expression
    public static Regex of(String expression) {
        Regex known = CACHE.get(expression);
        if (known != null)
            return known;
        Regex r = new Regex(expression, compile(expression));
        if (CACHE.size() >= CACHED)
            CACHE.clear();
        CACHE.put(expression, r);
        return r;
    }

    private static Pattern compile(String expression) {
        if (expression.length() > LENGTH)
            throw new InputException(
                    "a regular expression of " + expression.length() + " characters; at most " + LENGTH);
        long repeats = 1;
        for (Matcher m = REPEAT.matcher(expression); m.find();) {
            String most = m.group(2) == null || m.group(2).isEmpty() ? m.group(1) : m.group(2);
            if (most.length() > 6 || (repeats *= Math.max(1, Long.parseLong(most))) > REPEATS)
                throw new InputException("'" + expression + "' repeats more than " + REPEATS + " times");
        }
        // Python's spelling of named groups and of the end of the text
        String java = expression.replace("(?P<", "(?<").replaceAll("\\(\\?P=(\\w+)\\)", "\\\\k<$1>")
                .replaceAll("(?<!\\\\)((?:\\\\\\\\)*)\\\\Z", "$1\\\\z");
        try {
            return Pattern.compile(java);
        } catch (PatternSyntaxException e) {
            throw new InputException("'" + expression + "' is not a regular expression: " + e.getDescription()
                    + " at " + e.getIndex(), e);
        } catch (StackOverflowError e) {
            throw new InputException("'" + expression + "' is nested too deeply", e);
        }
    }

    /// Whether it matches the whole text.
    public boolean matches(String text) {
        return match(text, true) != null;
    }

    /// The match at the beginning of the text, or null.
    public @Nullable MatchResult atStart(String text) {
        return match(text, false);
    }

    private @Nullable MatchResult match(String text, boolean whole) {
        try {
            Matcher m = pattern.matcher(new Counted(text, new int[1]));
            return (whole ? m.matches() : m.lookingAt()) ? m.toMatchResult() : null;
        } catch (TooLong | StackOverflowError e) {
            throw new InputException("the regular expression '" + expression + "' does not come to an end on '" + text
                    + "'; write one that cannot match the same text in many ways", e);
        }
    }

    private static final class TooLong extends RuntimeException {
        private static final long serialVersionUID = 1;

        TooLong() {
            super(null, null, false, false);
        }
    }

    /// A text that counts how often it is looked at, parts of it included.
    private record Counted(CharSequence text, int[] steps) implements CharSequence {
        @Override
        public char charAt(int i) {
            if (++steps[0] > STEPS)
                throw new TooLong();
            return text.charAt(i);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int from, int to) {
            return new Counted(text.subSequence(from, to), steps);
        }

        @Override
        public String toString() {
            return text.toString();
        }
    }
}
