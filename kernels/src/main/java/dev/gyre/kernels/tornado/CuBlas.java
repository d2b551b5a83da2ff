package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import org.jspecify.annotations.Nullable;

/// The functions of NVIDIA's cuBLAS that we call, by java.lang.foreign. They enqueue work on a CUDA stream and return.
///
/// The library is the one that the system property `gyre.cublas` names (a path), else the dynamic loader's `libcublas.so.13`
/// or `.12`.
final class CuBlas {
    /// Path of the library, for one that the dynamic loader does not find.
    static final String LIBRARY = "gyre.cublas";

    /// `cudaDataType`
    static final int R_32F = 0;
    static final int R_16BF = 14;
    /// `cublasComputeType_t`: sums in F32, of factors as they are, or rounded to TF32.
    static final int COMPUTE_32F = 68;
    static final int COMPUTE_32F_FAST_TF32 = 77;

    private static final int GEMM_DEFAULT = -1;
    private static final List<String> NAMES = System.getProperty("os.name").startsWith("Windows")
            ? List.of("cublas64_13.dll", "cublas64_12.dll")
            : List.of("libcublas.so.13", "libcublas.so.12");

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong POINTER = ValueLayout.JAVA_LONG;
    private static final AddressLayout HOST = ValueLayout.ADDRESS;

    private static @Nullable CuBlas loaded;

    private final MethodHandle create;
    private final MethodHandle destroy;
    private final MethodHandle setStream;
    private final MethodHandle gemm;

    private CuBlas(SymbolLookup library) {
        create = function(library, "cublasCreate_v2", HOST);
        destroy = function(library, "cublasDestroy_v2", POINTER);
        setStream = function(library, "cublasSetStream_v2", POINTER, POINTER);
        gemm = function(library, "cublasGemmEx", POINTER, INT, INT, INT, INT, INT, HOST, POINTER, INT, INT, POINTER,
                INT,
                INT, HOST, POINTER, INT, INT, INT, INT);
    }

    private static MethodHandle function(SymbolLookup library, String name,
            MemoryLayout... arguments) {
        return Linker.nativeLinker().downcallHandle(library.findOrThrow(name), FunctionDescriptor.of(INT, arguments));
    }

    /// The library, loaded on the first call.
    ///
    /// @throws IllegalArgumentException if there is none, with the names that were tried
    static synchronized CuBlas get() {
        CuBlas c = loaded;
        if (c == null) {
            c = new CuBlas(library(System.getProperty(LIBRARY)));
            loaded = c;
        }
        return c;
    }

    /// Why cuBLAS cannot be called; null if it can.
    static @Nullable String missing() {
        try {
            get();
            return null;
        } catch (IllegalArgumentException | NoSuchElementException e) {
            return e.getMessage();
        }
    }

    static SymbolLookup library(@Nullable String path) {
        List<String> tried = path == null ? NAMES : List.of(path);
        List<String> reasons = new ArrayList<>();
        for (String name : tried)
            try {
                return SymbolLookup.libraryLookup(name, Arena.global());
            } catch (IllegalArgumentException e) {
                reasons.add(name);
            }
        throw new IllegalArgumentException("the dynamic loader finds no " + String.join(" or ", reasons)
                + (path == null ? "" : " (-D" + LIBRARY + ")"));
    }

    /// A handle of the library for the CUDA context of this thread.
    long create() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(POINTER);
            check("cublasCreate", (int) create.invokeExact(handle));
            return handle.get(POINTER, 0);
        } catch (Throwable e) {
            throw failure("cublasCreate", e);
        }
    }

    void destroy(long handle) {
        try {
            check("cublasDestroy", (int) destroy.invokeExact(handle));
        } catch (Throwable e) {
            throw failure("cublasDestroy", e);
        }
    }

    void setStream(long handle, long stream) {
        try {
            check("cublasSetStream", (int) setStream.invokeExact(handle, stream));
        } catch (Throwable e) {
            throw failure("cublasSetStream", e);
        }
    }

    /// `C = alpha op(A) op(B) + beta C` in column-major order: op(A) (m,k), op(B) (k,n), C (m,n). `a`, `b` and `c` are
    /// addresses on the device, `ld` the elements from one column to the next, types are `R_...`; with beta 0, C is not read.
    void gemm(long handle, boolean transA, boolean transB, int m, int n, int k, float alpha, long a, int typeA, int lda,
            long b, int typeB, int ldb, float beta, long c, int typeC, int ldc, int compute) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment scalars = arena.allocate(2 * Float.BYTES, Float.BYTES);
            scalars.set(ValueLayout.JAVA_FLOAT, 0, alpha);
            scalars.set(ValueLayout.JAVA_FLOAT, Float.BYTES, beta);
            check("cublasGemmEx", (int) gemm.invokeExact(handle, transA ? 1 : 0, transB ? 1 : 0, m, n, k,
                    scalars, a, typeA, lda, b, typeB, ldb, scalars.asSlice(Float.BYTES), c, typeC, ldc, compute,
                    GEMM_DEFAULT));
        } catch (Throwable e) {
            throw failure("cublasGemmEx", e);
        }
    }

    /// A TornadoRuntimeException would be lost: the SDK replaces it by "Recover option disabled".
    private static void check(String function, int status) {
        if (status != 0)
            throw new DeviceException(function + " failed: " + status(status));
    }

    private static RuntimeException failure(String function, Throwable e) {
        return switch (e) {
            case Error error -> throw error;
            case RuntimeException known -> known;
            default -> new IllegalStateException(function, e); // a downcall throws nothing of its own
        };
    }

    /// The name of a `cublasStatus_t`.
    private static String status(int status) {
        return switch (status) {
            case 1 -> "CUBLAS_STATUS_NOT_INITIALIZED";
            case 3 -> "CUBLAS_STATUS_ALLOC_FAILED";
            case 7 -> "CUBLAS_STATUS_INVALID_VALUE";
            case 8 -> "CUBLAS_STATUS_ARCH_MISMATCH";
            case 11 -> "CUBLAS_STATUS_MAPPING_ERROR";
            case 13 -> "CUBLAS_STATUS_EXECUTION_FAILED";
            case 14 -> "CUBLAS_STATUS_INTERNAL_ERROR";
            case 15 -> "CUBLAS_STATUS_NOT_SUPPORTED";
            default -> "status " + status;
        };
    }
}
