package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;
import java.time.LocalDateTime;
import java.time.format.TextStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.IsoFields;
import java.util.Locale;

/// Python's `strftime` in the C locale, of a time without zone.
final class JinjaDate {
    private JinjaDate() {
    }

    static String format(LocalDateTime t, String format) {
        var out = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            char c = format.charAt(i);
            if (c != '%') {
                out.append(c);
                continue;
            }
            boolean bare = format.startsWith("-", i + 1);
            i += bare ? 2 : 1;
            if (i >= format.length())
                throw new Problem("the format of 'strftime_now' ends in '%'");
            String s = code(t, format.charAt(i), bare);
            out.append(s);
        }
        return out.toString();
    }

    private static String code(LocalDateTime t, char code, boolean bare) {
        int monday = t.getDayOfWeek().getValue();
        int week = t.getDayOfYear() - 1;
        Integer number = switch (code) {
            case 'd', 'e' -> t.getDayOfMonth();
            case 'm' -> t.getMonthValue();
            case 'y' -> Math.floorMod(t.getYear(), 100);
            case 'C' -> t.getYear() / 100;
            case 'H' -> t.getHour();
            case 'I' -> (t.getHour() + 11) % 12 + 1;
            case 'M' -> t.getMinute();
            case 'S' -> t.getSecond();
            case 'j' -> t.getDayOfYear();
            case 'U' -> (week + 7 - monday % 7) / 7;
            case 'W' -> (week + 7 - (monday - 1)) / 7;
            case 'V' -> t.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR);
            default -> null;
        };
        if (number != null)
            return bare ? number.toString() : (code == 'j' ? "%03d" : code == 'e' ? "%2d" : "%02d").formatted(number);
        String text = switch (code) {
            case 'a' -> t.getDayOfWeek().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
            case 'A' -> t.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
            case 'b', 'h' -> t.getMonth().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
            case 'B' -> t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
            case 'p' -> t.getHour() < 12 ? "AM" : "PM";
            case 'w' -> String.valueOf(monday % 7);
            case 'u' -> String.valueOf(monday);
            case 'Y' -> String.valueOf(t.getYear());
            case 'G' -> String.valueOf(t.get(IsoFields.WEEK_BASED_YEAR));
            case 'f' -> "%06d".formatted(t.get(ChronoField.MICRO_OF_SECOND));
            case 'c' -> format(t, "%a %b %e %H:%M:%S %Y");
            case 'x', 'D' -> format(t, "%m/%d/%y");
            case 'X', 'T' -> format(t, "%H:%M:%S");
            case 'R' -> format(t, "%H:%M");
            case 'F' -> format(t, "%Y-%m-%d");
            case 'z', 'Z' -> "";
            case 'n' -> "\n";
            case 't' -> "\t";
            case '%' -> "%";
            default -> null;
        };
        if (text == null || bare)
            throw new Problem("the code '%" + (bare ? "-" : "") + code + "' of 'strftime_now' is not supported");
        return text;
    }
}
