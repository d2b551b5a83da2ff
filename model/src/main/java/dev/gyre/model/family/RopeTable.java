package dev.gyre.model.family;

import dev.gyre.model.family.ModelConfig.Rotary;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/// Rotary position tables. `angle(p, j) = p * f_j` for `j = 0 .. R/2-1`, R the number of rotated values of a head; the
/// tables hold `a cos(angle)` and `a sin(angle)`, row-major (positions, R/2), with the attention factor `a` (1 but for YaRN
/// and LongRoPE).
///
/// LongRoPE has two sets of frequencies, of which the length of a sequence chooses. Where the longest may choose the second,
/// the tables are twice as long: rows from `positions` on are those of the second set, and [#rows] finds the rows of a batch.
///
/// Frequencies, angles, cosines and sines are those of single precision, as the reference library computes them:
/// every operation is done in double and rounded to float, which for + - * / is exactly the float operation, in the
/// reference's order: a number divided by a tensor is the number times the tensor's reciprocal there.
/// The double variant rounds nothing.
public final class RopeTable {
    private RopeTable() {
    }

    /// `f_j`, R/2 values, for sequences of `length` positions (`dynamic` and `longrope` depend on it).
    public static float[] inverseFrequencies(ModelConfig config, Rotary rotary, int length) {
        double[] f = frequencies(config, rotary, length, x -> (float) x);
        float[] out = new float[f.length];
        for (int j = 0; j < f.length; j++)
            out[j] = (float) f[j];
        return out;
    }

    /// The same without rounding to single precision.
    public static double[] inverseFrequenciesF64(ModelConfig config, Rotary rotary, int length) {
        return frequencies(config, rotary, length, x -> x);
    }

