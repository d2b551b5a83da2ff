package dev.gyre.model.token;

/// A look at a regular expression of a `tokenizer.json` before Oniguruma, the engine of Hugging Face's library, runs it. That
/// engine backtracks, gives up after ten million steps, and the library then ends the whole process. So expressions
/// are accepted whose steps at one place of a text of n characters are at most [#ways] times n; those of published tokenizers
/// are. What cannot be seen to be so is refused, back references and nested repetitions first of all.
final class BoundedPattern {
    private static final int LENGTH = 4096;
    private static final int WAYS = 64;
    private static final int DEPTH = 32;
    /// Repetitions that count as any number.
    private static final int MANY = 256;

    /// Why an expression is refused.
    static final class Refused extends Exception {
        private static final long serialVersionUID = 1;

        Refused(String reason) {
            super(reason, null, false, false);
        }
    }

    /// What is known of a part.
    ///
    /// @param endless repetitions without limit in a row, at most
    /// @param degree how many of those come before something that can fail: the exponent of the steps
    /// @param ways product of the choices that have limits
    /// @param fails whether it can fail to match
    /// @param empty whether it can match nothing
    private record Part(int endless, int degree, long ways, boolean fails, boolean empty) {
        static final Part ATOM = new Part(0, 0, 1, true, false);
        static final Part NOTHING = new Part(0, 0, 1, false, true);
        static final Part PLACE = new Part(0, 0, 1, true, true);

        Part then(Part next) {
            return new Part(endless + next.endless, Math.max(degree, next.fails ? endless + next.degree : 0),
                    Math.min(Integer.MAX_VALUE, ways * next.ways), fails || next.fails, empty && next.empty);
        }

        Part or(Part other) {
            return new Part(Math.max(endless, other.endless), Math.max(degree, other.degree), ways + other.ways,
                    fails || other.fails, empty || other.empty);
        }
    }

    private final String text;
    private int at;
    private int depth;
    private int widest = 1;

    private BoundedPattern(String text) {
        this.text = text;
    }

    /// @param ways steps at one place of a text, by its length
    /// @param empty whether the expression matches nothing at all, too
    record Bound(int ways, boolean empty) {
    }

    static Bound check(String expression) throws Refused {
        if (expression.length() > LENGTH)
            throw new Refused("has more than " + LENGTH + " characters");
        var p = new BoundedPattern(expression);
        Part all = p.alternatives(true);
        if (p.at < expression.length())
            throw new Refused("has a ) too many");
        return new Bound(p.widest, all.empty);
    }

    private boolean ended() {
        return at >= text.length();
    }

    private boolean take(String s) {
        if (!text.startsWith(s, at))
            return false;
        at += s.length();
        return true;
    }

    private char next() throws Refused {
        if (ended())
            throw new Refused("is incomplete");
        return text.charAt(at++);
    }

    /// @param top whether each alternative is tried from the beginning of a match, so that its ways are its own
    private Part alternatives(boolean top) throws Refused {
        if (++depth > DEPTH)
            throw new Refused("is nested more than " + DEPTH + " deep");
        Part all = null;
        do {
            Part s = sequence();
            if (s.degree > 1)
                throw new Refused("has repetitions one after another that can match the same text in many ways");
            if (s.ways > WAYS)
                throw new Refused("can match in too many ways");
            if (top)
                widest = Math.max(widest, (int) s.ways);
            all = all == null ? s : all.or(s);
        } while (take("|"));
        depth--;
        return all;
    }

    private Part sequence() throws Refused {
        Part all = Part.NOTHING;
        while (!ended() && text.charAt(at) != '|' && text.charAt(at) != ')')
            all = all.then(repeated(item()));
        return all;
    }

