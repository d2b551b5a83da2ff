package dev.gyre.trainer.report;

import dev.gyre.kernels.InputException;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;
import tools.jackson.databind.JsonNode;

/// The curves of a report as a picture: loss above, gradient norm, learning rate, speed and rotation below.
final class CurvesPicture {
    private static final int WIDTH = 1120;
    private static final int TALL = 330;
    private static final int LOW = 230;
    private static final int HEAD = 64;
    /// Pixels of the file for one unit.
    private static final int SCALE = 2;
    /// As on the page: more than this between the largest and the smallest value, and the axis is logarithmic.
    private static final double SPAN = 20;
    private static final Color INK = new Color(0x1d2330);
    private static final Color DIM = new Color(0x667085);
    private static final Color LINE = new Color(0xe4e6ea);
    /// As on the page.
    private static final Color[] COLOURS = {new Color(0x2563c9), new Color(0xd9622b), new Color(0x23875a),
        new Color(0x8a4fbf), new Color(0xc4a000), new Color(0xd6487e), new Color(0x2aa5b8)};
    private static final int BLUE = 0;
    private static final int ORANGE = 1;
    private static final int GREEN = 2;
    private static final int VIOLET = 3;

    private final List<XYChart> small = new ArrayList<>();
    private final JsonNode report;
    private final double[] step;

    private CurvesPicture(JsonNode report) {
        this.report = report;
        this.step = numbers(report.path("steps").path("step"));
        if (step.length == 0)
            throw new InputException("the run has no step yet: there is nothing to draw");
    }

    /// @param report what the page is made of
    static byte[] png(JsonNode report) {
        return new CurvesPicture(report).draw();
    }

    private byte[] draw() {
        XYChart loss = chart("Loss", true);
        double[] raw = numbers(report.path("steps").path("loss"));
        line(loss, "loss", step, raw, new Color(0x662563c9, true), 1f);
        line(loss, "smoothed", step, smooth(raw), COLOURS[BLUE], 2.2f);
        int colour = ORANGE;
        for (JsonNode v : report.path("valid"))
            line(loss, v.path("name").asString(""), numbers(v.path("step")), numbers(v.path("loss")),
                    COLOURS[colour++ % COLOURS.length], 2f).setMarker(SeriesMarkers.CIRCLE);
        fit(loss);
        small("Gradient norm, before clipping", step, numbers(report.path("steps").path("grad_norm")), VIOLET, false);
        small("Learning rate", step, numbers(report.path("steps").path("lr")), GREEN, true);
        small("Tokens per second, padding included", step,
                numbers(report.path("steps").path("tokens_per_second")), ORANGE, true);
        JsonNode turns = report.path("rotations");
        if (!turns.isEmpty()) {
            double[] at = new double[turns.size()];
            double[] angle = new double[turns.size()];
            for (int i = 0; i < at.length; i++) {
                at[i] = turns.get(i).path("step").doubleValue();
                for (JsonNode module : turns.get(i).path("modules"))
                    angle[i] = Math.max(angle[i], module.path(1).doubleValue());
            }
            small("Largest rotation, degrees", at, angle, BLUE, true);
        }
        return encoded(loss);
    }

