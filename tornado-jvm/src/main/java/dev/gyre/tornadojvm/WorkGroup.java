package dev.gyre.tornadojvm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;

/// What the items of one work group share: local memory, barriers, and the collective instructions of its warps. Where items
/// wait for others that cannot come any more, a device would hang or compute garbage; here that is an error.
final class WorkGroup {
    /// Computes the results of all lanes of a warp from their arguments.
    interface Collective {
        Object[] apply(Object[] arguments);
    }

    /// The items of a warp that wait for the others at an instruction; without locks, since a kernel has thousands of them.
    private static final class Warp {
        private final Object[] arguments = new Object[WorkItem.WARP];
        private final String[] instructions = new String[WorkItem.WARP];
        private final Thread[] threads = new Thread[WorkItem.WARP];
        private final AtomicInteger arrived = new AtomicInteger();
        private Object[] results = {};
        private volatile int phase;
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition barrier = lock.newCondition();
    private final Warp[] warps;
    private final List<Object> local = new ArrayList<>();
    private int allocated;
    /// Items that run or wait, and those of them that wait. Whoever lets items go on is not waiting and subtracts them first, so
    /// equal numbers mean that nobody can.
    private final AtomicInteger live;
    private final AtomicInteger waiting = new AtomicInteger();
    private int atBarrier;
    private int phase;
    private volatile @Nullable String stuck;

    WorkGroup(int items) {
        live = new AtomicInteger(items);
        warps = new Warp[Math.ceilDiv(items, WorkItem.WARP)];
        Arrays.setAll(warps, _ -> new Warp());
    }

    @SuppressWarnings("unchecked")
    synchronized <T> T array(int index, T fresh, int bytes) {
        if (index == local.size()) {
            local.add(fresh);
            allocated += bytes;
            if (allocated > JvmRuntime.LOCAL_MEMORY)
                throw new TornadoRuntimeException("a work group needs " + allocated + " bytes of local memory, of "
                        + JvmRuntime.LOCAL_MEMORY);
        }
        return (T) local.get(index);
    }

    /// Waits for all items of the group that have not ended.
    void barrier() {
        lock.lock();
        try {
            int mine = phase;
            if (++atBarrier == live.get()) {
                waiting.addAndGet(1 - atBarrier);
                open();
                return;
            }
            waiting.incrementAndGet();
            check();
            while (phase == mine && stuck == null)
                barrier.awaitUninterruptibly();
            report();
        } finally {
            lock.unlock();
        }
    }

    private void open() {
        atBarrier = 0;
        phase++;
        barrier.signalAll();
    }

    /// Waits for all lanes of a warp at the same instruction, and gives each its result.
    Object collective(int warp, int lane, String instruction, Object argument, Collective code) {
        Warp w = warps[warp];
        w.instructions[lane] = instruction;
        w.arguments[lane] = argument;
        w.threads[lane] = Thread.currentThread();
        int mine = w.phase;
        if (w.arrived.incrementAndGet() == WorkItem.WARP) {
            for (String other : w.instructions)
                if (!other.equals(instruction))
                    fail("lanes of one warp are at " + other + " and at " + instruction);
            w.results = code.apply(w.arguments);
            w.arrived.set(0);
            waiting.addAndGet(1 - WorkItem.WARP);
            w.phase = mine + 1;
            for (Thread t : w.threads)
                LockSupport.unpark(t);
        } else {
            waiting.incrementAndGet();
            check();
            while (w.phase == mine && stuck == null)
                LockSupport.park(this);
            report();
        }
        return w.results[lane];
    }

    /// An item has ended, normally or not.
    void end() {
        lock.lock();
        try {
            int left = live.decrementAndGet();
            if (left > 0 && atBarrier == left) {
                waiting.addAndGet(-atBarrier);
                open();
            } else {
                check();
            }
        } catch (TornadoRuntimeException _) {
            // those that wait report it
        } finally {
            lock.unlock();
        }
    }

    private void report() {
        if (stuck != null)
            throw new TornadoRuntimeException(stuck);
    }

    private void check() {
        if (waiting.get() != live.get())
            return;
        for (Warp w : warps)
            if (w.arrived.get() > 0)
                fail("only " + w.arrived + " of the " + WorkItem.WARP
                        + " lanes of a warp take part in an instruction of all its lanes; the others wait at a barrier"
                        + " or have ended");
    }

    private void fail(String message) {
        lock.lock();
        try {
            if (stuck == null)
                stuck = message;
            barrier.signalAll();
            for (Warp w : warps)
                for (Thread t : w.threads)
                    LockSupport.unpark(t);
        } finally {
            lock.unlock();
        }
        report();
    }
}
