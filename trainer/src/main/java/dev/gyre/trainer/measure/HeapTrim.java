package dev.gyre.trainer.measure;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.lang.management.MemoryUsage;

/// Frees what closed sessions, read models and written checkpoints leave on the heap, so that the peak of a process is what
/// its plan says. Collecting is for the application to decide: library code marks the places, and nothing happens there
/// unless the caller runs [#within] a collector, as the command line does.
public final class HeapTrim {
    /// The young generation that the launcher asks for (`-Xmn16m`), all of which a run touches.
    public static final long YOUNG = 16L << 20;
    /// Collecting less than half the young generation is not worth its time.
    private static final long WORTH = YOUNG / 2;
    private static final ScopedValue<Runnable> COLLECTOR = ScopedValue.newInstance();

    private HeapTrim() {
    }

    /// Runs `body` with a collector, which is `System::gc` in an application that owns its process.
    public static <T, X extends Throwable> T within(Runnable collector, ScopedValue.CallableOp<T, X> body) throws X {
        return ScopedValue.where(COLLECTOR, collector).call(body);
    }

    /// Collects in any case: before a model is read. What it takes the place of, a model or the session of a whole run, was
    /// alive when the old generation was last collected, and so does not count as grown.
    public static void collectAll() {
        if (COLLECTOR.isBound())
            COLLECTOR.get().run();
    }

    /// Collects, if the old generation has grown since it was last collected. Large arrays are there, and nothing else
    /// collects them before memory is short: each new session would come on top of the last one, and no estimate would hold.
    public static void collect() {
        collect(WORTH);
    }

    /// As [#collect()], where collecting so little more often would cost too much.
    ///
    /// @param worth bytes by which the old generation has grown
    public static void collect(long worth) {
        if (!COLLECTOR.isBound())
            return;
        long grown = 0;
        for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
            MemoryUsage collected = pool.getCollectionUsage();
            if (pool.getType() == MemoryType.HEAP && collected != null
                    && !pool.getName().matches(".*(Eden|Survivor).*"))
                grown += pool.getUsage().getUsed() - collected.getUsed();
        }
        if (grown >= worth)
            COLLECTOR.get().run();
    }
}
