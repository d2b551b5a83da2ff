package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// What native code prints while a device works. After a call of OpenCL or CUDA that failed, TornadoVM's native libraries print
/// a line on standard output and go on, and results are wrong from then on. So during each call of TornadoVM file descriptor 1
/// is an anonymous file in memory; afterwards the lines that report an error become an exception, and all others are written to
/// where they were going, byte for byte.
///
/// What other threads print meanwhile takes the same way. Calls take turns. Where the C library lacks a function that is
/// needed here (Windows), nothing is watched.
final class DriverOutput {
    /// A failed call, as the libraries of the OpenCL, CUDA and PTX backends report it. NVML measures energy; what it says has no
    /// influence on results. `NOT_READY` (600) answers a question; pinned memory on the host is only faster.
    private static final Pattern ERROR = Pattern.compile("\\s*(?:\\[TornadoVM-[A-Z-]*JNI] ERROR ?: *(?<call>.+)"
            + "|(?<other>\\[ERROR.+|PTX to cubin JIT compilation.*failed.*|JIT options and values length mismatch.*"
            + "|.* off-heap memory allocation .*failed.*|\\[TornadoVM-CUDA-JNI] NVRTC compilation failed.*))");
    private static final Pattern HARMLESS =
            Pattern.compile("NVML-JNI]|NOT_READY|Returned: 600\\b|cuMemHost(?:Unr|R)egister");

    private static final int OUT = 1;
    private static final int SEEK_SET = 0;
    private static final int SEEK_CUR = 1;
    private static final int CLOSE_ON_EXEC = 1;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;

    private static @Nullable DriverOutput instance;
    private static boolean tried;

    private final MethodHandle dup2;
    private final MethodHandle seek;
    private final MethodHandle truncate;
    private final MethodHandle read;
    private final MethodHandle write;
    private final MethodHandle flush;
    private final int file;
    private final int out;

    /// Native code reported errors.
    static final class Reported extends RuntimeException {
        private static final long serialVersionUID = 1L;

        /// @param cause what the call threw by itself, if anything
        private Reported(List<String> errors, @Nullable Throwable cause) {
            super(errors.getFirst() + (errors.size() == 1 ? ""
                    : " (and " + (errors.size() - 1) + (errors.size() == 2 ? " more error)" : " more errors)")), cause);
        }

        /// True if the device has not enough memory.
        boolean memory() {
            return String.valueOf(getMessage()).contains("OUT_OF_MEMORY")
                    || String.valueOf(getMessage())
                            .matches(".*cl\\w+ -> Returned: -4\\b.*|.*cu\\w+ -> Returned: 2\\b.*");
        }
    }

    private DriverOutput(SymbolLookup c) {
        dup2 = function(c, "dup2", INT, INT, INT);
        seek = function(c, "lseek", LONG, INT, LONG, INT);
        truncate = function(c, "ftruncate", INT, INT, LONG);
        read = function(c, "read", LONG, INT, ValueLayout.ADDRESS, LONG);
        write = function(c, "write", LONG, INT, ValueLayout.ADDRESS, LONG);
        flush = function(c, "fflush", INT, ValueLayout.ADDRESS);
        try (Arena arena = Arena.ofConfined()) {
            file = (int) function(c, "memfd_create", INT, ValueLayout.ADDRESS, INT)
                    .invokeExact(arena.allocateFrom("gyre-driver"), CLOSE_ON_EXEC);
            out = (int) function(c, "dup", INT, INT).invokeExact(OUT);
        } catch (Throwable t) {
            throw failed(t);
        }
        if (file < 0)
            throw new DeviceException("cannot make a file in memory (memfd_create) to watch the driver's output");
    }

    private static MethodHandle function(SymbolLookup c, String name, MemoryLayout result, MemoryLayout... arguments) {
        return Linker.nativeLinker().downcallHandle(c.findOrThrow(name), FunctionDescriptor.of(result, arguments));
    }

    private static IllegalStateException failed(Throwable t) {
        return new IllegalStateException("a function of the C library cannot be called: " + t, t);
    }

