package dev.gyre.trainer.cli;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.nio.file.Files;
import java.nio.file.Path;

/// What the process has used.
final class Memory {
    private Memory() {
    }

    /// Largest sum of what lived on the heap, as far as the collector has seen it.
    static long peak() {
        long n = 0;
        for (MemoryPoolMXBean p : ManagementFactory.getMemoryPoolMXBeans())
            if (p.getType() == MemoryType.HEAP)
                n += p.getPeakUsage().getUsed();
        return n;
    }

    /// Largest resident size of the process, 0 where the system does not tell.
    static long resident() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status")))
                if (line.startsWith("VmHWM:"))
                    return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
        } catch (IOException | NumberFormatException e) {
            // not Linux
        }
        return 0;
    }
}
