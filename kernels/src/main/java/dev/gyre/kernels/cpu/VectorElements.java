package dev.gyre.kernels.cpu;

import static dev.gyre.kernels.cpu.VectorSoftmax.ONE;
import static dev.gyre.kernels.cpu.VectorSoftmax.ZERO;
import static dev.gyre.kernels.cpu.VectorSoftmax.exp;
import static dev.gyre.kernels.cpu.Vectors.L;
import static dev.gyre.kernels.cpu.Vectors.S;
import static dev.gyre.kernels.cpu.Vectors.SD;
import static dev.gyre.kernels.cpu.Vectors.SI;
import static dev.gyre.kernels.cpu.Vectors.at;
import static dev.gyre.kernels.cpu.Vectors.first;
import static dev.gyre.kernels.cpu.Vectors.fma;
import static dev.gyre.kernels.cpu.Vectors.put;
import static dev.gyre.kernels.cpu.Vectors.sum;
import static dev.gyre.kernels.cpu.Vectors.whole;

import dev.gyre.kernels.op.Dropouts;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// [SimdElements] in vectors.
final class VectorElements implements SimdElements {
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
}
