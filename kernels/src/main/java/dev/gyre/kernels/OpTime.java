package dev.gyre.kernels;

import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Time spent in one operation of a program while its session was timing; see [Session#time].
///
/// @param program name of the program
/// @param kind the operation, e.g. `RmsNorm`, `MatMul NT`, `MatMul NN NF4`
/// @param label the first buffer it writes, e.g. `model.layers.0.self_attn.q_proj/y`
/// @param calls how often it ran
/// @param nanos wall-clock time of all calls, in ns
/// @param flops floating point operations of all calls
public record OpTime(String program, String kind, String label, long calls, long nanos, long flops) {
    /// `calls` runs of an operation in `nanos` ns.
    public static OpTime of(Program program, Op op, long calls, long nanos) {
        return new OpTime(program.name(), kind(op), label(op), calls, nanos, calls * op.flops());
    }

    private static String kind(Op op) {
        String name = op.getClass().getSimpleName();
        if (!(op instanceof ProductOps.MatMul m))
            return name;
        return name + " " + m.form() + (m.b().dtype() == DType.F32 ? "" : " " + m.b().dtype());
    }

    private static String label(Op op) {
        for (Access a : op.accesses())
            if (a.writes())
                return a.buf().name();
        return "";
    }

    /// Sums by kind, longest first; labels are empty, and so is the program of a kind that occurs in several.
    public static List<OpTime> byKind(List<OpTime> all) {
        Map<String, OpTime> sums = new LinkedHashMap<>();
        for (OpTime t : all)
            sums.merge(t.kind, new OpTime(t.program, t.kind, "", t.calls, t.nanos, t.flops), OpTime::plus);
        return sums.values().stream().sorted(Comparator.comparingLong(OpTime::nanos).reversed()).toList();
    }

    private OpTime plus(OpTime o) {
        return new OpTime(program.equals(o.program) ? program : "", kind, label, calls + o.calls, nanos + o.nanos,
                flops + o.flops);
    }
}
