package dev.gyre.bench;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Path2D;
import java.awt.geom.Rectangle2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Locale;
import javax.imageio.ImageIO;

/// A picture of lines, boxes, dots and words that is drawn once and comes out twice: as SVG and as PNG.
final class Picture {
    enum Anchor {
        START("start"), MIDDLE("middle"), END("end");

        private final String svg;

        Anchor(String svg) {
            this.svg = svg;
        }
    }

    /// Pixels of the PNG for one unit.
    private static final int SCALE = 2;
    private static final String FONTS = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";

    private final int width;
    private final int height;
    private final StringBuilder svg = new StringBuilder();
    private final BufferedImage image;
    private final Graphics2D g;

    Picture(int width, int height) {
        this.width = width;
        this.height = height;
        this.image = new BufferedImage(SCALE * width, SCALE * height, BufferedImage.TYPE_INT_RGB);
        this.g = image.createGraphics();
        g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        g.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        g.setRenderingHint(RenderingHints.KEY_FRACTIONALMETRICS, RenderingHints.VALUE_FRACTIONALMETRICS_ON);
        g.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
        g.scale(SCALE, SCALE);
        box(0, 0, width, height, "#ffffff");
    }

    void box(double x, double y, double w, double h, String fill) {
        tag("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>", x, y, w, h, fill);
        g.setColor(Color.decode(fill));
        g.fill(new Rectangle2D.Double(x, y, w, h));
    }

    void dot(double x, double y, double r, String fill) {
        tag("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"1\"/>", x, y, r,
                fill);
        g.setColor(Color.WHITE);
        g.fill(new Ellipse2D.Double(x - r - 0.5, y - r - 0.5, 2 * r + 1, 2 * r + 1));
        g.setColor(Color.decode(fill));
        g.fill(new Ellipse2D.Double(x - r, y - r, 2 * r, 2 * r));
    }

    /// A line through points (x0, y0, x1, y1, ...).
    void line(String stroke, double thick, boolean dashed, double... xy) {
        StringBuilder points = new StringBuilder();
        Path2D path = new Path2D.Double();
        for (int i = 0; i < xy.length; i += 2) {
            points.append(String.format(Locale.ROOT, "%.1f,%.1f ", xy[i], xy[i + 1]));
            if (i == 0)
                path.moveTo(xy[0], xy[1]);
            else
                path.lineTo(xy[i], xy[i + 1]);
        }
        tag("<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" stroke-linejoin=\"round\"%s/>",
                points.toString().trim(), stroke, thick, dashed ? " stroke-dasharray=\"4 4\"" : "");
        g.setColor(Color.decode(stroke));
        g.setStroke(new BasicStroke((float) thick, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1f,
                dashed ? new float[] {4f, 4f} : null, 0f));
        g.draw(path);
    }

    /// Words whose baseline is at y.
    void text(double x, double y, Anchor anchor, double size, boolean bold, String fill, String words) {
        tag("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%.1f\"%s fill=\"%s\">%s</text>", x, y,
                anchor.svg,
                size, bold ? " font-weight=\"bold\"" : "", fill,
                words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"));
        g.setColor(Color.decode(fill));
        g.setFont(new Font(Font.SANS_SERIF, bold ? Font.BOLD : Font.PLAIN, 1).deriveFont((float) size));
        FontMetrics m = g.getFontMetrics();
        double w = m.getStringBounds(words, g).getWidth();
        double left = switch (anchor) {
            case START -> x;
            case MIDDLE -> x - w / 2;
            case END -> x - w;
        };
        g.drawString(words, (float) left, (float) y);
    }

    private void tag(String format, Object... args) {
        svg.append(String.format(Locale.ROOT, format, args)).append('\n');
    }

    String svg() {
        return String.format(Locale.ROOT, """
                <?xml version="1.0" encoding="UTF-8"?>
                <svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="%s">
                """, width, height, width, height, FONTS) + svg + "</svg>\n";
    }

    byte[] png() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try {
            if (!ImageIO.write(image, "png", out))
                throw new IllegalStateException("this JVM cannot write PNG");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        return out.toByteArray();
    }
}
