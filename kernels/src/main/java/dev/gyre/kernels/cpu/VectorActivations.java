package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.VectorSoftmax.ONE;
import static dev.gyre.kernels.cpu.VectorSoftmax.ZERO;
import static dev.gyre.kernels.cpu.VectorSoftmax.exp;
import static dev.gyre.kernels.cpu.VectorSoftmax.expBelow;
import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.first;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.whole;

import dev.gyre.kernels.op.Activation;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// [SimdActivations] in vectors. The polynomials are those of [ScalarActivations].
final class VectorActivations implements SimdActivations {
    /// Elements between whose two loops a buffer stays in the L1 cache.
    private static final int BLOCK = 1024;
    private static final FloatVector HALF = of(0.5f);
    private static final FloatVector T13 = of(-2.76076847742355e-16f);
    private static final FloatVector T11 = of(2.00018790482477e-13f);
    private static final FloatVector T9 = of(-8.60467152213735e-11f);
    private static final FloatVector T7 = of(5.12229709037114e-08f);
    private static final FloatVector T5 = of(1.48572235717979e-05f);
    private static final FloatVector T3 = of(6.37261928875436e-04f);
    private static final FloatVector T1 = of(4.89352455891786e-03f);
    private static final FloatVector U6 = of(1.19825839466702e-06f);
    private static final FloatVector U4 = of(1.18534705686654e-04f);
    private static final FloatVector U2 = of(2.26843463243900e-03f);
    private static final FloatVector U0 = of(4.89352518554385e-03f);
    private static final FloatVector E13 = of(-2.72614225801306e-10f);
    private static final FloatVector E11 = of(2.77068142495902e-08f);
    private static final FloatVector E9 = of(-2.10102402082508e-06f);
    private static final FloatVector E7 = of(-5.69250639462346e-05f);
    private static final FloatVector E5 = of(-7.34990630326855e-04f);
    private static final FloatVector E3 = of(-2.95459980854025e-03f);
    private static final FloatVector E1 = of(-1.60960333262415e-02f);
    private static final FloatVector F8 = of(-1.45660718464996e-05f);
    private static final FloatVector F6 = of(-2.13374055278905e-04f);
    private static final FloatVector F4 = of(-1.68282697438203e-03f);
    private static final FloatVector F2 = of(-7.37332916720468e-03f);
    private static final FloatVector F0 = of(-1.42647390514189e-02f);

    private static FloatVector of(float v) {
        return FloatVector.broadcast(S, v);
    }

    private static FloatVector clamp(FloatVector x, float most) {
        return x.min(most).max(-most);
    }

    private static FloatVector tanh(FloatVector x) {
        FloatVector c = clamp(x, TANH_ONE);
        FloatVector s = c.mul(c);
        FloatVector p = fma(fma(fma(fma(fma(fma(T13, s, T11), s, T9), s, T7), s, T5), s, T3), s, T1);
        FloatVector q = fma(fma(fma(U6, s, U4), s, U2), s, U0);
        return clamp(c.mul(p).div(q), 1f);
    }

    private static FloatVector erf(FloatVector x) {
        FloatVector c = clamp(x, ERF_ONE);
        FloatVector s = c.mul(c);
        FloatVector p = fma(fma(fma(fma(fma(fma(E13, s, E11), s, E9), s, E7), s, E5), s, E3), s, E1);
        FloatVector q = fma(fma(fma(fma(F8, s, F6), s, F4), s, F2), s, F0);
        return clamp(c.mul(p).div(q), 1f);
    }

    private static FloatVector normal(FloatVector x) {
        return fma(HALF, erf(x.mul(ROOT_HALF)), HALF);
    }

    private static FloatVector gelu(FloatVector x) {
        return x.mul(normal(x));
    }

    private static void normals(float[] x, int xo, float[] y, int n) {
        for (int i = 0; i < n; i += L)
            normal(at(x, xo + i)).intoArray(y, i);
    }

