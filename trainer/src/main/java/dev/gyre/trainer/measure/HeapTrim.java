package dev.gyre.trainer.measure;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.lang.management.MemoryUsage;

/// What closed sessions, read models and written checkpoints leave behind.
public final class HeapTrim {
    /// The young generation that the launcher asks for (`-Xmn16m`), all of which a run touches.
    public static final long YOUNG = 16L << 20;
    /// Collecting less than half the young generation is not worth its time.
    private static final long WORTH = YOUNG / 2;

    private HeapTrim() {
    }

    /// Collects in any case: before a model is read. What it takes the place of, a model or the session of a whole run, was
    /// alive when the old generation was last collected, and so does not count as grown.
    public static void collectAll() {
        System.gc();
    }

    /// Collects, if the old generation has grown since it was last collected. Large arrays lie there, and nothing else
    /// collects them before memory is short: each new session would lie beside the last one, and no estimate would hold.
    public static void collect() {
        long grown = 0;
        for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
            MemoryUsage collected = pool.getCollectionUsage();
            if (pool.getType() == MemoryType.HEAP && collected != null
                    && !pool.getName().matches(".*(Eden|Survivor).*"))
                grown += pool.getUsage().getUsed() - collected.getUsed();
        }
        if (grown >= WORTH)
            System.gc();
    }
}
