package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.first;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.sum;
import static dev.gyre.kernels.cpu.Vectors.whole;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// [SimdSoftmax] in vectors, and the exponential function.
final class VectorSoftmax implements SimdSoftmax {
    private static final FloatVector LOG2E = FloatVector.broadcast(S, 1.44269504088896341f);
    /// Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
    private static final FloatVector ROUND = FloatVector.broadcast(S, 12582912f);
    /// ln 2 in two parts; the first has 9 significant bits, so its multiples up to 2^14 are exact.
    private static final FloatVector LN2_HI = FloatVector.broadcast(S, -0.693359375f);
    private static final FloatVector LN2_LO = FloatVector.broadcast(S, 2.12194440e-4f);
    static final FloatVector ZERO = FloatVector.zero(S);
    static final FloatVector ONE = FloatVector.broadcast(S, 1f);
    private static final float EXP_MIN = -87.3365f;
    private static final float EXP_MAX = 88.7228f;

    private static final FloatVector P7 = FloatVector.broadcast(S, 1f / 5040);
    private static final FloatVector P6 = FloatVector.broadcast(S, 1f / 720);
    private static final FloatVector P5 = FloatVector.broadcast(S, 1f / 120);
    private static final FloatVector P4 = FloatVector.broadcast(S, 1f / 24);
    private static final FloatVector P3 = FloatVector.broadcast(S, 1f / 6);
    private static final FloatVector P2 = FloatVector.broadcast(S, 0.5f);
    private static final FloatVector MIN = FloatVector.broadcast(S, EXP_MIN);

    /// `2^n e^r` with `n = round(x log2 e)`, `|r| <= ln(2)/2`, e^r by its Taylor polynomial of degree 7 (remainder
    /// below 6e-9); 0 below the smallest normal number, infinite above the largest. Worst error seen: 1.0 ulp.
    static FloatVector exp(FloatVector x) {
        return expBelow(x).blend(Float.POSITIVE_INFINITY, x.compare(VectorOperators.GT, EXP_MAX));
    }

