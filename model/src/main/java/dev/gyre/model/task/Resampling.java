package dev.gyre.model.task;

/// Learned positions of patches for images of another size: bicubic, as the reference library resamples them.
final class Resampling {
    /// The cubic's free coefficient.
    private static final double A = -0.75;

    private Resampling() {
    }

    /// @param learned (tokens + h*w, C): those of the tokens in front stay as they are
    static float[] positions(float[] learned, int tokens, int h, int w, int newH, int newW, int C) {
        float[] out = new float[(tokens + newH * newW) * C];
        System.arraycopy(learned, 0, out, 0, tokens * C);
        for (int y = 0; y < newH; y++)
            for (int x = 0; x < newW; x++) {
                double sy = (y + 0.5) * h / newH - 0.5;
                double sx = (x + 0.5) * w / newW - 0.5;
                int y0 = (int) Math.floor(sy);
                int x0 = (int) Math.floor(sx);
                for (int j = -1; j <= 2; j++)
                    for (int i = -1; i <= 2; i++) {
                        double f = weight(sy - y0 - j) * weight(sx - x0 - i);
                        int from = (tokens + Math.clamp(y0 + j, 0, h - 1) * w + Math.clamp(x0 + i, 0, w - 1)) * C;
                        int to = (tokens + y * newW + x) * C;
                        for (int c = 0; c < C; c++)
                            out[to + c] += (float) (f * learned[from + c]);
                    }
            }
        return out;
    }

    private static double weight(double distance) {
        double d = Math.abs(distance);
        if (d <= 1)
            return ((A + 2) * d - (A + 3)) * d * d + 1;
        return d < 2 ? ((A * d - 5 * A) * d + 8 * A) * d - 4 * A : 0;
    }
}
