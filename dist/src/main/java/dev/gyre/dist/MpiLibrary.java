package dev.gyre.dist;

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
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The functions of an MPI library, called through the foreign function API, and its handles, for which there are three
/// binary interfaces: that of the MPI Forum (constants, Open MPI 6 and MPICH 5), that of Open MPI (addresses of symbols)
/// and that of MPICH, Intel MPI and Cray MPI (32-bit numbers).
///
/// The only class that calls native code of MPI.
final class MpiLibrary {
    /// Names to look for, the likeliest first; see [#candidates].
    private static final String FORUM = "libmpi_abi.so.0";
    private static final String OPEN_MPI = "libmpi.so.40";
    private static final List<String> MPICH = List.of("libmpich.so.12", "libmpi.so.12");
    /// A path or name that replaces the search.
    static final String CHOICE = "GYRE_MPI";
    private static final int RTLD_NOW = 2;
    private static final int RTLD_GLOBAL = 0x100;
    private static final int THREAD_FUNNELED = 1;
    private static final int VERSION_ROOM = 8192;

    /// How a library stands for communicators and types.
    private enum Abi {
        FORUM, OPEN_MPI, MPICH
    }

    private final String file;
    private final Abi abi;
    private final Object world;
    private final Object floats;
    private final MemorySegment ignore;
    private final Arena arena = Arena.ofShared();
    private final SymbolLookup symbols;
    private final MethodHandle sendrecv;
    private final MethodHandle allgather;
    private final MethodHandle bcast;
    private final MethodHandle abort;
    private final MethodHandle finish;

    private MpiLibrary(String file, SymbolLookup symbols) {
        this.file = file;
        this.symbols = symbols;
        boolean open = symbols.find("ompi_mpi_comm_world").isPresent();
        this.abi = file.contains("mpi_abi") ? Abi.FORUM : open ? Abi.OPEN_MPI : Abi.MPICH;
        switch (abi) {
            case FORUM -> {
                world = MemorySegment.ofAddress(0x101);
                floats = MemorySegment.ofAddress(0x210);
                ignore = MemorySegment.NULL;
            }
            case OPEN_MPI -> {
                world = symbols.findOrThrow("ompi_mpi_comm_world");
                floats = symbols.findOrThrow("ompi_mpi_float");
                ignore = MemorySegment.NULL;
            }
            case MPICH -> {
                world = 0x44000000;
                floats = 0x4c00040a;
                ignore = MemorySegment.ofAddress(1);
            }
            default -> throw new IllegalStateException(abi.toString());
        }
        MemoryLayout h = abi == Abi.MPICH ? ValueLayout.JAVA_INT : ValueLayout.ADDRESS;
        MemoryLayout p = ValueLayout.ADDRESS;
        MemoryLayout i = ValueLayout.JAVA_INT;
        sendrecv = function("MPI_Sendrecv", p, i, h, i, i, p, i, h, i, i, h, p);
        allgather = function("MPI_Allgather", p, i, h, p, i, h, h);
        bcast = function("MPI_Bcast", p, i, h, i, h);
        abort = function("MPI_Abort", h, i);
        finish = function("MPI_Finalize");
    }

    private MethodHandle function(String name, MemoryLayout... arguments) {
        return Linker.nativeLinker().downcallHandle(symbols.findOrThrow(name),
                FunctionDescriptor.of(ValueLayout.JAVA_INT, arguments));
    }

    /// Opens the library that the launcher of this process uses and starts it.
    ///
    /// @throws WorkerException if there is none
    static MpiLibrary start(Map<String, String> environment) {
        List<String> tried = new ArrayList<>();
        for (String name : candidates(environment)) {
            SymbolLookup s = open(name);
            if (s != null && s.find("MPI_Init_thread").isPresent()) {
                MpiLibrary m = new MpiLibrary(name, s);
                m.init();
                return m;
            }
            tried.add(name);
        }
        throw new WorkerException("started as one of several workers, but there is no MPI library ("
                + String.join(", ", tried) + "); install Open MPI or MPICH, or give the library's path in " + CHOICE);
    }

    /// The libraries that can be opened here, by name, with their versions; opens none of them for use.
    static List<String> installed() {
        List<String> found = new ArrayList<>();
        for (String name : candidates(Map.of())) {
            SymbolLookup s = open(name);
            if (s != null && s.find("MPI_Get_library_version").isPresent())
                found.add(name + ": " + version(s));
        }
        return found;
    }

    private static List<String> candidates(Map<String, String> environment) {
        String choice = environment.get(CHOICE);
        if (choice != null && !choice.isBlank())
            return List.of(choice);
        List<String> all = new ArrayList<>();
        all.add(FORUM);
        // the launcher's own library first: another one would see one worker only
        if (environment.containsKey("PMI_SIZE") && !environment.containsKey("OMPI_COMM_WORLD_SIZE")) {
            all.addAll(MPICH);
            all.add(OPEN_MPI);
        } else {
            all.add(OPEN_MPI);
            all.addAll(MPICH);
        }
        return all;
    }

