package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/// Which activations a device holds in BF16 where its products are in BF16: those that only operations touch which have kernels for
/// that. These are what goes into products and comes out of them; it is rounded where it is written. What sums go through stays
/// in F32: the residual stream and its gradient, statistics of rows, sums over several rotations, logits.
///
/// Two numbers share an int ([ElementPairKernels]), so such a buffer and its views begin at even elements and have an even number of them.
final class PackedActivations {
    private final Lowering.Choice choice;
    /// Activations that no operation so far needs in F32.
    private final Set<Buf> candidates = Collections.newSetFromMap(new IdentityHashMap<>());

    private PackedActivations(Lowering.Choice choice) {
        this.choice = choice;
    }

    /// Roots, by identity.
    static Set<Buf> of(List<Program> programs, Lowering.Choice choice) {
        PackedActivations p = new PackedActivations(choice);
        if (!choice.packs())
            return p.candidates;
        for (Program program : programs)
            for (Buf b : program.roots())
                if (b.role() == Buf.Role.ACTIVATION)
                    p.candidates.add(b);
        // some operations take two buffers in the same form only, so one that stays in F32 can be the reason for another
        boolean changed = true;
        while (changed) {
            changed = false;
            for (Program program : programs)
                for (Op op : program.ops())
                    changed |= p.exclude(op);
        }
        return p.candidates;
    }

    private boolean exclude(Op op) {
        List<Buf> packable = packable(op);
        boolean changed = false;
        for (Access a : op.accesses()) {
            Buf b = a.buf();
            if (!even(b) || packable.stream().noneMatch(p -> same(p, b)))
                changed |= candidates.remove(b.root());
        }
        return changed;
    }

    @SuppressWarnings("ReferenceEquality") // buffers are compared by identity
    private static boolean same(Buf a, Buf b) {
        return a == b;
    }

    private static boolean even(Buf b) {
        return b.offset() % 2 == 0 && b.size() % 2 == 0;
    }

    private boolean candidate(Buf b) {
        return candidates.contains(b.root());
    }

    /// The operands that this operation can have in BF16, each independently of the others.
    private List<Buf> packable(Op op) {
        return switch (op) {
            case ElementOps.Copy o -> List.of(o.x(), o.y());
            case ElementOps.SwiGlu o -> candidate(o.gate()) && candidate(o.up())
                    ? List.of(o.gate(), o.up(), o.out()) : List.of();
            case ElementOps.SwiGluGrad o -> candidate(o.gate()) && candidate(o.up()) && same(o.gate(), o.dGate())
                    && same(o.up(), o.dUp()) ? List.of(o.gate(), o.up(), o.dOut()) : List.of();
            case ElementOps.Add o -> List.of(o.y());
            case ColumnOps.AddBias o -> o.C() % 2 == 0 ? List.of(o.y()) : List.of();
            case NormOps.RmsNorm o -> choice.workGroups() && o.C() % 2 == 0 ? List.of(o.y()) : List.of();
            case ProductOps.MatMul o -> ProductCuBlas.takes(o) ? List.of(o.a(), o.b(), o.c()) : List.of();
            case RopeOps.Rope o -> o.D() % 2 == 0 && o.R() % 4 == 0 ? List.of(o.x()) : List.of();
            case RotateOps.BlockRotate o when choice.workGroups() && RotatePairKernels.takes(o.b()) ->
                    o.accumulate() ? List.of(o.x()) : List.of(o.x(), o.y());
            case RotateOps.BlockRotateGrad o when choice.workGroups() && o.b() % 2 == 0 -> List.of(o.x(), o.dY());
            case AttentionOps.Attention o when AttentionTornado.onTensorCores(choice, o) ->
                    List.of(o.q(), o.k(), o.v(), o.out());
            case AttentionOps.AttentionGrad o when AttentionTornado.onTensorCores(choice, o) ->
                    List.of(o.q(), o.k(), o.v(), o.out(), o.dOut(), o.dQ(), o.dK(), o.dV());
            default -> List.of();
        };
    }
}
