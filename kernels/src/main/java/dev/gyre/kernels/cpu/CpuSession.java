package dev.gyre.kernels.cpu;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.DisentangledOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.HeadOps;
import dev.gyre.kernels.op.HostData;
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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Storage and tasks of some programs. Every operation is turned into a task once, here; a run executes an array of
/// tasks.
final class CpuSession implements Session {
    /// @param calls runs of each task while timing was on
    /// @param nanos their time
    private record Compiled(Runnable[] tasks, List<BufStorage> weights, long[] calls, long[] nanos) {
    }

    private final ThreadPool pool;
    private final Simd simd;
    private final MemoryPlan plan;
    private final float[][] slabs;
    private final Map<Buf, BufStorage> storages = new IdentityHashMap<>();
    private final Map<Program, Compiled> compiled = new IdentityHashMap<>();
    private final List<Program> programs;
    private boolean timing;

    CpuSession(List<Program> programs, int threads, Simd simd) {
        this.programs = programs;
        this.simd = simd;
        this.plan = MemoryPlan.of(programs);
        this.slabs = allocate(plan);
        for (Buf b : plan.persistent())
            storages.put(b, allocate(b));
        this.pool = new ThreadPool(threads);
        for (Program p : programs) {
            Runnable[] tasks = new Runnable[p.ops().size()];
            for (int i = 0; i < tasks.length;)
                i = task(p.ops(), i, tasks);
            List<BufStorage> weights = new ArrayList<>();
            for (Buf b : p.roots())
                if (b.role() == Buf.Role.WEIGHT)
                    weights.add(storages.get(b));
            compiled.put(p, new Compiled(tasks, weights, new long[tasks.length], new long[tasks.length]));
        }
    }

    private static float[][] allocate(MemoryPlan plan) {
        try {
            long[] sizes = plan.slabs();
            float[][] slabs = new float[sizes.length][];
            for (int i = 0; i < sizes.length; i++)
                slabs[i] = new float[Math.toIntExact(sizes[i])];
            return slabs;
        } catch (OutOfMemoryError e) {
            throw new OutOfMemoryError("activations need " + MemoryPlan.mib(plan.arenaBytes()) + ", the Java heap has "
                    + MemoryPlan.mib(Runtime.getRuntime().maxMemory()));
        }
    }

    private static BufStorage allocate(Buf b) {
        if (b.role() == Buf.Role.WEIGHT)
            return new BufStorage(b);
        try {
            return b.dtype() == DType.I32 ? new BufStorage(b, new int[b.length()])
                    : new BufStorage(b, new float[b.length()]);
        } catch (OutOfMemoryError e) {
            throw new OutOfMemoryError(
                    b + " needs " + MemoryPlan.mib(b.dtype().bytes(b.size())) + ", the Java heap has "
                            + MemoryPlan.mib(Runtime.getRuntime().maxMemory()) + " in all");
        }
    }

    private Operand at(Buf b) {
        Buf root = b.root();
        if (root.role() == Buf.Role.ACTIVATION) {
            if (root.dtype() != DType.F32)
                throw new IllegalArgumentException(root + ": activations are F32");
            MemoryPlan.Place p = plan.place(root);
            BufStorage s = storages.computeIfAbsent(root, r -> new BufStorage(r, slabs[p.slab()]));
            return new Operand(s, Math.toIntExact(p.offset() + b.offset()), b.length(), b);
        }
        BufStorage s = storages.get(root);
        if (s == null)
            throw new IllegalArgumentException(b + " belongs to none of the session's programs");
        return new Operand(s, Math.toIntExact(b.offset()), b.length(), b);
    }

    @Override
    public void bind(Buf weight, HostData data) {
        if (weight.role() != Buf.Role.WEIGHT || weight.isView())
            throw new IllegalArgumentException("bind: " + weight + " is "
                    + (weight.isView() ? "a view; bind its root " + weight.root() : weight.role() + ", not WEIGHT"));
        if (data.dtype() != weight.dtype() || data.size() != weight.size())
            throw new IllegalArgumentException(
                    "bind: " + weight + " cannot take " + data.size() + " elements of " + data.dtype());
        if (weight.size() > Integer.MAX_VALUE)
            throw new IllegalArgumentException("bind: " + weight + " exceeds 2^31 - 1 elements");
        at(weight).storage().bind(data);
    }

    private Operand host(String what, Buf b, DType dtype, int given) {
        if (b.role() == Buf.Role.WEIGHT || b.role() == Buf.Role.ACTIVATION)
            throw new IllegalArgumentException(what + ": " + b + " is of role " + b.role()
                    + (b.role() == Buf.Role.WEIGHT ? "; use bind" : ", which exists only during a run"));
        if (b.dtype() != dtype)
            throw new IllegalArgumentException(what + ": " + b + " is not " + dtype);
        if (b.size() != given)
            throw new IllegalArgumentException(
                    what + ": " + b + " has " + b.size() + " elements, the array has " + given);
        return at(b);
    }

    @Override
    public void write(Buf buf, float[] values) {
        Operand v = host("write", buf, DType.F32, values.length);
        System.arraycopy(values, 0, v.f(), v.off(), values.length);
    }

    @Override
    public void write(Buf buf, int[] values) {
        Operand v = host("write", buf, DType.I32, values.length);
        System.arraycopy(values, 0, v.i(), v.off(), values.length);
    }

