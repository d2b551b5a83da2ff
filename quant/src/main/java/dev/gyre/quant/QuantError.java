package dev.gyre.quant;

import dev.gyre.kernels.op.HostData;

/// What quantisation did to a weight.
///
/// @param relativeFrobenius `||Q - W||_F / ||W||_F`; 0.092 for NF4 of Gaussian weights in blocks of 64
/// @param maxAbs largest `|Q - W|` of an element
/// @param bitsPerWeight codes and block maxima; the constant tables (code book 64 bytes, dynamic map 1 KiB a tensor)
///        are left out, as they are in the literature
public record QuantError(double relativeFrobenius, double maxAbs, double bitsPerWeight) {
    /// Compares a quantised weight with the F32 one it was made from. Never holds the decoded weight whole.
    public static QuantError of(float[] w, HostData.NF4 q) {
        if (w.length != q.size)
            throw new IllegalArgumentException(
                    "weight of " + w.length + " elements compared with a quantised one of " + q.size);
        double norm = Math.sqrt(Chunks.sum(w.length, (from, to) -> {
            double s = 0;
            for (int i = (int) from; i < to; i++)
                s += (double) w[i] * w[i];
            return s;
        }));
        double error = Math.sqrt(Chunks.sum(w.length, (from, to) -> {
            float[] part = part(q, from, to);
            double s = 0;
            for (int i = 0; i < part.length; i++) {
                double diff = (double) part[i] - w[(int) from + i];
                s += diff * diff;
            }
            return s;
        }));
        double max = Chunks.max(w.length, (from, to) -> {
            float[] part = part(q, from, to);
            double m = 0;
            for (int i = 0; i < part.length; i++)
                m = Math.max(m, Math.abs((double) part[i] - w[(int) from + i]));
            return m;
        });
        double relative = error == 0 ? 0 : error / norm;
        return new QuantError(relative, max, bitsPerWeight(q));
    }

    public static double bitsPerWeight(HostData.NF4 q) {
        long maxima = q.absmax != null ? 4L * q.absmax.length : 0;
        if (q.absmaxCodes != null && q.nestedAbsmax != null)
            maxima = q.absmaxCodes.length + 4L * q.nestedAbsmax.length;
        return 8.0 * (q.codes.length + maxima) / q.size;
    }

    private static float[] part(HostData.NF4 q, long from, long to) {
        float[] part = new float[(int) (to - from)];
        Nf4.dequantize(q, from, part.length, part, 0);
        return part;
    }
}
