package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Nf4;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.cublas.CuBlas;

/// Large matrix products by cuBLAS, on the arrays of the session. A weight in BF16 or NF4 is first decoded as a whole into a
/// workspace, again for each product: this reads and writes each element once, while the product does 2 M operations with
/// it.
///
/// | precision | a | b | c |
/// |---|---|---|---|
/// | F32, TF32 | as it is | decoded to F32 | written or added to |
/// | BF16 | rounded into a workspace | as it is (BF16), or rounded into a workspace | from a workspace in BF16 |
///
/// cuBLAS has column-major matrices, so the row-major `c = op(a) op(b)` is computed as `c^T = op(b)^T op(a)^T`. It accepts no
/// offset into an array, so products of parts of arrays use our own kernels ([#takes]).
final class ProductCuBlas extends OpLowering {
    private static final String MODULE = "tornado.cublas";
    private static final String NATIVE = "tornado-cublas";

    private final ProductTornado own;
    private final Precision precision;

    /// @param own lowers the decoding of weights
    ProductCuBlas(ProductTornado own, Precision precision) {
        super(own.tasks, own.memory, own.workGroups);
        this.own = own;
        this.precision = precision;
    }

    /// Why this JVM cannot call cuBLAS; null if it can.
    static @Nullable String missing() {
        if (ModuleLayer.boot().findModule(MODULE).isEmpty())
            return "the SDK has no module " + MODULE;
        try {
            System.loadLibrary(NATIVE);
            return null;
        } catch (UnsatisfiedLinkError e) {
            return String.valueOf(e.getMessage()).replaceAll("\\s+", " ").strip();
        }
    }

    /// True for large products of whole arrays.
    static boolean takes(ProductOps.MatMul o, Precision precision) {
        boolean whole = precision == Precision.BF16
                ? o.b().dtype() != DType.BF16 || o.b().offset() == 0
                : o.a().offset() == 0 && o.c().offset() == 0
                        && (o.b().dtype() != DType.F32 || o.b().offset() == 0);
        return whole && o.M() >= ProductTileKernels.SIDE && o.N() >= ProductTileKernels.SIDE;
    }

    void product(ProductOps.MatMul o) {
        if (precision == Precision.BF16)
            bf16(o);
        else
            f32(o);
    }

    private void f32(ProductOps.MatMul o) {
        FloatArray a = f(o.a()).array();
        FloatArray b = decoded(o.b());
        FloatArray c = f(o.c()).array();
        float alpha = (float) o.alpha();
        float beta = o.accumulate() ? 1f : 0f;
        tasks.library("product", at(), (_, _) -> precision == Precision.TF32
                ? CuBlas.cublasSgemmTF32(transB(o), transA(o), o.N(), o.M(), o.K(), alpha, b, ldb(o), a, lda(o), beta,
                        c, o.N())
                : CuBlas.cublasSgemm(transB(o), transA(o), o.N(), o.M(), o.K(), alpha, b, ldb(o), a, lda(o), beta, c,
                        o.N()),
                b, a, c, o.form(), o.M(), o.N(), o.K(), alpha, beta);
    }

    private FloatArray decoded(Buf b) {
        if (b.dtype() == DType.F32)
            return f(b).array();
        Floats w = scratch(b.length());
        own.decode(b, w);
        return w.array();
    }

    private void bf16(ProductOps.MatMul o) {
        Shorts a = rounded(f(o.a()), o.a().length());
        Shorts b = roundedWeight(o.b());
        int n = o.c().length();
        Shorts c = memory.shortScratch(n);
        // a descriptor of our own: TornadoVM's factory requires arrays of another class for the same bits
        Object[] arguments =
                {transB(o), transA(o), o.N(), o.M(), o.K(), (float) o.alpha(), b.array(), ldb(o), a.array(), lda(o), 0f,
                    c.array(), o.N()};
        Access[] access = new Access[arguments.length];
        Arrays.fill(access, Access.READ_ONLY);
        access[11] = Access.WRITE_ONLY;
        tasks.library("product", at(), (_, _) -> new LibraryTaskDescriptor().withLibrary(CuBlas.LIBRARY_NAME)
                .withFunction("cublasGemmExBF16").withParameters(arguments).withAccess(access), arguments);
        Floats out = f(o.c());
        tasks.task("fromBf16", items(n), ProductBf16Kernels::fromBf16, at(c.at(), out.at()), c.array(), memory.powers(),
                out.array(), n, flag(o.accumulate()));
    }

    private Shorts rounded(Floats x, int n) {
        Shorts y = memory.shortScratch(n);
        tasks.task("toBf16", items(n), ProductBf16Kernels::toBf16, at(x.at(), y.at()), x.array(), memory.powers(),
                y.array(), n);
        return y;
    }

    private Shorts roundedWeight(Buf b) {
        return switch (b.dtype()) {
            case BF16 -> memory.shorts(b);
            case F32 -> rounded(f(b), b.length());
            case NF4 -> {
                Nf4 q = memory.nf4(b);
                Shorts y = memory.shortScratch(b.length());
                tasks.task("nf4ToBf16", items(b.length()), ProductBf16Kernels::nf4ToBf16,
                        at(q.codes().at(), q.tables().at(), q.maxima().at(), q.maximaCodes().at(), y.at()),
                        q.codes().array(), q.tables().array(), q.maxima().array(), q.maximaCodes().array(),
                        memory.powers(), y.array(), b.length(), q.block(), q.nested());
                yield y;
            }
            case I32 -> throw ProductTornado.notAFactor(b);
        };
    }

    private static int transB(ProductOps.MatMul o) {
        return o.form() == ProductOps.MatMul.Form.NT ? 1 : 0;
    }

    private static int transA(ProductOps.MatMul o) {
        return o.form() == ProductOps.MatMul.Form.TN ? 1 : 0;
    }

    private static int ldb(ProductOps.MatMul o) {
        return o.form() == ProductOps.MatMul.Form.NT ? o.K() : o.N();
    }

    private static int lda(ProductOps.MatMul o) {
        return o.form() == ProductOps.MatMul.Form.TN ? o.M() : o.K();
    }
}
