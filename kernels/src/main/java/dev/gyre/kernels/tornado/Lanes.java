package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DisentangledOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.LayerNormOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.OptimiserOps;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/// In which of several arrays of one type a buffer lies. Buffers that one task writes are in different lanes; see
/// [DeviceMemory]. Whatever is not named here is in lane 0.
final class Lanes {
    /// The most arrays of one type that a kernel writes.
    static final int COUNT = 3;

    private final Map<Buf, Integer> lanes = new IdentityHashMap<>();

    private Lanes() {
    }

    static Lanes of(List<Program> programs) {
        Lanes all = new Lanes();
        for (Program p : programs)
            for (Op op : p.ops())
                all.add(op);
        return all;
    }

    private void add(Op op) {
        switch (op) {
            case AttentionOps.Attention o -> put(o.lse(), 1);
            case AttentionOps.AttentionGrad o -> put(o.dV(), 1);
            case ElementOps.SwiGluGrad o -> put(o.dUp(), 1);
            case ActivationOps.GatedGrad o -> put(o.dUp(), 1);
            case LayerNormOps.LayerNorm o -> put(o.rstd(), 1);
            case NormOps.RmsNorm o -> put(o.rstd(), 1);
            case DisentangledOps.DisentangledAttention o -> put(o.lse(), 1);
            case DisentangledOps.DisentangledAttentionGrad o -> put(o.dV(), 1);
            case OptimiserOps.AdamW o -> {
                put(o.m(), 1);
                put(o.v(), 2);
            }
            default -> {
            }
        }
    }

    private void put(Buf b, int lane) {
        lanes.merge(b.root(), lane, Math::max);
    }

    /// @param root a buffer that is no view
    int of(Buf root) {
        return lanes.getOrDefault(root, 0);
    }
}
