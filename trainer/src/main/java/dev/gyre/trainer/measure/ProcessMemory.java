package dev.gyre.trainer.measure;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.nio.file.Files;
import java.nio.file.Path;

/// Memory of this process, in bytes: resident set and Java heap, now and at their peaks.
public final class ProcessMemory {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final Path CLEAR = Path.of("/proc/self/clear_refs");

    private ProcessMemory() {
    }

    /// Largest resident set so far; 0 where the system does not say.
    public static long peakResident() {
        return status("VmHWM:");
    }

    /// Resident set now; 0 where the system does not say.
    public static long resident() {
        return status("VmRSS:");
    }

    /// Largest heap in use, summed over its parts, as far as the collector has seen it.
    public static long peakHeap() {
        long n = 0;
        for (MemoryPoolMXBean p : ManagementFactory.getMemoryPoolMXBeans())
            if (p.getType() == MemoryType.HEAP)
                n += p.getPeakUsage().getUsed();
        return n;
    }

    /// Collects garbage and starts new peaks. Where the system does not allow that, the peak stays that of the process.
    public static void forgetPeaks() {
        System.gc();
        for (MemoryPoolMXBean p : ManagementFactory.getMemoryPoolMXBeans())
            p.resetPeakUsage();
        try {
            Files.writeString(CLEAR, "5"); // VmHWM becomes VmRSS (proc(5))
        } catch (IOException | UnsupportedOperationException e) {
            // not Linux, or not allowed: the peak is that of the process
        }
    }

    private static long status(String key) {
        try {
            for (String line : Files.readAllLines(STATUS))
                if (line.startsWith(key))
                    return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
        } catch (IOException | NumberFormatException e) {
            // not Linux
        }
        return 0;
    }
}
