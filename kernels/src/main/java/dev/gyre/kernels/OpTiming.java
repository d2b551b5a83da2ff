package dev.gyre.kernels;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// What one operation of a program took while its session measured; see [Session#time].
///
/// @param program name of the program
/// @param kind the operation, e.g. `RmsNorm`, `MatMul NT`, `MatMul NN NF4`
/// @param label the first buffer it writes, e.g. `model.layers.0.self_attn.q_proj/y`
/// @param calls how often it ran
/// @param nanos wall-clock time of all calls, in ns
/// @param flops floating point operations of all calls
public record OpTiming(String program, String kind, String label, long calls, long nanos, long flops) {
    /// `calls` runs of an operation in `nanos` ns.
    public static OpTiming of(Program program, Op op, long calls, long nanos) {
        return new OpTiming(program.name(), kind(op), label(op), calls, nanos, calls * op.flops());
    }

    private static String kind(Op op) {
        String name = op.getClass().getSimpleName();
        if (!(op instanceof Op.MatMul m))
            return name;
        return name + " " + m.form() + (m.b().dtype() == DType.F32 ? "" : " " + m.b().dtype());
    }

    private static String label(Op op) {
        for (Access a : op.accesses())
            if (a.writes())
                return a.buf().name();
        return "";
    }

    /// Sums by kind, the longest first; their label is empty, and so is the program where several have the kind.
    public static List<OpTiming> byKind(List<OpTiming> all) {
        Map<String, OpTiming> sums = new LinkedHashMap<>();
        for (OpTiming t : all)
            sums.merge(t.kind, new OpTiming(t.program, t.kind, "", t.calls, t.nanos, t.flops), OpTiming::plus);
        return sums.values().stream().sorted(Comparator.comparingLong(OpTiming::nanos).reversed()).toList();
    }

    private OpTiming plus(OpTiming o) {
        return new OpTiming(program.equals(o.program) ? program : "", kind, label, calls + o.calls, nanos + o.nanos,
                flops + o.flops);
    }
}
