package dev.gyre.kernels.cpu;

import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.OpTime;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.OptimiserOps;
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

/// Storage and ready-to-run tasks of some programs. Every operation is turned into a task once, here; a run walks
/// through an array of them.
final class CpuSession implements Session {
    /// @param calls runs of each task while the session measured
    /// @param nanos what they took
    private record Compiled(Runnable[] tasks, List<Slot> weights, long[] calls, long[] nanos) {
    }

    private final Cpu cpu;
    private final Simd simd;
    private final MemoryPlan plan;
    private final float[][] slabs;
    private final Map<Buf, Slot> slots = new IdentityHashMap<>();
    private final Map<Program, Compiled> compiled = new IdentityHashMap<>();
    private final List<Program> programs;
    private boolean timing;

    CpuSession(List<Program> programs, int threads, Simd simd) {
        this.programs = programs;
        this.simd = simd;
        this.plan = MemoryPlan.of(programs);
        this.slabs = allocate(plan);
        for (Buf b : plan.persistent())
            slots.put(b, slot(b));
        this.cpu = new Cpu(threads);
        for (Program p : programs) {
            Runnable[] tasks = new Runnable[p.ops().size()];
            for (int i = 0; i < tasks.length;)
                i = task(p.ops(), i, tasks);
            List<Slot> weights = new ArrayList<>();
            for (Buf b : p.roots())
                if (b.role() == Buf.Role.WEIGHT)
                    weights.add(slots.get(b));
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

    private static Slot slot(Buf b) {
        if (b.role() == Buf.Role.WEIGHT)
            return new Slot(b);
        try {
            return b.dtype() == DType.I32 ? new Slot(b, new int[b.length()]) : new Slot(b, new float[b.length()]);
        } catch (OutOfMemoryError e) {
            throw new OutOfMemoryError(
                    b + " needs " + MemoryPlan.mib(b.dtype().bytes(b.size())) + ", the Java heap has "
                            + MemoryPlan.mib(Runtime.getRuntime().maxMemory()) + " in all");
        }
    }

    private View at(Buf b) {
        Buf root = b.root();
        if (root.role() == Buf.Role.ACTIVATION) {
            if (root.dtype() != DType.F32)
                throw new IllegalArgumentException(root + ": activations are F32");
            MemoryPlan.Place p = plan.place(root);
            Slot s = slots.computeIfAbsent(root, r -> new Slot(r, slabs[p.slab()]));
            return new View(s, Math.toIntExact(p.offset() + b.offset()), b.length(), b);
        }
        Slot s = slots.get(root);
        if (s == null)
            throw new IllegalArgumentException(b + " belongs to none of the session's programs");
        return new View(s, Math.toIntExact(b.offset()), b.length(), b);
    }

    private @Nullable View opt(@Nullable Buf b) {
        return b == null ? null : at(b);
    }

    @Override
    public void bind(Buf weight, HostData data) {
        if (weight.role() != Buf.Role.WEIGHT || weight.isView())
            throw new IllegalArgumentException("bind: " + weight + " is "
                    + (weight.isView() ? "a view; bind its root " + weight.root() : "no weight but " + weight.role()));
        if (data.dtype() != weight.dtype() || data.size() != weight.size())
            throw new IllegalArgumentException(
                    "bind: " + weight + " cannot take " + data.size() + " numbers of " + data.dtype());
        if (weight.size() > Integer.MAX_VALUE)
            throw new IllegalArgumentException("bind: " + weight + " exceeds 2^31 - 1 elements");
        at(weight).slot().bind(data);
    }

    private View host(String what, Buf b, DType dtype, int given) {
        if (b.role() == Buf.Role.WEIGHT || b.role() == Buf.Role.ACTIVATION)
            throw new IllegalArgumentException(what + ": " + b + " is of role " + b.role()
                    + (b.role() == Buf.Role.WEIGHT ? "; use bind" : ", which has no place outside a run"));
        if (b.dtype() != dtype)
            throw new IllegalArgumentException(what + ": " + b + " is not " + dtype);
        if (b.size() != given)
            throw new IllegalArgumentException(
                    what + ": " + b + " has " + b.size() + " elements, the array has " + given);
        return at(b);
    }

    @Override
    public void write(Buf buf, float[] values) {
        View v = host("write", buf, DType.F32, values.length);
        System.arraycopy(values, 0, v.f(), v.off(), values.length);
    }

    @Override
    public void write(Buf buf, int[] values) {
        View v = host("write", buf, DType.I32, values.length);
        System.arraycopy(values, 0, v.i(), v.off(), values.length);
    }

    @Override
    public void read(Buf buf, float[] into) {
        View v = host("read", buf, DType.F32, into.length);
        System.arraycopy(v.f(), v.off(), into, 0, into.length);
    }

    @Override
    public void run(Program program) {
        Compiled c = compiled.get(program);
        if (c == null)
            throw new IllegalArgumentException(program + " is not one of the session's programs");
        for (Slot s : c.weights)
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

    private static boolean finite(View v) {
        for (int i = v.off(); i < v.off() + v.length(); i++)
            if (!Float.isFinite(v.f()[i]))
                return false;
        return true;
    }

    @Override
    public long bytes() {
        long bytes = plan.arenaBytes() + cpu.scratchBytes();
        for (Buf b : plan.persistent()) {
            Slot s = slots.get(b);
            if (s != null)
                bytes += s.bytes();
        }
        return bytes;
    }

    @Override
    public void close() {
        cpu.close();
    }

    /// The task of operation i, or of it and the products after it that only add to its result, which then have nothing left to
    /// do; gives the operation after them.
    private int task(List<Op> ops, int i, Runnable[] tasks) {
        int end = i + 1;
        if (ops.get(i) instanceof ProductOps.MatMul first)
            while (end < ops.size() && ops.get(end) instanceof ProductOps.MatMul next && ProductCpu.joins(first, next))
                end++;
        if (end == i + 1) {
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
        tasks[i] = new PackedProduct(cpu, simd, terms, at(((ProductOps.MatMul) ops.get(i)).c()));
        return end;
    }

    private Runnable task(Op op) {
        return switch (op) {
            case ElementOps.Fill o -> ElementCpu.fill(cpu, o, at(o.x()));
            case ElementOps.Copy o -> ElementCpu.copy(cpu, at(o.x()), at(o.y()));
            case ElementOps.Add o -> ElementCpu.add(cpu, simd, at(o.x()), at(o.y()), at(o.out()));
            case ElementOps.Axpy o -> ElementCpu.axpy(cpu, simd, o.a(), at(o.x()), at(o.y()));
            case TokenOps.Embed o -> Embeddings.embed(cpu, simd, o, at(o.ids()), at(o.table()), at(o.out()));
            case TokenOps.EmbedGrad o -> Embeddings.embedGrad(cpu, simd, o, at(o.ids()), at(o.dOut()), at(o.dTable()));
            case NormOps.RmsNorm o ->
                    NormCpu.rmsNorm(cpu, simd, o, at(o.x()), at(o.weight()), at(o.y()), at(o.rstd()));
            case NormOps.RmsNormGrad o -> NormCpu.rmsNormGrad(cpu, simd, o, at(o.x()), at(o.weight()), at(o.rstd()),
                    at(o.dY()), at(o.dX()));
            case NormOps.RmsNormWeightGrad o ->
                    NormCpu.weightGrad(cpu, simd, o, at(o.x()), at(o.rstd()), at(o.dY()), at(o.dWeight()));
            case ProductOps.MatMul o -> ProductCpu.matMul(cpu, simd, o, at(o.a()), at(o.b()), at(o.c()));
            case ColumnOps.AddBias o -> ColumnCpu.addBias(cpu, simd, o, at(o.y()), at(o.bias()));
            case ColumnOps.BiasGrad o -> ColumnCpu.biasGrad(cpu, simd, o, at(o.dY()), at(o.dBias()));
            case RopeOps.Rope o ->
                    AttentionCpu.rope(cpu, simd, o, at(o.x()), at(o.cos()), at(o.sin()), at(o.positions()));
            case AttentionOps.Attention o ->
                    AttentionCpu.attention(cpu, simd, o, at(o.q()), at(o.k()), at(o.v()), at(o.start()),
                            at(o.out()), at(o.lse()));
            case AttentionOps.AttentionGrad o -> AttentionCpu.attentionGrad(cpu, simd, o, at(o.q()), at(o.k()),
                    at(o.v()),
                    at(o.start()), at(o.out()), at(o.lse()), at(o.dOut()), at(o.delta()), at(o.dQ()), at(o.dK()),
                    at(o.dV()));
            case AttentionOps.CacheStore o ->
                    AttentionCpu.cacheStore(o, at(o.k()), at(o.v()), at(o.kCache()), at(o.vCache()), at(o.start()));
            case AttentionOps.CachedAttention o -> AttentionCpu.cachedAttention(cpu, simd, o, at(o.q()), at(o.kCache()),
                    at(o.vCache()), at(o.start()), at(o.out()));
            case ElementOps.SwiGlu o -> ElementCpu.swiGlu(cpu, simd, at(o.gate()), at(o.up()), at(o.out()));
            case ElementOps.SwiGluGrad o -> ElementCpu.swiGluGrad(cpu, simd, at(o.gate()), at(o.up()), at(o.dOut()),
                    at(o.dGate()), at(o.dUp()));
            case TokenOps.CrossEntropy o ->
                    Losses.crossEntropy(cpu, simd, o, at(o.logits()), at(o.labels()), at(o.rowLoss()), at(o.scale()));
            case CayleyOps.Cayley o -> CayleyCpu.cayley(cpu, simd, o, at(o.v()), at(o.r()));
            case CayleyOps.CayleyGrad o -> CayleyCpu.cayleyGrad(cpu, simd, o, at(o.v()), at(o.dR()), at(o.dV()));
            case CayleyOps.CoftProject o -> CayleyCpu.coftProject(o, at(o.v()));
            case RotateOps.BlockRotate o -> RotateCpu.rotate(cpu, simd, o, at(o.x()), at(o.r()), at(o.y()));
            case RotateOps.BlockRotateGrad o -> RotateCpu.rotateGrad(cpu, simd, o, at(o.x()), at(o.dY()), at(o.dR()));
            case ProductOps.Decode o -> ProductCpu.decode(cpu, simd, at(o.w()), at(o.y()));
            case RotateOps.BlockDiagonal o -> RotateCpu.blockDiagonal(cpu, o, at(o.r()), at(o.dense()));
            case RotateOps.BlockDiagonalGrad o -> RotateCpu.blockDiagonalGrad(o, at(o.dDense()), at(o.dR()));
            case CayleyOps.MaskBlocks o -> RotateCpu.maskBlocks(o, at(o.r()), at(o.mask()));
            case ElementOps.Dropout o -> ElementCpu.dropout(cpu, simd, o, at(o.x()), at(o.seed()), at(o.y()));
            case ColumnOps.ScaleColumns o -> ColumnCpu.scaleColumns(cpu, simd, o, at(o.x()), at(o.s()), at(o.y()));
            case ColumnOps.ColumnDot o -> ColumnCpu.columnDot(cpu, simd, o, at(o.x()), at(o.y()), at(o.out()));
            case ColumnOps.PermuteColumns o -> ColumnCpu.permute(cpu, o, at(o.x()), at(o.perm()), at(o.y()));
            case SubspaceOps.PsoftCore o -> CayleyCpu.psoftCore(o, at(o.R()), opt(o.va()), opt(o.vb()), at(o.core()));
            case SubspaceOps.PsoftCoreGrad o ->
                    CayleyCpu.psoftCoreGrad(o, at(o.R()), opt(o.va()), opt(o.vb()), at(o.dCore()),
                            at(o.dR()), opt(o.dVa()), opt(o.dVb()));
            case GivensOps.GivensAngles o -> GivensCpu.angles(o, at(o.phi()), at(o.g()));
            case GivensOps.GivensAnglesGrad o -> GivensCpu.anglesGrad(o, at(o.phi()), at(o.dG()), at(o.dPhi()));
            case GivensOps.GivensSweep o -> GivensCpu.sweep(cpu, simd, o, at(o.x()), at(o.g()), at(o.y()));
            case GivensOps.GivensSweepGrad o ->
                    GivensCpu.sweepGrad(cpu, simd, o, at(o.x()), at(o.g()), at(o.dY()), at(o.dX()), at(o.dG()));
            case GivensOps.GivensPenalty o -> GivensCpu.penalty(o, at(o.g()), at(o.dG()), at(o.loss()));
            case ReflectOps.HouseholderVectors o -> ReflectCpu.vectors(o, at(o.p()), at(o.u()));
            case ReflectOps.HouseholderVectorsGrad o ->
                    ReflectCpu.vectorsGrad(o, at(o.p()), at(o.u()), at(o.dU()), at(o.dP()));
            case ReflectOps.Householder o -> ReflectCpu.reflect(cpu, simd, o, at(o.x()), at(o.u()), at(o.y()));
            case ReflectOps.HouseholderGrad o ->
                    ReflectCpu.reflectGrad(cpu, simd, o, at(o.x()), at(o.u()), at(o.dY()), at(o.dX()), at(o.dU()));
            case OptimiserOps.GradNorm o -> OptimiserCpu.gradNorm(cpu, simd, at(o.grad()), at(o.norm()));
            case OptimiserOps.AdamW o ->
                    OptimiserCpu.adamW(cpu, simd, o, at(o.param()), at(o.grad()), at(o.m()), at(o.v()),
                            at(o.hp()), at(o.norm()));
        };
    }
}
