package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.SubspaceOps;
import org.jspecify.annotations.Nullable;

/// PSOFT's core in the principal subspace, and its gradient.
final class SubspaceCpu {
    private SubspaceCpu() {
    }

    static Runnable task(SubspaceOps op, Operands of) {
        return switch (op) {
            case SubspaceOps.PsoftCore o ->
                    psoftCore(o, of.at(o.R()), of.optional(o.va()), of.optional(o.vb()), of.at(o.core()));
            case SubspaceOps.PsoftCoreGrad o -> psoftCoreGrad(o, of.at(o.R()), of.optional(o.va()), of.optional(o.vb()),
                    of.at(o.dCore()), of.at(o.dR()), of.optional(o.dVa()), of.optional(o.dVb()));
        };
    }

    private static float one(@Nullable Operand v, int i) {
        return v == null ? 1f : v.f()[v.off() + i];
    }

    static Runnable psoftCore(SubspaceOps.PsoftCore op, Operand R, @Nullable Operand va, @Nullable Operand vb,
            Operand core) {
        int r = op.r();
        return () -> {
            for (int i = 0; i < r; i++)
                for (int j = 0; j < r; j++)
                    core.f()[core.off() + i * r + j] = one(vb, i) * R.f()[R.off() + i * r + j] * one(va, j)
                            - (i == j ? 1f : 0f);
        };
    }

    static Runnable psoftCoreGrad(SubspaceOps.PsoftCoreGrad op, Operand R, @Nullable Operand va, @Nullable Operand vb,
            Operand dCore, Operand dR, @Nullable Operand dVa, @Nullable Operand dVb) {
        int r = op.r();
        return () -> {
            for (int i = 0; i < r; i++) {
                double row = 0;
                for (int j = 0; j < r; j++) {
                    float g = dCore.f()[dCore.off() + i * r + j];
                    float x = R.f()[R.off() + i * r + j];
                    dR.f()[dR.off() + i * r + j] = one(vb, i) * g * one(va, j);
                    row += g * x * one(va, j);
                }
                if (dVb != null)
                    dVb.f()[dVb.off() + i] += (float) row;
            }
            if (dVa != null)
                for (int j = 0; j < r; j++) {
                    double column = 0;
                    for (int i = 0; i < r; i++)
                        column += dCore.f()[dCore.off() + i * r + j] * one(vb, i) * R.f()[R.off() + i * r + j];
                    dVa.f()[dVa.off() + j] += (float) column;
                }
        };
    }
}
