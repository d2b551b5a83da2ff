package dev.gyre.model.transformer;

/// Numbers of one optimiser step.
///
/// @param t number of the step, from 1
/// @param maxNorm gradients are scaled down to this norm when theirs is larger; 0 for never
public record AdamWStep(long t, float lr, float beta1, float beta2, float eps, float weightDecay, float maxNorm) {
    /// [dev.gyre.kernels.op.OptimiserOps.AdamW]'s `hp`: lr, beta1, beta2, eps, 1 - beta1^t, 1 - beta2^t, maxNorm, decay. The decimal
    /// the user wrote is what counts in the corrections (0.999, not its float neighbour).
    float[] hp() {
        return new float[] {lr, beta1, beta2, eps, (float) (1 - Math.pow(exact(beta1), t)),
            (float) (1 - Math.pow(exact(beta2), t)), maxNorm, weightDecay};
    }

    private static double exact(float f) {
        return Double.parseDouble(Float.toString(f));
    }
}
