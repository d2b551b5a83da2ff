package dev.gyre.kernels.cpu;

import com.sun.management.HotSpotDiagnosticMXBean;
import dev.gyre.kernels.op.Dropouts;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.management.ManagementFactory;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/// [Simd] by the Vector API, 4, 8 or 16 lanes: the JVM's preference, or the system property `gyre.simd`. The width is a
/// static constant because C2 turns vector calls into instructions only where it knows the species.
///
/// Register tiles: 12 x 2 vectors where there are 32 registers (16 lanes, or ARM), 6 x 2 where there are 16. The wide tile
/// is stored to a small array and added to the result by another method, because one method with both exceeds C2's
/// inlining budget.
final class SimdVector implements Simd {
    private static final VectorSpecies<Float> S = species();
    private static final int L = S.length();
    private static final VectorSpecies<Integer> SI = VectorSpecies.of(int.class, S.vectorShape());
    private static final VectorSpecies<Double> SD = VectorSpecies.of(double.class, S.vectorShape());
    private static final VectorSpecies<Short> SS = VectorSpecies.of(short.class,
            VectorShape.forBitSize(S.vectorBitSize() / 2));
    private static final boolean ARM = System.getProperty("os.arch", "").equals("aarch64");
    private static final boolean WIDE = L == 16 || ARM;
    /// Where the processor lacks it, `fma` is emulated in software, digit by digit.
    private static final boolean FMA = ARM || hasFma();

    private static VectorSpecies<Float> species() {
        return switch (System.getProperty("gyre.simd", "auto")) {
            case "128" -> FloatVector.SPECIES_128;
            case "256" -> FloatVector.SPECIES_256;
            case "512" -> FloatVector.SPECIES_512;
            default -> {
                VectorSpecies<Float> p = FloatVector.SPECIES_PREFERRED;
                yield p.length() >= 16 ? FloatVector.SPECIES_512
                        : p.length() == 8 ? FloatVector.SPECIES_256 : FloatVector.SPECIES_128;
            }
        };
    }

    private static boolean hasFma() {
        HotSpotDiagnosticMXBean vm = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
        try {
            return vm == null || Boolean.parseBoolean(vm.getVMOption("UseFMA").getValue());
        } catch (IllegalArgumentException notHotSpot) {
            return true;
        }
    }

    String describe() {
        String asked = System.getProperty("gyre.simd", "auto");
        String why = asked.equals("auto") || asked.equals("scalar") ? "the JVM's preference" : "gyre.simd=" + asked;
        return "Vector API, " + L + " lanes (" + why + ")" + (FMA ? "" : ", no fused multiply-add");
    }

    @Override
    public int lanes() {
        return L;
    }

    private static FloatVector at(float[] a, int i) {
        return FloatVector.fromArray(S, a, i);
    }

    private static FloatVector fma(FloatVector a, FloatVector b, FloatVector c) {
        return FMA ? a.fma(b, c) : a.mul(b).add(c);
    }

    private static int whole(int n) {
        return n - n % L;
    }

