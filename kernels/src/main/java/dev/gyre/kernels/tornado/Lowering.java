package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
    }

    private Lowering() {
    }

    static void lower(Program program, TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        List<Op> ops = program.ops();
        Map<Buf, Integer> uses = uses(ops);
        for (int i = 0; i < ops.size(); i++) {
            if (program.marks().contains(i))
                tasks.cut();
            if (i + 1 < ops.size() && !program.marks().contains(i + 1) && choice.workGroups()
                    && choice.cuBlas() == Precision.BF16 && ops.get(i) instanceof RotateOps.BlockRotate r
                    && ops.get(i + 1) instanceof ProductOps.MatMul m && feedsOnly(r, m, uses)) {
                // rounded where it is made: four bytes are not written, and not read again
                ProductTornado products = new ProductTornado(tasks, memory, choice);
                new ProductCuBlas(products, Precision.BF16).product(m,
                        new RotateTornado(tasks, memory, choice).rounded(r));
                i++;
            } else
                lower(ops.get(i), tasks, memory, choice);
            memory.freeScratch();
        }
    }

    /// Whether a rotation's result is the left factor of this product by cuBLAS and nothing else.
    private static boolean feedsOnly(RotateOps.BlockRotate r, ProductOps.MatMul m, Map<Buf, Integer> uses) {
        Buf y = r.y();
        return m.a() == y && m.b().root() != y.root() && y.role() == Buf.Role.ACTIVATION && !y.isView()
                && !r.accumulate() && r.b() <= RotateTileKernels.MAX_BLOCK && ProductCuBlas.takes(m)
                && uses.getOrDefault(y, 0) == 2;
    }

    /// In how many operations each root appears.
    private static Map<Buf, Integer> uses(List<Op> ops) {
        Map<Buf, Integer> uses = new IdentityHashMap<>();
        for (Op op : ops) {
            Set<Buf> mine = Collections.newSetFromMap(new IdentityHashMap<>());
            for (Access a : op.accesses())
                mine.add(a.buf().root());
            for (Buf b : mine)
                uses.merge(b, 1, Integer::sum);
        }
        return uses;
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
        }
    }
}
