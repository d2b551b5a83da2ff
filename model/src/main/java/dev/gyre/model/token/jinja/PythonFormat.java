package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Numbers as Python writes them.
final class PythonFormat {
    private static final Pattern SPEC = Pattern.compile(
            "(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?([0-9]{1,9})?([,_])?(?:\\.([0-9]{1,9}))?([a-zA-Z%])?", Pattern.DOTALL);
    private static final int WIDEST = 400;

    private PythonFormat() {
    }

    /// Python's `repr` of a float.
    static String repr(double d) {
        if (Double.isNaN(d))
            return "nan";
        if (Double.isInfinite(d))
            return d > 0 ? "inf" : "-inf";
        if (d == 0)
            return 1 / d < 0 ? "-0.0" : "0.0";
        BigDecimal shortest = new BigDecimal(Double.toString(d)).stripTrailingZeros();
        // Java always writes two digits, also where one is enough
        BigDecimal one = shortest.round(new MathContext(1, RoundingMode.HALF_EVEN));
        if (one.doubleValue() == d)
            shortest = one.stripTrailingZeros();
        int exponent = shortest.precision() - shortest.scale() - 1;
        if (exponent < -4 || exponent >= 16)
            return scientific(shortest, shortest.precision() - 1, 'e', false);
        String plain = shortest.toPlainString();
        return plain.indexOf('.') < 0 ? plain + ".0" : plain;
    }

    private static String scientific(BigDecimal value, int digits, char e, boolean point) {
        BigDecimal v = value.signum() == 0 ? value : value.round(new MathContext(digits + 1, RoundingMode.HALF_EVEN));
        String unscaled = v.unscaledValue().abs().toString();
        int exponent = v.signum() == 0 ? 0 : unscaled.length() - 1 - v.scale();
        String mantissa = v.signum() == 0 ? "0".repeat(digits + 1)
                : unscaled + "0".repeat(Math.max(0, digits + 1 - unscaled.length()));
        mantissa = mantissa.substring(0, digits + 1);
        return (v.signum() < 0 ? "-" : "") + mantissa.charAt(0) + (digits > 0 || point ? "." : "")
                + mantissa.substring(1) + e + (exponent < 0 ? '-' : '+') + (Math.abs(exponent) < 10 ? "0" : "")
                + Math.abs(exponent);
    }

    /// A float by one of the codes e, f, g and their capitals, without sign for NaN.
    static String real(double d, char code, int precision, boolean alternate) {
        boolean capital = Character.isUpperCase(code);
        if (Double.isNaN(d) || Double.isInfinite(d)) {
            String s = Double.isNaN(d) ? "nan" : d > 0 ? "inf" : "-inf";
            return capital ? PythonText.upper(s) : s;
        }
        if (precision > WIDEST)
            throw new Problem("a precision of " + precision + " is not supported");
        String minus = d < 0 || d == 0 && 1 / d < 0 ? "-" : "";
        BigDecimal v = new BigDecimal(Math.abs(d));
        char e = capital ? 'E' : 'e';
        return minus + switch (Character.toLowerCase(code)) {
            case 'e' -> scientific(v, precision, e, alternate);
            case 'f' -> v.setScale(precision, RoundingMode.HALF_EVEN).toPlainString()
                    + (alternate && precision == 0 ? "." : "");
            default -> {
                int p = Math.max(1, precision);
                BigDecimal rounded = v.signum() == 0 ? v : v.round(new MathContext(p, RoundingMode.HALF_EVEN));
                int exponent = v.signum() == 0 ? 0 : rounded.precision() - rounded.scale() - 1;
                boolean plain = exponent >= -4 && exponent < p;
                String s = plain ? v.setScale(p - 1 - exponent, RoundingMode.HALF_EVEN).toPlainString()
                        : scientific(v, p - 1, e, alternate);
                yield alternate ? plain && s.indexOf('.') < 0 ? s + "." : s : trimmed(s, e);
            }
        };
    }

    private static String trimmed(String s, char e) {
        int end = s.indexOf(e);
        String mantissa = end < 0 ? s : s.substring(0, end);
        if (mantissa.indexOf('.') >= 0)
            mantissa = mantissa.replaceAll("0+$", "").replaceAll("\\.$", "");
        return end < 0 ? mantissa : mantissa + s.substring(end);
    }

