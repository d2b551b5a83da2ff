package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.whole;

import jdk.incubator.vector.FloatVector;
import org.jspecify.annotations.Nullable;

/// [SimdLayerNorm] in vectors.
final class VectorLayerNorm implements SimdLayerNorm {
    @Override
    public float sum(float[] x, int xo, int n) {
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        int i = 0;
        for (int end = n - n % (2 * L); i < end; i += 2 * L) {
            s0 = s0.add(at(x, xo + i));
            s1 = s1.add(at(x, xo + i + L));
        }
        float s = Vectors.sum(s0.add(s1));
        for (; i < n; i++)
            s += x[xo + i];
        return s;
    }

    @Override
    public float squares(float[] x, int xo, float mean, int n) {
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        int i = 0;
        for (int end = n - n % (2 * L); i < end; i += 2 * L) {
            FloatVector a = at(x, xo + i).sub(mean);
            FloatVector b = at(x, xo + i + L).sub(mean);
            s0 = fma(a, a, s0);
            s1 = fma(b, b, s1);
        }
        float s = Vectors.sum(s0.add(s1));
        for (; i < n; i++)
            s += (x[xo + i] - mean) * (x[xo + i] - mean);
        return s;
    }

    @Override
    public void normalise(float mean, float r, float[] x, int xo, float[] w, int wo, float @Nullable [] b, int bo,
            float[] y, int yo, int n) {
        int end = whole(n);
        if (b == null)
            for (int i = 0; i < end; i += L)
                at(x, xo + i).sub(mean).mul(r).mul(at(w, wo + i)).intoArray(y, yo + i);
        else
            for (int i = 0; i < end; i += L)
                fma(at(x, xo + i).sub(mean).mul(r), at(w, wo + i), at(b, bo + i)).intoArray(y, yo + i);
        for (int i = end; i < n; i++)
            y[yo + i] = (x[xo + i] - mean) * r * w[wo + i] + (b == null ? 0f : b[bo + i]);
    }

    @Override
    public void dots(float[] x, int xo, float mean, float[] y, int yo, float[] w, int wo, int n, float[] sums) {
        FloatVector m = FloatVector.broadcast(S, mean);
        FloatVector s0 = FloatVector.zero(S);
        FloatVector s1 = s0;
        FloatVector t0 = s0;
        FloatVector t1 = s0;
        int i = 0;
        for (int end = n - n % (2 * L); i < end; i += 2 * L) {
            FloatVector v = at(y, yo + i).mul(at(w, wo + i));
            s0 = s0.add(v);
            t0 = fma(v, at(x, xo + i).sub(m), t0);
            v = at(y, yo + i + L).mul(at(w, wo + i + L));
            s1 = s1.add(v);
            t1 = fma(v, at(x, xo + i + L).sub(m), t1);
        }
        float s = Vectors.sum(s0.add(s1));
        float t = Vectors.sum(t0.add(t1));
        for (; i < n; i++) {
            float v = y[yo + i] * w[wo + i];
            s += v;
            t += (x[xo + i] - mean) * v;
        }
        sums[0] = s;
        sums[1] = t;
    }

    @Override
    public void grad(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float mean, float c,
            float[] z, int zo, int n, boolean accumulate) {
        int end = whole(n);
        if (accumulate)
            addGrads(a, w, wo, y, yo, b, x, xo, mean, c, z, zo, end);
        else
            grads(a, w, wo, y, yo, b, x, xo, mean, c, z, zo, end);
        for (int i = end; i < n; i++) {
            float g = w[wo + i] * (a * y[yo + i]) + b * (x[xo + i] - mean) + c;
            z[zo + i] = accumulate ? z[zo + i] + g : g;
        }
    }

    // two loops, each as short as can be: inlined with the sums before it, a longer one exceeds what C2 inlines into one
    // method, and each call that is left makes an object of a vector

    private static void grads(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float mean,
            float c, float[] z, int zo, int n) {
        FloatVector va = FloatVector.broadcast(S, a);
        FloatVector vb = FloatVector.broadcast(S, b);
        FloatVector vc = FloatVector.broadcast(S, c);
        FloatVector vm = FloatVector.broadcast(S, mean);
        for (int i = 0; i < n; i += L)
            fma(at(y, yo + i).mul(va), at(w, wo + i), fma(vb, at(x, xo + i).sub(vm), vc)).intoArray(z, zo + i);
    }

    private static void addGrads(float a, float[] w, int wo, float[] y, int yo, float b, float[] x, int xo, float mean,
            float c, float[] z, int zo, int n) {
        FloatVector va = FloatVector.broadcast(S, a);
        FloatVector vb = FloatVector.broadcast(S, b);
        FloatVector vc = FloatVector.broadcast(S, c);
        FloatVector vm = FloatVector.broadcast(S, mean);
        for (int i = 0; i < n; i += L)
            fma(at(y, yo + i).mul(va), at(w, wo + i), fma(vb, at(x, xo + i).sub(vm), vc)).add(at(z, zo + i))
                    .intoArray(z, zo + i);
    }

    @Override
    public void mulAdd(float a, float[] x, int xo, float mean, float[] y, int yo, float[] z, int zo, int n) {
        int i = 0;
        for (int end = whole(n); i < end; i += L)
            fma(at(x, xo + i).sub(mean).mul(a), at(y, yo + i), at(z, zo + i)).intoArray(z, zo + i);
        for (; i < n; i++)
            z[zo + i] += a * (x[xo + i] - mean) * y[yo + i];
    }
}
