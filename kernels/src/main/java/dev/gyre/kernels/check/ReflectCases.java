package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ReflectOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [ReflectOps].
final class ReflectCases implements Cases {
    public record HouseholderVectors(int d, int r, boolean gramSchmidt) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ReflectOps.HouseholderVectors(s.in("p", 1, d, r), s.out("u", unit(d, r, gramSchmidt), r, d), d, r,
                    gramSchmidt));
        }
    }

    /// The gradient after the forward operation, whose result it reads.
    public record HouseholderVectorsGrad(int d, int r, boolean gramSchmidt) implements OpCase {
        @Override
        public void emit(Setup s) {
            Tol tol = unit(d, r, gramSchmidt);
            Buf p = s.in("p", 1, d, r);
            Buf u = s.out("u", tol, r, d);
            s.op(new ReflectOps.HouseholderVectors(p, u, d, r, gramSchmidt));
            s.op(new ReflectOps.HouseholderVectorsGrad(p, u, s.cotangent("dU", u),
                    s.gradient("dP", p, relative(4 * tol.rtol(), tol.why()), true), d, r, gramSchmidt));
        }
    }

    public record Householder(int N, int d, int r) implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ReflectOps.Householder(s.in("x", 1, N, d), s.in("u", unitRows(s, r, d), r, d),
                    s.out("y", chain(d, r), N, d), N, d, r));
        }
    }

    public record HouseholderGrad(int N, int d, int r, boolean accumulate) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, d);
            // finite differences change the length: the gradient for u must not assume that it is 1
            Buf u = s.in("u", s.differences() ? s.normal(0.4, r, d) : unitRows(s, r, d), r, d);
            Buf y = s.result("y", N, d);
            s.forward(new ReflectOps.Householder(x, u, y, N, d, r));
            Tol tol = relative(2 * chain(d, r).rtol() + sum(N).rtol(), "reflections there and back, sum over N");
            s.op(new ReflectOps.HouseholderGrad(x, u, s.cotangent("dY", y),
                    s.gradient("dX", x, chain(d, r), accumulate), s.gradient("dU", u, tol, false), N, d, r,
                    accumulate));
        }
    }

    /// Random columns, r well below d: Gram-Schmidt divides by norms that shrank little.
    private static Tol unit(int d, int r, boolean gramSchmidt) {
        return gramSchmidt ? relative(4 * r * sum(d).rtol(), "r projections in a row") : sum(d);
    }

    private static Tol chain(int d, int r) {
        return relative(r * sum(d).rtol(), "r dot products of length d in a row");
    }

    private static float[] unitRows(OpCase.Setup s, int r, int d) {
        float[] u = s.normal(1, r, d);
        for (int i = 0; i < r; i++) {
            double sum = 0;
            for (int c = 0; c < d; c++)
                sum += (double) u[i * d + c] * u[i * d + c];
            for (int c = 0; c < d; c++)
                u[i * d + c] /= (float) Math.sqrt(sum);
        }
        return u;
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{1, 1, 1}, {3, 5, 1}, {1, 7, 3}, {5, 33, 4}, {31, 17, 5}, {13, 63, 8},
            {64, 100, 6}, {207, 31, 7}, {33, 258, 16}}) {
            int N = z[0];
            int d = z[1];
            int r = z[2];
            for (boolean gramSchmidt : new boolean[] {false, true}) {
                out.add(new HouseholderVectors(d, r, gramSchmidt));
                out.add(new HouseholderVectorsGrad(d, r, gramSchmidt));
            }
            out.addAll(List.of(new Householder(N, d, r), new HouseholderGrad(N, d, r, false),
                    new HouseholderGrad(N, d, r, true)));
        }
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        int r = OpCases.RANK;
        return List.of(new HouseholderVectors(z.C(), r, false), new HouseholderVectorsGrad(z.C(), r, false),
                new Householder(z.N(), z.C(), r), new HouseholderGrad(z.N(), z.C(), r, false));
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (boolean gramSchmidt : new boolean[] {false, true})
            for (int r : new int[] {1, 2, 4})
                out.add(new HouseholderVectorsGrad(6, r, gramSchmidt));
        out.add(new HouseholderGrad(3, 6, 4, false));
        out.add(new HouseholderGrad(3, 6, 4, true));
        return out;
    }
}
