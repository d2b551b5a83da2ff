package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/// Texts as Python's `str` has them: characters are code points; white space, line breaks and cases are Python's.
final class PythonText {
    /// Characters that Python calls digits although they are no decimals: from, to, from, to, ...
    private static final int[] DIGITS = {0xb2, 0xb3, 0xb9, 0xb9, 0x1369, 0x1371, 0x19da, 0x19da, 0x2070, 0x2070, 0x2074,
        0x2079, 0x2080, 0x2089, 0x2460, 0x2468, 0x2474, 0x247c, 0x2488, 0x2490, 0x24ea, 0x24ea, 0x24f5, 0x24fd, 0x24ff,
        0x24ff, 0x2776, 0x277e, 0x2780, 0x2788, 0x278a, 0x2792, 0x10a40, 0x10a43, 0x10e60, 0x10e68, 0x11052, 0x1105a,
        0x1f100, 0x1f10a};

    private PythonText() {
    }

    static boolean isSpace(int c) {
        return c >= 9 && c <= 13 || c >= 0x1c && c <= 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680
                || c >= 0x2000 && c <= 0x200a || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f
                || c == 0x3000;
    }

    private static boolean isBreak(int c) {
        return c >= 10 && c <= 13 || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029;
    }

    static int length(String s) {
        return s.codePointCount(0, s.length());
    }

    /// Removes any of the given characters (white space if null) from the ends.
    static String strip(String s, @Nullable String set, boolean left, boolean right) {
        IntPredicate strips;
        if (set == null) {
            strips = PythonText::isSpace;
        } else {
            int[] sorted = set.codePoints().sorted().toArray();
            strips = c -> Arrays.binarySearch(sorted, c) >= 0;
        }
        int from = 0;
        int to = s.length();
        while (left && from < to && strips.test(s.codePointAt(from)))
            from += Character.charCount(s.codePointAt(from));
        while (right && to > from && strips.test(s.codePointBefore(to)))
            to -= Character.charCount(s.codePointBefore(to));
        return s.substring(from, to);
    }

    static String lower(String s) {
        return s.toLowerCase(Locale.ROOT);
    }

    static String upper(String s) {
        return s.toUpperCase(Locale.ROOT);
    }

    private static void titleCase(StringBuilder out, int c) {
        int title = Character.toTitleCase(c);
        String one = Character.toString(c);
        String up = upper(one);
        if (title != c || up.length() == one.length() || Character.isTitleCase(c)) {
            out.appendCodePoint(title);
            return;
        }
        if (c == 0x149) {
            out.append(up);
            return;
        }
        int first = up.codePointAt(0);
        String rest = lower(up.substring(Character.charCount(first)));
        out.appendCodePoint(first).append(c >= 0x1f80 && c < 0x2000 ? rest.replace('ι', '\u0345') : rest);
    }

    static String capitalize(String s) {
        if (s.isEmpty())
            return s;
        var out = new StringBuilder();
        int first = s.codePointAt(0);
        titleCase(out, first);
        // the sigma at the end of a word looks back at what stands before it
        return out.append(lower(s).substring(lower(Character.toString(first)).length())).toString();
    }

    static String title(String s) {
        var out = new StringBuilder();
        String low = null;
        boolean inside = false;
        for (int i = 0; i < s.length();) {
            int c = s.codePointAt(i);
            if (!inside)
                titleCase(out, c);
            else
                if (c == 'Σ') {
                    if (low == null)
                        low = lower(s);
                    out.append(low.length() == s.length() ? low.charAt(i) : 'σ');
                } else {
                    out.append(lower(Character.toString(c)));
                }
            inside = cased(c);
            i += Character.charCount(c);
        }
        return out.toString();
    }

    static String swapCase(String s) {
        var out = new StringBuilder();
        s.codePoints().forEach(c -> out.append(Character.isUpperCase(c) ? lower(Character.toString(c))
                : Character.isLowerCase(c) ? upper(Character.toString(c)) : Character.toString(c)));
        return out.toString();
    }

