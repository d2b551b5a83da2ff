package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// Arrays of which only the device's side is used. TornadoVM wants memory on the host behind each; a large one gets a mapping
/// of a deleted, empty file, which takes neither memory nor disk as long as nobody touches it.
final class Untouched {
    /// Bytes below which an array is an ordinary one.
    private static final long LARGE = 1 << 20;

    private Untouched() {
    }

    static FloatArray floats(long n) {
        long bytes = n * Float.BYTES;
        return bytes < LARGE ? new FloatArray((int) n) : FloatArray.fromSegmentShallow(mapped(bytes));
    }

    static ShortArray shorts(long n) {
        long bytes = n * Short.BYTES;
        return bytes < LARGE ? new ShortArray((int) n) : ShortArray.fromSegmentShallow(mapped(bytes));
    }

    static IntArray ints(long n) {
        long bytes = n * Integer.BYTES;
        return bytes < LARGE ? new IntArray((int) n) : IntArray.fromSegmentShallow(mapped(bytes));
    }

    static ByteArray bytes(long n) {
        return n < LARGE ? new ByteArray((int) n) : ByteArray.fromSegmentShallow(mapped(n));
    }

    private static MemorySegment mapped(long bytes) {
        try {
            Path file = Files.createTempFile("gyre-device", null);
            try (FileChannel c = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE,
                    StandardOpenOption.SPARSE, StandardOpenOption.DELETE_ON_CLOSE)) {
                return c.map(FileChannel.MapMode.READ_WRITE, 0, bytes + TornadoNativeArray.ARRAY_HEADER,
                        Arena.ofAuto());
            }
        } catch (IOException e) {
            throw new DeviceException("cannot reserve the host's side of an array of " + bytes + " bytes in "
                    + System.getProperty("java.io.tmpdir") + " (an empty file that takes no space): " + e.getMessage()
                    + "; choose another folder with -Djava.io.tmpdir=...", e);
        }
    }
}
