package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;
import static dev.gyre.kernels.tornado.TiledMatMulKernels.SIDE;
import static dev.gyre.kernels.tornado.TiledMatMulKernels.TILE;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Givens;
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
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.DeviceMemory.Nf4;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// Turns the operations of a program into tasks, one `case` each.
final class Lowering {
    /// Parts of a two-stage sum over rows; enough to fill a device, few enough to add up at once.
    private static final int ROW_PARTS = 32;
    /// Parts of a two-stage sum over all elements.
    private static final int SUM_PARTS = 1024;
    /// Most work groups of a Givens sweep's gradient, each of which needs room for a gradient and a row's inputs.
    private static final int SWEEP_PARTS = 256;

    private final TaskGraphs tasks;
    private final DeviceMemory memory;
    private final boolean workGroups;
    private final @Nullable CuBlasTasks cuBlas;

    /// How to run programs on a device.
    ///
    /// @param workGroups by the kernels that share local memory in work groups, where there are any
    /// @param cuBlas by cuBLAS in this precision where matrix products are large, null for kernels of our own
    /// @param cudaGraphs each task graph recorded when it first runs, and from then on one launch
    record Choice(boolean workGroups, @Nullable Precision cuBlas, boolean cudaGraphs) {
    }

    private Lowering(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        this.tasks = tasks;
        this.memory = memory;
        this.workGroups = choice.workGroups();
        this.cuBlas = choice.cuBlas() == null ? null : new CuBlasTasks(tasks, memory, choice.cuBlas());
    }

    static void lower(Program program, TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        Lowering l = new Lowering(tasks, memory, choice);
        for (Op op : program.ops()) {
            tasks.operation(op);
            l.lower(op);
            memory.freeScratch();
        }
    }

