package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.Givens;
import dev.gyre.kernels.op.GivensOps;
import java.util.List;

/// GOFT and qGOFT: angles, sweep, soft orthogonality.
final class GivensRef {
    private GivensRef() {
    }

    static void run(GivensOps op, Operands of) {
        switch (op) {
            case GivensOps.GivensAngles(var phi, var g, int n) -> angles(of.vec(phi), of.vec(g), n);
            case GivensOps.GivensAnglesGrad(var phi, var dG, var dPhi, int n) ->
                    anglesGrad(of.vec(phi), of.vec(dG), of.vec(dPhi), n);
            case GivensOps.GivensSweep(var x, var g, var y, int N, int d) ->
                    sweep(of.vec(x), of.vec(g), of.vec(y), N, d);
            case GivensOps.GivensSweepGrad(var x, var g, var dY, var dX, var dG, int N, int d, var orthogonal, var accumulate) ->
                    sweepGrad(of.vec(x), of.vec(g), of.vec(dY), of.vec(dX), of.vec(dG), N, d, accumulate);
            case GivensOps.GivensPenalty(var g, var dG, var loss, int n, double lambda) ->
                    penalty(of.vec(g), of.vec(dG), of.vec(loss), n, lambda);
        }
    }

    /// `theta = pi tanh(phi)`, `g = (cos, -sin, sin, cos)`
    static void angles(Vec phi, Vec g, int n) {
        for (int i = 0; i < n; i++) {
            double theta = Math.PI * Math.tanh(phi.get(i));
            g.set(4 * i, Math.cos(theta));
            g.set(4 * i + 1, -Math.sin(theta));
            g.set(4 * i + 2, Math.sin(theta));
            g.set(4 * i + 3, Math.cos(theta));
        }
    }

    /// `dTheta = -sin (dG00 + dG11) + cos (dG10 - dG01)`, `dPhi += dTheta pi (1 - tanh(phi)^2)`
    static void anglesGrad(Vec phi, Vec dG, Vec dPhi, int n) {
        for (int i = 0; i < n; i++) {
            double tanh = Math.tanh(phi.get(i));
            double theta = Math.PI * tanh;
            double dTheta = -Math.sin(theta) * (dG.get(4 * i) + dG.get(4 * i + 3))
                    + Math.cos(theta) * (dG.get(4 * i + 2) - dG.get(4 * i + 1));
            dPhi.add(i, dTheta * Math.PI * (1 - tanh * tanh));
        }
    }

    /// The largest stride first: `x_p' = x_p g00 + x_q g10`, `x_q' = x_p g01 + x_q g11`.
    static void sweep(Vec x, Vec g, Vec y, int N, int d) {
        List<Givens.Stage> stages = Givens.stages(d);
        for (int t = 0; t < N; t++) {
            Vec row = y.slice(t * d, d);
            for (int c = 0; c < d; c++)
                row.set(c, x.get(t * d + c));
            for (Givens.Stage stage : stages.reversed())
                turn(stage, g, row);
        }
    }

    private static void turn(Givens.Stage stage, Vec g, Vec row) {
        for (int j = 0; j < stage.pairs(); j++) {
            int p = 2 * stage.stride() * j;
            int q = p + stage.stride();
            int at = 4 * (stage.first() + j);
            double a = row.get(p);
            double c = row.get(q);
            row.set(p, a * g.get(at) + c * g.get(at + 2));
            row.set(q, a * g.get(at + 1) + c * g.get(at + 3));
        }
    }

    /// Stage inputs (a, c) are kept row by row; with incoming (u, w): `dG00 = sum a u`, `dG01 = sum a w`,
    /// `dG10 = sum c u`, `dG11 = sum c w`, `dX_p = u g00 + w g01`, `dX_q = u g10 + w g11`.
    static void sweepGrad(Vec x, Vec g, Vec dY, Vec dX, Vec dG, int N, int d, boolean accumulate) {
        List<Givens.Stage> stages = Givens.stages(d);
        dG.fill(0);
        for (int t = 0; t < N; t++) {
            double[][] inputs = new double[stages.size()][];
            Vec row = Vec.of(x.slice(t * d, d).toArray());
            for (int l = stages.size() - 1; l >= 0; l--) {
                inputs[l] = row.toArray();
                turn(stages.get(l), g, row);
            }
            double[] grad = dY.slice(t * d, d).toArray();
            for (int l = 0; l < stages.size(); l++) {
                Givens.Stage stage = stages.get(l);
                for (int j = 0; j < stage.pairs(); j++) {
                    int p = 2 * stage.stride() * j;
                    int q = p + stage.stride();
                    int at = 4 * (stage.first() + j);
                    double a = inputs[l][p];
                    double c = inputs[l][q];
                    double u = grad[p];
                    double w = grad[q];
                    dG.add(at, a * u);
                    dG.add(at + 1, a * w);
                    dG.add(at + 2, c * u);
                    dG.add(at + 3, c * w);
                    grad[p] = u * g.get(at) + w * g.get(at + 1);
                    grad[q] = u * g.get(at + 2) + w * g.get(at + 3);
                }
            }
            for (int c = 0; c < d; c++)
                dX.set(t * d + c, accumulate ? dX.get(t * d + c) + grad[c] : grad[c]);
        }
    }

    /// `loss = lambda sum e^2`, `e = g00 g01 + g10 g11`; adds its gradient to dG.
    static void penalty(Vec g, Vec dG, Vec loss, int n, double lambda) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            double g00 = g.get(4 * i);
            double g01 = g.get(4 * i + 1);
            double g10 = g.get(4 * i + 2);
            double g11 = g.get(4 * i + 3);
            double e = g00 * g01 + g10 * g11;
            sum += e * e;
            dG.add(4 * i, 2 * lambda * e * g01);
            dG.add(4 * i + 1, 2 * lambda * e * g00);
            dG.add(4 * i + 2, 2 * lambda * e * g11);
            dG.add(4 * i + 3, 2 * lambda * e * g10);
        }
        loss.set(0, lambda * sum);
    }
}
