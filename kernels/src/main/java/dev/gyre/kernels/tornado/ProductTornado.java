package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.ProductTileKernels.SIDE;
import static dev.gyre.kernels.tornado.ProductTileKernels.TILE;
import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Nf4;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import dev.gyre.kernels.tornado.Lowering.Choice;
import dev.gyre.kernels.tornado.TaskGraphs.Grid;
import org.jspecify.annotations.Nullable;

/// Lowering of [dev.gyre.kernels.op.ProductOps]. A product runs on
///
/// | kernel | if |
/// |---|---|
/// | cuBLAS | it is installed, and the product is large and of whole arrays ([ProductCuBlas#takes]) |
/// | [ProductTileKernels] | the device has work groups with local memory, and M, N are at least the side of a work group |
/// | [ProductBlockKernels] | M is at least 4, so that a weight that is decoded serves four rows |
/// | [ProductKernels] | otherwise |
final class ProductTornado extends OpLowering {
    private final @Nullable Precision cuBlas;

    ProductTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
        cuBlas = choice.cuBlas();
    }

    void lower(ProductOps op) {
        switch (op) {
            case ProductOps.MatMul o -> {
                if (cuBlas != null && ProductCuBlas.takes(o, cuBlas)) {
                    new ProductCuBlas(this, cuBlas).product(o);
                } else if (workGroups && o.M() >= SIDE && o.N() >= SIDE) {
                    tiledMatMul(o);
                } else if (o.M() >= 4) {
                    blockedMatMul(o);
                } else {
                    matMul(o);
                }
            }
            case ProductOps.Decode o -> decode(o.w(), f(o.y()));
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
                    case NN ->
                            tasks.task("nn", items(o.N(), o.M()), ProductKernels::nn, at(a.at(), b.at(), c.at()),
                                    a.array(), b.array(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(), add);
                    case NT ->
                            tasks.task("nt", items(o.N(), o.M()), ProductKernels::nt, at(a.at(), b.at(), c.at()),
                                    a.array(), b.array(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(), add);
                    case TN ->
                            tasks.task("tn", items(o.N(), o.M()), ProductKernels::tn, at(a.at(), b.at(), c.at()),
                                    a.array(), b.array(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(), add);
                }
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                if (o.form() == ProductOps.MatMul.Form.NN)
                    tasks.task("nnBf16", items(o.N(), o.M()), ProductKernels::nnBf16, at(a.at(), b.at(), c.at()),
                            a.array(), b.array(), memory.powers(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(),
                            add);
                else
                    tasks.task("ntBf16", items(o.N(), o.M()), ProductKernels::ntBf16, at(a.at(), b.at(), c.at()),
                            a.array(), b.array(), memory.powers(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(),
                            add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                if (o.form() == ProductOps.MatMul.Form.NN)
                    tasks.task("nnNf4", items(o.N(), o.M()), ProductKernels::nnNf4,
                            at(a.at(), b.codes().at(), b.tables().at(), b.maxima().at(), b.maximaCodes().at(), c.at()),
                            a.array(), b.codes().array(), b.tables().array(), b.maxima().array(),
                            b.maximaCodes().array(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(), add, b.block(),
                            b.nested());
                else
                    tasks.task("ntNf4", items(o.N(), o.M()), ProductKernels::ntNf4,
                            at(a.at(), b.codes().at(), b.tables().at(), b.maxima().at(), b.maximaCodes().at(), c.at()),
                            a.array(), b.codes().array(), b.tables().array(), b.maxima().array(),
                            b.maximaCodes().array(), c.array(), o.M(), o.N(), o.K(), (float) o.alpha(), add, b.block(),
                            b.nested());
            }
            case I32 -> throw notAFactor(o.b());
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
                tasks.task("blocked", grid, ProductBlockKernels::blocked, at(a.at(), b.at(), c.at()), a.array(),
                        b.array(), c.array(), o.M(), o.N(), o.K(), aRow, aStep, bRow, bStep, (float) o.alpha(), add);
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                tasks.task("blockedBf16", grid, ProductBlockKernels::blockedBf16, at(a.at(), b.at(), c.at()), a.array(),
                        b.array(), memory.powers(), c.array(), o.M(), o.N(), o.K(), aRow, aStep, bRow, bStep,
                        (float) o.alpha(), add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                tasks.task("blockedNf4", grid, ProductBlockKernels::blockedNf4,
                        at(a.at(), b.codes().at(), b.tables().at(), b.maxima().at(), b.maximaCodes().at(), c.at()),
                        a.array(), b.codes().array(), b.tables().array(), b.maxima().array(), b.maximaCodes().array(),
                        c.array(), o.M(), o.N(), o.K(), flag(nt), (float) o.alpha(), add, b.block(), b.nested());
            }
            case I32 -> throw notAFactor(o.b());
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
        switch (o.b().dtype()) {
            case F32 -> {
                Floats b = f(o.b());
                tasks.groupTask("tiled", grid, ProductTileKernels::tiled, at(a.at(), b.at(), c.at(), o.K()), a.array(),
                        b.array(), c.array(), o.M(), o.N(), o.K(), tn ? 1 : o.K(), tn ? o.M() : 1, bRow, bStep,
                        (float) o.alpha(), add);
            }
            case BF16 -> {
                Shorts b = memory.shorts(o.b());
                tasks.groupTask("tiledBf16", grid, ProductTileKernels::tiledBf16, at(a.at(), b.at(), c.at(), o.K()),
                        a.array(), b.array(), memory.powers(), c.array(), o.M(), o.N(), o.K(), bRow, bStep,
                        (float) o.alpha(), add);
            }
            case NF4 -> {
                Nf4 b = memory.nf4(o.b());
                tasks.groupTask("tiledNf4", grid, ProductTileKernels::tiledNf4,
                        at(a.at(), b.codes().at(), b.tables().at(), b.maxima().at(), b.maximaCodes().at(), c.at(),
                                o.K()),
                        a.array(), b.codes().array(), b.tables().array(), b.maxima().array(), b.maximaCodes().array(),
                        c.array(), o.M(), o.N(), o.K(), flag(nt), (float) o.alpha(), add, b.block(), b.nested());
            }
            case I32 -> throw notAFactor(o.b());
        }
    }

    /// `y = w`, all elements.
    void decode(Buf w, Floats y) {
        int n = w.length();
        switch (w.dtype()) {
            case F32 -> copy(f(w), y, n);
            case BF16 -> {
                Shorts s = memory.shorts(w);
                tasks.task("decodeBf16", items(n), ProductKernels::decodeBf16, at(s.at(), y.at()), s.array(),
                        memory.powers(), y.array(), n);
            }
            case NF4 -> {
                Nf4 q = memory.nf4(w);
                tasks.task("decodeNf4", items(n), ProductKernels::decodeNf4,
                        at(q.codes().at(), q.tables().at(), q.maxima().at(), q.maximaCodes().at(), y.at()),
                        q.codes().array(), q.tables().array(), q.maxima().array(), q.maximaCodes().array(), y.array(),
                        n, q.block(), q.nested());
            }
            case I32 -> throw notAFactor(w);
        }
    }

    static IllegalArgumentException notAFactor(Buf b) {
        return new IllegalArgumentException(b + " cannot be a factor of a matrix product");
    }
}