    /// As `dlopen` does it with RTLD_GLOBAL: Open MPI's plugins look for its symbols in the global scope. Null when there is
    /// no such library.
    private static @Nullable SymbolLookup open(String name) {
        // UCX, which MPICH may bring, would take SIGSEGV from the JVM, which uses it for null checks; it reads this when it
        // is loaded
        setenv("UCX_ERROR_SIGNALS", "");
        Linker linker = Linker.nativeLinker();
        SymbolLookup c = linker.defaultLookup();
        MethodHandle dlopen = linker.downcallHandle(c.findOrThrow("dlopen"), FunctionDescriptor.of(ValueLayout.ADDRESS,
                ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
        MethodHandle dlsym = linker.downcallHandle(c.findOrThrow("dlsym"), FunctionDescriptor.of(ValueLayout.ADDRESS,
                ValueLayout.ADDRESS, ValueLayout.ADDRESS));
        MemorySegment library;
        try (Arena a = Arena.ofConfined()) {
            library = (MemorySegment) dlopen.invokeExact(a.allocateFrom(name), RTLD_NOW | RTLD_GLOBAL);
        } catch (Throwable e) {
            throw unexpected("dlopen", e);
        }
        if (library.address() == 0)
            return null;
        return symbol -> {
            try (Arena a = Arena.ofConfined()) {
                MemorySegment found = (MemorySegment) dlsym.invokeExact(library, a.allocateFrom(symbol));
                return found.address() == 0 ? java.util.Optional.empty() : java.util.Optional.of(found);
            } catch (Throwable e) {
                throw unexpected("dlsym", e);
            }
        };
    }

    private static void setenv(String name, String value) {
        Linker linker = Linker.nativeLinker();
        MethodHandle set = linker.downcallHandle(linker.defaultLookup().findOrThrow("setenv"), FunctionDescriptor.of(
                ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
        try (Arena a = Arena.ofConfined()) {
            int _ = (int) set.invokeExact(a.allocateFrom(name), a.allocateFrom(value), 1);
        } catch (Throwable e) {
            throw unexpected("setenv", e);
        }
    }

    private void init() {
        MethodHandle init = function("MPI_Init_thread", ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT,
                ValueLayout.ADDRESS);
        try (Arena a = Arena.ofConfined()) {
            check("MPI_Init_thread", (int) init.invokeExact(MemorySegment.NULL, MemorySegment.NULL, THREAD_FUNNELED,
                    a.allocate(ValueLayout.JAVA_INT)));
        } catch (Throwable e) {
            throw unexpected("MPI_Init_thread", e);
        }
    }

    int rank() {
        return number("MPI_Comm_rank");
    }

    int size() {
        return number("MPI_Comm_size");
    }

    private int number(String function) {
        MemoryLayout h = abi == Abi.MPICH ? ValueLayout.JAVA_INT : ValueLayout.ADDRESS;
        MethodHandle f = function(function, h, ValueLayout.ADDRESS);
        try (Arena a = Arena.ofConfined()) {
            MemorySegment n = a.allocate(ValueLayout.JAVA_INT);
            check(function, (int) f.invokeWithArguments(world, n));
            return n.get(ValueLayout.JAVA_INT, 0);
        } catch (Throwable e) {
            throw unexpected(function, e);
        }
    }

    /// First line of what the library calls itself.
    String version() {
        return version(symbols);
    }

    private static String version(SymbolLookup symbols) {
        MethodHandle f = Linker.nativeLinker().downcallHandle(symbols.findOrThrow("MPI_Get_library_version"),
                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS));
        try (Arena a = Arena.ofConfined()) {
            MemorySegment text = a.allocate(VERSION_ROOM);
            int _ = (int) f.invokeExact(text, a.allocate(ValueLayout.JAVA_INT));
            String all = text.getString(0).strip().replaceAll("[\\t ]+", " ");
            int end = all.indexOf('\n');
            String line = end < 0 ? all : all.substring(0, end).strip();
            return line.toLowerCase(Locale.ROOT).startsWith("mpich version") ? "MPICH " + line.replaceAll("[^\\d.]", "")
                    : line.replaceAll(",.*", "");
        } catch (Throwable e) {
            throw unexpected("MPI_Get_library_version", e);
        }
    }

    String file() {
        return file;
    }

    /// Sends and receives multiples of 4 bytes, outside the heap.
    void exchange(int to, MemorySegment send, int from, MemorySegment receive) {
        try {
            check("MPI_Sendrecv", (int) sendrecv.invokeWithArguments(send, count(send), floats, to, 0, receive,
                    count(receive), floats, from, 0, world, ignore));
        } catch (Throwable e) {
            throw unexpected("MPI_Sendrecv", e);
        }
    }

    /// `all` gets what every worker gave, by rank.
    void gather(MemorySegment mine, MemorySegment all) {
        try {
            check("MPI_Allgather", (int) allgather.invokeWithArguments(mine, count(mine), floats, all, count(mine),
                    floats, world));
        } catch (Throwable e) {
            throw unexpected("MPI_Allgather", e);
        }
    }

    void broadcast(MemorySegment data) {
        try {
            check("MPI_Bcast", (int) bcast.invokeWithArguments(data, count(data), floats, 0, world));
        } catch (Throwable e) {
            throw unexpected("MPI_Bcast", e);
        }
    }

    void abort(int code) {
        try {
            int _ = (int) abort.invokeWithArguments(world, code);
        } catch (Throwable e) {
            throw unexpected("MPI_Abort", e);
        }
    }

    void finish() {
        try {
            check("MPI_Finalize", (int) finish.invokeWithArguments());
        } catch (Throwable e) {
            throw unexpected("MPI_Finalize", e);
        }
        arena.close();
    }

    private static int count(MemorySegment s) {
        return Math.toIntExact(s.byteSize() / 4);
    }

    private static void check(String function, int code) {
        if (code != 0)
            throw new WorkerException(function + " failed with code " + code);
    }

    private static RuntimeException unexpected(String function, Throwable e) {
        if (e instanceof RuntimeException r)
            return r;
        if (e instanceof Error r)
            throw r;
        return new IllegalStateException(function, e);
    }
}