    /// The factor `a` on both tables.
    public static double attentionFactor(ModelConfig config, Rotary rotary) {
        return switch (rotary.scaling()) {
            case RopeScaling.Yarn y -> {
                if (y.attentionFactor() != null)
                    yield y.attentionFactor();
                if (y.mscale() != null && y.mscaleAllDim() != null && y.mscale() != 0 && y.mscaleAllDim() != 0)
                    yield mscale(y.factor(), y.mscale()) / mscale(y.factor(), y.mscaleAllDim());
                yield mscale(y.factor(), 1);
            }
            case RopeScaling.LongRope l -> {
                if (l.attentionFactor() != null)
                    yield l.attentionFactor();
                double factor = l.factor() != null ? l.factor()
                        : (double) config.maxPositionEmbeddings() / l.originalMaxPositions();
                yield factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(l.originalMaxPositions()));
            }
            default -> 1;
        };
    }

    private static double mscale(double factor, double m) {
        return factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
    }

    /// `a cos(p f_j)` for positions `0 .. positions-1`, and where [#twoSets] once more for the second set.
    public static float[] cos(ModelConfig config, Rotary rotary, int positions) {
        return table(config, rotary, positions, Math::cos);
    }

    /// `a sin(p f_j)`, as [#cos].
    public static float[] sin(ModelConfig config, Rotary rotary, int positions) {
        return table(config, rotary, positions, Math::sin);
    }

    public static double[] cosF64(ModelConfig config, Rotary rotary, int positions) {
        return tableF64(config, rotary, positions, Math::cos);
    }

    public static double[] sinF64(ModelConfig config, Rotary rotary, int positions) {
        return tableF64(config, rotary, positions, Math::sin);
    }

    /// Whether sequences of up to `positions` tokens may need either of two sets of frequencies.
    public static boolean twoSets(ModelConfig config, int positions) {
        return positions > original(config);
    }

    /// The rows that tokens at `positions` have in tables made for sequences of up to `most` tokens.
    public static int[] rows(ModelConfig config, int[] positions, int most) {
        int length = 0;
        for (int p : positions)
            length = Math.max(length, p + 1);
        return second(config, length) ? Arrays.stream(positions).map(p -> p + most).toArray() : positions;
    }

    /// Whether a sequence of `length` tokens takes the second set of frequencies.
    public static boolean second(ModelConfig config, int length) {
        return length > original(config);
    }

    /// The longest sequence that takes the first set of frequencies.
    private static int original(ModelConfig config) {
        int n = Integer.MAX_VALUE;
        for (Rotary r : config.positions().rotaries())
            if (r.scaling() instanceof RopeScaling.LongRope l)
                n = Math.min(n, l.originalMaxPositions());
        return n;
    }

    private static float[] table(ModelConfig config, Rotary rotary, int positions, DoubleUnaryOperator wave) {
        float a = (float) attentionFactor(config, rotary);
        int R = rotary.dims(config.attention().headDim()) / 2;
        int sets = twoSets(config, positions) ? 2 : 1;
        float[] out = new float[Math.multiplyExact(Math.multiplyExact(sets, positions), R)];
        for (int set = 0, k = 0; set < sets; set++) {
            float[] f = inverseFrequencies(config, rotary, length(config, set, sets, positions));
            for (int p = 0; p < positions; p++)
                for (int j = 0; j < R; j++, k++)
                    out[k] = (float) wave.applyAsDouble((float) p * f[j]) * a;
        }
        return out;
    }

    private static double[] tableF64(ModelConfig config, Rotary rotary, int positions, DoubleUnaryOperator wave) {
        double a = attentionFactor(config, rotary);
        int R = rotary.dims(config.attention().headDim()) / 2;
        int sets = twoSets(config, positions) ? 2 : 1;
        double[] out = new double[Math.multiplyExact(Math.multiplyExact(sets, positions), R)];
        for (int set = 0, k = 0; set < sets; set++) {
            double[] f = inverseFrequenciesF64(config, rotary, length(config, set, sets, positions));
            for (int p = 0; p < positions; p++)
                for (int j = 0; j < R; j++, k++)
                    out[k] = wave.applyAsDouble(p * f[j]) * a;
        }
        return out;
    }

    /// A length whose frequencies are those of a set.
    private static int length(ModelConfig config, int set, int sets, int positions) {
        return set < sets - 1 ? original(config) : positions;
    }

    /// `r` rounds the result of each operation to the working precision.
    private static double[] frequencies(ModelConfig config, Rotary rotary, int length, DoubleUnaryOperator r) {
        int D = rotary.dims(config.attention().headDim());
        double theta = rotary.theta();
        return switch (rotary.scaling()) {
            case RopeScaling.Default _ -> base(theta, D, r);
            case RopeScaling.Linear s -> {
                double[] f = base(theta, D, r);
                for (int j = 0; j < f.length; j++)
                    f[j] = r.applyAsDouble(f[j] / s.factor());
                yield f;
            }
            case RopeScaling.Dynamic s -> {
                double M = config.maxPositionEmbeddings();
                double stretch = Math.max(length, M) * s.factor() / M - (s.factor() - 1);
                yield base(theta * Math.pow(stretch, D / (D - 2.0)), D, r);
            }
            case RopeScaling.Llama3 s -> llama3(base(theta, D, r), s, r);
            case RopeScaling.Yarn s -> yarn(theta, D, s, r);
            case RopeScaling.LongRope s -> {
                List<Double> factors = length > s.originalMaxPositions() ? s.longFactor() : s.shortFactor();
                double[] p = powers(theta, D, r);
                for (int j = 0; j < p.length; j++)
                    p[j] = r.applyAsDouble(1 / r.applyAsDouble(r.applyAsDouble(factors.get(j)) * p[j]));
                yield p;
            }
        };
    }

    /// `1 / theta^(2j/D)`.
    private static double[] base(double theta, int D, DoubleUnaryOperator r) {
        double[] f = powers(theta, D, r);
        for (int j = 0; j < f.length; j++)
            f[j] = r.applyAsDouble(1 / f[j]);
        return f;
    }

    private static double[] powers(double theta, int D, DoubleUnaryOperator r) {
        double[] p = new double[D / 2];
        for (int j = 0; j < p.length; j++)
            p[j] = r.applyAsDouble(Math.pow(theta, r.applyAsDouble(2.0 * j / D)));
        return p;
    }

    /// With the wavelength `w = 2 pi / f`: `f` where `w < original/high`, `f / factor` where `w > original/low`,
    /// between them a mix by `g = (original/w - low) / (high - low)`.
    private static double[] llama3(double[] f, RopeScaling.Llama3 s, DoubleUnaryOperator r) {
        double low = s.lowFreqFactor();
        double high = s.highFreqFactor();
        double original = s.originalMaxPositions();
        for (int j = 0; j < f.length; j++) {
            double w = r.applyAsDouble(r.applyAsDouble(2 * Math.PI) * r.applyAsDouble(1 / f[j]));
            double slow = r.applyAsDouble(f[j] / s.factor());
            if (w > original / low) {
                f[j] = slow;
            } else if (w >= original / high) {
                double turns = r.applyAsDouble(original * r.applyAsDouble(1 / w));
                double g = r.applyAsDouble(r.applyAsDouble(turns - low) / (high - low));
                double kept = r.applyAsDouble(1 - g);
                // the reference multiplies first and divides after: (1 - g) f / factor
                double mixed = r.applyAsDouble(r.applyAsDouble(kept * f[j]) / s.factor());
                f[j] = r.applyAsDouble(mixed + r.applyAsDouble(g * f[j]));
            }
        }
        return f;
    }

    /// Pair j is interpolated (`f / factor`) by a share that ramps from 0 to 1 between the pairs that turn
    /// `betaFast` and `betaSlow` times over the original context.
    private static double[] yarn(double theta, int D, RopeScaling.Yarn s, DoubleUnaryOperator r) {
        double low = pair(s.betaFast(), theta, D, s.originalMaxPositions());
        double high = pair(s.betaSlow(), theta, D, s.originalMaxPositions());
        if (s.truncate()) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, D - 1);
        if (low == high)
            high += 0.001;
        double[] p = powers(theta, D, r);
        for (int j = 0; j < p.length; j++) {
            double ramp = r.applyAsDouble(r.applyAsDouble(j - low) / (high - low));
            double kept = r.applyAsDouble(1 - Math.min(Math.max(ramp, 0), 1));
            double extrapolated = r.applyAsDouble(1 / p[j]);
            double interpolated = r.applyAsDouble(1 / r.applyAsDouble(s.factor() * p[j]));
            p[j] = r.applyAsDouble(r.applyAsDouble(interpolated * r.applyAsDouble(1 - kept))
                    + r.applyAsDouble(extrapolated * kept));
        }
        return p;
    }

    /// The pair index (not whole) that makes `turns` full turns over `original` positions.
    private static double pair(double turns, double theta, int D, int original) {
        return D * Math.log(original / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    }
}
