package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DisentangledOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.HeadOps;
import dev.gyre.kernels.op.LayerNormOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Turns the operations of a program into tasks; each family of operations has a class of its own for that.
final class Lowering {
    /// How to run programs on a device.
    ///
    /// @param workGroups whether to use the kernels that share local memory in work groups, where there are any
    /// @param cuBlas the precision in which cuBLAS computes large matrix products, null to use our own kernels
    /// @param tensorCores whether attention rounds its factors to BF16 and multiplies them on tensor cores
    /// @param cudaGraphs whether each task graph is recorded when it first runs and then launched as one CUDA graph
    record Choice(boolean workGroups, @Nullable Precision cuBlas, boolean tensorCores, boolean cudaGraphs) {
        /// Whether activations that go into products or come out of them are held in BF16 ([PackedActivations]).
        boolean packs() {
            return cuBlas == Precision.BF16;
        }
    }

    private Lowering() {
    }

    static void lower(Program program, TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        List<Op> ops = program.ops();
        for (int i = 0; i < ops.size(); i++) {
            if (program.marks().contains(i))
                tasks.cut();
            lower(ops.get(i), tasks, memory, choice);
            memory.freeScratch();
        }
    }

    private static void lower(Op op, TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        switch (op) {
            case ElementOps o -> new ElementTornado(tasks, memory, choice).lower(o);
            case ColumnOps o -> new ColumnTornado(tasks, memory, choice).lower(o);
            case NormOps o -> new NormTornado(tasks, memory, choice).lower(o);
            case ProductOps o -> new ProductTornado(tasks, memory, choice).lower(o);
            case TokenOps o -> new TokenTornado(tasks, memory, choice).lower(o);
            case RopeOps o -> new RopeTornado(tasks, memory, choice).lower(o);
            case AttentionOps o -> new AttentionTornado(tasks, memory, choice).lower(o);
            case CayleyOps o -> new CayleyTornado(tasks, memory, choice).lower(o);
            case RotateOps o -> new RotateTornado(tasks, memory, choice).lower(o);
            case SubspaceOps o -> new SubspaceTornado(tasks, memory, choice).lower(o);
            case GivensOps o -> new GivensTornado(tasks, memory, choice).lower(o);
            case ReflectOps o -> new ReflectTornado(tasks, memory, choice).lower(o);
            case OptimiserOps o -> new OptimiserTornado(tasks, memory, choice).lower(o);
            case ActivationOps o -> new ActivationTornado(tasks, memory, choice).lower(o);
            case LayerNormOps o -> new LayerNormTornado(tasks, memory, choice).lower(o);
            case PartOps o -> new PartTornado(tasks, memory, choice).lower(o);
            case HeadOps o -> new HeadTornado(tasks, memory, choice).lower(o);
            case DisentangledOps o -> new DisentangledTornado(tasks, memory, choice).lower(o);
        }
    }
}
