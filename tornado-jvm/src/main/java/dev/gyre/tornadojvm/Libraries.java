package dev.gyre.tornadojvm;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.function.UnaryOperator;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;
import uk.ac.manchester.tornado.runtime.library.spi.LibraryContext;
import uk.ac.manchester.tornado.runtime.library.spi.LibraryInvocation;
import uk.ac.manchester.tornado.runtime.library.spi.TornadoLibraryProvider;

/// The library tasks of one execution plan: each is dispatched to the provider of its library, which gets the addresses of
/// copies of the device's arrays in native memory. As on the SDK the host's arrays are passed as well, with what the host
/// wrote; an address is 16 bytes, the header, behind one that is divisible by 256.
///
/// A call that writes outside of an array, or into one that its descriptor calls read-only, fails here.
final class Libraries {
    /// Bytes in front of each array, and behind it, that must stay as they are.
    private static final int GUARD = 256;
    private static final byte UNTOUCHED = 0x5a;

    private record Open(TornadoLibraryProvider provider, LibraryContext context) {
    }

    private final Map<String, Open> open = new HashMap<>();

    /// @param onDevice the device's copy of an array
    void call(LibraryTaskDescriptor d, Object[] arguments, UnaryOperator<TornadoNativeArray> onDevice) {
        Open library = open.computeIfAbsent(d.getLibraryName(), Libraries::open);
        library.provider.prepare(d, library.context);
        Access[] access = d.getAccess();
        long[] pointers = new long[arguments.length];
        boolean[] references = new boolean[arguments.length];
        Map<TornadoNativeArray, MemorySegment> copies = new IdentityHashMap<>();
        Set<TornadoNativeArray> written = Collections.newSetFromMap(new IdentityHashMap<>());
        try (Arena arena = Arena.ofConfined()) {
            for (int i = 0; i < arguments.length; i++)
                if (arguments[i] instanceof TornadoNativeArray a) {
                    TornadoNativeArray device = onDevice.apply(a);
                    references[i] = true;
                    pointers[i] = copies.computeIfAbsent(device, x -> copy(arena, x)).address() + GUARD
                            + TornadoNativeArray.ARRAY_HEADER;
                    if (access[i] == Access.WRITE_ONLY || access[i] == Access.READ_WRITE)
                        written.add(device);
                }
            library.provider.dispatch(d.getFunctionName(), new LibraryInvocation(arguments, pointers, references,
                    JvmRuntime.INSTANCE, 0, library.context, d.getTuning()));
            copies.forEach((device, copy) -> finish(d.getFunctionName(), device, copy, written.contains(device)));
        }
    }

    private static Open open(String name) {
        for (TornadoLibraryProvider p : ServiceLoader.load(TornadoLibraryProvider.class))
            if (p.libraryName().equals(name) && p.canHandle(JvmRuntime.INSTANCE))
                return new Open(p, p.createContext(JvmRuntime.INSTANCE, 0));
        throw new TornadoRuntimeException("No provider found for library `" + name + "`");
    }

    private static MemorySegment copy(Arena arena, TornadoNativeArray a) {
        long header = TornadoNativeArray.ARRAY_HEADER;
        MemorySegment s = arena.allocate(2 * GUARD + header + a.getNumBytesOfSegment(), 256).fill(UNTOUCHED);
        MemorySegment.copy(a.getSegment(), 0, s, GUARD + header, a.getNumBytesOfSegment());
        return s;
    }

    private static void finish(String function, TornadoNativeArray a, MemorySegment copy, boolean written) {
        long begin = GUARD + TornadoNativeArray.ARRAY_HEADER;
        long end = begin + a.getNumBytesOfSegment();
        for (long i = 0; i < copy.byteSize(); i = i + 1 == begin ? end : i + 1)
            if (copy.get(ValueLayout.JAVA_BYTE, i) != UNTOUCHED)
                throw new TornadoRuntimeException(function + " wrote outside of an array of " + a.getSize()
                        + " elements, at byte " + (i - begin));
        MemorySegment elements = copy.asSlice(begin, end - begin);
        if (written)
            MemorySegment.copy(elements, 0, a.getSegment(), 0, elements.byteSize());
        else
            if (elements.mismatch(a.getSegment()) >= 0)
                throw new TornadoRuntimeException(
                        function + " wrote into a read-only array of " + a.getSize() + " elements");
    }

    void close() {
        open.values().forEach(o -> o.provider.destroyContext(o.context));
        open.clear();
    }
}
