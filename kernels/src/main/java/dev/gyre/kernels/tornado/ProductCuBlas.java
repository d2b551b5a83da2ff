package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.tornado.CuBlasProvider.Matrix;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.DeviceMemory.Nf4;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// Large matrix products by cuBLAS, on parts of the arrays of the session. A weight in NF4, and one in BF16 unless products
/// are in BF16, is first decoded as a whole into a workspace, again for each product: this reads and writes each element
/// once, while the product does 2 M operations with it.
///
/// | precision | a | b | c |
/// |---|---|---|---|
/// | F32, TF32 | as it is | decoded to F32 | F32, written or added to |
/// | BF16 | as it is (BF16), or rounded into a workspace | as it is (BF16), or rounded into a workspace | F32 or BF16, written or added to |
///
/// cuBLAS has column-major matrices, so the row-major `c = op(a) op(b)` is computed as `c^T = op(b)^T op(a)^T`.
final class ProductCuBlas extends OpLowering {
    private final ProductTornado own;
    private final Precision precision;

    /// A factor, from element `at` of an array.
    private record Part(TornadoNativeArray array, int at) {
    }

    /// @param own lowers the decoding of weights
    ProductCuBlas(ProductTornado own, Precision precision) {
        super(own.tasks, own.memory, own.workGroups);
        this.own = own;
        this.precision = precision;
    }

    /// True for products large enough.
    static boolean takes(ProductOps.MatMul o) {
        return o.M() >= ProductTileKernels.SIDE && o.N() >= ProductTileKernels.SIDE;
    }

    void product(ProductOps.MatMul o) {
        boolean brain = precision == Precision.BF16;
        Part a = brain ? inBf16(o.a()) : part(f(o.a()));
        Part b = brain ? inBf16(o.b()) : decoded(o.b());
        Part c = packed(o.c()) ? part(pairs(o.c())) : part(f(o.c()));
        boolean nt = o.form() == ProductOps.MatMul.Form.NT;
        boolean tn = o.form() == ProductOps.MatMul.Form.TN;
        Matrix first = new Matrix(b.array, nt ? o.K() : o.N(), nt);
        Matrix second = new Matrix(a.array, tn ? o.M() : o.K(), tn);
        Matrix result = new Matrix(c.array, o.N(), false);
        float alpha = (float) o.alpha();
        float beta = o.accumulate() ? 1f : 0f;
        int compute = precision == Precision.TF32 ? CuBlas.COMPUTE_32F_FAST_TF32 : CuBlas.COMPUTE_32F;
        tasks.library("gemm", at(b.at, a.at, c.at),
                (at, slot) -> CuBlasProvider.gemm(o.N(), o.M(), o.K(), alpha, first, second, beta, result, at, slot,
                        compute),
                b.array, a.array, c.array, o.form(), o.M(), o.N(), o.K(), alpha, beta, compute);
    }

    private Part decoded(Buf b) {
        Floats w;
        if (b.dtype() == DType.F32) {
            w = f(b);
        } else {
            w = scratch(b.length());
            own.decode(b, w);
        }
        return part(w);
    }

    private static Part part(Floats x) {
        return new Part(x.array(), x.at());
    }

    private static Part part(Ints pairs) {
        return new Part(pairs.array(), pairs.at());
    }

    private Part toBf16(Floats x, int n) {
        Shorts y = memory.shortScratch(n);
        tasks.task("toBf16", items(n), ProductBf16Kernels::toBf16, at(x.at(), y.at()), x.array(), y.array(), n);
        return new Part(y.array(), y.at());
    }

    private Part inBf16(Buf b) {
        if (packed(b))
            return part(pairs(b));
        return switch (b.dtype()) {
            case BF16 -> {
                Shorts w = memory.shorts(b);
                yield new Part(w.array(), w.at());
            }
            case F32 -> toBf16(f(b), b.length());
            case NF4 -> {
                Nf4 q = memory.nf4(b);
                Shorts y = memory.shortScratch(b.length());
                tasks.task("nf4ToBf16", items(b.length()), ProductBf16Kernels::nf4ToBf16,
                        at(q.codes().at(), q.tables().at(), q.maxima().at(), q.maximaCodes().at(), y.at()),
                        q.codes().array(), q.tables().array(), q.maxima().array(), q.maximaCodes().array(),
                        y.array(), b.length(), q.block(), q.nested());
                yield new Part(y.array(), y.at());
            }
            case I32 -> throw ProductTornado.notAFactor(b);
        };
    }
}
