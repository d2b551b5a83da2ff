package dev.gyre.bench;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.nio.file.Files;
import java.nio.file.Path;

/// Peaks of the process's resident memory and of the Java heap between two moments. Bytes; -1 where the system does not
/// tell.
final class ProcessMemory {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final Path CLEAR = Path.of("/proc/self/clear_refs");

    private ProcessMemory() {
    }

    /// Collects garbage and forgets the peaks so far. Where the system does not let us, the peak is that of the process.
    static void forgetPeaks() {
        System.gc();
        for (MemoryPoolMXBean p : ManagementFactory.getMemoryPoolMXBeans())
            p.resetPeakUsage();
        try {
            Files.writeString(CLEAR, "5"); // VmHWM becomes VmRSS (proc(5))
        } catch (IOException | UnsupportedOperationException e) {
            // not Linux, or not allowed: told above
        }
    }

    /// Largest resident set since then.
    static long peakResident() {
        return status("VmHWM:");
    }

    static long resident() {
        return status("VmRSS:");
    }

    /// Largest heap in use since then, summed over its parts.
    static long peakHeap() {
        long n = 0;
        for (MemoryPoolMXBean p : ManagementFactory.getMemoryPoolMXBeans())
            if (p.getType() == MemoryType.HEAP)
                n += p.getPeakUsage().getUsed();
        return n;
    }

    private static long status(String key) {
        try {
            for (String line : Files.readAllLines(STATUS))
                if (line.startsWith(key))
                    return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
        } catch (IOException e) {
            // not Linux
        }
        return -1;
    }
}