    /// Where the buffers of a task begin in their arrays, in the order of the kernel's parameters.
    private IntArray at(int... offsets) {
        return memory.constants(offsets);
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

    private static int rowParts(int N) {
        return Math.clamp(N / 8, 1, ROW_PARTS);
    }

    private static int sumParts(long n) {
        return Math.clamp(n / 16, 1, SUM_PARTS);
    }

    private void lower(Op op) {
        switch (op) {
            case ElementOps.Fill o -> fill(f(o.x()), o.x().length(), (float) o.value());
            case ElementOps.Copy o -> copy(f(o.x()), f(o.y()), o.x().length());
            case ElementOps.Add o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                Floats out = f(o.out());
                tasks.task("add", items(o.x().length()), ElementKernels::add, x.array(), y.array(), out.array(),
                        at(x.at(), y.at(), out.at()), o.x().length());
            }
            case ElementOps.Axpy o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                tasks.task("axpy", items(o.x().length()), ElementKernels::axpy, (float) o.a(), x.array(), y.array(),
                        at(x.at(), y.at()), o.x().length());
            }
            case TokenOps.Embed o -> embed(o);
            case TokenOps.EmbedGrad o -> {
                Ints ids = i(o.ids());
                Floats dOut = f(o.dOut());
                Floats dTable = f(o.dTable());
                tasks.task("embedGrad", items(o.C()), TokenKernels::embedGrad, ids.array(), dOut.array(),
                        dTable.array(), at(ids.at(), dOut.at(), dTable.at()), o.N(), o.C());
            }
            case NormOps.RmsNorm o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                Floats y = f(o.y());
                if (workGroups) {
                    tasks.task("inverseRmsOfRow", rows(o.N()), RowKernels::inverseRmsOfRow, new KernelContext(),
                            x.array(), rstd.array(), at(x.at(), rstd.at()), o.C(), (float) o.eps());
                } else
                    tasks.task("inverseRms", items(o.N()), NormKernels::inverseRms, x.array(), rstd.array(),
                            at(x.at(), rstd.at()), o.N(), o.C(), (float) o.eps());
                tasks.task("normalise", items(o.N() * o.C()), NormKernels::normalise, x.array(), rstd.array(),
                        w.array(), y.array(), at(x.at(), rstd.at(), w.at(), y.at()), o.N(), o.C());
            }
            case NormOps.RmsNormGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats w = f(o.weight());
                Floats dY = f(o.dY());
                Floats dX = f(o.dX());
                FloatArray mean = memory.scratch(o.N());
                if (workGroups) {
                    tasks.task("meanOfRowProduct", rows(o.N()), RowKernels::meanOfRowProduct, new KernelContext(),
                            x.array(), w.array(), dY.array(), mean, at(x.at(), w.at(), dY.at()), o.C());
                } else
                    tasks.task("meanOfProduct", items(o.N()), NormKernels::meanOfProduct, x.array(), w.array(),
                            dY.array(), mean, at(x.at(), w.at(), dY.at()), o.N(), o.C());
                tasks.task("normaliseGrad", items(o.N() * o.C()), NormKernels::normaliseGrad, x.array(), rstd.array(),
                        w.array(), dY.array(), mean, dX.array(), at(x.at(), rstd.at(), w.at(), dY.at(), dX.at()), o.N(),
                        o.C(), flag(o.accumulate()));
            }
            case NormOps.RmsNormWeightGrad o -> {
                Floats x = f(o.x());
                Floats rstd = f(o.rstd());
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                tasks.task("weightGradParts", items(o.C(), parts), NormKernels::weightGradParts, x.array(),
                        rstd.array(), dY.array(), partial, at(x.at(), rstd.at(), dY.at()), o.N(), o.C(), parts);
                addParts(partial, f(o.dWeight()), o.C(), parts, true);
            }
            case ProductOps.MatMul o -> {
                if (cuBlas != null && cuBlas.takes(o))
                    cuBlas.product(o);
                else
                    if (workGroups && o.M() >= SIDE && o.N() >= SIDE)
                        tiledMatMul(o);
                    else
                        if (o.M() >= 4)
                            blockedMatMul(o);
                        else
                            matMul(o);
            }
            case ColumnOps.AddBias o -> {
                Floats y = f(o.y());
                Floats bias = f(o.bias());
                tasks.task("addBias", items(o.N() * o.C()), ElementKernels::addBias, y.array(), bias.array(),
                        at(y.at(), bias.at()), o.N(), o.C());
            }
            case ColumnOps.BiasGrad o -> {
                Floats dY = f(o.dY());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                tasks.task("columnParts", items(o.C(), parts), ReduceKernels::columnParts, dY.array(), partial,
                        at(dY.at()), o.N(), o.C(), parts);
                addParts(partial, f(o.dBias()), o.C(), parts, true);
            }
            case RopeOps.Rope o -> {
                Floats x = f(o.x());
                Floats cos = f(o.cos());
                Floats sin = f(o.sin());
                Ints p = i(o.positions());
                tasks.task("rope", items(o.N() * o.heads() * (o.D() >> 1)), TokenKernels::rope, x.array(), cos.array(),
                        sin.array(), p.array(), at(x.at(), cos.at(), sin.at(), p.at()), o.N(), o.heads(), o.D(),
                        o.inverse() ? -1f : 1f);
            }
            case AttentionOps.Attention o -> {
                Floats q = f(o.q());
                Floats k = f(o.k());
                Floats v = f(o.v());
                Ints start = i(o.start());
                Floats out = f(o.out());
                Floats lse = f(o.lse());
                IntArray at = at(q.at(), k.at(), v.at(), start.at(), out.at(), lse.at(), o.D(),
                        AttentionTileKernels.TILE);
                if (workGroups && o.D() <= AttentionTileKernels.MAX_D)
                    tasks.task("attendTile", attentionTiles(o.T(), o.B() * o.H()), AttentionTileKernels::attendTile,
                            new KernelContext(), q.array(), k.array(), v.array(), start.array(), out.array(),
                            lse.array(), at, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
                else
                    tasks.task("attend", items(o.H(), o.B() * o.T()), AttentionKernels::attend, q.array(), k.array(),
                            v.array(), start.array(), out.array(), lse.array(), at, o.B() * o.T(), o.T(), o.H(), o.KV(),
                            o.D(), (float) o.scale(), o.window());
            }
            case AttentionOps.AttentionGrad o -> attentionGrad(o);
            case AttentionOps.CacheStore o -> {
                Ints start = i(o.start());
                cacheRows(f(o.k()), f(o.kCache()), start, o.T(), o.C());
                cacheRows(f(o.v()), f(o.vCache()), start, o.T(), o.C());
            }
            case AttentionOps.CachedAttention o -> {
                Floats q = f(o.q());
                Floats k = f(o.kCache());
                Floats v = f(o.vCache());
                Ints start = i(o.start());
                Floats out = f(o.out());
                int most = AttentionTileKernels.MAX_D;
                IntArray at = at(q.at(), k.at(), v.at(), start.at(), out.at(), o.D(), most);
                if (workGroups && o.D() <= most)
                    tasks.task("attendCacheRow", groups(o.T() * o.H(), most), AttentionTileKernels::attendCacheRow,
                            new KernelContext(), q.array(), k.array(), v.array(), start.array(), out.array(), at,
                            o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
                else
                    tasks.task("attendCache", items(o.H(), o.T()), AttentionKernels::attendCache, q.array(), k.array(),
                            v.array(), start.array(), out.array(), at, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(),
                            o.window());
            }
            case ElementOps.SwiGlu o -> {
                Floats gate = f(o.gate());
                Floats up = f(o.up());
                Floats out = f(o.out());
                tasks.task("swiGlu", items(o.gate().length()), ElementKernels::swiGlu, gate.array(), up.array(),
                        out.array(), at(gate.at(), up.at(), out.at()), o.gate().length());
            }
            case ElementOps.SwiGluGrad o -> swiGluGrad(o);
            case TokenOps.CrossEntropy o -> {
                Floats logits = f(o.logits());
                Ints labels = i(o.labels());
                Floats loss = f(o.rowLoss());
                FloatArray lse = memory.scratch(o.N());
                if (workGroups) {
                    tasks.task("lossOfRow", rows(o.N()), RowKernels::lossOfRow, new KernelContext(), logits.array(),
                            labels.array(), loss.array(), lse, at(logits.at(), labels.at(), loss.at()), o.V(),
                            TokenOps.CrossEntropy.IGNORE);
                } else
                    tasks.task("lossOfRows", items(o.N()), TokenKernels::lossOfRows, logits.array(), labels.array(),
                            loss.array(), lse, at(logits.at(), labels.at(), loss.at()), o.N(), o.V(),
                            TokenOps.CrossEntropy.IGNORE);
                if (o.gradient()) {
                    Floats scale = f(o.scale());
                    tasks.task("lossGrad", items(o.N() * o.V()), TokenKernels::lossGrad, logits.array(), labels.array(),
                            lse, scale.array(), at(logits.at(), labels.at(), scale.at()), o.N(), o.V(),
                            TokenOps.CrossEntropy.IGNORE);
                }
            }
            case CayleyOps.Cayley o -> CayleyTasks.rotation(tasks, memory, workGroups, o);
            case CayleyOps.CayleyGrad o -> CayleyTasks.gradient(tasks, memory, workGroups, o);
            case CayleyOps.CoftProject o -> {
                Floats v = f(o.v());
                tasks.task("coftProject", items(o.blocks()), CayleyKernels::coftProject, v.array(), at(v.at()),
                        o.blocks(), o.b() * (o.b() - 1) / 2, (float) o.limit());
            }
            case RotateOps.BlockRotate o -> {
                Floats x = f(o.x());
                Floats r = f(o.r());
                Floats y = f(o.y());
                IntArray at = at(x.at(), r.at(), y.at());
                if (workGroups && o.b() <= RotateTileKernels.MAX_BLOCK)
                    tasks.task("rotateRows", new Grid(o.d() / o.b() * RotateTileKernels.WIDTH,
                            Math.ceilDiv(o.N(), RotateTileKernels.ROWS) * RotateTileKernels.HEIGHT,
                            RotateTileKernels.WIDTH, RotateTileKernels.HEIGHT), RotateTileKernels::rotateRows,
                            new KernelContext(), x.array(), r.array(), y.array(), at, o.N(), o.d(), o.b(), o.stored(),
                            flag(o.transpose()), flag(o.accumulate()));
                else
                    if (o.transpose())
                        tasks.task("blockRotateBack", items(o.d(), o.N()), RotateKernels::blockRotateBack, x.array(),
                                r.array(), y.array(), at, o.N(), o.d(), o.b(), o.stored(), flag(o.accumulate()));
                    else
                        tasks.task("blockRotate", items(o.d(), o.N()), RotateKernels::blockRotate, x.array(),
                                r.array(), y.array(), at, o.N(), o.d(), o.b(), o.stored(), flag(o.accumulate()));
            }
            case RotateOps.BlockRotateGrad o -> blockRotateGrad(o);
            case ProductOps.Decode o -> decode(o);
            case RotateOps.BlockDiagonal o -> {
                Floats r = f(o.r());
                Floats dense = f(o.dense());
                tasks.task("blockDiagonal", items(o.d() * o.d()), RotateKernels::blockDiagonal, r.array(),
                        dense.array(), at(r.at(), dense.at()), o.d(), o.b(), o.stored());
            }
            case RotateOps.BlockDiagonalGrad o -> {
                Floats dDense = f(o.dDense());
                Floats dR = f(o.dR());
                tasks.task("blockDiagonalGrad", items(o.stored() * o.b() * o.b()), RotateKernels::blockDiagonalGrad,
                        dDense.array(), dR.array(), at(dDense.at(), dR.at()), o.d(), o.b(), o.stored());
            }
            case CayleyOps.MaskBlocks o -> {
                Floats r = f(o.r());
                Ints mask = i(o.mask());
                tasks.task("maskBlocks", items(o.blocks() * o.b() * o.b()), RotateKernels::maskBlocks, r.array(),
                        mask.array(), at(r.at(), mask.at()), o.blocks(), o.b(), flag(o.identity()));
            }
            case ElementOps.Dropout o -> {
                Floats x = f(o.x());
                Ints seed = i(o.seed());
                Floats y = f(o.y());
                tasks.task("dropout", items(o.x().length()), ElementKernels::dropout, x.array(), seed.array(),
                        y.array(), at(x.at(), seed.at(), y.at(), o.salt()), o.x().length(), (float) o.p(),
                        (float) (1 / (1 - o.p())),
                        flag(o.accumulate()));
            }
            case ColumnOps.ScaleColumns o -> {
                Floats x = f(o.x());
                Floats s = f(o.s());
                Floats y = f(o.y());
                if (o.y() == o.x())
                    tasks.task("scaleColumnsInPlace", items(o.N() * o.C()), ElementKernels::scaleColumnsInPlace,
                            x.array(), s.array(), at(x.at(), s.at()), o.N(), o.C());
                else
                    tasks.task("scaleColumns", items(o.N() * o.C()), ElementKernels::scaleColumns, x.array(), s.array(),
                            y.array(), at(x.at(), s.at(), y.at()), o.N(), o.C());
            }
            case ColumnOps.ColumnDot o -> {
                Floats x = f(o.x());
                Floats y = f(o.y());
                int parts = rowParts(o.N());
                FloatArray partial = memory.scratch((long) parts * o.C());
                tasks.task("columnProductParts", items(o.C(), parts), ReduceKernels::columnProductParts, x.array(),
                        y.array(), partial, at(x.at(), y.at()), o.N(), o.C(), parts);
                addParts(partial, f(o.out()), o.C(), parts, true);
            }
            case ColumnOps.PermuteColumns o -> {
                Floats x = f(o.x());
                Ints perm = i(o.perm());
                Floats y = f(o.y());
                tasks.task("permuteColumns", items(o.N() * o.C()), ElementKernels::permuteColumns, x.array(),
                        perm.array(), y.array(), at(x.at(), perm.at(), y.at()), o.N(), o.C());
            }
            case SubspaceOps.PsoftCore o -> {
                Floats r = f(o.R());
                Floats va = orR(o.va(), r);
                Floats vb = orR(o.vb(), r);
                Floats core = f(o.core());
                tasks.task("psoftCore", items(o.r() * o.r()), FeatureKernels::psoftCore, r.array(), va.array(),
                        vb.array(), core.array(), at(r.at(), va.at(), vb.at(), core.at()), o.r(), flag(o.va() != null),
                        flag(o.vb() != null));
            }
            case SubspaceOps.PsoftCoreGrad o -> psoftCoreGrad(o);
            case GivensOps.GivensAngles o -> {
                Floats phi = f(o.phi());
                Floats m = f(o.g());
                tasks.task("givensAngles", items(o.n()), FeatureKernels::givensAngles, phi.array(), m.array(),
                        at(phi.at(), m.at()), o.n());
            }
            case GivensOps.GivensAnglesGrad o -> {
                Floats phi = f(o.phi());
                Floats dG = f(o.dG());
                Floats dPhi = f(o.dPhi());
                tasks.task("givensAnglesGrad", items(o.n()), FeatureKernels::givensAnglesGrad, phi.array(), dG.array(),
                        dPhi.array(), at(phi.at(), dG.at(), dPhi.at()), o.n());
            }
            case GivensOps.GivensSweep o -> {
                Floats x = f(o.x());
                Floats m = f(o.g());
                Floats y = f(o.y());
                if (sweepsRows(o.d())) {
                    int rows = rowsOfSweep(o.d());
                    tasks.task("sweepRows", groups(Math.ceilDiv(o.N(), rows), GivensRowKernels.GROUP),
                            GivensRowKernels::sweepRows, new KernelContext(), x.array(), m.array(), y.array(),
                            stages(o.d()), at(x.at(), m.at(), y.at(), Givens.stages(o.d()).size()), o.N(), o.d(),
                            rows);
                } else {
                    copy(x, y, o.x().length());
                    sweep(y, m, o.N(), o.d(), 0);
                }
            }
            case GivensOps.GivensSweepGrad o -> {
                if (sweepsRows(o.d()))
                    sweepGradRows(o);
                else
                    givensSweepGrad(o);
            }
            case GivensOps.GivensPenalty o -> {
                Floats m = f(o.g());
                Floats dG = f(o.dG());
                Floats loss = f(o.loss());
                int parts = sumParts(o.n());
                FloatArray partial = memory.scratch(parts);
                tasks.task("givensPenaltyParts", items(parts), FeatureKernels::givensPenaltyParts, m.array(), partial,
                        at(m.at()), o.n(), parts);
                tasks.task("scaledSum", items(1), FeatureKernels::scaledSum, partial, loss.array(), at(loss.at()),
                        parts, (float) o.lambda());
                tasks.task("givensPenaltyGrad", items(o.n()), FeatureKernels::givensPenaltyGrad, m.array(), dG.array(),
                        at(m.at(), dG.at()), o.n(), (float) o.lambda());
            }
            case ReflectOps.HouseholderVectors o -> {
                Floats p = f(o.p());
                Floats u = f(o.u());
                if (o.gramSchmidt())
                    tasks.task("gramSchmidt", items(1), FeatureKernels::gramSchmidt, p.array(), u.array(),
                            at(p.at(), u.at()), o.d(), o.r());
                else
                    tasks.task("unitVectors", items(o.r()), FeatureKernels::unitVectors, p.array(), u.array(),
                            at(p.at(), u.at()), o.d(), o.r());
            }
            case ReflectOps.HouseholderVectorsGrad o -> householderVectorsGrad(o);
            case ReflectOps.Householder o -> householder(o);
            case ReflectOps.HouseholderGrad o -> householderGrad(o);
            case OptimiserOps.GradNorm o -> {
                Floats x = f(o.grad());
                Floats norm = f(o.norm());
                int n = o.grad().length();
                int parts = sumParts(n);
                FloatArray partial = memory.scratch(parts);
                tasks.task("squareParts", items(parts), OptimiserKernels::squareParts, x.array(), partial, at(x.at()),
                        n, parts);
                tasks.task("rootOfParts", items(1), OptimiserKernels::rootOfParts, partial, norm.array(), at(norm.at()),
                        parts);
            }
            case OptimiserOps.AdamW o -> {
                Floats p = f(o.param());
                Floats grad = f(o.grad());
                Floats m = f(o.m());
                Floats v = f(o.v());
                Floats hp = f(o.hp());
                Floats norm = f(o.norm());
                tasks.task("adamW", items(o.param().length()), OptimiserKernels::adamW, p.array(), grad.array(),
                        m.array(), v.array(), hp.array(), norm.array(),
                        at(p.at(), grad.at(), m.at(), v.at(), hp.at(), norm.at()), o.param().length(), flag(o.decay()));
            }
        }
    }

    /// A work group for each of `n` rows.
    private static Grid rows(int n) {
        return groups(n, RowKernels.GROUP);
    }

    private static Grid groups(int n, int size) {
        return new Grid(n * size, 1, size, 1);
    }

    /// A work group for each tile of T tokens and each of some heads.
    private static Grid attentionTiles(int T, int heads) {
        int side = AttentionTileKernels.SIDE;
        return new Grid(Math.ceilDiv(T, AttentionTileKernels.TILE) * side, heads * side, side, side);
    }

    private void fill(Floats x, int n, float value) {
        tasks.task("fillWith", items(n), ElementKernels::fillWith, x.array(), at(x.at()), n, value);
    }

    private void copy(Floats x, Floats y, int n) {
        tasks.task("copyTo", items(n), ElementKernels::copyTo, x.array(), y.array(), at(x.at(), y.at()), n);
    }

    private void addParts(FloatArray partial, Floats out, int C, int parts, boolean accumulate) {
        tasks.task("addParts", items(C), ReduceKernels::addParts, partial, out.array(), at(out.at()), C, parts,
                flag(accumulate));
    }

    private void embed(TokenOps.Embed o) {
        Ints ids = i(o.ids());
        Floats out = f(o.out());
        if (o.table().dtype() == DType.BF16) {
            Shorts t = memory.shorts(o.table());
            tasks.task("embedBf16", items(o.N() * o.C()), TokenKernels::embedBf16, ids.array(), t.array(),
                    memory.powers(), out.array(), at(ids.at(), t.at(), out.at()), o.N(), o.C());
        } else {
            Floats t = f(o.table());
            tasks.task("embed", items(o.N() * o.C()), TokenKernels::embed, ids.array(), t.array(), out.array(),
                    at(ids.at(), t.at(), out.at()), o.N(), o.C());
        }
    }

    private void matMul(ProductOps.MatMul o) {
        Floats a = f(o.a());
        Floats c = f(o.c());
        int add = flag(o.accumulate());
        switch (o.b().dtype()) {
            case F32 -> {
                Floats b = f(o.b());
                switch (o.form()) {
                    case NN -> tasks.task("nn", items(o.N(), o.M()), MatMulKernels::nn, a.array(), b.array(), c.array(),
                            at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(), (float) o.alpha(), add);
                    case NT -> tasks.task("nt", items(o.N(), o.M()), MatMulKernels::nt, a.array(), b.array(), c.array(),
                            at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(), (float) o.alpha(), add);
                    case TN -> tasks.task("tn", items(o.N(), o.M()), MatMulKernels::tn, a.array(), b.array(), c.array(),
                            at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(), (float) o.alpha(), add);
                }
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                if (o.form() == ProductOps.MatMul.Form.NN)
                    tasks.task("nnBf16", items(o.N(), o.M()), MatMulKernels::nnBf16, a.array(), b.array(),
                            memory.powers(), c.array(), at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(),
                            (float) o.alpha(),
                            add);
                else
                    tasks.task("ntBf16", items(o.N(), o.M()), MatMulKernels::ntBf16, a.array(), b.array(),
                            memory.powers(), c.array(), at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(),
                            (float) o.alpha(),
                            add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                if (o.form() == ProductOps.MatMul.Form.NN)
                    tasks.task("nnNf4", items(o.N(), o.M()), MatMulKernels::nnNf4, a.array(), b.codes(), b.book(),
                            b.maxima(), b.maximaCodes(), b.map(), c.array(), at(a.at(), c.at()), o.M(), o.N(), o.K(),
                            (float) o.alpha(), add, b.block(), b.nested(), b.offset());
                else
                    tasks.task("ntNf4", items(o.N(), o.M()), MatMulKernels::ntNf4, a.array(), b.codes(), b.book(),
                            b.maxima(), b.maximaCodes(), b.map(), c.array(), at(a.at(), c.at()), o.M(), o.N(), o.K(),
                            (float) o.alpha(), add, b.block(), b.nested(), b.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.b() + " cannot be a factor of a matrix product");
        }
    }

    private void blockedMatMul(ProductOps.MatMul o) {
        Floats a = f(o.a());
        Floats c = f(o.c());
        int add = flag(o.accumulate());
        Grid grid = items(Math.ceilDiv(o.N(), 4), Math.ceilDiv(o.M(), 4));
        boolean nt = o.form() == ProductOps.MatMul.Form.NT;
        boolean tn = o.form() == ProductOps.MatMul.Form.TN;
        int aRow = tn ? 1 : o.K();
        int aStep = tn ? o.M() : 1;
        int bRow = nt ? 1 : o.N();
        int bStep = nt ? o.K() : 1;
        switch (o.b().dtype()) {
            case F32 -> {
                Floats b = f(o.b());
                tasks.task("blocked", grid, BlockedMatMulKernels::blocked, a.array(), b.array(), c.array(),
                        at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(), aRow, aStep, bRow, bStep, (float) o.alpha(),
                        add);
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                tasks.task("blockedBf16", grid, BlockedMatMulKernels::blockedBf16, a.array(), b.array(),
                        memory.powers(), c.array(), at(a.at(), b.at(), c.at()), o.M(), o.N(), o.K(), aRow, aStep, bRow,
                        bStep, (float) o.alpha(), add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                tasks.task("blockedNf4", grid, BlockedMatMulKernels::blockedNf4, a.array(), b.codes(), b.book(),
                        b.maxima(), b.maximaCodes(), b.map(), c.array(), at(a.at(), c.at()), o.M(), o.N(), o.K(),
                        flag(nt), (float) o.alpha(), add, b.block(), b.nested(), b.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.b() + " cannot be a factor of a matrix product");
        }
    }

    private void tiledMatMul(ProductOps.MatMul o) {
        Floats a = f(o.a());
        Floats c = f(o.c());
        int add = flag(o.accumulate());
        int groupsX = Math.ceilDiv(o.N(), TILE);
        int groupsY = Math.ceilDiv(o.M(), TILE);
        Grid grid = new Grid(groupsX * SIDE, groupsY * SIDE, SIDE, SIDE);
        boolean nt = o.form() == ProductOps.MatMul.Form.NT;
        boolean tn = o.form() == ProductOps.MatMul.Form.TN;
        int bRow = nt ? 1 : o.N();
        int bStep = nt ? o.K() : 1;
        KernelContext context = new KernelContext();
        switch (o.b().dtype()) {
            case F32 -> {
                Floats b = f(o.b());
                tasks.task("tiled", grid, TiledMatMulKernels::tiled, context, a.array(), b.array(), c.array(),
                        at(a.at(), b.at(), c.at(), o.K()), o.M(), o.N(), o.K(), tn ? 1 : o.K(), tn ? o.M() : 1, bRow,
                        bStep,
                        (float) o.alpha(), add);
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                tasks.task("tiledBf16", grid, TiledMatMulKernels::tiledBf16, context, a.array(), b.array(),
                        memory.powers(), c.array(), at(a.at(), b.at(), c.at(), o.K()), o.M(), o.N(), o.K(), bRow, bStep,
                        (float) o.alpha(), add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                tasks.task("tiledNf4", grid, TiledMatMulKernels::tiledNf4, context, a.array(), b.codes(), b.book(),
                        b.maxima(), b.maximaCodes(), b.map(), c.array(), at(a.at(), c.at(), o.K()), o.M(), o.N(), o.K(),
                        flag(nt), (float) o.alpha(), add, b.block(), b.nested(), b.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.b() + " cannot be a factor of a matrix product");
        }
    }

    private void decode(ProductOps.Decode o) {
        Floats y = f(o.y());
        int n = o.y().length();
        switch (o.w().dtype()) {
            case F32 -> copy(f(o.w()), y, n);
            case BF16 -> {
                Shorts w = memory.shorts(o.w());
                tasks.task("decodeBf16", items(n), MatMulKernels::decodeBf16, w.array(), memory.powers(), y.array(),
                        at(w.at(), y.at()), n);
            }
            case NF4 -> {
                Nf4 w = memory.nf4(o.w());
                tasks.task("decodeNf4", items(n), MatMulKernels::decodeNf4, w.codes(), w.book(), w.maxima(),
                        w.maximaCodes(), w.map(), y.array(), at(y.at()), n, w.block(), w.nested(), w.offset());
            }
            case I32 -> throw new IllegalArgumentException(o.w() + " cannot be decoded");
        }
    }

    private void attentionGrad(AttentionOps.AttentionGrad o) {
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
        tasks.task("outputDot", items(N * o.H()), AttentionKernels::outputDot, out.array(), dOut.array(),
                delta.array(), at(out.at(), dOut.at(), delta.at()), N * o.H(), o.D());
        int tile = AttentionTileKernels.TILE;
        IntArray atQ = at(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dQ.at(), o.D(), tile);
        IntArray atK = at(q.at(), k.at(), v.at(), start.at(), lse.at(), dOut.at(), delta.at(), dK.at(), dV.at(), o.D(),
                tile);
        if (workGroups && o.D() <= AttentionTileKernels.MAX_D) {
            tasks.task("queryGradTile", attentionTiles(o.T(), o.B() * o.H()), AttentionTileKernels::queryGradTile,
                    new KernelContext(), q.array(), k.array(), v.array(), start.array(), lse.array(), dOut.array(),
                    delta.array(), dQ.array(), atQ, o.T(), o.H(), o.KV(), o.D(), (float) o.scale(), o.window());
            tasks.task("keyValueGradTile", attentionTiles(o.T(), o.B() * o.KV()),
                    AttentionTileKernels::keyValueGradTile, new KernelContext(), q.array(), k.array(), v.array(),
                    start.array(), lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), atK, o.T(), o.H(),
                    o.KV(), o.D(), (float) o.scale(), o.window());
            return;
        }
        tasks.task("queryGrad", items(o.H(), N), AttentionKernels::queryGrad, q.array(), k.array(), v.array(),
                start.array(), lse.array(), dOut.array(), delta.array(), dQ.array(), atQ, N, o.T(), o.H(), o.KV(),
                o.D(), (float) o.scale(), o.window());
        tasks.task("keyValueGrad", items(o.KV(), N), AttentionKernels::keyValueGrad, q.array(), k.array(), v.array(),
                start.array(), lse.array(), dOut.array(), delta.array(), dK.array(), dV.array(), atK, N, o.T(), o.H(),
                o.KV(), o.D(), (float) o.scale(), o.window());
    }

    /// Parts, each of many tiles of rows, so that few blocks still make enough work groups; shared blocks are parts as well.
    private void blockRotateGrad(RotateOps.BlockRotateGrad o) {
        Floats x = f(o.x());
        Floats dY = f(o.dY());
        int size = o.stored() * o.b() * o.b();
        int shares = o.d() / o.b() / o.stored();
        int parts = workGroups ? Math.clamp(o.N() / (4 * RotateTileKernels.TILE), 1, 16) : 1;
        boolean summed = parts * shares > 1;
        Floats dR = summed ? new Floats(memory.scratch((long) parts * o.d() * o.b()), 0) : f(o.dR());
        IntArray at = at(x.at(), dY.at(), dR.at());
        if (workGroups) {
            int side = RotateTileKernels.SIDE;
            int tiles = Math.ceilDiv(o.b(), RotateTileKernels.TILE);
            tasks.task("rotateGradTile", new Grid(o.d() / o.b() * tiles * tiles * side, parts * side, side, side),
                    RotateTileKernels::rotateGradTile, new KernelContext(), x.array(), dY.array(), dR.array(), at,
                    o.N(), o.d(), o.b(), tiles, parts);
        } else
            tasks.task("blockRotateGrad", items(o.d() * o.b()), RotateKernels::blockRotateGrad, x.array(),
                    dY.array(), dR.array(), at, o.N(), o.d(), o.b());
        if (summed)
            addParts(dR.array(), f(o.dR()), size, parts * shares, false);
    }

    private void cacheRows(Floats x, Floats cache, Ints start, int T, int C) {
        tasks.task("cacheRows", items(T * C), AttentionKernels::cacheRows, x.array(), cache.array(), start.array(),
                at(x.at(), cache.at(), start.at()), T, C);
    }

    /// A result that replaces its input alone, the other standing elsewhere, goes by way of a workspace.
    private void swiGluGrad(ElementOps.SwiGluGrad o) {
        Floats gate = f(o.gate());
        Floats up = f(o.up());
        Floats dOut = f(o.dOut());
        int n = o.gate().length();
        boolean gateInPlace = o.dGate() == o.gate();
        boolean upInPlace = o.dUp() == o.up();
        if (gateInPlace && upInPlace) {
            tasks.task("swiGluGradInPlace", items(n), ElementKernels::swiGluGradInPlace, gate.array(), up.array(),
                    dOut.array(), at(gate.at(), up.at(), dOut.at()), n);
            return;
        }
        Floats dGate = gateInPlace ? new Floats(memory.scratch(n), 0) : f(o.dGate());
        Floats dUp = upInPlace ? new Floats(memory.scratch(n), 0) : f(o.dUp());
        tasks.task("swiGluGrad", items(n), ElementKernels::swiGluGrad, gate.array(), up.array(), dOut.array(),
                dGate.array(), dUp.array(), at(gate.at(), up.at(), dOut.at(), dGate.at(), dUp.at()), n);
        if (gateInPlace)
            copy(dGate, gate, n);
        if (upInPlace)
            copy(dUp, up, n);
    }

    /// The kernel does not look at a vector that is absent; it gets R in its place.
    private Floats orR(@Nullable Buf vector, Floats r) {
        return vector == null ? r : f(vector);
    }

    private void psoftCoreGrad(SubspaceOps.PsoftCoreGrad o) {
        Floats r = f(o.R());
        Floats va = orR(o.va(), r);
        Floats vb = orR(o.vb(), r);
        Floats dCore = f(o.dCore());
        Floats dR = f(o.dR());
        int useA = flag(o.va() != null);
        int useB = flag(o.vb() != null);
        tasks.task("psoftRotationGrad", items(o.r() * o.r()), FeatureKernels::psoftRotationGrad, dCore.array(),
                va.array(), vb.array(), dR.array(), at(dCore.at(), va.at(), vb.at(), dR.at()), o.r(), useA, useB);
        Buf dVa = o.dVa();
        if (dVa != null) {
            Floats d = f(dVa);
            tasks.task("psoftColumnGrad", items(o.r()), FeatureKernels::psoftColumnGrad, r.array(), dCore.array(),
                    vb.array(), d.array(), at(r.at(), dCore.at(), vb.at(), d.at()), o.r(), useB);
        }
        Buf dVb = o.dVb();
        if (dVb != null) {
            Floats d = f(dVb);
            tasks.task("psoftRowGrad", items(o.r()), FeatureKernels::psoftRowGrad, r.array(), dCore.array(), va.array(),
                    d.array(), at(r.at(), dCore.at(), va.at(), d.at()), o.r(), useA);
        }
    }

    private void stage(Floats x, Floats m, int N, int d, Givens.Stage s, boolean back) {
        if (back)
            tasks.task("givensStageBack", items(N * s.pairs()), FeatureKernels::givensStageBack, x.array(), m.array(),
                    at(x.at(), m.at()), N, d, s.stride(), s.pairs(), s.first());
        else
            tasks.task("givensStage", items(N * s.pairs()), FeatureKernels::givensStage, x.array(), m.array(),
                    at(x.at(), m.at()), N, d, s.stride(), s.pairs(), s.first());
    }

    /// The stages from the largest stride down to number `last`, in place.
    private void sweep(Floats x, Floats m, int N, int d, int last) {
        List<Givens.Stage> stages = Givens.stages(d);
        for (int s = stages.size() - 1; s >= last; s--)
            stage(x, m, N, d, stages.get(s), false);
    }

    private boolean sweepsRows(int d) {
        return workGroups && d > 1 && d <= GivensRowKernels.MAX_D;
    }

    private static int rowsOfSweep(int d) {
        return Math.clamp(GivensRowKernels.MAX_D / d, 1, GivensRowKernels.MAX_ROWS);
    }

    /// Pairs and first pair of each stage.
    private IntArray stages(int d) {
        return at(Givens.stages(d).stream().flatMapToInt(s -> IntStream.of(s.pairs(), s.first())).toArray());
    }

    private void sweepGradRows(GivensOps.GivensSweepGrad o) {
        Floats x = f(o.x());
        Floats m = f(o.g());
        Floats dY = f(o.dY());
        Floats dX = f(o.dX());
        int rows = rowsOfSweep(o.d());
        int parts = Math.min(Math.ceilDiv(o.N(), rows), SWEEP_PARTS);
        int pairs = o.d() - 1;
        FloatArray inputs = memory.scratch(2L * parts * rows * pairs);
        FloatArray dG = memory.scratch(4L * parts * pairs);
        tasks.task("sweepGradRows", groups(parts, GivensRowKernels.GROUP), GivensRowKernels::sweepGradRows,
                new KernelContext(), x.array(), m.array(), dY.array(), inputs, dX.array(), dG, stages(o.d()),
                at(x.at(), m.at(), dY.at(), dX.at(), Givens.stages(o.d()).size()), o.N(), o.d(), rows, parts,
                flag(o.accumulate()));
        addParts(dG, f(o.dG()), 4 * pairs, parts, false);
    }

    /// Back through the stages, smallest stride first: their inputs come from the stage's output turned back, or, where the
    /// 2x2 matrices are no rotations, from the row's start once more (stages are few: log2 d).
    private void givensSweepGrad(GivensOps.GivensSweepGrad o) {
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
            tasks.task("givensStageGrad", items(4 * stage.pairs()), FeatureKernels::givensStageGrad, z.array(),
                    dZ.array(), dG.array(), at(dG.at()), o.N(), o.d(), stage.stride(), stage.pairs(), stage.first());
            stage(dZ, m, o.N(), o.d(), stage, true);
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }

    private void into(Floats x, Floats y, int n, boolean accumulate) {
        if (accumulate)
            tasks.task("axpy", items(n), ElementKernels::axpy, 1f, x.array(), y.array(), at(x.at(), y.at()), n);
        else
            copy(x, y, n);
    }

    private void householderVectorsGrad(ReflectOps.HouseholderVectorsGrad o) {
        Floats p = f(o.p());
        Floats u = f(o.u());
        Floats dU = f(o.dU());
        Floats dP = f(o.dP());
        if (!o.gramSchmidt()) {
            tasks.task("unitVectorsGrad", items(o.r()), FeatureKernels::unitVectorsGrad, p.array(), u.array(),
                    dU.array(), dP.array(), at(p.at(), u.at(), dU.at(), dP.at()), o.d(), o.r());
            return;
        }
        FloatArray upper = memory.scratch((long) o.r() * o.r());
        FloatArray inner = memory.scratch((long) o.r() * o.r());
        FloatArray solved = memory.scratch((long) o.r() * o.d());
        tasks.task("innerProducts", items(o.r() * o.r()), FeatureKernels::innerProducts, u.array(), p.array(), upper,
                at(u.at(), p.at()), o.d(), o.r(), 1);
        tasks.task("innerProducts", items(o.r() * o.r()), FeatureKernels::innerProducts, u.array(), dU.array(), inner,
                at(u.at(), dU.at()), o.d(), o.r(), 0);
        tasks.task("gramSchmidtGrad", items(o.d()), FeatureKernels::gramSchmidtGrad, u.array(), dU.array(), upper,
                inner, solved, dP.array(), at(u.at(), dU.at(), dP.at()), o.d(), o.r());
    }

    private void rowInner(Floats z, Floats u, int i, FloatArray along, int N, int d) {
        tasks.task("rowInner", items(N), FeatureKernels::rowInner, z.array(), u.array(), along,
                at(z.at(), u.at() + i * d), N, d);
    }

    private void reflect(Floats z, Floats u, int i, FloatArray along, int N, int d) {
        tasks.task("reflect", items(N * d), FeatureKernels::reflect, z.array(), u.array(), along,
                at(z.at(), u.at() + i * d), N, d);
    }

    private void householder(ReflectOps.Householder o) {
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
    private void householderGrad(ReflectOps.HouseholderGrad o) {
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
            tasks.task("reflectionGrad", items(o.d()), FeatureKernels::reflectionGrad, z.array(), dZ.array(), alongZ,
                    alongG, dU.array(), at(dU.at() + i * o.d()), o.N(), o.d());
            reflect(dZ, u, i, alongG, o.N(), o.d());
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }
}
