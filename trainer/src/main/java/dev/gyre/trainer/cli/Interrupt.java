package dev.gyre.trainer.cli;

import java.util.concurrent.atomic.AtomicInteger;
import sun.misc.Signal;

/// Ctrl-C: the first asks the run to finish its step and save, the second ends the process.
final class Interrupt implements AutoCloseable {
    private final AtomicInteger count = new AtomicInteger();
    private final Signal signal = new Signal("INT");
    private final Signal terminate = new Signal("TERM");
    private final sun.misc.SignalHandler before;
    private final sun.misc.SignalHandler beforeTerminate;

    Interrupt(Screen screen) {
        sun.misc.SignalHandler handler = _ -> {
            if (count.incrementAndGet() > 1)
                Runtime.getRuntime().halt(ExitCode.INTERRUPTED);
            screen.note("finishing the step, then saving; press Ctrl-C again to stop at once");
        };
        before = Signal.handle(signal, handler);
        beforeTerminate = Signal.handle(terminate, handler);
    }

    boolean requested() {
        return count.get() > 0;
    }

    @Override
    public void close() {
        Signal.handle(signal, before);
        Signal.handle(terminate, beforeTerminate);
    }
}