    private static @Nullable DriverOutput get() {
        if (!tried) {
            tried = true;
            SymbolLookup c = Linker.nativeLinker().defaultLookup();
            if (c.find("memfd_create").isPresent() && c.find("dup2").isPresent())
                instance = new DriverOutput(c);
        }
        return instance;
    }

    /// Runs an action that calls native code.
    ///
    /// @throws Reported if native code printed that a call failed; if the action threw as well, that is the cause
    static synchronized <T> T watch(Supplier<T> action) {
        DriverOutput w = get();
        // closed by whoever started us: nobody would see what is printed
        if (w == null || w.out < 0)
            return action.get();
        T result;
        w.point(w.file);
        try {
            result = action.get();
        } catch (RuntimeException | Error e) {
            w.point(w.out);
            List<String> errors = w.pass();
            if (errors.isEmpty())
                throw e;
            throw new Reported(errors, e);
        }
        w.point(w.out);
        List<String> errors = w.pass();
        if (!errors.isEmpty())
            throw new Reported(errors, null);
        return result;
    }

    /// Directs standard output to another descriptor. What C's `printf` holds back goes where it belongs first.
    private void point(int descriptor) {
        try {
            int flushed = (int) flush.invokeExact(MemorySegment.NULL);
            if (flushed != 0 || (int) dup2.invokeExact(descriptor, OUT) != OUT)
                throw new DeviceException("cannot redirect standard output to watch what the driver prints");
        } catch (DeviceException e) {
            throw e;
        } catch (Throwable t) {
            throw failed(t);
        }
    }

    /// Passes on what was printed, but for lines that report errors; these are the result.
    private List<String> pass() {
        try {
            long n = (long) seek.invokeExact(file, 0L, SEEK_CUR);
            if (n <= 0)
                return List.of();
            byte[] all = new byte[Math.toIntExact(n)];
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment buffer = arena.allocate(n);
                long at = (long) seek.invokeExact(file, 0L, SEEK_SET);
                while (at < n) {
                    long got = (long) read.invokeExact(file, buffer.asSlice(at), n - at);
                    if (got <= 0)
                        throw new DeviceException("cannot read what the driver printed");
                    at += got;
                }
                MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, all, 0, all.length);
                at = (long) seek.invokeExact(file, 0L, SEEK_SET);
                int emptied = (int) truncate.invokeExact(file, at);
                if (emptied != 0)
                    throw new DeviceException("cannot empty the file with what the driver printed");
            }
            List<String> errors = new ArrayList<>();
            writeOut(withoutErrors(all, errors));
            return errors;
        } catch (DeviceException e) {
            throw e;
        } catch (Throwable t) {
            throw failed(t);
        }
    }

    private void writeOut(byte[] bytes) throws Throwable {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(Math.max(1, bytes.length));
            MemorySegment.copy(bytes, 0, buffer, ValueLayout.JAVA_BYTE, 0, bytes.length);
            for (long at = 0; at < bytes.length;) {
                long n = (long) write.invokeExact(OUT, buffer.asSlice(at), bytes.length - at);
                if (n <= 0)
                    return; // a closed pipe or a full disk; whoever prints next will say so
                at += n;
            }
        }
    }

    /// The text without the lines that report errors, which are added to `errors`.
    static byte[] withoutErrors(byte[] text, List<String> errors) {
        ByteArrayOutputStream rest = new ByteArrayOutputStream(text.length);
        for (int from = 0; from < text.length;) {
            int end = from;
            while (end < text.length && text[end] != '\n')
                end++;
            int next = Math.min(end + 1, text.length);
            String error = error(new String(text, from, end - from, StandardCharsets.UTF_8));
            if (error == null)
                rest.write(text, from, next - from);
            else
                errors.add(error);
            from = next;
        }
        return rest.toByteArray();
    }

    /// The error that a line reports; null if it reports none.
    static @Nullable String error(String line) {
        Matcher m = ERROR.matcher(line);
        if (!m.matches() || HARMLESS.matcher(line).find())
            return null;
        String call = m.group("call");
        return (call != null ? call : m.group("other")).replaceAll("[\\p{Cntrl}\\s]+", " ").strip();
    }
}
