package dev.gyre.trainer.cli.screen;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/// Ctrl-C: the first asks for an end in good order, the second ends the process.
public final class Interrupt implements AutoCloseable {
    private final AtomicInteger count = new AtomicInteger();
    private final Map<Signal, SignalHandler> before = new LinkedHashMap<>();

    private Interrupt(Runnable first, String... signals) {
        SignalHandler handler = s -> {
            if (count.incrementAndGet() == 1)
                first.run();
            // a terminal that closes hangs up more than once, and that asks for an end in good order each time
            else
                if (!s.getName().equals("HUP"))
                    Runtime.getRuntime().halt(ExitCode.INTERRUPTED);
        };
        for (String name : signals) {
            try {
                Signal s = new Signal(name);
                before.put(s, Signal.handle(s, handler));
            } catch (IllegalArgumentException e) {
                continue; // a system without that signal
            }
        }
    }

    /// Of a run, which finishes its step and saves; being asked to terminate, and a terminal that closes, are the same.
    public static Interrupt ofRun(Screen screen) {
        return new Interrupt(
                () -> screen.note("finishing the step, then saving; press Ctrl-C again to stop at once"), "INT",
                "TERM", "HUP");
    }

    /// Of a worker that leaves it to the first one to speak.
    public static Interrupt ofWorker() {
        return new Interrupt(() -> {
        }, "INT", "TERM", "HUP");
    }

    /// Of a server, which answers what it was asked before it ends; being asked to terminate is the same.
    public static Interrupt ofServer(Screen screen) {
        return new Interrupt(
                () -> screen.note("answering what was asked, then ending; press Ctrl-C again to stop at once"), "INT",
                "TERM");
    }

    /// Of an answer, which ends where it is.
    public static Interrupt ofAnswer() {
        return new Interrupt(() -> {
        }, "INT");
    }

    public boolean requested() {
        return count.get() > 0;
    }

    @Override
    public void close() {
        before.forEach(Signal::handle);
    }
}
