package dev.gyre.trainer.cli.screen;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// Numbers as people read them.
public final class Text {
    private Text() {
    }

    public static String format(String pattern, @Nullable Object... args) {
        return String.format(Locale.ROOT, pattern, args);
    }

    /// `8,192`
    public static String count(long n) {
        return format("%,d", n);
    }

    /// `15.2M`
    public static String big(double n) {
        return n >= 1e9 ? format("%.2fG", n / 1e9) : n >= 1e6 ? format("%.2fM", n / 1e6)
                : n >= 1e4 ? format("%.1fk", n / 1e3) : count((long) n);
    }

    /// `8.9 MB` (1 MB = 1,000,000 bytes)
    public static String bytes(long n) {
        return n >= 1_000_000_000 ? format("%.2f GB", n / 1e9) : n >= 100_000_000 ? format("%.0f MB", n / 1e6)
                : n >= 100_000 ? format("%.1f MB", n / 1e6) : format("%.1f kB", n / 1e3);
    }

    /// `00:58`, `1:02:03`
    public static String time(double seconds) {
        long s = Math.round(Math.max(0, seconds));
        return s >= 3600 ? format("%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60) : format("%02d:%02d", s / 60, s % 60);
    }

    /// `2.0e-04`
    public static String small(double x) {
        return format("%.1e", x);
    }

    public static String percent(double part, double whole) {
        double p = whole == 0 ? 0 : 100 * part / whole;
        return format(p < 10 ? "%.1f %%" : "%.0f %%", p);
    }

    /// `1 example`, `3 examples`
    public static String many(long n, String what) {
        return count(n) + " " + what + (n == 1 ? "" : "s");
    }
}