    /// [#exp] for x up to [#EXP_MAX], as in a softmax.
    static FloatVector expBelow(FloatVector x) {
        FloatVector t = fma(x, LOG2E, ROUND);
        FloatVector n = t.sub(ROUND);
        FloatVector r = fma(n, LN2_LO, fma(n, LN2_HI, x));
        FloatVector p = fma(fma(fma(fma(fma(fma(fma(P7, r, P6), r, P5), r, P4), r, P3), r, P2), r, ONE), r, ONE);
        FloatVector e = p.reinterpretAsInts().add(t.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23))
                .reinterpretAsFloats();
        return e.blend(0f, x.compare(VectorOperators.LT, EXP_MIN));
    }

    @Override
    public double sumExp(float[] x, int xo, float max, int n) {
        double s = 0;
        for (int from = 0; from < n; from += SUM_BLOCK) {
            int end = Math.min(n, from + SUM_BLOCK);
            FloatVector v = FloatVector.zero(S);
            int i = from;
            for (int stop = from + whole(end - from); i < stop; i += L)
                v = v.add(expBelow(at(x, xo + i).sub(max)));
            if (i < end) {
                VectorMask<Float> m = first(end - i);
                v = v.add(exp(FloatVector.fromArray(S, x, xo + i, m).sub(max)), m);
            }
            s += sum(v);
        }
        return s;
    }

    /// Floats are summed in blocks of this length, the blocks in double.
    private static final int SUM_BLOCK = 2048;

    @Override
    public double expInPlace(float[] x, int xo, float max, int n) {
        double s = 0;
        // sums, then the maximum in every lane
        float[] work = new float[4 * L];
        Arrays.fill(work, 2 * L, 4 * L, max);
        for (int from = 0; from < n; from += SUM_BLOCK) {
            int end = Math.min(n, from + SUM_BLOCK);
            int pairs = (end - from) / (2 * L);
            Arrays.fill(work, 0, 2 * L, 0f);
            exps(pairs, 2 * L, x, xo + from, work, 2 * L, work, 0);
            FloatVector v = at(work, 0).add(at(work, L));
            for (int i = from + 2 * L * pairs; i < end; i += L) {
                VectorMask<Float> m = first(end - i);
                FloatVector e = exp(FloatVector.fromArray(S, x, xo + i, m).sub(max));
                e.intoArray(x, xo + i, m);
                v = v.add(e, m);
            }
            s += sum(v);
        }
        return s;
    }

    /// How far a score may exceed the recorded maximum of its column before that is raised: e^8 is harmless, and sums
    /// are rescaled less often.
    private static final float SLACK = 8f;

    @Override
    public void step(int n, float[] w, int scores, int stats, int sums, int D) {
        FloatVector old0 = at(w, stats);
        FloatVector old1 = at(w, stats + L);
        FloatVector max0 = old0;
        FloatVector max1 = old1;
        for (int j = 0; j < n; j++) {
            FloatVector s0 = at(w, scores + 2 * L * j);
            FloatVector s1 = at(w, scores + 2 * L * j + L);
            max0 = max0.blend(s0, s0.compare(VectorOperators.GT, max0));
            max1 = max1.blend(s1, s1.compare(VectorOperators.GT, max1));
        }
        if (max0.compare(VectorOperators.GT, old0.add(SLACK)).or(max1.compare(VectorOperators.GT, old1.add(SLACK)))
                .anyTrue()) {
            max0.intoArray(w, stats);
            max1.intoArray(w, stats + L);
            expBelow(old0.sub(max0)).intoArray(w, stats + 4 * L);
            expBelow(old1.sub(max1)).intoArray(w, stats + 5 * L);
            rescale(w, stats, sums, D);
        }
        exps(n, 2 * L, w, scores, w, stats, w, stats + 2 * L);
    }

    private static void rescale(float[] w, int stats, int sums, int D) {
        FloatVector shrink0 = at(w, stats + 4 * L);
        FloatVector shrink1 = at(w, stats + 5 * L);
        at(w, stats + 2 * L).mul(shrink0).intoArray(w, stats + 2 * L);
        at(w, stats + 3 * L).mul(shrink1).intoArray(w, stats + 3 * L);
        for (int c = 0; c < 2 * L; c++) {
            FloatVector shrink = FloatVector.broadcast(S, w[stats + 4 * L + c]);
            for (int d = sums + c * D; d < sums + (c + 1) * D; d += L)
                at(w, d).mul(shrink).intoArray(w, d);
        }
    }

    /// `x <- exp(x - base)` for n rows of 2 L elements, `ld` apart, with a base for each column; adds their sums to `sum`. Repeats
    /// the lines of [#expBelow] twice, so that it is long enough for C2 to compile on its own: inlined into a long
    /// caller it would exceed the inlining budget, and calls that are left box every vector.
    private static void exps(int n, int ld, float[] x, int xo, float[] base, int bo, float[] sum, int so) {
        FloatVector from0 = at(base, bo);
        FloatVector from1 = at(base, bo + L);
        FloatVector s0 = at(sum, so);
        FloatVector s1 = at(sum, so + L);
        int end = xo + ld * n;
        for (int i = xo; i < end; i += ld) {
            FloatVector v = at(x, i).sub(from0);
            FloatVector t = fma(v, LOG2E, ROUND);
            FloatVector m = t.sub(ROUND);
            FloatVector r = fma(m, LN2_LO, fma(m, LN2_HI, v));
            FloatVector p = fma(fma(fma(fma(fma(fma(fma(P7, r, P6), r, P5), r, P4), r, P3), r, P2), r, ONE), r, ONE);
            FloatVector e = ZERO.blend(p.reinterpretAsInts()
                    .add(t.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23)).reinterpretAsFloats(),
                    v.compare(VectorOperators.GE, MIN));
            e.intoArray(x, i);
            s0 = s0.add(e);
            v = at(x, i + L).sub(from1);
            t = fma(v, LOG2E, ROUND);
            m = t.sub(ROUND);
            r = fma(m, LN2_LO, fma(m, LN2_HI, v));
            p = fma(fma(fma(fma(fma(fma(fma(P7, r, P6), r, P5), r, P4), r, P3), r, P2), r, ONE), r, ONE);
            e = ZERO.blend(p.reinterpretAsInts().add(t.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23))
                    .reinterpretAsFloats(), v.compare(VectorOperators.GE, MIN));
            e.intoArray(x, i + L);
            s1 = s1.add(e);
        }
        s0.intoArray(sum, so);
        s1.intoArray(sum, so + L);
    }

    @Override
    public void grad(int n, int ld, float a, float[] w, int p, int d, int stats) {
        exps(n, ld, w, p, w, stats, w, stats + 4 * L);
        FloatVector less0 = at(w, stats + 2 * L);
        FloatVector less1 = at(w, stats + 3 * L);
        int by = p - d;
        int end = d + ld * n;
        for (int i = d; i < end; i += ld) {
            at(w, i).sub(less0).mul(a).mul(at(w, by + i)).intoArray(w, i);
            at(w, i + L).sub(less1).mul(a).mul(at(w, by + i + L)).intoArray(w, i + L);
        }
    }
}
