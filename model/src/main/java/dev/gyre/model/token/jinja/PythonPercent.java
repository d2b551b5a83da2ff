package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import dev.gyre.model.token.jinja.JinjaTypes.Dict;
import dev.gyre.model.token.jinja.JinjaTypes.Tuple;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Python's `text % values`.
final class PythonPercent {
    private static final Pattern CODE = Pattern
            .compile("%(?:\\(([^()]*)\\))?([-+ #0]*)(\\*|[0-9]{1,9})?(?:\\.(\\*|[0-9]{0,9}))?[hlL]?(.)",
                    Pattern.DOTALL);

    private PythonPercent() {
    }

    static String format(JinjaValues values, String template, @Nullable Object given) {
        values.budget.characters(template.length());
        var out = new StringBuilder();
        Dict named = given instanceof Dict d ? d : null;
        List<? extends @Nullable Object> list = given instanceof Tuple t ? t.items() : null;
        int[] used = {0};
        int at = 0;
        boolean byName = false;
        Matcher m = CODE.matcher(template);
        while (true) {
            int percent = template.indexOf('%', at);
            if (percent < 0)
                break;
            out.append(template, at, percent);
            if (!m.region(percent, template.length()).lookingAt())
                throw new Problem("a '%' in the format begins no code");
            at = m.end();
            if (m.group().equals("%%")) {
                out.append('%');
                continue;
            }
            byName |= m.group(1) != null;
            if (byName && named == null)
                throw new Problem("the format names values, so it needs a mapping");
            String flags = m.group(2);
            long width = number(values, m.group(3), named, list, given, used);
            if (width < 0) {
                flags += "-";
                width = -width;
            }
            long precision = m.group(4) == null ? -1
                    : m.group(4).isEmpty() ? 0 : Math.max(0, number(values, m.group(4), named, list, given, used));
            char code = m.group(5).charAt(0);
            if (code == '%')
                throw new Problem("the format '" + m.group() + "' is not supported");
            Object v = m.group(1) == null ? next(list, given, used) : named(named, m.group(1));
            pad(values, out, flags, width, one(values, v, code, flags, precision), code);
        }
        out.append(template, at, template.length());
        boolean all = list != null ? used[0] == list.size() : used[0] > 0 || named != null
                || given instanceof List<?>;
        if (!all)
            throw new Problem("not all values are used by the format");
        return out.toString();
    }

    private static @Nullable Object named(@Nullable Dict d, String key) {
        Dict.Entry e = d == null ? null : d.get(key);
        if (e == null)
            throw new Problem("the format needs a value '" + key + "'");
        return e.value();
    }

    private static @Nullable Object next(@Nullable List<? extends @Nullable Object> list, @Nullable Object given,
            int[] used) {
        int i = used[0]++;
        if (list == null ? i > 0 : i >= list.size())
            throw new Problem("the format needs more values");
        return list == null ? given : list.get(i);
    }

    private static long number(JinjaValues values, @Nullable String digits, @Nullable Dict named,
            @Nullable List<? extends @Nullable Object> list, @Nullable Object given, int[] used) {
        if (digits == null)
            return 0;
        if (!digits.equals("*"))
            return Long.parseLong(digits);
        if (named == null && next(list, given, used) instanceof Long n && Math.abs(n) < Integer.MAX_VALUE)
            return n;
        throw new Problem("'*' in a format needs a whole number");
    }

    private static String one(JinjaValues values, @Nullable Object v, char code, String flags, long precision) {
        boolean alternate = flags.indexOf('#') >= 0;
        String sign = flags.indexOf('+') >= 0 ? "+" : flags.indexOf(' ') >= 0 ? " " : "";
        switch (code) {
            case 's', 'r', 'a' -> {
                String s = code == 's' ? values.text(v) : values.representation(v);
                if (code == 'a')
                    s = ascii(s);
                return precision >= 0 && precision < PythonText.length(s)
                        ? s.substring(0, s.offsetByCodePoints(0, (int) precision))
                        : s;
            }
            case 'c' -> {
                if (v instanceof String s && PythonText.length(s) == 1)
                    return s;
                if (v instanceof Long n && n >= 0 && n <= 0x10ffff && (n < 0xd800 || n > 0xdfff))
                    return Character.toString((int) (long) n);
                throw new Problem("'%c' needs a character");
            }
            case 'd', 'i', 'u', 'o', 'x', 'X' -> {
                boolean decimal = code != 'o' && code != 'x' && code != 'X';
                Object n = v instanceof Boolean b ? (Object) (b ? 1L : 0L) : v;
                if (n instanceof Double d && decimal) {
                    if (!(Math.abs(d) < 0x1p63))
                        throw new Problem("'%" + code + "' needs a number within 64 bits");
                    n = (long) (double) d;
                }
                if (!(n instanceof Long whole))
                    throw new Problem("'%" + code + "' needs a " + (decimal ? "" : "whole ") + "number, not "
                            + JinjaValues.kind(v));
                String s = PythonFormat.whole(whole, decimal ? 'd' : code, alternate);
                String minus = s.startsWith("-") ? "-" : sign;
                String digits = s.startsWith("-") ? s.substring(1) : s;
                String prefix = alternate && !decimal ? digits.substring(0, 2) : "";
                digits = digits.substring(prefix.length());
                int zeros = values.budget.characters(Math.max(0, precision - digits.length()));
                return minus + prefix + "0".repeat(zeros) + digits;
            }
            case 'e', 'E', 'f', 'F', 'g', 'G' -> {
                Double d = JinjaValues.number(v);
                if (d == null)
                    throw new Problem("'%" + code + "' needs a number, not " + JinjaValues.kind(v));
                String s = PythonFormat.real(d, code, precision < 0 ? 6 : (int) Math.min(precision, 9999), alternate);
                return s.startsWith("-") ? s : sign + s;
            }
            default -> throw new Problem("the format code '%" + code + "' is not supported");
        }
    }

    static String ascii(String s) {
        var out = new StringBuilder();
        s.codePoints().forEach(c -> out.append(c < 0x80 ? Character.toString(c) : PythonText.escape(c)));
        return out.toString();
    }

    private static void pad(JinjaValues values, StringBuilder out, String flags, long width, String s, char code) {
        int missing = values.budget.characters(Math.max(0, width - PythonText.length(s)) + s.length()) - s.length();
        boolean text = "srac".indexOf(code) >= 0;
        if (flags.indexOf('-') >= 0) {
            out.append(s).repeat(' ', missing);
        } else if (flags.indexOf('0') >= 0 && !text && missing > 0) {
            int sign = !s.isEmpty() && "+- ".indexOf(s.charAt(0)) >= 0 ? 1 : 0;
            if (flags.indexOf('#') >= 0 && "oxX".indexOf(code) >= 0)
                sign += 2;
            out.append(s, 0, sign).repeat('0', missing).append(s, sign, s.length());
        } else {
            out.repeat(' ', missing).append(s);
        }
    }
}