    private static boolean cased(int c) {
        return Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c);
    }

    static boolean isLower(String s) {
        return s.codePoints().anyMatch(Character::isLowerCase)
                && s.codePoints().noneMatch(c -> Character.isUpperCase(c) || Character.isTitleCase(c));
    }

    static boolean isUpper(String s) {
        return s.codePoints().anyMatch(Character::isUpperCase)
                && s.codePoints().noneMatch(c -> Character.isLowerCase(c) || Character.isTitleCase(c));
    }

    static boolean isTitle(String s) {
        boolean before = false;
        boolean any = false;
        for (int c : s.codePoints().toArray()) {
            boolean up = Character.isUpperCase(c) || Character.isTitleCase(c);
            boolean low = Character.isLowerCase(c);
            if (up && before || low && !before)
                return false;
            before = up || low;
            any |= before;
        }
        return any;
    }

    private static boolean digit(int c) {
        if (Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER)
            return true;
        for (int i = 0; i < DIGITS.length; i += 2)
            if (c >= DIGITS[i] && c <= DIGITS[i + 1])
                return true;
        return false;
    }

    private static boolean numeric(int c) {
        return switch (Character.getType(c)) {
            case Character.DECIMAL_DIGIT_NUMBER, Character.LETTER_NUMBER, Character.OTHER_NUMBER -> true;
            default -> {
                if (Character.isIdeographic(c))
                    throw new Problem("the method 'isnumeric' of ideographs is not supported");
                yield false;
            }
        };
    }

    static boolean printable(int c) {
        return c == ' ' || switch (Character.getType(c)) {
            case Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.PRIVATE_USE, Character.UNASSIGNED,
                    Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.SPACE_SEPARATOR -> false;
            default -> true;
        };
    }

    /// `isalpha` and its like; null if there is no such method.
    static @Nullable Boolean is(String method, String s) {
        IntPredicate test = switch (method) {
            case "isalpha" -> Character::isLetter;
            case "isdecimal" -> c -> Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER;
            case "isdigit" -> PythonText::digit;
            case "isnumeric" -> PythonText::numeric;
            case "isalnum" -> c -> Character.isLetter(c) || digit(c) || numeric(c);
            case "isspace" -> PythonText::isSpace;
            case "isprintable" -> PythonText::printable;
            case "isascii" -> c -> c < 0x80;
            default -> null;
        };
        if (test != null)
            return s.isEmpty() ? method.equals("isprintable") || method.equals("isascii")
                    : s.codePoints().allMatch(test);
        return switch (method) {
            case "islower" -> isLower(s);
            case "isupper" -> isUpper(s);
            case "istitle" -> isTitle(s);
            default -> null;
        };
    }

    static List<@Nullable Object> lines(JinjaBudget budget, String s, boolean keep) {
        List<@Nullable Object> lines = new ArrayList<>();
        int from = 0;
        for (int i = 0; i < s.length(); i++) {
            if (!isBreak(s.charAt(i)))
                continue;
            budget.elements(1);
            int end = i;
            if (s.charAt(i) == '\r' && i + 1 < s.length() && s.charAt(i + 1) == '\n')
                i++;
            lines.add(s.substring(from, keep ? i + 1 : end));
            from = i + 1;
        }
        if (from < s.length())
            lines.add(s.substring(from));
        return lines;
    }

    /// @param limit of cuts, negative for all
    static List<@Nullable Object> words(JinjaBudget budget, String s, long limit, boolean fromRight) {
        List<@Nullable Object> words = new ArrayList<>();
        String rest = strip(s, null, !fromRight, fromRight);
        int from = 0;
        int to = rest.length();
        while (from < to) {
            budget.elements(1);
            if (limit >= 0 && words.size() >= limit) {
                words.add(rest.substring(from, to));
                break;
            }
            int i = fromRight ? to : from;
            while (fromRight ? i > from && !isSpace(rest.charAt(i - 1)) : i < to && !isSpace(rest.charAt(i)))
                i += fromRight ? -1 : 1;
            words.add(fromRight ? rest.substring(i, to) : rest.substring(from, i));
            while (fromRight ? i > from && isSpace(rest.charAt(i - 1)) : i < to && isSpace(rest.charAt(i)))
                i += fromRight ? -1 : 1;
            if (fromRight)
                to = i;
            else
                from = i;
        }
        return fromRight ? new ArrayList<>(words.reversed()) : words;
    }

    static List<@Nullable Object> split(JinjaBudget budget, String s, String by, long limit, boolean fromRight) {
        if (by.isEmpty())
            throw new Problem("a text cannot be split at an empty one");
        List<Integer> hits = new ArrayList<>();
        // a text that overlaps itself is found elsewhere from the right
        String where = fromRight ? reversed(s) : s;
        var finder = new Finder(fromRight ? reversed(by) : by);
        for (int hit = finder.next(where, 0); hit >= 0 && (limit < 0 || hits.size() < limit); hit = finder.next(where,
                hit + by.length())) {
            budget.elements(1);
            hits.add(fromRight ? s.length() - hit - by.length() : hit);
        }
        List<@Nullable Object> parts = new ArrayList<>();
        int from = 0;
        for (int hit : fromRight ? hits.reversed() : hits) {
            parts.add(s.substring(from, hit));
            from = hit + by.length();
        }
        parts.add(s.substring(from));
        return parts;
    }

    private static String reversed(String s) {
        char[] c = s.toCharArray();
        for (int i = 0; i < c.length / 2; i++) {
            char swap = c[i];
            c[i] = c[c.length - 1 - i];
            c[c.length - 1 - i] = swap;
        }
        return new String(c);
    }

    static int find(String s, String part, int from) {
        return new Finder(part).next(s, from);
    }

    static int findLast(String s, String part) {
        int hit = new Finder(reversed(part)).next(reversed(s), 0);
        return hit < 0 ? -1 : s.length() - hit - part.length();
    }

    static int count(String s, String part) {
        if (part.isEmpty())
            return length(s) + 1;
        var finder = new Finder(part);
        int n = 0;
        for (int hit = finder.next(s, 0); hit >= 0; hit = finder.next(s, hit + part.length()))
            n++;
        return n;
    }

    static String replace(JinjaBudget budget, String s, String from, String to, long limit) {
        var text = new StringBuilder();
        int at = 0;
        long n = 0;
        var finder = new Finder(from);
        while (limit < 0 || n < limit) {
            int hit = from.isEmpty() ? n == 0 ? 0
                    : at < s.length() ? at + Character.charCount(s.codePointAt(at)) : -1 : finder.next(s, at);
            if (hit < 0)
                break;
            budget.characters(hit - at + to.length() + 1L);
            text.append(s, at, hit).append(to);
            at = hit + from.length();
            n++;
        }
        return text.append(s.substring(at)).toString();
    }

    static int compare(String a, String b) {
        int n = Math.min(a.length(), b.length());
        for (int i = 0; i < n; i++) {
            char x = a.charAt(i);
            char y = b.charAt(i);
            if (x != y)
                // a surrogate is part of a character behind all others
                return Character.isSurrogate(x) == Character.isSurrogate(y) ? Character.compare(x, y)
                        : Character.isSurrogate(x) ? 1 : -1;
        }
        return Integer.compare(a.length(), b.length());
    }

    /// Python's `repr` of a text.
    static String quoted(String s) {
        char quote = s.contains("'") && !s.contains("\"") ? '"' : '\'';
        var out = new StringBuilder().append(quote);
        s.codePoints().forEach(c -> {
            switch (c) {
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (c == quote)
                        out.append('\\').append(quote);
                    else
                        if (printable(c))
                            out.appendCodePoint(c);
                    else
                            out.append(escape(c));
                }
            }
        });
        return out.append(quote).toString();
    }

    static String escape(int c) {
        return (c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x").formatted(c);
    }

    /// As many copies of a character as make `s` so wide; the odd one left or right as Python's `center` puts it.
    static String pad(JinjaBudget budget, String s, long width, String fill, int side) {
        if (length(fill) != 1)
            throw new Problem("a text is filled with one character, not with " + quoted(fill));
        long missing = width - length(s);
        if (missing <= 0)
            return s;
        budget.characters(missing * fill.length());
        long left = side < 0 ? missing : side > 0 ? 0 : missing / 2 + (missing & width & 1);
        return fill.repeat((int) left) + s + fill.repeat((int) (missing - left));
    }

    static String expandTabs(JinjaBudget budget, String s, long size) {
        var out = new StringBuilder();
        long column = 0;
        for (int c : s.codePoints().toArray()) {
            if (c == '\t') {
                if (size > 0) {
                    long n = size - column % size;
                    out.repeat(' ', budget.characters(n));
                    column += n;
                }
                continue;
            }
            out.appendCodePoint(c);
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        }
        return out.toString();
    }

    /// Finds a text in another in time that grows with both, not with their product.
    private static final class Finder {
        private static final int SHORT = 16;
        private final String part;
        /// For each beginning of the part, the length of the longest other beginning that it ends in.
        private final int @Nullable [] border;

        Finder(String part) {
            this.part = part;
            this.border = part.length() <= SHORT ? null : new int[part.length()];
            if (border != null)
                for (int i = 1, k = 0; i < part.length(); i++) {
                    while (k > 0 && part.charAt(k) != part.charAt(i))
                        k = border[k - 1];
                    border[i] = part.charAt(k) == part.charAt(i) ? ++k : k;
                }
        }

        int next(String s, int from) {
            if (border == null)
                return s.indexOf(part, from);
            for (int i = from, k = 0; i < s.length(); i++) {
                while (k > 0 && part.charAt(k) != s.charAt(i))
                    k = border[k - 1];
                if (part.charAt(k) == s.charAt(i) && ++k == part.length())
                    return i - k + 1;
            }
            return -1;
        }
    }
}