    @Override
    public void add(float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L)
            at(x, xo + i).add(at(y, yo + i)).intoArray(z, zo + i);
        for (; i < n; i++)
            z[zo + i] = x[xo + i] + y[yo + i];
    }

    @Override
    public void axpy(float a, float[] x, int xo, float[] y, int yo, int n) {
        FloatVector va = FloatVector.broadcast(S, a);
        int i = 0;
        for (int end = whole(n); i < end; i += L)
            fma(va, at(x, xo + i), at(y, yo + i)).intoArray(y, yo + i);
        for (; i < n; i++)
            y[yo + i] += a * x[xo + i];
    }

    @Override
    public void scale(float a, float[] x, int xo, float[] y, int yo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L)
            at(x, xo + i).mul(a).intoArray(y, yo + i);
        for (; i < n; i++)
            y[yo + i] = a * x[xo + i];
    }

    @Override
    public void mul(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L)
            at(x, xo + i).mul(a).mul(at(y, yo + i)).intoArray(z, zo + i);
        for (; i < n; i++)
            z[zo + i] = a * x[xo + i] * y[yo + i];
    }

    @Override
    public void mulAdd(float a, float[] x, int xo, float[] y, int yo, float[] z, int zo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L)
            fma(at(x, xo + i).mul(a), at(y, yo + i), at(z, zo + i)).intoArray(z, zo + i);
        for (; i < n; i++)
            z[zo + i] += a * x[xo + i] * y[yo + i];
    }

    @Override
    public void normGrad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float[] z, int zo,
            int n, boolean accumulate) {
        FloatVector vb = FloatVector.broadcast(S, b);
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            FloatVector g = fma(vb, at(x, xo + i), at(w, wo + i).mul(at(y, yo + i).mul(a)));
            put(g, z, zo + i, accumulate);
        }
        for (; i < n; i++) {
            float g = w[wo + i] * (a * y[yo + i]) + b * x[xo + i];
            z[zo + i] = accumulate ? z[zo + i] + g : g;
        }
    }

    private static void put(FloatVector v, float[] c, int at, boolean accumulate) {
        (accumulate ? v.add(at(c, at)) : v).intoArray(c, at);
    }

    @Override
    public float dot(float[] x, int xo, float[] y, int yo, int n) {
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        int i = 0;
        for (int end = n - n % (4 * L); i < end; i += 4 * L) {
            s0 = fma(at(x, xo + i), at(y, yo + i), s0);
            s1 = fma(at(x, xo + i + L), at(y, yo + i + L), s1);
            s2 = fma(at(x, xo + i + 2 * L), at(y, yo + i + 2 * L), s2);
            s3 = fma(at(x, xo + i + 3 * L), at(y, yo + i + 3 * L), s3);
        }
        for (int end = whole(n); i < end; i += L)
            s0 = fma(at(x, xo + i), at(y, yo + i), s0);
        float s = sum(s0.add(s1).add(s2.add(s3)));
        for (; i < n; i++)
            s += x[xo + i] * y[yo + i];
        return s;
    }

    /// `reduceLanes(ADD)` of floats may differ in order between interpreter and compiler; results must not.
    private static float sum(FloatVector v) {
        FloatVector t = v;
        if (L >= 16)
            t = t.add(t.rearrange(HALF8));
        if (L >= 8)
            t = t.add(t.rearrange(HALF4));
        t = t.add(t.rearrange(HALF2));
        return t.lane(0) + t.lane(1);
    }

    private static final VectorShuffle<Float> HALF8 = VectorShuffle.fromOp(S, i -> (i + 8) % L);
    private static final VectorShuffle<Float> HALF4 = VectorShuffle.fromOp(S, i -> (i + 4) % L);
    private static final VectorShuffle<Float> HALF2 = VectorShuffle.fromOp(S, i -> (i + 2) % L);

    @Override
    public float dot3(float[] x, int xo, float[] y, int yo, float[] w, int wo, int n) {
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        int i = 0;
        for (int end = n - n % (2 * L); i < end; i += 2 * L) {
            s0 = fma(at(x, xo + i).mul(at(y, yo + i)), at(w, wo + i), s0);
            s1 = fma(at(x, xo + i + L).mul(at(y, yo + i + L)), at(w, wo + i + L), s1);
        }
        float s = sum(s0.add(s1));
        for (; i < n; i++)
            s += x[xo + i] * y[yo + i] * w[wo + i];
        return s;
    }

    @Override
    public double sumSquares(float[] x, int xo, int n) {
        var s0 = jdk.incubator.vector.DoubleVector.zero(SD);
        var s1 = s0;
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            FloatVector v = at(x, xo + i);
            var lo = (jdk.incubator.vector.DoubleVector) v.convertShape(VectorOperators.F2D, SD, 0);
            var hi = (jdk.incubator.vector.DoubleVector) v.convertShape(VectorOperators.F2D, SD, 1);
            s0 = lo.mul(lo).add(s0);
            s1 = hi.mul(hi).add(s1);
        }
        double[] lanes = s0.add(s1).toArray();
        double s = 0;
        for (double l : lanes)
            s += l;
        for (; i < n; i++)
            s += (double) x[xo + i] * x[xo + i];
        return s;
    }

    @Override
    public float max(float[] x, int xo, int n) {
        FloatVector m = FloatVector.broadcast(S, Float.NEGATIVE_INFINITY);
        FloatVector m1 = m;
        int i = 0;
        for (int end = n - n % (2 * L); i < end; i += 2 * L) {
            m = m.max(at(x, xo + i));
            m1 = m1.max(at(x, xo + i + L));
        }
        float s = m.max(m1).reduceLanes(VectorOperators.MAX);
        for (; i < n; i++)
            s = Math.max(s, x[xo + i]);
        return s;
    }

    private static final FloatVector LOG2E = FloatVector.broadcast(S, 1.44269504088896341f);
    /// Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
    private static final FloatVector ROUND = FloatVector.broadcast(S, 12582912f);
    /// ln 2 in two parts; the first has 9 significant bits, so its multiples up to 2^14 are exact.
    private static final FloatVector LN2_HI = FloatVector.broadcast(S, -0.693359375f);
    private static final FloatVector LN2_LO = FloatVector.broadcast(S, 2.12194440e-4f);
    private static final FloatVector ZERO = FloatVector.zero(S);
    private static final FloatVector ONE = FloatVector.broadcast(S, 1f);
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
    private static FloatVector exp(FloatVector x) {
        return expBelow(x).blend(Float.POSITIVE_INFINITY, x.compare(VectorOperators.GT, EXP_MAX));
    }

    /// [#exp] for x up to [#EXP_MAX], as in a softmax.
    private static FloatVector expBelow(FloatVector x) {
        FloatVector t = fma(x, LOG2E, ROUND);
        FloatVector n = t.sub(ROUND);
        FloatVector r = fma(n, LN2_LO, fma(n, LN2_HI, x));
        FloatVector p = fma(fma(fma(fma(fma(fma(fma(P7, r, P6), r, P5), r, P4), r, P3), r, P2), r, ONE), r, ONE);
        FloatVector e = p.reinterpretAsInts().add(t.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23))
                .reinterpretAsFloats();
        return e.blend(0f, x.compare(VectorOperators.LT, EXP_MIN));
    }

    private static VectorMask<Float> first(int n) {
        return S.indexInRange(0, n);
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
            exps(pairs, x, xo + from, work, 2 * L, work, 0);
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

    /// How far a score may exceed the maximum that its column goes by, before that is raised: e^8 does no harm, and sums
    /// need scaling less often.
    private static final float SLACK = 8f;

    @Override
    public void softmaxStep(int n, float[] w, int scores, int stats, int sums, int D) {
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
        exps(n, w, scores, w, stats, w, stats + 2 * L);
    }

    private static void rescale(float[] w, int stats, int sums, int D) {
        FloatVector shrink0 = at(w, stats + 4 * L);
        FloatVector shrink1 = at(w, stats + 5 * L);
        at(w, stats + 2 * L).mul(shrink0).intoArray(w, stats + 2 * L);
        at(w, stats + 3 * L).mul(shrink1).intoArray(w, stats + 3 * L);
        for (int d = sums; d < sums + 2 * L * D; d += 2 * L) {
            at(w, d).mul(shrink0).intoArray(w, d);
            at(w, d + L).mul(shrink1).intoArray(w, d + L);
        }
    }

    /// `x <- exp(x - base)` for n rows of 2 L numbers, with a base for each column; adds their sums to `sum`. The lines of
    /// [#expBelow] twice more. Long enough that C2 compiles it alone: inlined into a long caller it would find the budget
    /// spent, and leave calls in here that make an object of every vector.
    private static void exps(int n, float[] x, int xo, float[] base, int bo, float[] sum, int so) {
        FloatVector from0 = at(base, bo);
        FloatVector from1 = at(base, bo + L);
        FloatVector s0 = at(sum, so);
        FloatVector s1 = at(sum, so + L);
        int end = xo + 2 * L * n;
        for (int i = xo; i < end; i += 2 * L) {
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
    public void softmaxGrad(int n, float a, float[] w, int p, int d, int stats) {
        exps(n, w, p, w, stats, w, stats + 4 * L);
        FloatVector less0 = at(w, stats + 2 * L);
        FloatVector less1 = at(w, stats + 3 * L);
        int by = p - d;
        int end = d + 2 * L * n;
        for (int i = d; i < end; i += 2 * L) {
            at(w, i).sub(less0).mul(a).mul(at(w, by + i)).intoArray(w, i);
            at(w, i + L).sub(less1).mul(a).mul(at(w, by + i + L)).intoArray(w, i + L);
        }
    }

    private static final IntVector COUNT = IntVector.zero(SI).addIndex(1);

    private static IntVector mix(IntVector h) {
        IntVector a = h.lanewise(VectorOperators.XOR, h.lanewise(VectorOperators.LSHR, 16)).mul(0x7feb352d);
        IntVector b = a.lanewise(VectorOperators.XOR, a.lanewise(VectorOperators.LSHR, 15)).mul(0x846ca68b);
        return b.lanewise(VectorOperators.XOR, b.lanewise(VectorOperators.LSHR, 16));
    }

    /// [Dropouts#bits24] in whole vectors.
    @Override
    public void dropout(int seed, int salt, int e, float p, float scale, float[] x, int xo, float[] y, int yo, int n,
            boolean accumulate) {
        int limit = (int) (p * 16777216f);
        int first = salt * 0x85EBCA77 + e;
        int seeded = seed * 0x9E3779B1;
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            IntVector bits = mix(mix(COUNT.add(first + i)).lanewise(VectorOperators.XOR, seeded))
                    .lanewise(VectorOperators.LSHR, 8);
            VectorMask<Float> keep = bits.compare(VectorOperators.GE, limit).cast(S);
            put(ZERO.blend(at(x, xo + i).mul(scale), keep), y, yo + i, accumulate);
        }
        for (; i < n; i++) {
            float v = Dropouts.keeps(seed, salt, e + i, p) ? x[xo + i] * scale : 0f;
            y[yo + i] = accumulate ? y[yo + i] + v : v;
        }
    }

    private static final int STEPS = Integer.numberOfTrailingZeros(L);
    private static final VectorShuffle<Float> SWAP1 = VectorShuffle.fromOp(S, i -> i ^ 1);
    private static final VectorShuffle<Float> SWAP2 = VectorShuffle.fromOp(S, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP4 = VectorShuffle.fromOp(S, i -> (i ^ 4) % L);
    private static final VectorShuffle<Float> SWAP8 = VectorShuffle.fromOp(S, i -> (i ^ 8) % L);

    @Override
    public int givensWidth() {
        return L;
    }

    private static final VectorMask<Float> FIRST = S.indexInRange(0, 1);
    /// Groups of two rows that [#givens] turns before the next rows: with one of all rows at a time, rows a power of two
    /// apart would take each other's lines out of the near cache.
    private static final int RUN = 32;

    @Override
    public void givens(int rows, int groups, float[] coefficients, int co, float[] x, int xo, int ldx, float[] first,
            int fo, int ldf, float[] y, int yo, int ldy) {
        for (int g = 0; g < groups; g += RUN) {
            int n = Math.min(RUN, groups - g);
            for (int r = 0; r < rows; r += 2) {
                int s = Math.min(r + 1, rows - 1); // the last row of an odd number is turned twice, from the same numbers
                givens2(n, coefficients, co + 2 * STEPS * L * g, x, xo + r * ldx + g * L, xo + s * ldx + g * L, first,
                        fo + r * ldf + g, fo + s * ldf + g, y, yo + r * ldy + g * L, yo + s * ldy + g * L);
            }
        }
    }

    private static void givens2(int groups, float[] coefficients, int co, float[] x, int x0, int x1, float[] first,
            int f0, int f1, float[] y, int y0, int y1) {
        for (int g = 0; g < groups; g++) {
            int at = co + 2 * STEPS * L * g;
            FloatVector v = at(x, x0 + g * L).blend(first[f0 + g], FIRST);
            FloatVector w = at(x, x1 + g * L).blend(first[f1 + g], FIRST);
            if (L >= 16) {
                FloatVector a = at(coefficients, at + 6 * L);
                FloatVector b = at(coefficients, at + 7 * L);
                v = fma(v, a, v.rearrange(SWAP8).mul(b));
                w = fma(w, a, w.rearrange(SWAP8).mul(b));
            }
            if (L >= 8) {
                FloatVector a = at(coefficients, at + 4 * L);
                FloatVector b = at(coefficients, at + 5 * L);
                v = fma(v, a, v.rearrange(SWAP4).mul(b));
                w = fma(w, a, w.rearrange(SWAP4).mul(b));
            }
            FloatVector a2 = at(coefficients, at + 2 * L);
            FloatVector b2 = at(coefficients, at + 3 * L);
            v = fma(v, a2, v.rearrange(SWAP2).mul(b2));
            w = fma(w, a2, w.rearrange(SWAP2).mul(b2));
            FloatVector a1 = at(coefficients, at);
            FloatVector b1 = at(coefficients, at + L);
            v = fma(v, a1, v.rearrange(SWAP1).mul(b1));
            w = fma(w, a1, w.rearrange(SWAP1).mul(b1));
            v.intoArray(y, y0 + g * L);
            w.intoArray(y, y1 + g * L);
        }
    }

    @Override
    public void givensGrad(int rows, int groups, float[] coefficients, int co, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int so) {
        for (int g = 0; g < groups; g++) {
            int at = co + 2 * STEPS * L * g;
            int to = so + 2 * STEPS * L * g;
            if (L >= 16)
                givensGrad16(rows, coefficients, at, x, xo + g * L, w, wo + g * L, ld, sums, to);
            else
                if (L == 8)
                    givensGrad8(rows, coefficients, at, x, xo + g * L, w, wo + g * L, ld, sums, to);
                else
                    givensGrad4(rows, coefficients, at, x, xo + g * L, w, wo + g * L, ld, sums, to);
        }
    }

    /// Strides 2 and 1 backwards, given their inputs; the two steps that all widths have.
    private static void givensGrad4(int rows, float[] coefficients, int at, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int to) {
        FloatVector a1 = at(coefficients, at);
        FloatVector b1 = at(coefficients, at + L);
        FloatVector a2 = at(coefficients, at + 2 * L);
        FloatVector b2 = at(coefficients, at + 3 * L);
        FloatVector da1 = at(sums, to);
        FloatVector db1 = at(sums, to + L);
        FloatVector da2 = at(sums, to + 2 * L);
        FloatVector db2 = at(sums, to + 3 * L);
        for (int r = 0; r < rows; r++) {
            FloatVector x2 = at(x, xo + r * ld);
            FloatVector s2 = x2.rearrange(SWAP2);
            FloatVector x1 = fma(x2, a2, s2.mul(b2));
            FloatVector s1 = x1.rearrange(SWAP1);
            FloatVector u = at(w, wo + r * ld);
            da1 = fma(x1, u, da1);
            db1 = fma(s1, u, db1);
            u = fma(u, a1, u.mul(b1).rearrange(SWAP1));
            da2 = fma(x2, u, da2);
            db2 = fma(s2, u, db2);
            fma(u, a2, u.mul(b2).rearrange(SWAP2)).intoArray(w, wo + r * ld);
        }
        da1.intoArray(sums, to);
        db1.intoArray(sums, to + L);
        da2.intoArray(sums, to + 2 * L);
        db2.intoArray(sums, to + 3 * L);
    }

    private static void givensGrad8(int rows, float[] coefficients, int at, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int to) {
        FloatVector a1 = at(coefficients, at);
        FloatVector b1 = at(coefficients, at + L);
        FloatVector a2 = at(coefficients, at + 2 * L);
        FloatVector b2 = at(coefficients, at + 3 * L);
        FloatVector a4 = at(coefficients, at + 4 * L);
        FloatVector b4 = at(coefficients, at + 5 * L);
        FloatVector da1 = at(sums, to);
        FloatVector db1 = at(sums, to + L);
        FloatVector da2 = at(sums, to + 2 * L);
        FloatVector db2 = at(sums, to + 3 * L);
        FloatVector da4 = at(sums, to + 4 * L);
        FloatVector db4 = at(sums, to + 5 * L);
        for (int r = 0; r < rows; r++) {
            FloatVector x4 = at(x, xo + r * ld);
            FloatVector s4 = x4.rearrange(SWAP4);
            FloatVector x2 = fma(x4, a4, s4.mul(b4));
            FloatVector s2 = x2.rearrange(SWAP2);
            FloatVector x1 = fma(x2, a2, s2.mul(b2));
            FloatVector u = at(w, wo + r * ld);
            da1 = fma(x1, u, da1);
            db1 = fma(x1.rearrange(SWAP1), u, db1);
            u = fma(u, a1, u.mul(b1).rearrange(SWAP1));
            da2 = fma(x2, u, da2);
            db2 = fma(s2, u, db2);
            u = fma(u, a2, u.mul(b2).rearrange(SWAP2));
            da4 = fma(x4, u, da4);
            db4 = fma(s4, u, db4);
            fma(u, a4, u.mul(b4).rearrange(SWAP4)).intoArray(w, wo + r * ld);
        }
        da1.intoArray(sums, to);
        db1.intoArray(sums, to + L);
        da2.intoArray(sums, to + 2 * L);
        db2.intoArray(sums, to + 3 * L);
        da4.intoArray(sums, to + 4 * L);
        db4.intoArray(sums, to + 5 * L);
    }

    private static void givensGrad16(int rows, float[] coefficients, int at, float[] x, int xo, float[] w, int wo,
            int ld, float[] sums, int to) {
        FloatVector a1 = at(coefficients, at);
        FloatVector b1 = at(coefficients, at + L);
        FloatVector a2 = at(coefficients, at + 2 * L);
        FloatVector b2 = at(coefficients, at + 3 * L);
        FloatVector a4 = at(coefficients, at + 4 * L);
        FloatVector b4 = at(coefficients, at + 5 * L);
        FloatVector a8 = at(coefficients, at + 6 * L);
        FloatVector b8 = at(coefficients, at + 7 * L);
        FloatVector da1 = at(sums, to);
        FloatVector db1 = at(sums, to + L);
        FloatVector da2 = at(sums, to + 2 * L);
        FloatVector db2 = at(sums, to + 3 * L);
        FloatVector da4 = at(sums, to + 4 * L);
        FloatVector db4 = at(sums, to + 5 * L);
        FloatVector da8 = at(sums, to + 6 * L);
        FloatVector db8 = at(sums, to + 7 * L);
        for (int r = 0; r < rows; r++) {
            FloatVector x8 = at(x, xo + r * ld);
            FloatVector s8 = x8.rearrange(SWAP8);
            FloatVector x4 = fma(x8, a8, s8.mul(b8));
            FloatVector s4 = x4.rearrange(SWAP4);
            FloatVector x2 = fma(x4, a4, s4.mul(b4));
            FloatVector s2 = x2.rearrange(SWAP2);
            FloatVector x1 = fma(x2, a2, s2.mul(b2));
            FloatVector u = at(w, wo + r * ld);
            da1 = fma(x1, u, da1);
            db1 = fma(x1.rearrange(SWAP1), u, db1);
            u = fma(u, a1, u.mul(b1).rearrange(SWAP1));
            da2 = fma(x2, u, da2);
            db2 = fma(s2, u, db2);
            u = fma(u, a2, u.mul(b2).rearrange(SWAP2));
            da4 = fma(x4, u, da4);
            db4 = fma(s4, u, db4);
            u = fma(u, a4, u.mul(b4).rearrange(SWAP4));
            da8 = fma(x8, u, da8);
            db8 = fma(s8, u, db8);
            fma(u, a8, u.mul(b8).rearrange(SWAP8)).intoArray(w, wo + r * ld);
        }
        da1.intoArray(sums, to);
        db1.intoArray(sums, to + L);
        da2.intoArray(sums, to + 2 * L);
        db2.intoArray(sums, to + 3 * L);
        da4.intoArray(sums, to + 4 * L);
        db4.intoArray(sums, to + 5 * L);
        da8.intoArray(sums, to + 6 * L);
        db8.intoArray(sums, to + 7 * L);
    }

    private static FloatVector sigmoid(FloatVector x) {
        return ONE.div(exp(x.neg()).add(ONE));
    }

    @Override
    public void swiGlu(float[] gate, int go, float[] up, int uo, float[] out, int oo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            FloatVector g = at(gate, go + i);
            g.mul(sigmoid(g)).mul(at(up, uo + i)).intoArray(out, oo + i);
        }
        if (i < n) {
            VectorMask<Float> m = first(n - i);
            FloatVector g = FloatVector.fromArray(S, gate, go + i, m);
            g.mul(sigmoid(g)).mul(FloatVector.fromArray(S, up, uo + i, m)).intoArray(out, oo + i, m);
        }
    }

    @Override
    public void swiGluGrad(float[] gate, int go, float[] up, int uo, float[] dOut, int doo, float[] dGate, int dgo,
            float[] dUp, int duo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            FloatVector g = at(gate, go + i);
            FloatVector u = at(up, uo + i);
            FloatVector ds = at(dOut, doo + i);
            FloatVector s = sigmoid(g);
            ds = ds.mul(s);
            ds.mul(g).intoArray(dUp, duo + i);
            ds.mul(u).mul(fma(g, ONE.sub(s), ONE)).intoArray(dGate, dgo + i);
        }
        if (i < n) {
            VectorMask<Float> m = first(n - i);
            FloatVector g = FloatVector.fromArray(S, gate, go + i, m);
            FloatVector u = FloatVector.fromArray(S, up, uo + i, m);
            FloatVector s = sigmoid(g);
            FloatVector ds = FloatVector.fromArray(S, dOut, doo + i, m).mul(s);
            ds.mul(g).intoArray(dUp, duo + i, m);
            ds.mul(u).mul(fma(g, ONE.sub(s), ONE)).intoArray(dGate, dgo + i, m);
        }
    }

    @Override
    public void rope(float[] x, int xo, float[] cos, int co, float[] sin, int so, int half, float sign) {
        int j = 0;
        for (int end = whole(half); j < end; j += L) {
            FloatVector c = at(cos, co + j);
            FloatVector s = at(sin, so + j).mul(sign);
            FloatVector a = at(x, xo + j);
            FloatVector b = at(x, xo + half + j);
            fma(a, c, b.mul(s).neg()).intoArray(x, xo + j);
            fma(b, c, a.mul(s)).intoArray(x, xo + half + j);
        }
        for (; j < half; j++) {
            float c = cos[co + j];
            float s = sign * sin[so + j];
            float a = x[xo + j];
            float b = x[xo + half + j];
            x[xo + j] = a * c - b * s;
            x[xo + half + j] = b * c + a * s;
        }
    }

    @Override
    public void adamW(float[] p, int po, float[] g, int go, float[] m, int mo, float[] v, int vo, int n, float clip,
            float beta1, float beta2, float shrink, float step, float c2, float eps) {
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            FloatVector gi = at(g, go + i).mul(clip);
            FloatVector mi = at(m, mo + i).mul(beta1).add(gi.mul(1 - beta1));
            FloatVector vi = at(v, vo + i).mul(beta2).add(gi.mul(1 - beta2).mul(gi));
            mi.intoArray(m, mo + i);
            vi.intoArray(v, vo + i);
            FloatVector move = mi.mul(step).div(vi.div(c2).lanewise(VectorOperators.SQRT).add(eps));
            at(p, po + i).mul(shrink).sub(move).intoArray(p, po + i);
        }
        for (; i < n; i++) {
            float gi = clip * g[go + i];
            float mi = beta1 * m[mo + i] + (1 - beta1) * gi;
            float vi = beta2 * v[vo + i] + (1 - beta2) * gi * gi;
            m[mo + i] = mi;
            v[vo + i] = vi;
            p[po + i] = shrink * p[po + i] - step * mi / ((float) Math.sqrt(vi / c2) + eps);
        }
    }

    // transposition: 8 x 8 blocks where vectors have 256 bits, else and for four left-over rows 4 x 4

    private static final VectorSpecies<Float> S4 = FloatVector.SPECIES_128;
    private static final VectorSpecies<Float> S8 = FloatVector.SPECIES_256;
    private static final VectorShuffle<Float> SWAP41 = VectorShuffle.fromOp(S4, i -> i ^ 1);
    private static final VectorShuffle<Float> SWAP42 = VectorShuffle.fromOp(S4, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP81 = VectorShuffle.fromOp(S8, i -> i ^ 1);
    private static final VectorShuffle<Float> SWAP82 = VectorShuffle.fromOp(S8, i -> i ^ 2);
    private static final VectorShuffle<Float> SWAP84 = VectorShuffle.fromOp(S8, i -> i ^ 4);
    private static final VectorMask<Float> ODD41 = odd(S4, 1);
    private static final VectorMask<Float> ODD42 = odd(S4, 2);
    private static final VectorMask<Float> ODD81 = odd(S8, 1);
    private static final VectorMask<Float> ODD82 = odd(S8, 2);
    private static final VectorMask<Float> ODD84 = odd(S8, 4);

    private static VectorMask<Float> odd(VectorSpecies<Float> species, int bit) {
        boolean[] m = new boolean[species.length()];
        for (int i = 0; i < m.length; i++)
            m[i] = (i & bit) != 0;
        return VectorMask.fromArray(species, m, 0);
    }

    @Override
    public void copy(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        if (cols > 16 * L)
            for (int r = 0; r < rows; r++)
                System.arraycopy(x, xo + r * ldx, y, yo + r * ldy, cols);
        else
            for (int r = 0; r < rows; r++) {
                int c = 0;
                for (; c <= cols - L; c += L)
                    at(x, xo + r * ldx + c).intoArray(y, yo + r * ldy + c);
                for (; c <= cols - 4; c += 4)
                    FloatVector.fromArray(S4, x, xo + r * ldx + c).intoArray(y, yo + r * ldy + c);
                for (; c < cols; c++)
                    y[yo + r * ldy + c] = x[xo + r * ldx + c];
            }
    }

    @Override
    public void transpose(float[] x, int xo, int ldx, int rows, int cols, float[] y, int yo, int ldy) {
        int r = 0;
        if (L >= 8)
            for (; r <= rows - 8; r += 8) {
                int c = 0;
                for (; c <= cols - 8; c += 8)
                    transpose8(x, xo + r * ldx + c, ldx, y, yo + c * ldy + r, ldy);
                transposeRest(x, xo, ldx, r, r + 8, c, cols, y, yo, ldy);
            }
        for (; r <= rows - 4; r += 4) {
            int c = 0;
            for (; c <= cols - 4; c += 4)
                transpose4(x, xo + r * ldx + c, ldx, y, yo + c * ldy + r, ldy);
            transposeRest(x, xo, ldx, r, r + 4, c, cols, y, yo, ldy);
        }
        transposeRest(x, xo, ldx, r, rows, 0, cols, y, yo, ldy);
    }

    private static void transposeRest(float[] x, int xo, int ldx, int r0, int r1, int c0, int c1, float[] y, int yo,
            int ldy) {
        for (int r = r0; r < r1; r++)
            for (int c = c0; c < c1; c++)
                y[yo + c * ldy + r] = x[xo + r * ldx + c];
    }

    private static FloatVector even(FloatVector a, FloatVector b, VectorShuffle<Float> swap, VectorMask<Float> odd) {
        return a.blend(b.rearrange(swap), odd);
    }

    private static FloatVector odd(FloatVector a, FloatVector b, VectorShuffle<Float> swap, VectorMask<Float> odd) {
        return a.rearrange(swap).blend(b, odd);
    }

    private static void transpose4(float[] x, int xo, int ldx, float[] y, int yo, int ldy) {
        FloatVector a0 = FloatVector.fromArray(S4, x, xo);
        FloatVector a1 = FloatVector.fromArray(S4, x, xo + ldx);
        FloatVector a2 = FloatVector.fromArray(S4, x, xo + 2 * ldx);
        FloatVector a3 = FloatVector.fromArray(S4, x, xo + 3 * ldx);
        FloatVector b0 = even(a0, a2, SWAP42, ODD42);
        FloatVector b2 = odd(a0, a2, SWAP42, ODD42);
        FloatVector b1 = even(a1, a3, SWAP42, ODD42);
        FloatVector b3 = odd(a1, a3, SWAP42, ODD42);
        even(b0, b1, SWAP41, ODD41).intoArray(y, yo);
        odd(b0, b1, SWAP41, ODD41).intoArray(y, yo + ldy);
        even(b2, b3, SWAP41, ODD41).intoArray(y, yo + 2 * ldy);
        odd(b2, b3, SWAP41, ODD41).intoArray(y, yo + 3 * ldy);
    }

    private static void transpose8(float[] x, int xo, int ldx, float[] y, int yo, int ldy) {
        FloatVector a0 = FloatVector.fromArray(S8, x, xo);
        FloatVector a1 = FloatVector.fromArray(S8, x, xo + ldx);
        FloatVector a2 = FloatVector.fromArray(S8, x, xo + 2 * ldx);
        FloatVector a3 = FloatVector.fromArray(S8, x, xo + 3 * ldx);
        FloatVector a4 = FloatVector.fromArray(S8, x, xo + 4 * ldx);
        FloatVector a5 = FloatVector.fromArray(S8, x, xo + 5 * ldx);
        FloatVector a6 = FloatVector.fromArray(S8, x, xo + 6 * ldx);
        FloatVector a7 = FloatVector.fromArray(S8, x, xo + 7 * ldx);
        FloatVector b0 = even(a0, a4, SWAP84, ODD84);
        FloatVector b4 = odd(a0, a4, SWAP84, ODD84);
        FloatVector b1 = even(a1, a5, SWAP84, ODD84);
        FloatVector b5 = odd(a1, a5, SWAP84, ODD84);
        FloatVector b2 = even(a2, a6, SWAP84, ODD84);
        FloatVector b6 = odd(a2, a6, SWAP84, ODD84);
        FloatVector b3 = even(a3, a7, SWAP84, ODD84);
        FloatVector b7 = odd(a3, a7, SWAP84, ODD84);
        FloatVector c0 = even(b0, b2, SWAP82, ODD82);
        FloatVector c2 = odd(b0, b2, SWAP82, ODD82);
        FloatVector c1 = even(b1, b3, SWAP82, ODD82);
        FloatVector c3 = odd(b1, b3, SWAP82, ODD82);
        FloatVector c4 = even(b4, b6, SWAP82, ODD82);
        FloatVector c6 = odd(b4, b6, SWAP82, ODD82);
        FloatVector c5 = even(b5, b7, SWAP82, ODD82);
        FloatVector c7 = odd(b5, b7, SWAP82, ODD82);
        even(c0, c1, SWAP81, ODD81).intoArray(y, yo);
        odd(c0, c1, SWAP81, ODD81).intoArray(y, yo + ldy);
        even(c2, c3, SWAP81, ODD81).intoArray(y, yo + 2 * ldy);
        odd(c2, c3, SWAP81, ODD81).intoArray(y, yo + 3 * ldy);
        even(c4, c5, SWAP81, ODD81).intoArray(y, yo + 4 * ldy);
        odd(c4, c5, SWAP81, ODD81).intoArray(y, yo + 5 * ldy);
        even(c6, c7, SWAP81, ODD81).intoArray(y, yo + 6 * ldy);
        odd(c6, c7, SWAP81, ODD81).intoArray(y, yo + 7 * ldy);
    }

    /// What a tile is added to where nothing is to be kept; read with row stride 0.
    private static final float[] ZEROS = new float[2 * L];

    @Override
    public void mulAdd(int M, int N, int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] c, int co, int ldc, boolean accumulate) {
        float[] z = accumulate ? c : ZEROS;
        int ldz = accumulate ? ldc : 0;
        for (int j = 0; j < N; j += 2 * L) {
            int i = 0;
            if (j + 2 * L <= N) {
                if (WIDE && rowStep == 1)
                    for (; i <= M - 8; i += 8)
                        outer8(K, a, ao + i, colStep, b, bo + j, ldb, z, accumulate ? co + i * ldc + j : 0, ldz, c,
                                co + i * ldc + j, ldc);
                for (; i <= M - 4; i += 4)
                    if (rowStep == 1)
                        outer4(K, a, ao + i, colStep, b, bo + j, ldb, z, accumulate ? co + i * ldc + j : 0, ldz, c,
                                co + i * ldc + j, ldc);
                    else
                        near4(K, a, ao + i * rowStep, rowStep, colStep, b, bo + j, ldb, z,
                                accumulate ? co + i * ldc + j : 0, ldz, c, co + i * ldc + j, ldc);
                for (; i < M; i++)
                    near1(K, a, ao + i * rowStep, colStep, b, bo + j, ldb, z, accumulate ? co + i * ldc + j : 0, ldz,
                            c, co + i * ldc + j, ldc);
            } else
                for (int h = j; h < N; h += L) {
                    VectorMask<Float> m = first(N - h);
                    for (i = 0; i <= M - 4; i += 4)
                        near4Masked(K, a, ao + i * rowStep, rowStep, colStep, b, bo + h, ldb, z,
                                accumulate ? co + i * ldc + h : 0, ldz, c, co + i * ldc + h, ldc, m);
                    for (; i < M; i++)
                        near1Masked(K, a, ao + i * rowStep, rowStep, colStep, b, bo + h, ldb, z,
                                accumulate ? co + i * ldc + h : 0, ldz, c, co + i * ldc + h, ldc, m);
                }
        }
    }

    @Override
    public void product(int M, int N, int K, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate, float[] tile) {
        int nr = 2 * L;
        int mr = WIDE ? 8 : 6;
        for (int j = 0; j < N; j += nr) {
            int panel = bo + j * K;
            // whole tiles go straight to their place
            int whole = j + nr <= N && !accumulate ? M - M % mr : 0;
            if (whole > 0)
                panel(whole, K, a, ao, lda, b, panel, c, co + j, ldc);
            for (int i = whole; i < M; i += mr) {
                int some = Math.min(mr, M - i);
                panel(some, K, a, ao + i * lda, lda, b, panel, tile, 0, nr);
                if (mr == 6 && some == mr && accumulate && j + nr <= N)
                    addTile6(tile, c, co + i * ldc + j, ldc);
                else
                    addTile(tile, c, co + i * ldc + j, ldc, some, Math.min(nr, N - j), accumulate);
            }
        }
    }

    /// Register tiles one below the other, for M rows of a and one panel of b: `c = a b`. Rows of a from M on repeat the last;
    /// c has room for whole tiles.
    private static void panel(int M, int kc, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co,
            int ldc) {
        if (WIDE)
            panel8(M, kc, a, ao, lda, b, bo, c, co, ldc);
        else
            panel6(M, kc, a, ao, lda, b, bo, c, co, ldc);
    }

    @Override
    public int tileRows() {
        return WIDE ? 12 : 6;
    }

    @Override
    public int tileCols() {
        return 2 * L;
    }

    @Override
    public int stripRows() {
        return L == 8 ? 6 : WIDE ? 12 : 4;
    }

    @Override
    public int slot() {
        return L;
    }

    @Override
    public void strip(int kc, float[] a, float[][] b, int bi, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate, float[] tile) {
        if (L == 8)
            strip6(kc, a, b[bi], b[bi + 1], tile);
        else
            if (WIDE)
                strip12(kc, a, b[bi], b[bi + 1], tile);
            else
                strip4(kc, a, b[bi], b[bi + 1], tile);
        if (L != 8 || rows < 6 || cols < 2 * L)
            addTile(tile, c, co, ldc, rows, cols, accumulate);
        else
            if (accumulate)
                addTile6(tile, c, co, ldc);
            else
                copyTile6(tile, c, co, ldc);
    }

    @Override
    public int groupRows() {
        return WIDE ? 12 : 2 * L / 5 * 5;
    }

    /// As many numbers per k as a panel of b has, see [#strip5To].
    @Override
    public int groupStride() {
        return WIDE ? 12 : 2 * L;
    }

    @Override
    public int writtenRows(int M) {
        return WIDE ? M : (M + 4) / 5 * 5;
    }

    @Override
    public void strips(int M, int kc, float[] a, int ao, int deep, float[] b, int bo, float[] c, int co, int ldc,
            boolean accumulate) {
        if (WIDE) {
            float[] tile = new float[24 * L];
            for (int i = 0; i < M; i += 12) {
                tile12(kc, a, ao + i * deep, b, bo, tile);
                addTile(tile, c, co + i * ldc, ldc, Math.min(12, M - i), 2 * L, accumulate);
            }
            return;
        }
        int rows = groupRows();
        for (int i = 0; i < M; i += rows, ao += 2 * L * deep)
            for (int r = 0; r < Math.min(rows, M - i); r += 5) {
                int at = co + (i + r) * ldc;
                if (accumulate)
                    strip5To(kc, a, ao + r, b, bo, c, at, ldc, c, at, ldc);
                else
                    strip5To(kc, a, ao + r, b, bo, ZEROS, 0, 0, c, at, ldc);
            }
    }

    @Override
    public void addTile(float[] tile, float[] c, int co, int ldc, int rows, int cols,
            boolean accumulate) {
        int nr = tileCols();
        for (int i = 0; i < rows; i++) {
            int ci = co + i * ldc;
            int ti = i * nr;
            int j = 0;
            if (accumulate)
                for (; j <= cols - L; j += L)
                    at(tile, ti + j).add(at(c, ci + j)).intoArray(c, ci + j);
            else
                for (; j <= cols - L; j += L)
                    at(tile, ti + j).intoArray(c, ci + j);
            for (; j < cols; j++)
                c[ci + j] = accumulate ? c[ci + j] + tile[ti + j] : tile[ti + j];
        }
    }

    @Override
    public void decodeBf16(short[] x, int xo, float[] y, int yo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L) {
            IntVector bits = (IntVector) ShortVector.fromArray(SS, x, xo + i)
                    .convertShape(VectorOperators.ZERO_EXTEND_S2I, SI, 0);
            bits.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().intoArray(y, yo + i);
        }
        for (; i < n; i++)
            y[yo + i] = Float.intBitsToFloat(x[xo + i] << 16);
    }

    @Override
    public void decodeNf4(byte[] codes, int e, float[] codeBook, float absmax, float[] y, int yo, int n) {
        int i = 0;
        if (L >= 8 && (e & 1) == 0 && n >= 8) {
            IntVector low = FloatVector.fromArray(S8, codeBook, 0).mul(absmax).reinterpretAsInts();
            IntVector high = FloatVector.fromArray(S8, codeBook, 8).mul(absmax).reinterpretAsInts();
            for (; i <= n - 8; i += 8) {
                IntVector code = IntVector.broadcast(SI8, (int) FOUR_BYTES.get(codes, (e + i) >> 1))
                        .lanewise(VectorOperators.LSHR, NIBBLES);
                low.rearrange(code.lanewise(VectorOperators.AND, 7).toShuffle())
                        .blend(high.rearrange(code.lanewise(VectorOperators.AND, 7).toShuffle()),
                                code.lanewise(VectorOperators.AND, 8).compare(VectorOperators.NE, 0))
                        .reinterpretAsFloats().intoArray(y, yo + i);
            }
        }
        for (; i < n; i++) {
            int pair = codes[(e + i) >> 1];
            y[yo + i] = codeBook[((e + i) & 1) == 0 ? pair >> 4 & 15 : pair & 15] * absmax;
        }
    }

    private static final VectorSpecies<Integer> SI8 = IntVector.SPECIES_256;
    private static final VarHandle FOUR_BYTES = MethodHandles.byteArrayViewVarHandle(int[].class,
            ByteOrder.LITTLE_ENDIAN);
    /// Where the codes of eight elements lie in four bytes: the even element in the upper half of its byte.
    private static final IntVector NIBBLES = IntVector.fromArray(SI8, new int[] {4, 0, 12, 8, 20, 16, 28, 24}, 0);

    private static void tile12(int kc, float[] a, int ao, float[] b, int bo, float[] t) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        FloatVector c40 = FloatVector.zero(S);
        FloatVector c41 = FloatVector.zero(S);
        FloatVector c50 = FloatVector.zero(S);
        FloatVector c51 = FloatVector.zero(S);
        FloatVector c60 = FloatVector.zero(S);
        FloatVector c61 = FloatVector.zero(S);
        FloatVector c70 = FloatVector.zero(S);
        FloatVector c71 = FloatVector.zero(S);
        FloatVector c80 = FloatVector.zero(S);
        FloatVector c81 = FloatVector.zero(S);
        FloatVector c90 = FloatVector.zero(S);
        FloatVector c91 = FloatVector.zero(S);
        FloatVector c100 = FloatVector.zero(S);
        FloatVector c101 = FloatVector.zero(S);
        FloatVector c110 = FloatVector.zero(S);
        FloatVector c111 = FloatVector.zero(S);
        for (int k = 0; k < kc; k++) {
            FloatVector b0 = FloatVector.fromArray(S, b, bo + 2 * L * k);
            FloatVector b1 = FloatVector.fromArray(S, b, bo + 2 * L * k + L);
            FloatVector x = FloatVector.broadcast(S, a[ao + 12 * k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 2]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 3]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 4]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 5]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 6]);
            c60 = fma(x, b0, c60);
            c61 = fma(x, b1, c61);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 7]);
            c70 = fma(x, b0, c70);
            c71 = fma(x, b1, c71);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 8]);
            c80 = fma(x, b0, c80);
            c81 = fma(x, b1, c81);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 9]);
            c90 = fma(x, b0, c90);
            c91 = fma(x, b1, c91);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 10]);
            c100 = fma(x, b0, c100);
            c101 = fma(x, b1, c101);
            x = FloatVector.broadcast(S, a[ao + 12 * k + 11]);
            c110 = fma(x, b0, c110);
            c111 = fma(x, b1, c111);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, 1 * L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
        c40.intoArray(t, 8 * L);
        c41.intoArray(t, 9 * L);
        c50.intoArray(t, 10 * L);
        c51.intoArray(t, 11 * L);
        c60.intoArray(t, 12 * L);
        c61.intoArray(t, 13 * L);
        c70.intoArray(t, 14 * L);
        c71.intoArray(t, 15 * L);
        c80.intoArray(t, 16 * L);
        c81.intoArray(t, 17 * L);
        c90.intoArray(t, 18 * L);
        c91.intoArray(t, 19 * L);
        c100.intoArray(t, 20 * L);
        c101.intoArray(t, 21 * L);
        c110.intoArray(t, 22 * L);
        c111.intoArray(t, 23 * L);
    }

    /// Twelve rows of a strip times the halves of a panel into t, where there are 32 registers.
    private static void strip12(int kc, float[] a, float[] left, float[] right, float[] t) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        FloatVector c40 = FloatVector.zero(S);
        FloatVector c41 = FloatVector.zero(S);
        FloatVector c50 = FloatVector.zero(S);
        FloatVector c51 = FloatVector.zero(S);
        FloatVector c60 = FloatVector.zero(S);
        FloatVector c61 = FloatVector.zero(S);
        FloatVector c70 = FloatVector.zero(S);
        FloatVector c71 = FloatVector.zero(S);
        FloatVector c80 = FloatVector.zero(S);
        FloatVector c81 = FloatVector.zero(S);
        FloatVector c90 = FloatVector.zero(S);
        FloatVector c91 = FloatVector.zero(S);
        FloatVector c100 = FloatVector.zero(S);
        FloatVector c101 = FloatVector.zero(S);
        FloatVector c110 = FloatVector.zero(S);
        FloatVector c111 = FloatVector.zero(S);
        for (int k = 0; k < kc; k++) {
            int p = L * k;
            FloatVector b0 = at(left, p);
            FloatVector b1 = at(right, p);
            FloatVector x;
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 4 * DEPTH]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 5 * DEPTH]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 6 * DEPTH]);
            c60 = fma(x, b0, c60);
            c61 = fma(x, b1, c61);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 7 * DEPTH]);
            c70 = fma(x, b0, c70);
            c71 = fma(x, b1, c71);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 8 * DEPTH]);
            c80 = fma(x, b0, c80);
            c81 = fma(x, b1, c81);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 9 * DEPTH]);
            c90 = fma(x, b0, c90);
            c91 = fma(x, b1, c91);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 10 * DEPTH]);
            c100 = fma(x, b0, c100);
            c101 = fma(x, b1, c101);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 11 * DEPTH]);
            c110 = fma(x, b0, c110);
            c111 = fma(x, b1, c111);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
        c40.intoArray(t, 8 * L);
        c41.intoArray(t, 9 * L);
        c50.intoArray(t, 10 * L);
        c51.intoArray(t, 11 * L);
        c60.intoArray(t, 12 * L);
        c61.intoArray(t, 13 * L);
        c70.intoArray(t, 14 * L);
        c71.intoArray(t, 15 * L);
        c80.intoArray(t, 16 * L);
        c81.intoArray(t, 17 * L);
        c90.intoArray(t, 18 * L);
        c91.intoArray(t, 19 * L);
        c100.intoArray(t, 20 * L);
        c101.intoArray(t, 21 * L);
        c110.intoArray(t, 22 * L);
        c111.intoArray(t, 23 * L);
    }

    /// Six rows of a strip times the halves of a panel into t, two values of k at a time. C2 schedules a loop's loads as
    /// early as it can: more rows in registers than there are registers for, and accumulators go to memory and back. A fence
    /// keeps loads behind it; on x86 it is no instruction (called through a method of ours it cost a quarter of the speed).
    /// With all indices one constant away from a loop variable that starts at 0 this makes 43 instructions for 24
    /// multiply-adds: what counts where another thread shares the core.
    private static void strip6(int kc, float[] a, float[] left, float[] right, float[] t) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        FloatVector c40 = FloatVector.zero(S);
        FloatVector c41 = FloatVector.zero(S);
        FloatVector c50 = FloatVector.zero(S);
        FloatVector c51 = FloatVector.zero(S);
        for (int k = 0; k < kc; k += 2) {
            int p = L * k;
            FloatVector b0 = at(left, p);
            FloatVector b1 = at(right, p);
            FloatVector x;
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 4 * DEPTH]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 5 * DEPTH]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            b0 = at(left, p + L);
            b1 = at(right, p + L);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 1]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH + 1]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH + 1]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 4 * DEPTH + 1]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 5 * DEPTH + 1]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
        c40.intoArray(t, 8 * L);
        c41.intoArray(t, 9 * L);
        c50.intoArray(t, 10 * L);
        c51.intoArray(t, 11 * L);
    }

    /// Four rows of four lanes.
    private static void strip4(int kc, float[] a, float[] left, float[] right, float[] t) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        for (int k = 0; k < kc; k += 2) {
            int p = L * k;
            FloatVector b0 = at(left, p);
            FloatVector b1 = at(right, p);
            FloatVector x;
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            b0 = at(left, p + L);
            b1 = at(right, p + L);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 1]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + DEPTH + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 2 * DEPTH + 1]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            VarHandle.acquireFence();
            x = FloatVector.broadcast(S, a[k + 3 * DEPTH + 1]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
        }
        c00.intoArray(t, 0);
        c01.intoArray(t, L);
        c10.intoArray(t, 2 * L);
        c11.intoArray(t, 3 * L);
        c20.intoArray(t, 4 * L);
        c21.intoArray(t, 5 * L);
        c30.intoArray(t, 6 * L);
        c31.intoArray(t, 7 * L);
    }

    /// A whole tile of [#strip6], without a loop: the tile of a short inner length costs little more than this.
    private static void addTile6(float[] t, float[] c, int co, int ldc) {
        at(c, co).add(at(t, 0)).intoArray(c, co);
        at(c, co + L).add(at(t, L)).intoArray(c, co + L);
        at(c, co + ldc).add(at(t, 2 * L)).intoArray(c, co + ldc);
        at(c, co + ldc + L).add(at(t, 3 * L)).intoArray(c, co + ldc + L);
        at(c, co + 2 * ldc).add(at(t, 4 * L)).intoArray(c, co + 2 * ldc);
        at(c, co + 2 * ldc + L).add(at(t, 5 * L)).intoArray(c, co + 2 * ldc + L);
        at(c, co + 3 * ldc).add(at(t, 6 * L)).intoArray(c, co + 3 * ldc);
        at(c, co + 3 * ldc + L).add(at(t, 7 * L)).intoArray(c, co + 3 * ldc + L);
        at(c, co + 4 * ldc).add(at(t, 8 * L)).intoArray(c, co + 4 * ldc);
        at(c, co + 4 * ldc + L).add(at(t, 9 * L)).intoArray(c, co + 4 * ldc + L);
        at(c, co + 5 * ldc).add(at(t, 10 * L)).intoArray(c, co + 5 * ldc);
        at(c, co + 5 * ldc + L).add(at(t, 11 * L)).intoArray(c, co + 5 * ldc + L);
    }

    private static void copyTile6(float[] t, float[] c, int co, int ldc) {
        at(t, 0).intoArray(c, co);
        at(t, L).intoArray(c, co + L);
        at(t, 2 * L).intoArray(c, co + ldc);
        at(t, 3 * L).intoArray(c, co + ldc + L);
        at(t, 4 * L).intoArray(c, co + 2 * ldc);
        at(t, 5 * L).intoArray(c, co + 2 * ldc + L);
        at(t, 6 * L).intoArray(c, co + 3 * ldc);
        at(t, 7 * L).intoArray(c, co + 3 * ldc + L);
        at(t, 8 * L).intoArray(c, co + 4 * ldc);
        at(t, 9 * L).intoArray(c, co + 4 * ldc + L);
        at(t, 10 * L).intoArray(c, co + 5 * ldc);
        at(t, 11 * L).intoArray(c, co + 5 * ldc + L);
    }

    /// Five rows of a group times a panel, to their place: `c = z + a b`.
    private static void strip5To(int kc, float[] a, int ao, float[] b, int bo, float[] z, int zo, int ldz, float[] c,
            int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        FloatVector c40 = FloatVector.zero(S);
        FloatVector c41 = FloatVector.zero(S);
        int d = ao - bo;
        int end = bo + 2 * L * kc;
        for (int p = bo; p < end; p += 2 * L) {
            FloatVector b0 = at(b, p);
            FloatVector b1 = at(b, p + L);
            FloatVector x = FloatVector.broadcast(S, a[d + p]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[d + p + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[d + p + 2]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[d + p + 3]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            x = FloatVector.broadcast(S, a[d + p + 4]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
        c40.add(at(z, zo + 4 * ldz)).intoArray(c, co + 4 * ldc);
        c41.add(at(z, zo + 4 * ldz + L)).intoArray(c, co + 4 * ldc + L);
    }

    private static void panel6(int M, int kc, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co,
            int ldc) {
        int last = ao + (M - 1) * lda;
        for (int i = 0; i < M; i += 6) {
            int a0 = ao + i * lda;
            int a1 = Math.min(last, a0 + lda);
            int a2 = Math.min(last, a1 + lda);
            int a3 = Math.min(last, a2 + lda);
            int a4 = Math.min(last, a3 + lda);
            int a5 = Math.min(last, a4 + lda);
            int ci = co + i * ldc;
            FloatVector c00 = FloatVector.zero(S);
            FloatVector c01 = FloatVector.zero(S);
            FloatVector c10 = FloatVector.zero(S);
            FloatVector c11 = FloatVector.zero(S);
            FloatVector c20 = FloatVector.zero(S);
            FloatVector c21 = FloatVector.zero(S);
            FloatVector c30 = FloatVector.zero(S);
            FloatVector c31 = FloatVector.zero(S);
            FloatVector c40 = FloatVector.zero(S);
            FloatVector c41 = FloatVector.zero(S);
            FloatVector c50 = FloatVector.zero(S);
            FloatVector c51 = FloatVector.zero(S);
            for (int k = 0; k < kc; k++) {
                FloatVector b0 = at(b, bo + 2 * L * k);
                FloatVector b1 = at(b, bo + 2 * L * k + L);
                FloatVector x = FloatVector.broadcast(S, a[a0 + k]);
                c00 = fma(x, b0, c00);
                c01 = fma(x, b1, c01);
                x = FloatVector.broadcast(S, a[a1 + k]);
                c10 = fma(x, b0, c10);
                c11 = fma(x, b1, c11);
                x = FloatVector.broadcast(S, a[a2 + k]);
                c20 = fma(x, b0, c20);
                c21 = fma(x, b1, c21);
                x = FloatVector.broadcast(S, a[a3 + k]);
                c30 = fma(x, b0, c30);
                c31 = fma(x, b1, c31);
                x = FloatVector.broadcast(S, a[a4 + k]);
                c40 = fma(x, b0, c40);
                c41 = fma(x, b1, c41);
                x = FloatVector.broadcast(S, a[a5 + k]);
                c50 = fma(x, b0, c50);
                c51 = fma(x, b1, c51);
            }
            c00.intoArray(c, ci);
            c01.intoArray(c, ci + L);
            c10.intoArray(c, ci + ldc);
            c11.intoArray(c, ci + ldc + L);
            c20.intoArray(c, ci + 2 * ldc);
            c21.intoArray(c, ci + 2 * ldc + L);
            c30.intoArray(c, ci + 3 * ldc);
            c31.intoArray(c, ci + 3 * ldc + L);
            c40.intoArray(c, ci + 4 * ldc);
            c41.intoArray(c, ci + 4 * ldc + L);
            c50.intoArray(c, ci + 5 * ldc);
            c51.intoArray(c, ci + 5 * ldc + L);
        }
    }

    private static void panel8(int M, int kc, float[] a, int ao, int lda, float[] b, int bo, float[] c, int co,
            int ldc) {
        int last = ao + (M - 1) * lda;
        for (int i = 0; i < M; i += 8) {
            int a0 = ao + i * lda;
            int a1 = Math.min(last, a0 + lda);
            int a2 = Math.min(last, a1 + lda);
            int a3 = Math.min(last, a2 + lda);
            int a4 = Math.min(last, a3 + lda);
            int a5 = Math.min(last, a4 + lda);
            int a6 = Math.min(last, a5 + lda);
            int a7 = Math.min(last, a6 + lda);
            int ci = co + i * ldc;
            FloatVector c00 = FloatVector.zero(S);
            FloatVector c01 = FloatVector.zero(S);
            FloatVector c10 = FloatVector.zero(S);
            FloatVector c11 = FloatVector.zero(S);
            FloatVector c20 = FloatVector.zero(S);
            FloatVector c21 = FloatVector.zero(S);
            FloatVector c30 = FloatVector.zero(S);
            FloatVector c31 = FloatVector.zero(S);
            FloatVector c40 = FloatVector.zero(S);
            FloatVector c41 = FloatVector.zero(S);
            FloatVector c50 = FloatVector.zero(S);
            FloatVector c51 = FloatVector.zero(S);
            FloatVector c60 = FloatVector.zero(S);
            FloatVector c61 = FloatVector.zero(S);
            FloatVector c70 = FloatVector.zero(S);
            FloatVector c71 = FloatVector.zero(S);
            for (int k = 0; k < kc; k++) {
                FloatVector b0 = at(b, bo + 2 * L * k);
                FloatVector b1 = at(b, bo + 2 * L * k + L);
                FloatVector x = FloatVector.broadcast(S, a[a0 + k]);
                c00 = fma(x, b0, c00);
                c01 = fma(x, b1, c01);
                x = FloatVector.broadcast(S, a[a1 + k]);
                c10 = fma(x, b0, c10);
                c11 = fma(x, b1, c11);
                x = FloatVector.broadcast(S, a[a2 + k]);
                c20 = fma(x, b0, c20);
                c21 = fma(x, b1, c21);
                x = FloatVector.broadcast(S, a[a3 + k]);
                c30 = fma(x, b0, c30);
                c31 = fma(x, b1, c31);
                x = FloatVector.broadcast(S, a[a4 + k]);
                c40 = fma(x, b0, c40);
                c41 = fma(x, b1, c41);
                x = FloatVector.broadcast(S, a[a5 + k]);
                c50 = fma(x, b0, c50);
                c51 = fma(x, b1, c51);
                x = FloatVector.broadcast(S, a[a6 + k]);
                c60 = fma(x, b0, c60);
                c61 = fma(x, b1, c61);
                x = FloatVector.broadcast(S, a[a7 + k]);
                c70 = fma(x, b0, c70);
                c71 = fma(x, b1, c71);
            }
            c00.intoArray(c, ci);
            c01.intoArray(c, ci + L);
            c10.intoArray(c, ci + ldc);
            c11.intoArray(c, ci + ldc + L);
            c20.intoArray(c, ci + 2 * ldc);
            c21.intoArray(c, ci + 2 * ldc + L);
            c30.intoArray(c, ci + 3 * ldc);
            c31.intoArray(c, ci + 3 * ldc + L);
            c40.intoArray(c, ci + 4 * ldc);
            c41.intoArray(c, ci + 4 * ldc + L);
            c50.intoArray(c, ci + 5 * ldc);
            c51.intoArray(c, ci + 5 * ldc + L);
            c60.intoArray(c, ci + 6 * ldc);
            c61.intoArray(c, ci + 6 * ldc + L);
            c70.intoArray(c, ci + 7 * ldc);
            c71.intoArray(c, ci + 7 * ldc + L);
        }
    }

    private static void outer4(int K, float[] a, int ao, int colStep, float[] b, int bo, int ldb, float[] z, int zo,
            int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ai + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ai + 2]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ai + 3]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
    }

    private static void outer8(int K, float[] a, int ao, int colStep, float[] b, int bo, int ldb, float[] z, int zo,
            int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        FloatVector c40 = FloatVector.zero(S);
        FloatVector c41 = FloatVector.zero(S);
        FloatVector c50 = FloatVector.zero(S);
        FloatVector c51 = FloatVector.zero(S);
        FloatVector c60 = FloatVector.zero(S);
        FloatVector c61 = FloatVector.zero(S);
        FloatVector c70 = FloatVector.zero(S);
        FloatVector c71 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ai + 1]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ai + 2]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ai + 3]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            x = FloatVector.broadcast(S, a[ai + 4]);
            c40 = fma(x, b0, c40);
            c41 = fma(x, b1, c41);
            x = FloatVector.broadcast(S, a[ai + 5]);
            c50 = fma(x, b0, c50);
            c51 = fma(x, b1, c51);
            x = FloatVector.broadcast(S, a[ai + 6]);
            c60 = fma(x, b0, c60);
            c61 = fma(x, b1, c61);
            x = FloatVector.broadcast(S, a[ai + 7]);
            c70 = fma(x, b0, c70);
            c71 = fma(x, b1, c71);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
        c40.add(at(z, zo + 4 * ldz)).intoArray(c, co + 4 * ldc);
        c41.add(at(z, zo + 4 * ldz + L)).intoArray(c, co + 4 * ldc + L);
        c50.add(at(z, zo + 5 * ldz)).intoArray(c, co + 5 * ldc);
        c51.add(at(z, zo + 5 * ldz + L)).intoArray(c, co + 5 * ldc + L);
        c60.add(at(z, zo + 6 * ldz)).intoArray(c, co + 6 * ldc);
        c61.add(at(z, zo + 6 * ldz + L)).intoArray(c, co + 6 * ldc + L);
        c70.add(at(z, zo + 7 * ldz)).intoArray(c, co + 7 * ldc);
        c71.add(at(z, zo + 7 * ldz + L)).intoArray(c, co + 7 * ldc + L);
    }

    private static void near4(int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb, float[] z,
            int zo, int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        FloatVector c10 = FloatVector.zero(S);
        FloatVector c11 = FloatVector.zero(S);
        FloatVector c20 = FloatVector.zero(S);
        FloatVector c21 = FloatVector.zero(S);
        FloatVector c30 = FloatVector.zero(S);
        FloatVector c31 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            x = FloatVector.broadcast(S, a[ai + rowStep]);
            c10 = fma(x, b0, c10);
            c11 = fma(x, b1, c11);
            x = FloatVector.broadcast(S, a[ai + 2 * rowStep]);
            c20 = fma(x, b0, c20);
            c21 = fma(x, b1, c21);
            x = FloatVector.broadcast(S, a[ai + 3 * rowStep]);
            c30 = fma(x, b0, c30);
            c31 = fma(x, b1, c31);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
        c10.add(at(z, zo + ldz)).intoArray(c, co + ldc);
        c11.add(at(z, zo + ldz + L)).intoArray(c, co + ldc + L);
        c20.add(at(z, zo + 2 * ldz)).intoArray(c, co + 2 * ldc);
        c21.add(at(z, zo + 2 * ldz + L)).intoArray(c, co + 2 * ldc + L);
        c30.add(at(z, zo + 3 * ldz)).intoArray(c, co + 3 * ldc);
        c31.add(at(z, zo + 3 * ldz + L)).intoArray(c, co + 3 * ldc + L);
    }

    private static void near1(int K, float[] a, int ao, int colStep, float[] b, int bo, int ldb, float[] z, int zo,
            int ldz, float[] c, int co, int ldc) {
        FloatVector c00 = FloatVector.zero(S);
        FloatVector c01 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = at(b, bi);
            FloatVector b1 = at(b, bi + L);
            FloatVector x = FloatVector.broadcast(S, a[ai]);
            c00 = fma(x, b0, c00);
            c01 = fma(x, b1, c01);
            ai += colStep;
            bi += ldb;
        }
        c00.add(at(z, zo)).intoArray(c, co);
        c01.add(at(z, zo + L)).intoArray(c, co + L);
    }

    private static void near4Masked(int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] z, int zo, int ldz, float[] c, int co, int ldc, VectorMask<Float> m) {
        FloatVector c0 = FloatVector.zero(S);
        FloatVector c1 = FloatVector.zero(S);
        FloatVector c2 = FloatVector.zero(S);
        FloatVector c3 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = FloatVector.fromArray(S, b, bi, m);
            c0 = fma(FloatVector.broadcast(S, a[ai]), b0, c0);
            c1 = fma(FloatVector.broadcast(S, a[ai + rowStep]), b0, c1);
            c2 = fma(FloatVector.broadcast(S, a[ai + 2 * rowStep]), b0, c2);
            c3 = fma(FloatVector.broadcast(S, a[ai + 3 * rowStep]), b0, c3);
            ai += colStep;
            bi += ldb;
        }
        c0.add(FloatVector.fromArray(S, z, zo, m)).intoArray(c, co, m);
        c1.add(FloatVector.fromArray(S, z, zo + ldz, m)).intoArray(c, co + ldc, m);
        c2.add(FloatVector.fromArray(S, z, zo + 2 * ldz, m)).intoArray(c, co + 2 * ldc, m);
        c3.add(FloatVector.fromArray(S, z, zo + 3 * ldz, m)).intoArray(c, co + 3 * ldc, m);
    }

    private static void near1Masked(int K, float[] a, int ao, int rowStep, int colStep, float[] b, int bo, int ldb,
            float[] z, int zo, int ldz, float[] c, int co, int ldc, VectorMask<Float> m) {
        FloatVector c0 = FloatVector.zero(S);
        int ai = ao;
        int bi = bo;
        for (int k = 0; k < K; k++) {
            FloatVector b0 = FloatVector.fromArray(S, b, bi, m);
            c0 = fma(FloatVector.broadcast(S, a[ai]), b0, c0);
            ai += colStep;
            bi += ldb;
        }
        c0.add(FloatVector.fromArray(S, z, zo, m)).intoArray(c, co, m);
    }

}