    /// `d = g (normal(x) + x density(x))`.
    private static void geluSlopes(float[] x, int xo, float[] normal, float[] g, int go, float[] d, int to, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector v = at(x, xo + i);
            FloatVector slope = fma(v.mul(DENSITY), expBelow(v.mul(v).mul(-0.5f)), at(normal, i));
            at(g, go + i).mul(slope).intoArray(d, to + i);
        }
    }

    /// tanh of the cubic in [Activation#GELU_TANH].
    private static FloatVector cubic(FloatVector x) {
        return tanh(fma(x.mul(x).mul(CUBE), x, x).mul(ROOT_2_PI));
    }

    private static FloatVector geluTanh(FloatVector x) {
        return x.mul(fma(HALF, cubic(x), HALF));
    }

    /// `(1 + tanh z) / 2` is `s = 1 / (1 + e)` with `e = exp(-2 z)`, and its derivative `2 s^2 e` does not cancel where s is
    /// about 1 and x large.
    private static FloatVector geluTanhSlope(FloatVector x) {
        FloatVector square = x.mul(x);
        FloatVector e = exp(fma(square.mul(CUBE), x, x).mul(-2 * ROOT_2_PI).min(80f));
        FloatVector s = ONE.div(e.add(ONE));
        FloatVector inner = fma(square, of(3 * CUBE), ONE).mul(2 * ROOT_2_PI);
        return fma(x.mul(s).mul(s).mul(e), inner, s);
    }

    private static FloatVector sigmoid(FloatVector x) {
        return ONE.div(exp(x.neg()).add(ONE));
    }

    // one loop for each function, so that C2 compiles it without a call in it

    @Override
    public void value(Activation f, float[] x, int xo, float[] y, int yo, int n) {
        switch (f) {
            case GELU -> {
                for (int i = 0; i < n; i += L)
                    put(gelu(get(x, xo + i, n - i)), y, yo + i, n - i);
            }
            case GELU_TANH -> {
                for (int i = 0; i < n; i += L)
                    put(geluTanh(get(x, xo + i, n - i)), y, yo + i, n - i);
            }
            case SILU -> {
                for (int i = 0; i < n; i += L) {
                    FloatVector v = get(x, xo + i, n - i);
                    put(v.mul(sigmoid(v)), y, yo + i, n - i);
                }
            }
            case TANH -> {
                for (int i = 0; i < n; i += L)
                    put(tanh(get(x, xo + i, n - i)), y, yo + i, n - i);
            }
            case RELU -> {
                for (int i = 0; i < n; i += L)
                    put(get(x, xo + i, n - i).max(0f), y, yo + i, n - i);
            }
        }
    }

    @Override
    public void slope(Activation f, float[] x, int xo, float[] g, int go, float[] d, int to, int n) {
        switch (f) {
            case GELU -> {
                // erf and exp in one loop, or a branch for the last elements in it, are more than C2 inlines: it leaves calls
                // then, each of which makes an object of a vector
                float[] normal = new float[Math.min(n + L, BLOCK)];
                int end = whole(n);
                for (int i = 0; i < end; i += BLOCK) {
                    int m = Math.min(BLOCK, end - i);
                    normals(x, xo + i, normal, m);
                    geluSlopes(x, xo + i, normal, g, go + i, d, to + i, m);
                }
                if (end < n) {
                    float[] last = new float[2 * L];
                    System.arraycopy(x, xo + end, last, 0, n - end);
                    System.arraycopy(g, go + end, last, L, n - end);
                    normals(last, 0, normal, L);
                    geluSlopes(last, 0, normal, last, L, last, 0, L);
                    System.arraycopy(last, 0, d, to + end, n - end);
                }
            }
            case GELU_TANH -> {
                for (int i = 0; i < n; i += L)
                    put(get(g, go + i, n - i).mul(geluTanhSlope(get(x, xo + i, n - i))), d, to + i, n - i);
            }
            case SILU -> {
                for (int i = 0; i < n; i += L) {
                    FloatVector v = get(x, xo + i, n - i);
                    FloatVector s = sigmoid(v);
                    put(get(g, go + i, n - i).mul(s).mul(fma(v, ONE.sub(s), ONE)), d, to + i, n - i);
                }
            }
            case TANH -> {
                for (int i = 0; i < n; i += L) {
                    FloatVector t = tanh(get(x, xo + i, n - i));
                    put(get(g, go + i, n - i).mul(ONE.sub(t.mul(t))), d, to + i, n - i);
                }
            }
            case RELU -> {
                for (int i = 0; i < n; i += L) {
                    FloatVector v = get(x, xo + i, n - i);
                    put(ZERO.blend(get(g, go + i, n - i), v.compare(VectorOperators.GT, 0f)), d, to + i, n - i);
                }
            }
        }
    }

    @Override
    public void cap(float cap, float[] s, int so, int n) {
        float inverse = 1 / cap;
        for (int i = 0; i < n; i += L)
            put(tanh(get(s, so + i, n - i).mul(inverse)).mul(cap), s, so + i, n - i);
    }

    @Override
    public void capSlope(float cap, float[] s, int so, float[] f, int fo, int n) {
        float inverse = 1 / cap;
        for (int i = 0; i < n; i += L) {
            FloatVector t = tanh(get(s, so + i, n - i).mul(inverse));
            put(t.mul(cap), s, so + i, n - i);
            put(ONE.sub(t.mul(t)), f, fo + i, n - i);
        }
    }

    /// The next elements, `left` of them or a vector full.
    private static FloatVector get(float[] a, int at, int left) {
        return left >= L ? at(a, at) : FloatVector.fromArray(S, a, at, first(left));
    }

    private static void put(FloatVector v, float[] a, int at, int left) {
        if (left >= L) {
            v.intoArray(a, at);
        } else {
            VectorMask<Float> m = first(left);
            v.intoArray(a, at, m);
        }
    }
}