    private Part repeated(Part item) throws Refused {
        if (ended())
            return item;
        int min;
        int max;
        boolean braces = false;
        if (take("*")) {
            min = 0;
            max = MANY;
        } else if (take("+")) {
            min = 1;
            max = MANY;
        } else if (take("?")) {
            min = 0;
            max = 1;
        } else {
            int close = text.charAt(at) == '{' ? text.indexOf('}', at) : -1;
            if (close < 0 || !text.substring(at, close + 1).matches("\\{(\\d{1,6}(,\\d{0,6})?|,\\d{1,6})\\}"))
                return item;
            String[] limits = text.substring(at + 1, close).split(",", -1);
            min = limits[0].isEmpty() ? 0 : Integer.parseInt(limits[0]);
            max = limits.length == 1 ? min : limits[1].isEmpty() ? MANY : Integer.parseInt(limits[1]);
            at = close + 1;
            braces = true;
        }
        boolean possessive = false;
        if (!take("?") && !braces)
            possessive = take("+");
        if (!ended() && ("*+?".indexOf(text.charAt(at)) >= 0 || text.substring(at).matches("(?s)\\{,?\\d.*")))
            throw new Refused("repeats a repetition");
        if (min > max)
            throw new Refused("has a repetition whose limits are the wrong way round");
        if (min > MANY)
            throw new Refused("repeats more than " + MANY + " times");
        boolean alone = item.endless == 0 && item.ways == 1;
        if (max > 1 && (!alone || item.empty))
            throw new Refused("repeats what can itself match in several ways");
        if (max >= MANY)
            return new Part(possessive ? 0 : 1, 0, 1, min > 0 && item.fails, min == 0 || item.empty);
        return new Part(item.endless, item.degree, possessive ? item.ways : item.ways * (max - min + 1),
                min > 0 && item.fails || item.endless > 0, min == 0 || item.empty);
    }

    private Part item() throws Refused {
        char c = next();
        return switch (c) {
            case '(' -> group();
            case '[' -> set();
            case '\\' -> escape();
            case '^', '$' -> Part.PLACE;
            case '*', '+', '?' -> throw new Refused("repeats nothing");
            default -> Part.ATOM;
        };
    }

    private Part group() throws Refused {
        if (!take("?")) {
            if (take("*"))
                throw new Refused("has a callout");
            return closed(alternatives(false));
        }
        if (take("#")) {
            int close = text.indexOf(')', at);
            if (close < 0)
                throw new Refused("is incomplete");
            at = close + 1;
            return Part.NOTHING;
        }
        if (take("=") || take("!") || take("<=") || take("<!")) {
            Part p = closed(alternatives(false));
            return new Part(0, Math.max(p.degree, p.endless), p.ways, true, true);
        }
        if (take(">")) {
            Part p = closed(alternatives(false));
            return new Part(0, p.degree, p.ways, p.fails, p.empty);
        }
        StringBuilder flags = new StringBuilder();
        while (!ended() && "im-".indexOf(text.charAt(at)) >= 0)
            flags.append(next());
        if (take(":"))
            return closed(alternatives(false));
        if (!flags.isEmpty() && take(")"))
            return Part.NOTHING;
        throw new Refused("has a group of a kind that Gyre does not know");
    }

    private Part closed(Part p) throws Refused {
        if (!take(")"))
            throw new Refused("lacks a )");
        return p;
    }

    /// A set of characters, which may hold other sets.
    private Part set() throws Refused {
        int open = 1;
        take("^");
        take("]");
        while (open > 0) {
            char c = next();
            if (c == '\\')
                next();
            else
                if (c == '[')
                    open++;
                else
                    if (c == ']')
                        open--;
        }
        return Part.ATOM;
    }

    private Part escape() throws Refused {
        char c = next();
        if (c >= '1' && c <= '9' || c == 'k' || c == 'g')
            throw new Refused("refers back to a group");
        if ("AzZGbB".indexOf(c) >= 0)
            return Part.PLACE;
        if ("KRXyYNO".indexOf(c) >= 0)
            throw new Refused("has \\" + c + ", which Gyre does not know");
        if (c == 'p' || c == 'P' || c == 'x' || c == 'u') {
            if (take("{")) {
                int close = text.indexOf('}', at);
                if (close < 0)
                    throw new Refused("is incomplete");
                at = close + 1;
            } else if (c == 'x' || c == 'u') {
                for (int i = 0; i < (c == 'x' ? 2 : 4) && !ended() && Character.digit(text.charAt(at), 16) >= 0; i++)
                    at++;
            }
        }
        return Part.ATOM;
    }
}