    private byte[] encoded(XYChart loss) {
        int height = HEAD + TALL + Math.ceilDiv(small.size(), 2) * LOW;
        BufferedImage image = new BufferedImage(WIDTH * SCALE, height * SCALE, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        g.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        g.scale(SCALE, SCALE);
        g.setColor(Color.WHITE);
        g.fillRect(0, 0, WIDTH, height);
        g.setColor(INK);
        g.setFont(new Font(Font.SANS_SERIF, Font.BOLD, 20));
        g.drawString(report.path("name").asString(""), 22, 32);
        g.setColor(DIM);
        g.setFont(new Font(Font.SANS_SERIF, Font.PLAIN, 12));
        g.drawString(report.path("summary").asString(""), 22, 52);
        paint(g, loss, 0, HEAD, WIDTH, TALL);
        for (int i = 0; i < small.size(); i++)
            paint(g, small.get(i), i % 2 * WIDTH / 2, HEAD + TALL + i / 2 * LOW, WIDTH / 2, LOW);
        g.dispose();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try {
            ImageIO.write(image, "png", out);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    private static void paint(Graphics2D g, XYChart c, int x, int y, int width, int height) {
        Graphics2D part = (Graphics2D) g.create(x, y, width, height);
        c.paint(part, width, height);
        part.dispose();
    }

    private void small(String title, double[] x, double[] y, int colour, boolean fromZero) {
        XYChart c = chart(title, false);
        line(c, title, x, y, COLOURS[colour], 1.6f);
        if (fromZero)
            c.getStyler().setYAxisMin(0.0);
        else
            fit(c);
        small.add(c);
    }

    private XYChart chart(String title, boolean wide) {
        double last = step[step.length - 1];
        XYChart c = new XYChartBuilder().width(wide ? WIDTH : WIDTH / 2).height(wide ? TALL : LOW).title(title)
                .xAxisTitle("step").build();
        XYStyler s = c.getStyler();
        Font text = new Font(Font.SANS_SERIF, Font.PLAIN, 11);
        s.setChartBackgroundColor(Color.WHITE).setPlotBackgroundColor(Color.WHITE).setPlotBorderVisible(false)
                .setPlotContentSize(0.97)
                .setChartTitleFont(new Font(Font.SANS_SERIF, Font.BOLD, 13)).setChartFontColor(INK)
                .setChartTitleBoxVisible(false).setChartPadding(12).setLegendVisible(wide)
                .setLegendPosition(Styler.LegendPosition.InsideNE).setLegendLayout(Styler.LegendLayout.Horizontal)
                .setLegendBorderColor(Color.WHITE).setLegendFont(text).setLocale(Locale.US).setMarkerSize(5);
        s.setPlotGridLinesColor(LINE).setPlotGridLinesStroke(new BasicStroke(1)).setPlotGridVerticalLinesVisible(false)
                .setAxisTickLabelsFont(text).setAxisTitleFont(text).setAxisTickLabelsColor(DIM)
                .setAxisTickMarksColor(LINE).setXAxisMin(0.0).setXAxisMax(last).setXAxisTickMarkSpacingHint(90)
                .setXAxisTickLabelsFormattingFunction(CurvesPicture::tick)
                .setYAxisTickLabelsFormattingFunction(CurvesPicture::tick);
        // evenly spaced numbers are labelled one by one until they touch; these, which draw nothing, are not
        c.addSeries("uneven", new double[] {0, 0.3, last}, new double[] {Double.NaN, Double.NaN, Double.NaN})
                .setShowInLegend(false);
        return c;
    }

    /// Gives a chart a logarithmic axis where a linear one would show a flat line at the bottom.
    private static void fit(XYChart c) {
        List<XYSeries> lines = List.copyOf(c.getSeriesCollection());
        double low = positive(lines).min().orElse(0);
        double high = positive(lines).max().orElse(0);
        if (!(high > SPAN * low) || low == 0)
            return;
        // a loss of 0 has no place on a logarithmic axis: it is drawn at the bottom
        for (XYSeries s : lines) {
            double[] y = s.getYData();
            for (int i = 0; i < y.length; i++)
                y[i] = y[i] <= 0 ? low : y[i];
        }
        c.getStyler().setYAxisLogarithmic(true).setYAxisMin(low / 1.1).setYAxisMax(high * 1.1);
    }

    private static DoubleStream positive(List<XYSeries> lines) {
        return lines.stream().flatMapToDouble(s -> Arrays.stream(s.getYData())).filter(y -> y > 0);
    }

    private static String tick(double x) {
        double a = Math.abs(x);
        if (a >= 1000)
            return String.format(Locale.ROOT, "%,.0f", x);
        return a > 0 && a < 1e-3 ? String.format(Locale.ROOT, "%.1e", x)
                : String.valueOf((float) (Math.round(x * 1e5) / 1e5)).replaceAll("\\.0$", "");
    }

    private static XYSeries line(XYChart c, String name, double[] x, double[] y, Color colour, float width) {
        XYSeries s = c.addSeries(name, x, y);
        s.setMarker(SeriesMarkers.NONE).setMarkerColor(colour).setLineColor(colour)
                .setLineStyle(new BasicStroke(width, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND));
        return s;
    }

    /// As page.js has it: an exponential mean, corrected for its start.
    private static double[] smooth(double[] y) {
        double share = Math.min(0.9, 1 - 8.0 / Math.max(16, y.length) - 0.15);
        double[] out = new double[y.length];
        double mean = 0;
        double weight = 0;
        for (int i = 0; i < y.length; i++) {
            mean = share * mean + (1 - share) * y[i];
            weight = share * weight + 1 - share;
            out[i] = mean / weight;
        }
        return out;
    }

    private static double[] numbers(JsonNode array) {
        double[] out = new double[array.size()];
        for (int i = 0; i < out.length; i++)
            out[i] = array.get(i).doubleValue();
        return out;
    }
}
