package dev.gyre.trainer.serve;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/// Interrupts threads that wait too long for a client to read; that closes the client's connection.
final class Watchdog implements AutoCloseable {
    private static final long LOOKS_MILLIS = 250;

    /// When to interrupt.
    private final Map<Thread, Long> until = new ConcurrentHashMap<>();
    private final CountDownLatch closed = new CountDownLatch(1);
    private final long most;

    Watchdog(Duration most) {
        this.most = most.toNanos();
        Thread.ofPlatform().daemon().name("gyre-watchdog").start(this::look);
    }

    /// This thread begins to write to a client.
    void begin() {
        until.put(Thread.currentThread(), System.nanoTime() + most);
    }

    void end() {
        until.remove(Thread.currentThread());
    }

    /// Interrupts a thread after some time, whatever it does.
    void later(Thread t, Duration after) {
        until.put(t, System.nanoTime() + after.toNanos());
    }

    private void look() {
        try {
            while (!closed.await(LOOKS_MILLIS, TimeUnit.MILLISECONDS)) {
                long now = System.nanoTime();
                until.forEach((t, at) -> {
                    if (now - at > 0) {
                        t.interrupt();
                        until.remove(t, at);
                    }
                });
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        closed.countDown();
    }
}
