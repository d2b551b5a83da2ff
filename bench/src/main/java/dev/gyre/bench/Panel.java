package dev.gyre.bench;

import dev.gyre.bench.Picture.Anchor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleFunction;

/// One chart of a picture, with a heading that says what it shows and a line below it that says how to read it.
final class Panel {
    static final String INK = "#1f2933";
    static final String GREY = "#7b8794";
    private static final String RULE = "#e4e7eb";
    private static final double SMALL = 11.5;
    /// Distance of labels.
    private static final double LINE = 15;

    private final Picture p;
    private final double x;
    private final double y;
    private final double w;
    private final double h;

    /// @param x left edge; room for numbers is kept inside the panel
    Panel(Picture p, double x, double y, double w, double h, String heading, String reading) {
        this.p = p;
        this.x = x;
        this.y = y;
        this.w = w;
        this.h = h;
        p.text(x, y + 16, Anchor.START, 15.5, true, INK, heading);
        p.text(x, y + 35, Anchor.START, 12.5, false, GREY, reading);
    }

    /// @param label stands at the line's right end
    record Series(String label, String color, boolean dashed, double[] xs, double[] ys) {
    }

    /// Lines over two logarithmic axes; series are labelled at their ends.
    ///
    /// @param low where the vertical axis begins at the latest
    void lines(String xTitle, String yTitle, List<Series> all, DoubleFunction<String> xText,
            DoubleFunction<String> yText,
            double[] xTicks, double labelRoom, double low) {
        double left = x + 46;
        double right = x + w - labelRoom;
        double top = y + 62;
        double bottom = y + h - 38;
        double[] xr = range(all, true);
        double[] yr = range(all, false);
        yr[0] = Math.min(yr[0] / 1.25, low);
        yr[1] *= 1.25;
        p.text(x, top - 8, Anchor.START, SMALL, false, GREY, yTitle);
        p.text((left + right) / 2, bottom + 34, Anchor.MIDDLE, SMALL, false, GREY, xTitle);
        for (double t = Math.pow(10, Math.ceil(Math.log10(yr[0]))); t <= yr[1]; t *= decades(yr) > 5 ? 100 : 10) {
            double at = place(t, yr, bottom, top);
            p.line(RULE, 1, false, left, at, right, at);
            p.text(left - 7, at + 4, Anchor.END, SMALL, false, GREY, yText.apply(t));
        }
        p.line(GREY, 1, false, left, bottom, right, bottom);
        for (double t : xTicks) {
            double at = place(t, xr, left, right);
            p.line(GREY, 1, false, at, bottom, at, bottom + 4);
            p.text(at, bottom + 17, Anchor.MIDDLE, SMALL, false, GREY, xText.apply(t));
        }
        for (Series s : all) {
            double[] xy = new double[2 * s.xs.length];
            for (int i = 0; i < s.xs.length; i++) {
                xy[2 * i] = place(s.xs[i], xr, left, right);
                xy[2 * i + 1] = place(s.ys[i], yr, bottom, top);
            }
            p.line(s.color, s.dashed ? 1.4 : 2.4, s.dashed, xy);
            for (int i = 0; i < xy.length && !s.dashed; i += 2)
                p.dot(xy[i], xy[i + 1], 3.6, s.color);
        }
        label(all, xr, yr, left, right, top, bottom);
    }

    /// Puts the labels beside the lines' right ends, one below the other; a thin line leads to what does not lie beside it.
    private void label(List<Series> all, double[] xr, double[] yr, double left, double right, double top,
            double bottom) {
        List<Series> order = new ArrayList<>(all);
        order.sort(Comparator.comparingDouble((Series s) -> s.ys[s.ys.length - 1]).reversed());
        double[] at = new double[order.size()];
        for (int i = 0; i < at.length; i++)
            at[i] = Math.max(place(last(order.get(i).ys), yr, bottom, top) + 4, i == 0 ? 0 : at[i - 1] + LINE);
        double least = bottom + 4;
        for (int i = at.length - 1; i >= 0; i--, least -= LINE)
            at[i] = Math.min(at[i], least);
        for (int i = 0; i < at.length; i++) {
            Series s = order.get(i);
            double endX = place(last(s.xs), xr, left, right);
            double endY = place(last(s.ys), yr, bottom, top);
            if (endX < right - 1 || Math.abs(endY + 4 - at[i]) > LINE)
                p.line(s.color, 0.8, false, endX + 5, endY, right + 6, at[i] - 4);
            p.text(right + 9, at[i], Anchor.START, 12, true, s.color, s.label);
        }
    }

    private static double last(double[] v) {
        return v[v.length - 1];
    }

    private static double decades(double[] r) {
        return Math.log10(r[1] / r[0]);
    }

    private static double[] range(List<Series> all, boolean x) {
        double lo = Double.POSITIVE_INFINITY;
        double hi = Double.NEGATIVE_INFINITY;
        for (Series s : all)
            for (double v : x ? s.xs : s.ys) {
                lo = Math.min(lo, v);
                hi = Math.max(hi, v);
            }
        return new double[] {lo, hi};
    }

    private static double place(double v, double[] r, double from, double to) {
        return from + (to - from) * Math.log(v / r[0]) / Math.log(r[1] / r[0]);
    }

    /// @param note stands behind the bar
    record Bar(String label, String color, double value, String note) {
    }

    /// Horizontal bars from zero.
    void bars(List<Bar> all, double nameRoom, double noteRoom) {
        double left = x + nameRoom;
        double right = x + w - noteRoom;
        double top = y + 56;
        double each = Math.min(34, (h - 66) / all.size());
        double most = all.stream().mapToDouble(Bar::value).max().orElse(1);
        for (int i = 0; i < all.size(); i++) {
            Bar b = all.get(i);
            double at = top + i * each;
            double end = left + Math.max(1.5, (right - left) * b.value / most);
            p.box(left, at + each * 0.14, end - left, each * 0.72, b.color);
            p.text(left - 8, at + each / 2 + 4, Anchor.END, 12, false, INK, b.label);
            p.text(end + 7, at + each / 2 + 4, Anchor.START, 12, true, b.color, b.note);
        }
        p.line(GREY, 1, false, left, top, left, top + each * all.size());
    }

    static String power(double v) {
        return "1e" + Math.round(Math.log10(v));
    }

    static String plain(double v) {
        return v >= 1 ? String.format(Locale.ROOT, "%,.0f", v)
                : new java.math.BigDecimal(v).round(new java.math.MathContext(1)).stripTrailingZeros().toPlainString();
    }
}