    /// A whole number in base 2, 8, 10 or 16 with the prefix of `#`.
    static String whole(long n, char code, boolean alternate) {
        int base = switch (code) {
            case 'b' -> 2;
            case 'o' -> 8;
            case 'x', 'X' -> 16;
            default -> 10;
        };
        String digits = Long.toString(n, base);
        String minus = n < 0 ? "-" : "";
        if (n < 0)
            digits = digits.substring(1);
        if (code == 'X')
            digits = PythonText.upper(digits);
        return minus + (alternate && base != 10 ? "0" + code : "") + digits;
    }

    /// Python's `format(v, spec)` of a text or number.
    static String format(JinjaBudget budget, Object v, String spec) {
        Matcher m = SPEC.matcher(spec);
        if (!m.matches() || spec.codePoints().anyMatch(c -> c > 0xffff))
            throw new Problem("the format '" + spec + "' is not supported");
        boolean text = v instanceof String;
        String code = m.group(9) == null ? text ? "s" : "" : m.group(9);
        if (code.equals("n") || code.equals("c"))
            throw new Problem("the format code '" + code + "' is not supported");
        String allowed = text ? "s" : v instanceof Double ? "eEfFgG%" : "bdoxXeEfFgG%";
        if (!code.isEmpty() && allowed.indexOf(code.charAt(0)) < 0)
            throw new Problem("the format code '" + code + "' does not fit " + PythonText.quoted(v.toString()));
        int width = m.group(6) == null ? 0 : Integer.parseInt(m.group(6));
        int precision = m.group(8) == null ? -1 : Integer.parseInt(m.group(8));
        boolean alternate = m.group(4) != null;
        String body;
        if (text) {
            if (m.group(3) != null || alternate || m.group(7) != null || "=".equals(m.group(2)))
                throw new Problem("the format '" + spec + "' does not fit a text");
            String s = (String) v;
            body = precision < 0 || precision >= PythonText.length(s) ? s
                    : s.substring(0, s.offsetByCodePoints(0, precision));
        } else {
            body = number(v, code, precision, alternate);
            body = grouped(body, m.group(7), code);
            if (!body.startsWith("-") && m.group(3) != null && !m.group(3).equals("-"))
                body = m.group(3) + body;
        }
        String align = m.group(2) != null ? m.group(2) : m.group(5) != null && !text ? "=" : text ? "<" : ">";
        String fill = m.group(1) != null ? m.group(1) : m.group(5) != null ? "0" : " ";
        if (m.group(7) != null && m.group(5) != null && m.group(2) == null && width > body.length())
            throw new Problem("zeros with thousands separators are not supported in a format");
        int missing = Math.max(0, width - PythonText.length(body));
        budget.characters(missing);
        return switch (align) {
            case "<" -> body + fill.repeat(missing);
            case ">" -> fill.repeat(missing) + body;
            case "^" -> fill.repeat(missing / 2) + body + fill.repeat(missing - missing / 2);
            default -> {
                int sign = body.startsWith("-") || body.startsWith("+") || body.startsWith(" ") ? 1 : 0;
                if (alternate && body.startsWith("0") && body.length() > sign + 1 && "bBoOxX".contains(code)
                        && !code.isEmpty() || alternate && sign == 1 && "box".contains(code) && !code.isEmpty())
                    sign += 2;
                yield body.substring(0, sign) + fill.repeat(missing) + body.substring(sign);
            }
        };
    }

    private static String number(Object v, String code, int precision, boolean alternate) {
        if (v instanceof Long n && (code.isEmpty() || "bdoxX".contains(code))) {
            if (precision >= 0)
                throw new Problem("a whole number is formatted without precision");
            return whole(n, code.isEmpty() ? 'd' : code.charAt(0), alternate);
        }
        double d = v instanceof Long n ? (double) n : (Double) v;
        if (code.isEmpty()) {
            if (precision >= 0)
                throw new Problem("a precision needs one of the codes e, f, g, % in a format");
            return repr(d);
        }
        int p = precision < 0 ? 6 : precision;
        return code.equals("%") ? real(d * 100, 'f', p, alternate) + "%" : real(d, code.charAt(0), p, alternate);
    }

    private static String grouped(String body, @Nullable String separator, String code) {
        if (separator == null)
            return body;
        if (!code.isEmpty() && "boxX".contains(code))
            throw new Problem("separators are not supported in a format with the code '" + code + "'");
        int from = body.startsWith("-") ? 1 : 0;
        int to = from;
        while (to < body.length() && Character.isDigit(body.charAt(to)))
            to++;
        var out = new StringBuilder(body);
        for (int i = to - 3; i > from; i -= 3)
            out.insert(i, separator);
        return out.toString();
    }
}
