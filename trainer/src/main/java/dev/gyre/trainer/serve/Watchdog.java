package dev.gyre.trainer.serve;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/// Interrupts threads that wait too long for a client to read; that closes the client's connection.
final class Watchdog implements AutoCloseable {
    private final Map<Thread, Long> writing = new ConcurrentHashMap<>();
    private final ScheduledExecutorService clock =
            Executors.newSingleThreadScheduledExecutor(Thread.ofPlatform().daemon().name("gyre-watchdog").factory());
    private final long most;

    Watchdog(Duration most) {
        this.most = most.toNanos();
        clock.scheduleWithFixedDelay(this::look, 500, 500, TimeUnit.MILLISECONDS);
    }

    /// This thread begins to write to a client.
    void begin() {
        writing.put(Thread.currentThread(), System.nanoTime());
    }

    void end() {
        writing.remove(Thread.currentThread());
    }

    void later(Thread t, long seconds) {
        clock.schedule(t::interrupt, seconds, TimeUnit.SECONDS);
    }

    private void look() {
        long now = System.nanoTime();
        writing.forEach((t, since) -> {
            if (now - since > most)
                t.interrupt();
        });
    }

    @Override
    public void close() {
        clock.shutdownNow();
    }
}
