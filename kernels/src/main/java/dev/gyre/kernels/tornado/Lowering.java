package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TiledMatMulKernels.SIDE;
import static dev.gyre.kernels.tornado.TiledMatMulKernels.TILE;

import dev.gyre.kernels.Buf;
import dev.gyre.kernels.DType;
import dev.gyre.kernels.Givens;
import dev.gyre.kernels.Op;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.DeviceMemory.Nf4;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import java.util.List;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Turns the operations of a program into tasks, one `case` each.
final class Lowering {
    /// Parts of a two-stage sum over rows; enough to fill a device, few enough to add up at once.
    private static final int ROW_PARTS = 32;
    /// Parts of a two-stage sum over all elements.
    private static final int SUM_PARTS = 1024;

    private final TaskGraphs tasks;
    private final DeviceMemory memory;
    private final boolean workGroups;

    private Lowering(TaskGraphs tasks, DeviceMemory memory, boolean workGroups) {
        this.tasks = tasks;
        this.memory = memory;
        this.workGroups = workGroups;
    }

    /// @param workGroups whether to take the kernels that share local memory in work groups, where there are any
    static void lower(Program program, TaskGraphs tasks, DeviceMemory memory, boolean workGroups) {
        Lowering l = new Lowering(tasks, memory, workGroups);
        int i = 0;
        for (Op op : program.ops()) {
            tasks.operation(op, i++);
            l.lower(op);
            memory.freeScratch();
        }
    }

    private TaskGraph g() {
        return tasks.graph();
    }

    private String id(String kernel) {
        return tasks.id(kernel);
    }

    private Floats f(Buf b) {
        return memory.floats(b);
    }

    private Ints i(Buf b) {
        return memory.ints(b);
    }

    private static int flag(boolean b) {
        return b ? 1 : 0;
    }

    /// 1 / (1 - p) for the p that was written, 0.9 and not the float next to it.
    private static float inverseKeep(float p) {
        return (float) (1 / (1 - Double.parseDouble(Float.toString(p))));
    }

    private static int rowParts(int N) {
        return Math.clamp(N / 8, 1, ROW_PARTS);
    }

    private static int sumParts(long n) {
        return Math.clamp(n / 16, 1, SUM_PARTS);
    }

