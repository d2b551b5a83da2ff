package dev.gyre.tornadojvm;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.runtime.common.TornadoXPUDevice;
import uk.ac.manchester.tornado.runtime.library.spi.LibraryContext;
import uk.ac.manchester.tornado.runtime.library.spi.LibraryInvocation;
import uk.ac.manchester.tornado.runtime.library.spi.TornadoLibraryProvider;

/// A library with one function: `x[at[0]] = value` for an array of floats, an IntArray on the host, and a scalar.
public final class PokeProvider implements TornadoLibraryProvider {
    @Override
    public String libraryName() {
        return "test/poke";
    }

    @Override
    public boolean canHandle(TornadoXPUDevice device) {
        return true;
    }

    @Override
    public LibraryContext createContext(TornadoXPUDevice device, long executionPlanId) {
        return new LibraryContext() {
        };
    }

    @Override
    public void dispatch(String functionName, LibraryInvocation call) {
        int at = ((IntArray) call.getArg(1)).get(0);
        MemorySegment.ofAddress(call.getDevicePointer(0) + 4L * at).reinterpret(4).set(ValueLayout.JAVA_FLOAT, 0,
                (float) call.getArg(2));
    }

    @Override
    public void destroyContext(LibraryContext context) {
    }
}
