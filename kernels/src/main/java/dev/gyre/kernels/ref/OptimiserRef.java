package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.OptimiserOps;

/// Norm of the gradient and the AdamW step.
final class OptimiserRef {
    private OptimiserRef() {
    }

    static void run(OptimiserOps op, Operands of) {
        switch (op) {
            case OptimiserOps.GradNorm(var grad, var norm) -> gradNorm(of.vec(grad), of.vec(norm));
            case OptimiserOps.AdamW(var param, var grad, var m, var v, var hp, var norm, var decay) ->
                    step(of.vec(param), of.vec(grad), of.vec(m), of.vec(v), of.vec(hp), of.vec(norm).get(0), decay);
        }
    }

    static void gradNorm(Vec grad, Vec norm) {
        double sum = 0;
        for (int i = 0; i < grad.size(); i++)
            sum += grad.get(i) * grad.get(i);
        norm.set(0, Math.sqrt(sum));
    }

    /// `hp`: lr, beta1, beta2, eps, c1, c2, maxNorm, weight decay.
    static void step(Vec param, Vec grad, Vec m, Vec v, Vec hp, double norm, boolean decay) {
        double lr = hp.get(0);
        double b1 = hp.get(1);
        double b2 = hp.get(2);
        double eps = hp.get(3);
        double c1 = hp.get(4);
        double c2 = hp.get(5);
        double maxNorm = hp.get(6);
        double clip = maxNorm == 0 ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
        for (int i = 0; i < param.size(); i++) {
            double g = grad.get(i) * clip;
            if (decay)
                param.add(i, -lr * hp.get(7) * param.get(i));
            m.set(i, b1 * m.get(i) + (1 - b1) * g);
            v.set(i, b2 * v.get(i) + (1 - b2) * g * g);
            param.add(i, -lr / c1 * m.get(i) / (Math.sqrt(v.get(i) / c2) + eps));
        }
    }
}
