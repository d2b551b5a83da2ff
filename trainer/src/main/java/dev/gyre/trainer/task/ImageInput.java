package dev.gyre.trainer.task;

import dev.gyre.model.family.EncoderConfig.Image;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import javax.imageio.ImageIO;
import org.jspecify.annotations.Nullable;

/// Images as a vision transformer reads them: resized, cropped, scaled and normalised as preprocessor_config.json says.
///
/// @param resizeTo shortest side, or null for exactly the model's size
record ImageInput(Image model, @Nullable Integer resizeTo, Object interpolation, float scale, float[] mean,
        float[] std) {
    /// @param directory of the model; without a preprocessor_config.json values become -1 to 1
    static ImageInput of(Path directory, Image model) {
        Path file = directory.resolve("preprocessor_config.json");
        float[] half = new float[model.channels()];
        Arrays.fill(half, 0.5f);
        if (!Files.isRegularFile(file))
            return new ImageInput(model, null, RenderingHints.VALUE_INTERPOLATION_BILINEAR, 1 / 255f, half, half);
        Fields f = new Fields(file, "", Json.readObject(file));
        Integer side = f.isSet("size") && f.node("size").isObject() && f.object("size").isSet("shortest_edge")
                ? f.object("size").integer("shortest_edge") : null;
        boolean normalised = f.bool("do_normalize", true);
        float[] zero = new float[model.channels()];
        float[] one = new float[model.channels()];
        Arrays.fill(one, 1);
        float scale = f.bool("do_rescale", true) ? (float) f.number("rescale_factor", 1 / 255.0) : 1;
        return new ImageInput(model, side, switch (f.integer("resample", 2)) {
            case 0 -> RenderingHints.VALUE_INTERPOLATION_NEAREST_NEIGHBOR;
            case 3, 1 -> RenderingHints.VALUE_INTERPOLATION_BICUBIC;
            default -> RenderingHints.VALUE_INTERPOLATION_BILINEAR;
        }, scale, normalised ? channels(f, "image_mean", half) : zero,
                normalised ? channels(f, "image_std", half) : one);
    }

    private static float[] channels(Fields f, String key, float[] absent) {
        if (!f.isSet(key))
            return absent;
        float[] out = new float[absent.length];
        for (int c = 0; c < out.length; c++)
            out[c] = (float) f.node(key).path(Math.min(c, f.node(key).size() - 1)).doubleValue();
        return out;
    }

    /// The example's values (channels, height, width).
    float[] read(TaskExample e, boolean mirrored) {
        return values(picture(e), mirrored);
    }

    /// The example as an image.
    static BufferedImage picture(TaskExample e) {
        TaskExample.Grey grey = e.pixels();
        if (grey == null)
            return load(Objects.requireNonNull(e.image()));
        BufferedImage image = new BufferedImage(grey.width(), grey.height(), BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < grey.height(); y++)
            for (int x = 0; x < grey.width(); x++)
                image.setRGB(x, y, (grey.values()[y * grey.width() + x] & 0xff) * 0x010101);
        return image;
    }

    private static BufferedImage load(Path file) {
        try {
            BufferedImage image = ImageIO.read(file.toFile());
            if (image == null)
                throw new FormatException(file, "is no image that Java reads (PNG, JPEG, BMP, GIF)");
            return image;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    private float[] values(BufferedImage image, boolean mirrored) {
        int h = model.height();
        int w = model.width();
        double factor = resizeTo == null ? 0 : resizeTo / (double) Math.min(image.getWidth(), image.getHeight());
        int toW = resizeTo == null ? w : Math.max(w, (int) Math.round(image.getWidth() * factor));
        int toH = resizeTo == null ? h : Math.max(h, (int) Math.round(image.getHeight() * factor));
        BufferedImage sized = new BufferedImage(toW, toH, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = sized.createGraphics();
        g.setRenderingHint(RenderingHints.KEY_INTERPOLATION, interpolation);
        g.drawImage(shrunk(image, toW, toH), 0, 0, toW, toH, null);
        g.dispose();
        int left = (toW - w) / 2;
        int top = (toH - h) / 2;
        float[] out = new float[model.channels() * h * w];
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int rgb = sized.getRGB(left + (mirrored ? w - 1 - x : x), top + y);
                for (int c = 0; c < model.channels(); c++) {
                    float v = model.channels() == 1
                            ? (0.299f * (rgb >> 16 & 0xff) + 0.587f * (rgb >> 8 & 0xff) + 0.114f * (rgb & 0xff))
                            : rgb >> 8 * (2 - c) & 0xff;
                    out[(c * h + y) * w + x] = (v * scale - mean[c]) / std[c];
                }
            }
        return out;
    }

    /// Halved until less than twice as large as needed: interpolation looks at nearest pixels only.
    private static BufferedImage shrunk(BufferedImage image, int w, int h) {
        BufferedImage now = image;
        while (now.getWidth() >= 2 * w && now.getHeight() >= 2 * h) {
            BufferedImage half =
                    new BufferedImage(now.getWidth() / 2, now.getHeight() / 2, BufferedImage.TYPE_INT_RGB);
            Graphics2D g = half.createGraphics();
            g.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
            g.drawImage(now, 0, 0, half.getWidth(), half.getHeight(), null);
            g.dispose();
            now = half;
        }
        return now;
    }
}