    private void lower(Op op) {
        switch (op) {
            case Op.Fill o -> fill(f(o.x()), o.x().length(), o.value());
            case Op.Copy o -> copy(f(o.x()), f(o.y()), o.x().length());
            case Op.Add o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                Floats out = f(o.out());
                g().task(id("add"), ElementKernels::add, x.array(), x.at(), y.array(), y.at(), out.array(), out.at(),
                        o.x().length());
            }
            case Op.Axpy o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                g().task(id("axpy"), ElementKernels::axpy, o.a(), x.array(), x.at(), y.array(), y.at(), o.x().length());
            }
            case Op.Embed o -> embed(o);
            case Op.EmbedGrad o -> {
                Ints ids = i(o.ids());
                Floats dOut = f(o.dOut());
                Floats dTable = f(o.dTable());
                g().task(id("embedGrad"), TokenKernels::embedGrad, ids.array(), ids.at(), dOut.array(), dOut.at(),
                        dTable.array(), dTable.at(), o.N(), o.C());
            }
            case Op.RmsNorm o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                Floats y = f(o.y());
                if (workGroups) {
                    TaskGraph graph = g();
                    graph.task(rows("inverseRmsOfRow", o.N()), RowKernels::inverseRmsOfRow, new KernelContext(),
                            x.array(),
                            x.at(), rstd.array(), rstd.at(), o.C(), o.eps());
                } else
                    g().task(id("inverseRms"), NormKernels::inverseRms, x.array(), x.at(), rstd.array(), rstd.at(),
                            o.N(), o.C(), o.eps());
                g().task(id("normalise"), NormKernels::normalise, x.array(), x.at(), rstd.array(), rstd.at(), w.array(),
                        w.at(), y.array(), y.at(), o.N(), o.C());
            }
            case Op.RmsNormGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                Floats dY = f(o.dY());
                Floats dX = f(o.dX());
                FloatArray mean = memory.scratch(o.N());
                if (workGroups) {
                    TaskGraph graph = g();
                    graph.task(rows("meanOfRowProduct", o.N()), RowKernels::meanOfRowProduct, new KernelContext(),
                            x.array(), x.at(), w.array(), w.at(), dY.array(), dY.at(), mean, o.C());
                } else
                    g().task(id("meanOfProduct"), NormKernels::meanOfProduct, x.array(), x.at(), w.array(), w.at(),
                            dY.array(), dY.at(), mean, o.N(), o.C());
                g().task(id("normaliseGrad"), NormKernels::normaliseGrad, x.array(), x.at(), rstd.array(), rstd.at(),
                        w.array(), w.at(), dY.array(), dY.at(), mean, dX.array(), dX.at(), o.N(), o.C(),
                        flag(o.accumulate()));
            }
            case Op.RmsNormWeightGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                g().task(id("weightGradParts"), NormKernels::weightGradParts, x.array(), x.at(), rstd.array(),
                        rstd.at(),
                        dY.array(), dY.at(), partial, o.N(), o.C(), parts);
                addParts(partial, f(o.dWeight()), o.C(), parts, true);
            }
            case Op.MatMul o -> {
                if (workGroups && o.M() >= SIDE && o.N() >= SIDE)
                    tiledMatMul(o);
                else
                    matMul(o);
            }
            case Op.AddBias o -> {
                Floats y = f(o.y());
                Floats bias = f(o.bias());
                g().task(id("addBias"), ElementKernels::addBias, y.array(), y.at(), bias.array(), bias.at(), o.N(),
                        o.C());
            }
            case Op.BiasGrad o -> {
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                g().task(id("columnParts"), ReduceKernels::columnParts, dY.array(), dY.at(), partial, o.N(), o.C(),
                        parts);
                addParts(partial, f(o.dBias()), o.C(), parts, true);
            }
            case Op.Rope o -> {
                Floats x = f(o.x());
                Floats cos = f(o.cos());
                Floats sin = f(o.sin());
                Ints p = i(o.positions());
                g().task(id("rope"), TokenKernels::rope, x.array(), x.at(), cos.array(), cos.at(), sin.array(),
                        sin.at(),
                        p.array(), p.at(), o.N(), o.heads(), o.D(), o.inverse() ? -1f : 1f);
            }
            case Op.Attention o -> {
                Floats q = f(o.q());
                Floats k = f(o.k());
                Floats v = f(o.v());
                Ints start = i(o.start());
                Floats out = f(o.out());
                Floats lse = f(o.lse());
                IntArray at = memory.constants(q.at(), k.at(), v.at(), start.at(), out.at(), lse.at());
                g().task(id("attend"), AttentionKernels::attend, q.array(), k.array(), v.array(), start.array(),
                        out.array(), lse.array(), at, o.B() * o.T(), o.T(), o.H(), o.KV(), o.D(), o.scale(),
                        o.window());
            }
            case Op.AttentionGrad o -> attentionGrad(o);
            case Op.CacheStore o -> {
                Ints start = i(o.start());
                cacheRows(f(o.k()), f(o.kCache()), start, o.T(), o.C());
                cacheRows(f(o.v()), f(o.vCache()), start, o.T(), o.C());
            }
            case Op.CachedAttention o -> {
                Floats q = f(o.q());
                Floats k = f(o.kCache());
                Floats v = f(o.vCache());
                Ints start = i(o.start());
                Floats out = f(o.out());
                IntArray at = memory.constants(q.at(), k.at(), v.at(), start.at(), out.at());
                g().task(id("attendCache"), AttentionKernels::attendCache, q.array(), k.array(), v.array(),
                        start.array(), out.array(), at, o.T(), o.H(), o.KV(), o.D(), o.scale(), o.window());
            }
            case Op.SwiGlu o -> {
                Floats gate = f(o.gate());
                Floats up = f(o.up());
                Floats out = f(o.out());
                g().task(id("swiGlu"), ElementKernels::swiGlu, gate.array(), gate.at(), up.array(), up.at(),
                        out.array(),
                        out.at(), o.gate().length());
            }
            case Op.SwiGluGrad o -> swiGluGrad(o);
            case Op.CrossEntropy o -> {
                Floats logits = f(o.logits());
                Ints labels = i(o.labels());
                Floats loss = f(o.rowLoss());
                FloatArray lse = memory.scratch(o.N());
                if (workGroups) {
                    TaskGraph graph = g();
                    graph.task(rows("lossOfRow", o.N()), RowKernels::lossOfRow, new KernelContext(), logits.array(),
                            logits.at(), labels.array(), labels.at(), loss.array(), loss.at(), lse, o.V(),
                            Op.CrossEntropy.IGNORE);
                } else
                    g().task(id("lossOfRows"), TokenKernels::lossOfRows, logits.array(), logits.at(), labels.array(),
                            labels.at(), loss.array(), loss.at(), lse, o.N(), o.V(), Op.CrossEntropy.IGNORE);
                if (o.gradient()) {
                    Floats scale = f(o.scale());
                    g().task(id("lossGrad"), TokenKernels::lossGrad, logits.array(), logits.at(), labels.array(),
                            labels.at(), lse, scale.array(), scale.at(), o.N(), o.V(), Op.CrossEntropy.IGNORE);
                }
            }
            case Op.Cayley o -> CayleyTasks.rotation(tasks, memory, o);
            case Op.CayleyGrad o -> CayleyTasks.gradient(tasks, memory, o);
            case Op.CoftProject o -> {
                Floats v = f(o.v());
                g().task(id("coftProject"), CayleyKernels::coftProject, v.array(), v.at(), o.blocks(),
                        o.b() * (o.b() - 1) / 2, o.limit());
            }
            case Op.BlockRotate o -> {
                Floats x = f(o.x());
                Floats r = f(o.r());
                Floats y = f(o.y());
                if (o.transpose())
                    g().task(id("blockRotateBack"), RotateKernels::blockRotateBack, x.array(), x.at(), r.array(),
                            r.at(),
                            y.array(), y.at(), o.N(), o.d(), o.b(), o.stored(), flag(o.accumulate()));
                else
                    g().task(id("blockRotate"), RotateKernels::blockRotate, x.array(), x.at(), r.array(), r.at(),
                            y.array(), y.at(), o.N(), o.d(), o.b(), o.stored(), flag(o.accumulate()));
            }
            case Op.BlockRotateGrad o -> {
                Floats x = f(o.x());
                Floats dY = f(o.dY());
                boolean shared = o.stored() == 1 && o.d() > o.b();
                Floats dR = shared ? new Floats(memory.scratch((long) o.d() * o.b()), 0) : f(o.dR());
                g().task(id("blockRotateGrad"), RotateKernels::blockRotateGrad, x.array(), x.at(), dY.array(), dY.at(),
                        dR.array(), dR.at(), o.N(), o.d(), o.b());
                if (shared)
                    addParts(dR.array(), f(o.dR()), o.b() * o.b(), o.d() / o.b(), false);
            }
            case Op.Decode o -> decode(o);
            case Op.BlockDiagonal o -> {
                Floats r = f(o.r());
                Floats dense = f(o.dense());
                g().task(id("blockDiagonal"), RotateKernels::blockDiagonal, r.array(), r.at(), dense.array(),
                        dense.at(),
                        o.d(), o.b(), o.stored());
            }
            case Op.BlockDiagonalGrad o -> {
                Floats dDense = f(o.dDense());
                Floats dR = f(o.dR());
                g().task(id("blockDiagonalGrad"), RotateKernels::blockDiagonalGrad, dDense.array(), dDense.at(),
                        dR.array(), dR.at(), o.d(), o.b(), o.stored());
            }
            case Op.MaskBlocks o -> {
                Floats r = f(o.r());
                Ints mask = i(o.mask());
                g().task(id("maskBlocks"), RotateKernels::maskBlocks, r.array(), r.at(), mask.array(), mask.at(),
                        o.blocks(), o.b(), flag(o.identity()));
            }
            case Op.Dropout o -> {
                Floats x = f(o.x());
                Ints seed = i(o.seed());
                Floats y = f(o.y());
                g().task(id("dropout"), ElementKernels::dropout, x.array(), x.at(), seed.array(), seed.at(), y.array(),
                        y.at(), o.x().length(), o.salt(), o.p(), inverseKeep(o.p()), flag(o.accumulate()));
            }
            case Op.ScaleColumns o -> {
                Floats x = f(o.x());
                Floats s = f(o.s());
                Floats y = f(o.y());
                if (o.y() == o.x())
                    g().task(id("scaleColumnsInPlace"), ElementKernels::scaleColumnsInPlace, x.array(), x.at(),
                            s.array(), s.at(), o.N(), o.C());
                else
                    g().task(id("scaleColumns"), ElementKernels::scaleColumns, x.array(), x.at(), s.array(), s.at(),
                            y.array(), y.at(), o.N(), o.C());
            }
            case Op.ColumnDot o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                g().task(id("columnProductParts"), ReduceKernels::columnProductParts, x.array(), x.at(), y.array(),
                        y.at(), partial, o.N(), o.C(), parts);
                addParts(partial, f(o.out()), o.C(), parts, true);
            }
            case Op.PermuteColumns o -> {
                Floats x = f(o.x());
                Ints perm = i(o.perm());
                Floats y = f(o.y());
                g().task(id("permuteColumns"), ElementKernels::permuteColumns, x.array(), x.at(), perm.array(),
                        perm.at(),
                        y.array(), y.at(), o.N(), o.C());
            }
            case Op.PsoftCore o -> {
                Floats r = f(o.R());
                Floats va = orR(o.va(), r);
                Floats vb = orR(o.vb(), r);
                Floats core = f(o.core());
                g().task(id("psoftCore"), FeatureKernels::psoftCore, r.array(), r.at(), va.array(), va.at(), vb.array(),
                        vb.at(), core.array(), core.at(), o.r(), flag(o.va() != null), flag(o.vb() != null));
            }
            case Op.PsoftCoreGrad o -> psoftCoreGrad(o);
            case Op.GivensAngles o -> {
                Floats phi = f(o.phi());
                Floats m = f(o.g());
                g().task(id("givensAngles"), FeatureKernels::givensAngles, phi.array(), phi.at(), m.array(), m.at(),
                        o.n());
            }
            case Op.GivensAnglesGrad o -> {
                Floats phi = f(o.phi());
                Floats dG = f(o.dG());
                Floats dPhi = f(o.dPhi());
                g().task(id("givensAnglesGrad"), FeatureKernels::givensAnglesGrad, phi.array(), phi.at(), dG.array(),
                        dG.at(), dPhi.array(), dPhi.at(), o.n());
            }
            case Op.GivensSweep o -> {
                copy(f(o.x()), f(o.y()), o.x().length());
                sweep(f(o.y()), f(o.g()), o.N(), o.d(), 0);
            }
            case Op.GivensSweepGrad o -> givensSweepGrad(o);
            case Op.GivensPenalty o -> {
                Floats m = f(o.g());
                Floats dG = f(o.dG());
                Floats loss = f(o.loss());
                int parts = sumParts(o.n());
                FloatArray partial = memory.scratch(parts);
                g().task(id("givensPenaltyParts"), FeatureKernels::givensPenaltyParts, m.array(), m.at(), partial,
                        o.n(),
                        parts);
                g().task(id("scaledSum"), FeatureKernels::scaledSum, partial, loss.array(), loss.at(), parts,
                        o.lambda());
                g().task(id("givensPenaltyGrad"), FeatureKernels::givensPenaltyGrad, m.array(), m.at(), dG.array(),
                        dG.at(), o.n(), o.lambda());
            }
            case Op.HouseholderVectors o -> {
                Floats p = f(o.p());
                Floats u = f(o.u());
                if (o.gramSchmidt())
                    g().task(id("gramSchmidt"), FeatureKernels::gramSchmidt, p.array(), p.at(), u.array(), u.at(),
                            o.d(),
                            o.r());
                else
                    g().task(id("unitVectors"), FeatureKernels::unitVectors, p.array(), p.at(), u.array(), u.at(),
                            o.d(),
                            o.r());
            }
            case Op.HouseholderVectorsGrad o -> householderVectorsGrad(o);
            case Op.Householder o -> householder(o);
            case Op.HouseholderGrad o -> householderGrad(o);
            case Op.GradNorm o -> {
                Floats x = f(o.grad());
                Floats norm = f(o.norm());
                int n = o.grad().length();
                int parts = sumParts(n);
                FloatArray partial = memory.scratch(parts);
                g().task(id("squareParts"), OptimiserKernels::squareParts, x.array(), x.at(), partial, n, parts);
                g().task(id("rootOfParts"), OptimiserKernels::rootOfParts, partial, norm.array(), norm.at(), parts);
            }
            case Op.AdamW o -> {
                Floats p = f(o.param());
                Floats grad = f(o.grad());
                Floats m = f(o.m());
                Floats v = f(o.v());
                Floats hp = f(o.hp());
                Floats norm = f(o.norm());
                g().task(id("adamW"), OptimiserKernels::adamW, p.array(), p.at(), grad.array(), grad.at(), m.array(),
                        m.at(), v.array(), v.at(), hp.array(), hp.at(), norm.array(), norm.at(), o.param().length(),
                        flag(o.decay()));
            }
        }
    }

    /// A task name with a work group for each of `n` rows.
    private String rows(String kernel, int n) {
        return tasks.grid(id(kernel), n * RowKernels.GROUP, 1, RowKernels.GROUP, 1);
    }

    private void fill(Floats x, int n, float value) {
        g().task(id("fillWith"), ElementKernels::fillWith, x.array(), x.at(), n, value);
    }

    private void copy(Floats x, Floats y, int n) {
        g().task(id("copyTo"), ElementKernels::copyTo, x.array(), x.at(), y.array(), y.at(), n);
    }

    private void addParts(FloatArray partial, Floats out, int C, int parts, boolean accumulate) {
        g().task(id("addParts"), ReduceKernels::addParts, partial, out.array(), out.at(), C, parts, flag(accumulate));
    }

    private void embed(Op.Embed o) {
        Ints ids = i(o.ids());
        Floats out = f(o.out());
        if (o.table().dtype() == DType.BF16) {
            Shorts t = memory.shorts(o.table());
            g().task(id("embedBf16"), TokenKernels::embedBf16, ids.array(), ids.at(), t.array(), t.at(),
                    memory.powers(),
                    out.array(), out.at(), o.N(), o.C());
        } else {
            Floats t = f(o.table());
            g().task(id("embed"), TokenKernels::embed, ids.array(), ids.at(), t.array(), t.at(), out.array(), out.at(),
                    o.N(), o.C());
        }
    }

    private void matMul(Op.MatMul o) {
        Floats a = f(o.a());
        Floats c = f(o.c());
        int add = flag(o.accumulate());
        switch (o.b().dtype()) {
            case F32 -> {
                Floats b = f(o.b());
                switch (o.form()) {
                    case NN -> g().task(id("nn"), MatMulKernels::nn, a.array(), a.at(), b.array(), b.at(), c.array(),
                            c.at(), o.M(), o.N(), o.K(), o.alpha(), add);
                    case NT -> g().task(id("nt"), MatMulKernels::nt, a.array(), a.at(), b.array(), b.at(), c.array(),
                            c.at(), o.M(), o.N(), o.K(), o.alpha(), add);
                    case TN -> g().task(id("tn"), MatMulKernels::tn, a.array(), a.at(), b.array(), b.at(), c.array(),
                            c.at(), o.M(), o.N(), o.K(), o.alpha(), add);
                }
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                if (o.form() == Op.MatMul.Form.NN)
                    g().task(id("nnBf16"), MatMulKernels::nnBf16, a.array(), a.at(), b.array(), b.at(), memory.powers(),
                            c.array(), c.at(), o.M(), o.N(), o.K(), o.alpha(), add);
                else
                    g().task(id("ntBf16"), MatMulKernels::ntBf16, a.array(), a.at(), b.array(), b.at(), memory.powers(),
                            c.array(), c.at(), o.M(), o.N(), o.K(), o.alpha(), add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                if (o.form() == Op.MatMul.Form.NN)
                    g().task(id("nnNf4"), MatMulKernels::nnNf4, a.array(), a.at(), b.codes(), b.book(), b.maxima(),
                            b.maximaCodes(), b.map(), c.array(), c.at(), o.M(), o.N(), o.K(), o.alpha(), add,
                            b.block(), b.nested(), b.offset());
                else
                    g().task(id("ntNf4"), MatMulKernels::ntNf4, a.array(), a.at(), b.codes(), b.book(), b.maxima(),
                            b.maximaCodes(), b.map(), c.array(), c.at(), o.M(), o.N(), o.K(), o.alpha(), add,
                            b.block(), b.nested(), b.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.b() + " cannot be a factor of a matrix product");
        }
    }

    private void tiledMatMul(Op.MatMul o) {
        Floats a = f(o.a());
        Floats c = f(o.c());
        int add = flag(o.accumulate());
        int groupsX = Math.ceilDiv(o.N(), TILE);
        int groupsY = Math.ceilDiv(o.M(), TILE);
        TaskGraph graph = g();
        String id = tasks.grid(id("tiled"), groupsX * SIDE, groupsY * SIDE, SIDE, SIDE);
        boolean nt = o.form() == Op.MatMul.Form.NT;
        boolean tn = o.form() == Op.MatMul.Form.TN;
        int bRow = nt ? 1 : o.N();
        int bStep = nt ? o.K() : 1;
        KernelContext context = new KernelContext();
        switch (o.b().dtype()) {
            case F32 -> {
                Floats b = f(o.b());
                graph.task(id, TiledMatMulKernels::tiled, context, a.array(), a.at(), b.array(), b.at(), c.array(),
                        c.at(),
                        o.M(), o.N(), o.K(), tn ? 1 : o.K(), tn ? o.M() : 1, bRow, bStep, o.alpha(), add);
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                graph.task(id, TiledMatMulKernels::tiledBf16, context, a.array(), a.at(), b.array(), b.at(),
                        memory.powers(), c.array(), c.at(), o.M(), o.N(), o.K(), bRow, bStep, o.alpha(), add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                graph.task(id, TiledMatMulKernels::tiledNf4, context, a.array(), a.at(), b.codes(), b.book(),
                        b.maxima(),
                        b.maximaCodes(), b.map(), c.array(), c.at(), o.M(), o.N(), o.K(), flag(nt), o.alpha(), add,
                        b.block(), b.nested(), b.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.b() + " cannot be a factor of a matrix product");
        }
    }

    private void decode(Op.Decode o) {
        Floats y = f(o.y());
        int n = o.y().length();
        switch (o.w().dtype()) {
            case F32 -> copy(f(o.w()), y, n);
            case BF16 -> {
                Shorts w = memory.shorts(o.w());
                g().task(id("decodeBf16"), MatMulKernels::decodeBf16, w.array(), w.at(), memory.powers(), y.array(),
                        y.at(), n);
            }
            case NF4 -> {
                Nf4 w = memory.nf4(o.w());
                g().task(id("decodeNf4"), MatMulKernels::decodeNf4, w.codes(), w.book(), w.maxima(), w.maximaCodes(),
                        w.map(), y.array(), y.at(), n, w.block(), w.nested(), w.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.w() + " cannot be decoded");
        }
    }

    private void attentionGrad(Op.AttentionGrad o) {
        Floats q = f(o.q());
        Floats k = f(o.k());
        Floats v = f(o.v());
        Ints start = i(o.start());
        Floats out = f(o.out());
        Floats lse = f(o.lse());
        Floats dOut = f(o.dOut());
        Floats delta = f(o.delta());
        Floats dQ = f(o.dQ());
        Floats dK = f(o.dK());
        Floats dV = f(o.dV());
        int N = o.B() * o.T();
        g().task(id("outputDot"), AttentionKernels::outputDot, out.array(), out.at(), dOut.array(), dOut.at(),
                delta.array(), delta.at(), N * o.H(), o.D());
        IntArray atQ = memory.constants(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dQ.at());
        g().task(id("queryGrad"), AttentionKernels::queryGrad, q.array(), k.array(), v.array(), start.array(),
                lse.array(), dOut.array(), delta.array(), dQ.array(), atQ, N, o.T(), o.H(), o.KV(), o.D(), o.scale(),
                o.window());
        IntArray atK = memory.constants(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dK.at(),
                dV.at());
        g().task(id("keyValueGrad"), AttentionKernels::keyValueGrad, q.array(), k.array(), v.array(), start.array(),
                lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), atK, N, o.T(), o.H(), o.KV(), o.D(),
                o.scale(), o.window());
    }

    private void cacheRows(Floats x, Floats cache, Ints start, int T, int C) {
        g().task(id("cacheRows"), AttentionKernels::cacheRows, x.array(), x.at(), cache.array(), cache.at(),
                start.array(), start.at(), T, C);
    }

    /// A result that replaces its input alone, the other standing elsewhere, goes by way of a workspace.
    private void swiGluGrad(Op.SwiGluGrad o) {
        Floats gate = f(o.gate());
        Floats up = f(o.up());
        Floats dOut = f(o.dOut());
        int n = o.gate().length();
        boolean gateInPlace = o.dGate() == o.gate();
        boolean upInPlace = o.dUp() == o.up();
        if (gateInPlace && upInPlace) {
            g().task(id("swiGluGradInPlace"), ElementKernels::swiGluGradInPlace, gate.array(), gate.at(), up.array(),
                    up.at(), dOut.array(), dOut.at(), n);
            return;
        }
        Floats dGate = gateInPlace ? new Floats(memory.scratch(n), 0) : f(o.dGate());
        Floats dUp = upInPlace ? new Floats(memory.scratch(n), 0) : f(o.dUp());
        g().task(id("swiGluGrad"), ElementKernels::swiGluGrad, gate.array(), gate.at(), up.array(), up.at(),
                dOut.array(), dOut.at(), dGate.array(), dGate.at(), dUp.array(), dUp.at(), n);
        if (gateInPlace)
            copy(dGate, gate, n);
        if (upInPlace)
            copy(dUp, up, n);
    }

    /// The kernel does not look at a vector that is absent; it gets R in its place.
    private Floats orR(@Nullable Buf vector, Floats r) {
        return vector == null ? r : f(vector);
    }

    private void psoftCoreGrad(Op.PsoftCoreGrad o) {
        Floats r = f(o.R());
        Floats va = orR(o.va(), r);
        Floats vb = orR(o.vb(), r);
        Floats dCore = f(o.dCore());
        Floats dR = f(o.dR());
        int useA = flag(o.va() != null);
        int useB = flag(o.vb() != null);
        g().task(id("psoftRotationGrad"), FeatureKernels::psoftRotationGrad, dCore.array(), dCore.at(), va.array(),
                va.at(), vb.array(), vb.at(), dR.array(), dR.at(), o.r(), useA, useB);
        Buf dVa = o.dVa();
        if (dVa != null) {
            Floats d = f(dVa);
            g().task(id("psoftColumnGrad"), FeatureKernels::psoftColumnGrad, r.array(), r.at(), dCore.array(),
                    dCore.at(), vb.array(), vb.at(), d.array(), d.at(), o.r(), useB);
        }
        Buf dVb = o.dVb();
        if (dVb != null) {
            Floats d = f(dVb);
            g().task(id("psoftRowGrad"), FeatureKernels::psoftRowGrad, r.array(), r.at(), dCore.array(), dCore.at(),
                    va.array(), va.at(), d.array(), d.at(), o.r(), useA);
        }
    }

    private void stage(Floats x, Floats m, int N, int d, Givens.Stage s, boolean back) {
        if (back)
            g().task(id("givensStageBack"), FeatureKernels::givensStageBack, x.array(), x.at(), m.array(), m.at(), N, d,
                    s.stride(), s.pairs(), s.first());
        else
            g().task(id("givensStage"), FeatureKernels::givensStage, x.array(), x.at(), m.array(), m.at(), N, d,
                    s.stride(), s.pairs(), s.first());
    }

    /// The stages from the largest stride down to number `last`, in place.
    private void sweep(Floats x, Floats m, int N, int d, int last) {
        List<Givens.Stage> stages = Givens.stages(d);
        for (int s = stages.size() - 1; s >= last; s--)
            stage(x, m, N, d, stages.get(s), false);
    }

    /// Back through the stages, smallest stride first: their inputs come from the stage's output turned back, or, where the
    /// 2x2 matrices are no rotations, from the row's start once more (stages are few: log2 d).
    private void givensSweepGrad(Op.GivensSweepGrad o) {
        List<Givens.Stage> stages = Givens.stages(o.d());
        int n = o.x().length();
        Floats m = f(o.g());
        Floats dG = f(o.dG());
        Floats z = new Floats(memory.scratch(n), 0);
        Floats dZ = new Floats(memory.scratch(n), 0);
        copy(f(o.dY()), dZ, n);
        copy(f(o.x()), z, n);
        sweep(z, m, o.N(), o.d(), 0);
        for (int s = 0; s < stages.size(); s++) {
            Givens.Stage stage = stages.get(s);
            if (o.orthogonal())
                stage(z, m, o.N(), o.d(), stage, true);
            else {
                copy(f(o.x()), z, n);
                sweep(z, m, o.N(), o.d(), s + 1);
            }
            g().task(id("givensStageGrad"), FeatureKernels::givensStageGrad, z.array(), dZ.array(), dG.array(), dG.at(),
                    o.N(), o.d(), stage.stride(), stage.pairs(), stage.first());
            stage(dZ, m, o.N(), o.d(), stage, true);
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }

    private void into(Floats x, Floats y, int n, boolean accumulate) {
        if (accumulate)
            g().task(id("axpy"), ElementKernels::axpy, 1f, x.array(), x.at(), y.array(), y.at(), n);
        else
            copy(x, y, n);
    }

    private void householderVectorsGrad(Op.HouseholderVectorsGrad o) {
        Floats p = f(o.p());
        Floats u = f(o.u());
        Floats dU = f(o.dU());
        Floats dP = f(o.dP());
        if (!o.gramSchmidt()) {
            g().task(id("unitVectorsGrad"), FeatureKernels::unitVectorsGrad, p.array(), p.at(), u.array(), u.at(),
                    dU.array(), dU.at(), dP.array(), dP.at(), o.d(), o.r());
            return;
        }
        FloatArray upper = memory.scratch((long) o.r() * o.r());
        FloatArray inner = memory.scratch((long) o.r() * o.r());
        FloatArray solved = memory.scratch((long) o.r() * o.d());
        g().task(id("innerProducts"), FeatureKernels::innerProducts, u.array(), u.at(), p.array(), p.at(), upper, o.d(),
                o.r(), 1);
        g().task(id("innerProducts"), FeatureKernels::innerProducts, u.array(), u.at(), dU.array(), dU.at(), inner,
                o.d(), o.r(), 0);
        g().task(id("gramSchmidtGrad"), FeatureKernels::gramSchmidtGrad, u.array(), u.at(), dU.array(), dU.at(), upper,
                inner, solved, dP.array(), dP.at(), o.d(), o.r());
    }

    private void rowInner(Floats z, Floats u, int i, FloatArray along, int N, int d) {
        g().task(id("rowInner"), FeatureKernels::rowInner, z.array(), z.at(), u.array(), u.at() + i * d, along, N, d);
    }

    private void reflect(Floats z, Floats u, int i, FloatArray along, int N, int d) {
        g().task(id("reflect"), FeatureKernels::reflect, z.array(), z.at(), u.array(), u.at() + i * d, along, N, d);
    }

    private void householder(Op.Householder o) {
        reflections(f(o.x()), f(o.y()), f(o.u()), o.N(), o.d(), o.r());
    }

    private void reflections(Floats x, Floats y, Floats u, int N, int d, int r) {
        FloatArray along = memory.scratch(N);
        copy(x, y, N * d);
        for (int i = r - 1; i >= 0; i--) {
            rowInner(y, u, i, along, N, d);
            reflect(y, u, i, along, N, d);
        }
    }

    /// Back through the reflections, the last one first; a reflection is its own inverse, so its input is its output
    /// reflected.
    private void householderGrad(Op.HouseholderGrad o) {
        int n = o.N() * o.d();
        Floats u = f(o.u());
        Floats dU = f(o.dU());
        Floats z = new Floats(memory.scratch(n), 0);
        Floats dZ = new Floats(memory.scratch(n), 0);
        FloatArray alongZ = memory.scratch(o.N());
        FloatArray alongG = memory.scratch(o.N());
        reflections(f(o.x()), z, u, o.N(), o.d(), o.r());
        copy(f(o.dY()), dZ, n);
        for (int i = 0; i < o.r(); i++) {
            rowInner(z, u, i, alongZ, o.N(), o.d());
            reflect(z, u, i, alongZ, o.N(), o.d());
            rowInner(z, u, i, alongZ, o.N(), o.d());
            rowInner(dZ, u, i, alongG, o.N(), o.d());
            g().task(id("reflectionGrad"), FeatureKernels::reflectionGrad, z.array(), dZ.array(), alongZ, alongG,
                    dU.array(), dU.at() + i * o.d(), o.N(), o.d());
            reflect(dZ, u, i, alongG, o.N(), o.d());
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }
}
