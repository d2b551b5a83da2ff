package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.roundings;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.RopeOps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Cases of [RopeOps].
final class RopeCases implements Cases {
    /// @param R rotated values of a head
    /// @param P positions of the tables
    /// @param shuffled random positions, and tables with YaRN's attention factor, instead of rows in order
    public record Rope(int N, int heads, int D, int R, int P, boolean shuffled, boolean inverse) implements OpCase {
        @Override
        public void emit(Setup s) {
            float[] cos = new float[P * R / 2];
            float[] sin = new float[P * R / 2];
            double factor = shuffled ? 1.1 : 1;
            for (int p = 0; p < P; p++)
                for (int j = 0; j < R / 2; j++) {
                    double angle = p * Math.pow(10000, -2.0 * j / R);
                    cos[p * R / 2 + j] = (float) (factor * Math.cos(angle));
                    sin[p * R / 2 + j] = (float) (factor * Math.sin(angle));
                }
            int[] positions = s.below(P, N);
            if (!shuffled)
                Arrays.setAll(positions, i -> i % P);
            Buf x = s.inout("x", 1, roundings(3), N, heads * D);
            Buf cosines = s.in("cos", cos, P, R / 2);
            Buf sines = s.in("sin", sin, P, R / 2);
            Buf at = s.ints("positions", positions);
            s.op(new RopeOps.Rope(x, cosines, sines, at, N, heads, D, R, inverse));
            if (s.differences())
                s.op(new RopeOps.Rope(s.gradientInPlace(x), cosines, sines, at, N, heads, D, R, !inverse));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int[] z : new int[][] {{1, 1, 2, 2}, {3, 2, 6, 6}, {7, 5, 16, 16}, {31, 3, 34, 34}, {13, 4, 64, 64},
            {130, 8, 128, 128}, {1, 1, 5, 2}, {7, 3, 33, 14}, {31, 2, 64, 48}})
            for (boolean inverse : new boolean[] {false, true})
                out.add(new Rope(z[0], z[1], z[2], z[3], z[0] + 9, true, inverse));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        return List.of(new Rope(z.N(), z.H(), z.D(), z.D(), z.T(), false, false));
    }

    @Override
    public List<OpCase> gradients() {
        return List.of(new Rope(3, 2, 6, 6, 5, true, false), new Rope(3, 2, 6, 6, 5, true, true),
                new Rope(3, 2, 7, 4, 5, true, false));
    }
}
