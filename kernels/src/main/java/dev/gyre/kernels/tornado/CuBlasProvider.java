package dev.gyre.kernels.tornado;

import java.util.Arrays;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;
import uk.ac.manchester.tornado.runtime.common.TornadoXPUDevice;
import uk.ac.manchester.tornado.runtime.library.spi.LibraryContext;
import uk.ac.manchester.tornado.runtime.library.spi.LibraryInvocation;
import uk.ac.manchester.tornado.runtime.library.spi.TornadoLibraryProvider;
import uk.ac.manchester.tornado.runtime.library.spi.TornadoNativeStreamSupport;

/// Matrix products of parts of TornadoVM's arrays by cuBLAS, as library tasks: the runtime finds this class as a service,
/// and gives it the arrays' addresses on the device and the stream of the execution plan. So calls are in order with the
/// kernels, and nothing is copied. A failed call is an exception that names the function and the status.
///
/// | array | type of the matrix |
/// |---|---|
/// | FloatArray | F32 |
/// | ShortArray | BF16, as bits |
/// | IntArray | BF16, two numbers in an int: elements are pairs, leading dimensions numbers |
///
/// The matrices begin at the elements that the host's copy of an IntArray holds, from a slot on, when the call is made.
public final class CuBlasProvider implements TornadoLibraryProvider {
    private static final String NAME = "gyre/cublas";
    private static final String GEMM = "gemm";

    /// A matrix in column-major order, or its transpose.
    ///
    /// @param ld elements from one column to the next
    record Matrix(TornadoNativeArray array, int ld, boolean transposed) {
    }

    private record Context(CuBlas library, long handle) implements LibraryContext {
    }

    /// `c = alpha op(a) op(b) + beta c` with c (m,n) and k the inner size. `at` has the first elements of a, b and c from
    /// element `slot` on.
    static LibraryTaskDescriptor gemm(int m, int n, int k, float alpha, Matrix a, Matrix b, float beta, Matrix c,
            IntArray at, int slot, int compute) {
        Object[] arguments = {a.transposed ? 1 : 0, b.transposed ? 1 : 0, m, n, k, alpha, a.array, a.ld, b.array, b.ld,
            beta, c.array, c.ld, at, compute, slot};
        Access[] access = new Access[arguments.length];
        Arrays.fill(access, Access.READ_ONLY);
        access[11] = Access.READ_WRITE; // a part of the array keeps what is outside
        return new LibraryTaskDescriptor().withLibrary(NAME).withFunction(GEMM).withParameters(arguments)
                .withAccess(access);
    }

    @Override
    public String libraryName() {
        return NAME;
    }

    @Override
    public boolean canHandle(TornadoXPUDevice device) {
        return device instanceof TornadoNativeStreamSupport;
    }

    @Override
    public LibraryContext createContext(TornadoXPUDevice device, long executionPlanId) {
        CuBlas library = CuBlas.get();
        long handle = library.create();
        library.setStream(handle, ((TornadoNativeStreamSupport) device).getNativeStream(executionPlanId));
        return new Context(library, handle);
    }

    @Override
    public void dispatch(String functionName, LibraryInvocation call) {
        if (!functionName.equals(GEMM))
            throw new TornadoRuntimeException(NAME + " has no function " + functionName);
        Context context = (Context) call.getContext();
        IntArray at = (IntArray) call.getArg(13);
        int slot = (int) call.getArg(15);
        context.library.gemm(context.handle, (int) call.getArg(0) != 0, (int) call.getArg(1) != 0,
                (int) call.getArg(2), (int) call.getArg(3), (int) call.getArg(4), (float) call.getArg(5),
                address(call, 6, at.get(slot)), type(call, 6), (int) call.getArg(7),
                address(call, 8, at.get(slot + 1)), type(call, 8), (int) call.getArg(9), (float) call.getArg(10),
                address(call, 11, at.get(slot + 2)), type(call, 11), (int) call.getArg(12), (int) call.getArg(14));
    }

    private static long address(LibraryInvocation call, int argument, int element) {
        return call.getDevicePointer(argument)
                + (long) element * ((TornadoNativeArray) call.getArg(argument)).getElementSize();
    }

    private static int type(LibraryInvocation call, int argument) {
        return switch (call.getArg(argument)) {
            case FloatArray _ -> CuBlas.R_32F;
            case ShortArray _,IntArray _ -> CuBlas.R_16BF;
            default -> throw new TornadoRuntimeException(NAME + " multiplies no " + call.getArg(argument).getClass());
        };
    }

    @Override
    public void destroyContext(LibraryContext context) {
        Context c = (Context) context;
        c.library.destroy(c.handle);
    }
}
