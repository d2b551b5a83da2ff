package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;

/// Base of the lowering of each family of operations: the graphs to which it adds tasks, the arrays that hold the buffers,
/// and the tasks that several families use.
abstract class OpLowering {
    /// Most parts of a two-stage sum over rows: enough to occupy a device, few enough to add in one pass.
    private static final int ROW_PARTS = 32;
    /// Most parts of a two-stage sum over all elements.
    private static final int SUM_PARTS = 1024;

    final TaskGraphs tasks;
    final DeviceMemory memory;
    final boolean workGroups;

    OpLowering(TaskGraphs tasks, DeviceMemory memory, Lowering.Choice choice) {
        this(tasks, memory, choice.workGroups());
    }

    OpLowering(TaskGraphs tasks, DeviceMemory memory, boolean workGroups) {
        this.tasks = tasks;
        this.memory = memory;
        this.workGroups = workGroups;
    }

    /// The offsets of a task's buffers in their arrays, in the order of the kernel's array parameters, then other numbers that
    /// the kernel reads when it runs.
    static int[] at(int... offsets) {
        return offsets;
    }

    final Floats f(Buf b) {
        return memory.floats(b);
    }

    final Ints i(Buf b) {
        return memory.ints(b);
    }

    /// Whether an operand is in BF16, as pairs.
    final boolean packed(Buf b) {
        return memory.packed(b);
    }

    final Ints pairs(Buf b) {
        return memory.pairs(b);
    }

    /// The pairs of an operand; of one in F32 in a workspace.
    final Ints rounded(Buf x) {
        if (packed(x))
            return pairs(x);
        Ints to = memory.pairScratch(x.length() / 2);
        round(f(x), to, x.length());
        return to;
    }

    /// Rounds `n` numbers to BF16, an even number.
    final void round(Floats x, Ints to, int n) {
        tasks.task("toPairs", items(n / 2), ElementPairKernels::toPairs, at(x.at(), to.at()), x.array(), to.array(),
                n / 2);
    }

    /// A workspace of at least `n` floats, free again after the current operation.
    final Floats scratch(long n) {
        return memory.scratch(n);
    }

    /// Where a task puts its second or third result: `wanted`, or if that is in the array of a result before it, a workspace
    /// in another one, from which [#settle] copies afterwards.
    final Floats apart(Floats wanted, long n, Floats... before) {
        return differs(memory.lane(wanted.array()), before) ? wanted : scratchApart(n, before);
    }

    /// A workspace in another array than these.
    final Floats scratchApart(long n, Floats... from) {
        for (int lane = 0; lane < Lanes.COUNT; lane++)
            if (differs(lane, from))
                return memory.scratch(n, lane);
        throw new IllegalStateException("a task that writes more than " + Lanes.COUNT + " arrays");
    }

    private boolean differs(int lane, Floats... from) {
        for (Floats f : from)
            if (memory.lane(f.array()) == lane)
                return false;
        return true;
    }

    /// Copies a result that [#apart] put into a workspace.
    final void settle(Floats result, Floats wanted, int n) {
        if (!result.equals(wanted))
            copy(result, wanted, n);
    }

    static int flag(boolean b) {
        return b ? 1 : 0;
    }

    static int rowParts(int N) {
        return Math.clamp(N / 8, 1, ROW_PARTS);
    }

    static int sumParts(long n) {
        return Math.clamp(n / 16, 1, SUM_PARTS);
    }

    /// `n` work groups of `size` items.
    static Grid groups(int n, int size) {
        return new Grid(Math.multiplyExact(n, size), 1, size, 1);
    }

    final void copy(Floats x, Floats y, int n) {
        tasks.task("copyTo", items(n), ElementKernels::copyTo, at(x.at(), y.at()), x.array(), y.array(), n);
    }

    final void axpy(float a, Floats x, Floats y, int n) {
        tasks.task("axpy", items(n), ElementKernels::axpy, at(x.at(), y.at()), a, x.array(), y.array(), n);
    }

    /// `y (+)= x`
    final void into(Floats x, Floats y, int n, boolean accumulate) {
        if (accumulate)
            axpy(1f, x, y, n);
        else
            copy(x, y, n);
    }

    /// Second stage of a sum: `out[c] (+)= sum over s of partial[s, c]`, partial (parts, C).
    final void addParts(Floats partial, Floats out, int C, int parts, boolean accumulate) {
        tasks.task("addParts", items(C), ColumnKernels::addParts, at(partial.at(), out.at()), partial.array(),
                out.array(), C, parts, flag(accumulate));
    }

    /// `delta = out dOut` for each row and head.
    final void outputDot(AttentionOps.AttentionGrad o) {
        Floats out = f(o.out());
        Floats dOut = f(o.dOut());
        Floats delta = f(o.delta());
        int rows = o.B() * o.T() * o.H();
        tasks.task("outputDot", items(rows), AttentionKernels::outputDot, at(out.at(), dOut.at(), delta.at()),
                out.array(), dOut.array(), delta.array(), rows, o.D());
    }
}