    @Override
    public void read(Buf buf, float[] into) {
        Operand v = host("read", buf, DType.F32, into.length);
        System.arraycopy(v.f(), v.off(), into, 0, into.length);
    }

    @Override
    public void run(Program program) {
        Compiled c = compiled.get(program);
        if (c == null)
            throw new IllegalArgumentException(program + " is not one of the session's programs");
        for (BufStorage s : c.weights)
            if (!s.bound())
                s.data();
        if (timing)
            measure(c);
        else
            for (Runnable task : c.tasks)
                task.run();
    }

    private static void measure(Compiled c) {
        long from = System.nanoTime();
        for (int i = 0; i < c.tasks.length; i++) {
            c.tasks[i].run();
            long to = System.nanoTime();
            c.calls[i]++;
            c.nanos[i] += to - from;
            from = to;
        }
    }

    @Override
    public boolean time(boolean on) {
        timing = on;
        if (on)
            for (Compiled c : compiled.values()) {
                Arrays.fill(c.calls, 0);
                Arrays.fill(c.nanos, 0);
            }
        return true;
    }

    @Override
    public List<OpTime> timings() {
        List<OpTime> out = new ArrayList<>();
        for (Program p : programs) {
            Compiled c = Objects.requireNonNull(compiled.get(p));
            for (int i = 0; i < c.tasks.length; i++)
                if (c.calls[i] > 0)
                    out.add(OpTime.of(p, p.ops().get(i), c.calls[i], c.nanos[i]));
        }
        return out;
    }

    @Override
    public @Nullable Op firstNonFinite(Program program) {
        Compiled c = compiled.get(program);
        if (c == null)
            throw new IllegalArgumentException(program + " is not one of the session's programs");
        for (int i = 0; i < c.tasks.length; i++) {
            c.tasks[i].run();
            Op op = program.ops().get(i);
            for (Access a : op.accesses())
                if (a.writes() && a.buf().dtype() == DType.F32 && !finite(at(a.buf())))
                    return op;
        }
        return null;
    }

    private static boolean finite(Operand v) {
        for (int i = v.off(); i < v.off() + v.length(); i++)
            if (!Float.isFinite(v.f()[i]))
                return false;
        return true;
    }

    @Override
    public long bytes() {
        long bytes = plan.arenaBytes() + pool.scratchBytes();
        for (Buf b : plan.persistent()) {
            BufStorage s = storages.get(b);
            if (s != null)
                bytes += s.bytes();
        }
        return bytes;
    }

    @Override
    public void close() {
        pool.close();
    }

    /// Sets the task of operation i; if products after it only add to its result, its task computes the sum and theirs
    /// are empty. Returns the index of the operation after them.
    private int task(List<Op> ops, int i, Runnable[] tasks) {
        int end = i + 1;
        if (ops.get(i) instanceof ProductOps.MatMul first)
            while (end < ops.size() && ops.get(end) instanceof ProductOps.MatMul next
                    && ProductCpu.joins(simd, first, next))
                end++;
        Buf labels = ops.get(i) instanceof ProductOps.MatMul m && ProductCpu.packed(m) ? LabelledRows.of(ops, i, end)
                : null;
        if (end == i + 1 && labels == null) {
            tasks[i] = task(ops.get(i));
            return end;
        }
        List<PackedProduct.Term> terms = new ArrayList<>();
        for (int j = i; j < end; j++) {
            ProductOps.MatMul m = (ProductOps.MatMul) ops.get(j);
            terms.add(new PackedProduct.Term(m, at(m.a()), at(m.b())));
            tasks[j] = () -> {
            };
        }
        ProductOps.MatMul sum = (ProductOps.MatMul) ops.get(i);
        tasks[i] = labels == null && PanelProduct.suits(simd, sum) ? new PanelProduct(pool, simd, terms, at(sum.c()))
                : new PackedProduct(pool, simd, terms, at(sum.c()), labels == null ? null : at(labels));
        return end;
    }

    private Runnable task(Op op) {
        return switch (op) {
            case ElementOps o -> ElementCpu.task(pool, simd, o, this::at);
            case ColumnOps o -> ColumnCpu.task(pool, simd, o, this::at);
            case NormOps o -> NormCpu.task(pool, simd, o, this::at);
            case ProductOps o -> ProductCpu.task(pool, simd, o, this::at);
            case TokenOps o -> TokenCpu.task(pool, simd, o, this::at);
            case RopeOps o -> RopeCpu.task(pool, simd, o, this::at);
            case AttentionOps o -> AttentionCpu.task(pool, simd, o, this::at);
            case CayleyOps o -> CayleyCpu.task(pool, simd, o, this::at);
            case RotateOps o -> RotateCpu.task(pool, simd, o, this::at);
            case SubspaceOps o -> SubspaceCpu.task(o, this::at);
            case GivensOps o -> GivensCpu.task(pool, simd, o, this::at);
            case ReflectOps o -> ReflectCpu.task(pool, simd, o, this::at);
            case OptimiserOps o -> OptimiserCpu.task(pool, simd, o, this::at);
            case ActivationOps o -> ActivationCpu.task(pool, simd, o, this::at);
            case LayerNormOps o -> LayerNormCpu.task(pool, simd, o, this::at);
            case PartOps o -> PartCpu.task(pool, o, this::at);
            case HeadOps o -> HeadCpu.task(pool, simd, o, this::at);
            case DisentangledOps o -> DisentangledCpu.task(pool, simd, o, this::at);
        };
    }
}
