package dev.gyre.tornadojvm;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.Condition;
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

    private static final class Warp {
        private final Condition condition;
        private final Object[] arguments = new Object[WorkItem.WARP];
        private Object[] results = {};
        private @Nullable String instruction;
        private int arrived;
        private int phase;

        Warp(Condition condition) {
            this.condition = condition;
        }
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition barrier = lock.newCondition();
    private final Warp[] warps;
    private final List<Object> local = new ArrayList<>();
    private int allocated;
    /// Items that run or wait, those of them that wait, and those that wait at the barrier.
    private int live;
    private int waiting;
    private int atBarrier;
    private int phase;
    private @Nullable String stuck;

    WorkGroup(int items) {
        live = items;
        warps = new Warp[Math.ceilDiv(items, WorkItem.WARP)];
        Arrays.setAll(warps, _ -> new Warp(lock.newCondition()));
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
            if (++atBarrier == live) {
                open();
                return;
            }
            waiting++;
            check();
            while (phase == mine)
                await(barrier);
        } finally {
            lock.unlock();
        }
    }

    private void open() {
        waiting -= Math.max(0, atBarrier - 1);
        atBarrier = 0;
        phase++;
        barrier.signalAll();
    }

    /// Waits for all lanes of a warp at the same instruction, and gives each its result.
    Object collective(int warp, int lane, String instruction, Object argument, Collective code) {
        lock.lock();
        try {
            Warp w = warps[warp];
            if (w.arrived > 0 && !instruction.equals(w.instruction))
                fail("lanes of one warp are at " + w.instruction + " and at " + instruction);
            w.instruction = instruction;
            w.arguments[lane] = argument;
            int mine = w.phase;
            if (++w.arrived == WorkItem.WARP) {
                w.results = code.apply(w.arguments);
                w.arrived = 0;
                w.phase++;
                waiting -= WorkItem.WARP - 1;
                w.condition.signalAll();
            } else {
                waiting++;
                check();
                while (w.phase == mine)
                    await(w.condition);
            }
            return w.results[lane];
        } finally {
            lock.unlock();
        }
    }

    /// An item has ended, normally or not.
    void end() {
        lock.lock();
        try {
            live--;
            if (live > 0 && atBarrier == live) {
                waiting--; // all that wait go on, and none of them arrived just now
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

    private void await(Condition condition) {
        if (stuck != null)
            throw new TornadoRuntimeException(stuck);
        condition.awaitUninterruptibly();
        if (stuck != null)
            throw new TornadoRuntimeException(stuck);
    }

    private void check() {
        if (live == 0 || waiting < live)
            return;
        for (Warp w : warps)
            if (w.arrived > 0)
                fail("only " + w.arrived + " of the " + WorkItem.WARP + " lanes of a warp take part in " + w.instruction
                        + "; the others wait at a barrier or have ended");
    }

    private void fail(String message) {
        if (stuck == null)
            stuck = message;
        barrier.signalAll();
        for (Warp w : warps)
            w.condition.signalAll();
        throw new TornadoRuntimeException(stuck);
    }
}
