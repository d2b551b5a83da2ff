package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;
import static dev.gyre.kernels.check.Tol.relative;
import static dev.gyre.kernels.check.Tol.sum;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Skew;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Cases of [CayleyOps].
public final class CayleyCases implements Cases {
    private static final Orthogonal PLUS = Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0);
    private static final Orthogonal MINUS = Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0);
    private static final Orthogonal NEWTON_SCHULZ = Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6);

    /// Standard deviation of the stored elements. Singular values of a random Q reach `2 std sqrt(b)`: below 0.7 for the
    /// series, about 2 for the exact forms.
    private static double std(OpCase.Setup s, Orthogonal map, int b) {
        // so that maxNorm 0.9 acts on some blocks and not on others
        if (s.differences())
            return 0.3;
        boolean series = map.form() == Orthogonal.Form.NEUMANN || map.form() == Orthogonal.Form.NEUMANN_LEGACY;
        return (series ? 0.3 : 1.0) / Math.sqrt(b);
    }

    /// A solve with condition number to 2.3, products of length b, up to 3 x 6 of them in a row.
    private static Tol tol(int b) {
        return relative(16 * Tol.ROUNDING + 2 * sum(b).rtol(), "a chain of products or a solve of size b");
    }

    /// @param zeros Q is zero, so that every map gives exactly the identity
    public record Cayley(Orthogonal map, int blocks, int b, boolean zeros) implements OpCase {
        public Cayley(Orthogonal map, int blocks, int b) {
            this(map, blocks, b, false);
        }

        @Override
        public void emit(Setup s) {
            int m = map.stored(b);
            s.op(new CayleyOps.Cayley(map, s.in("v", zeros ? 0 : std(s, map, b), blocks, m),
                    s.out("r", zeros ? EXACT : tol(b), blocks, b, b), blocks, b));
        }
    }

    public record CayleyGrad(Orthogonal map, int blocks, int b) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf v = s.in("v", std(s, map, b), blocks, map.stored(b));
            Buf r = s.result("r", blocks, b, b);
            s.forward(new CayleyOps.Cayley(map, v, r, blocks, b));
            s.op(new CayleyOps.CayleyGrad(map, v, s.cotangent("dR", r), s.gradient("dV", v, tol(b), true), blocks, b));
        }
    }

    /// @param std standard deviation of the stored elements, times b; the first of several blocks is zero
    public record CoftProject(int blocks, int b, double std) implements OpCase {
        @Override
        public void emit(Setup s) {
            int m = b * (b - 1) / 2;
            float[] v = s.normal(std / b, blocks, m);
            if (blocks > 1)
                Arrays.fill(v, 0, m, 0f);
            s.op(new CayleyOps.CoftProject(s.inout("v", v, sum(m), blocks, m), blocks, b, 0.2f));
        }
    }

    /// @param identity masked blocks become the identity instead of zero
    public record MaskBlocks(int blocks, int b, boolean identity) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf mask = s.ints("mask", s.below(3, blocks));
            Buf r = s.inout("r", 1, EXACT, blocks, b, b);
            s.op(new CayleyOps.MaskBlocks(r, mask, blocks, b, identity));
            if (s.differences())
                s.op(new CayleyOps.MaskBlocks(s.gradientInPlace(r), mask, blocks, b, false));
        }
    }

    private static void both(List<OpCase> out, Orthogonal map, int blocks, int b) {
        out.add(new Cayley(map, blocks, b));
        out.add(new CayleyGrad(map, blocks, b));
    }

    @Override
    public List<OpCase> odd() {
        List<Orthogonal> maps = new ArrayList<>();
        for (int t : new int[] {0, 1, 2, 3, 4, 5, 6, 9})
            maps.add(Orthogonal.neumann(t));
        for (int t : new int[] {1, 2, 5})
            maps.add(Orthogonal.of(Orthogonal.Form.NEUMANN_LEGACY, t));
        for (Orthogonal map : List.of(PLUS, MINUS)) {
            maps.add(map);
            maps.add(new Orthogonal(map.form(), 0, 0, Skew.FULL));
            maps.add(new Orthogonal(map.form(), 0, 0.9, Skew.PACKED));
        }
        maps.add(NEWTON_SCHULZ);
        maps.add(new Orthogonal(Orthogonal.Form.NEWTON_SCHULZ, 4, 0, Skew.FULL));
        maps.add(new Orthogonal(Orthogonal.Form.NEWTON_SCHULZ, 5, 0.9, Skew.PACKED));
        maps.add(new Orthogonal(Orthogonal.Form.NEUMANN, 5, 0.9, Skew.PACKED));
        maps.add(new Orthogonal(Orthogonal.Form.NEUMANN, 4, 0, Skew.FULL));
        maps.add(new Orthogonal(Orthogonal.Form.NEUMANN, 5, 0.3, Skew.FULL));
        List<OpCase> out = new ArrayList<>();
        for (Orthogonal map : maps)
            for (int[] z : new int[][] {{1, 1}, {3, 2}, {2, 3}, {5, 5}, {4, 8}, {3, 13}, {7, 16}, {2, 31}, {5, 32},
                {2, 33}})
                both(out, map, z[0], z[1]);
        both(out, Orthogonal.neumann(5), 40, 32);
        for (Orthogonal map : List.of(Orthogonal.neumann(5), PLUS, MINUS, NEWTON_SCHULZ))
            both(out, map, 1, 100);
        both(out, PLUS, 33, 32);
        both(out, NEWTON_SCHULZ, 33, 32);
        both(out, MINUS, 200, 4);
        for (Orthogonal map : List.of(Orthogonal.neumann(5), PLUS, MINUS))
            out.add(new Cayley(map, 2, 6, true));
        for (int[] z : new int[][] {{1, 2}, {5, 3}, {3, 7}, {17, 8}, {4, 33}, {130, 32}})
            for (double std : new double[] {1e-3, 0.3, 3})
                out.add(new CoftProject(z[0], z[1], std));
        for (int[] z : new int[][] {{1, 1}, {5, 3}, {7, 8}, {33, 13}, {130, 32}})
            for (boolean identity : new boolean[] {false, true})
                out.add(new MaskBlocks(z[0], z[1], identity));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        List<OpCase> out = new ArrayList<>();
        int blocks = z.C() / OpCases.BLOCK;
        for (Orthogonal map : List.of(Orthogonal.neumann(5), PLUS, NEWTON_SCHULZ))
            both(out, map, blocks, OpCases.BLOCK);
        out.add(new CoftProject(blocks, OpCases.BLOCK, 3));
        out.add(new MaskBlocks(blocks, OpCases.BLOCK, true));
        return out;
    }

    @Override
    public List<OpCase> gradients() {
        List<OpCase> out = new ArrayList<>();
        for (Orthogonal.Form form : Orthogonal.Form.values())
            for (int terms : switch (form) {
                case NEUMANN -> new int[] {0, 1, 2, 3, 4, 5, 6, 9};
                case NEUMANN_LEGACY -> new int[] {0, 1, 2, 5};
                case CAYLEY_PLUS, CAYLEY_MINUS -> new int[] {0};
                case NEWTON_SCHULZ -> new int[] {1, 6};
            })
                for (Skew skew : Skew.values())
                    for (float maxNorm : new float[] {0f, 0.9f})
                        for (int b : new int[] {1, 2, 5})
                            out.add(new CayleyGrad(new Orthogonal(form, terms, maxNorm, skew), 3, b));
        out.add(new MaskBlocks(7, 2, true));
        out.add(new MaskBlocks(7, 2, false));
        return out;
    }

    @Override
    public List<OpCase> timed() {
        List<OpCase> out = new ArrayList<>();
        for (Orthogonal map : List.of(Orthogonal.neumann(5), PLUS, NEWTON_SCHULZ))
            for (int[] z : new int[][] {{128, 32}, {27, 26}, {1, 207}})
                both(out, map, z[0], z[1]);
        return out;
    }
}
