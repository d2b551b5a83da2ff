package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.TokenOps;
import java.util.Arrays;

/// Cross entropy.
final class Losses {
    private Losses() {
    }

    static Runnable crossEntropy(Cpu cpu, Simd simd, TokenOps.CrossEntropy op, View logits, View labels, View rowLoss,
            View scale) {
        int V = op.V();
        return ColumnCpu.rows(cpu, op.N(), V, (from, to, worker) -> {
            float[] z = logits.f();
            float[] loss = rowLoss.f();
            float s = scale.f()[scale.off()];
            for (int t = from; t < to; t++) {
                int at = logits.off() + t * V;
                int label = labels.i()[labels.off() + t];
                if (label == TokenOps.CrossEntropy.IGNORE) {
                    loss[rowLoss.off() + t] = 0f;
                    if (op.gradient())
                        Arrays.fill(z, at, at + V, 0f);
                    continue;
                }
                if (label < 0 || label >= V)
                    throw new IllegalArgumentException("label " + label + " at row " + t
                            + " is neither -100 nor inside the vocabulary of " + V + " (" + op.labels() + ")");
                float right = z[at + label];
                float max = simd.max(z, at, V);
                double sum = op.gradient() ? simd.expInPlace(z, at, max, V) : simd.sumExp(z, at, max, V);
                loss[rowLoss.off() + t] = (float) (Math.log(sum) + max - right);
                if (op.gradient()) {
                    simd.scale((float) (s / sum), z, at, z, at, V);
                    z[at + label] -= s;
                }
            }
        });
    }
}
