package dev.gyre.api;

import dev.gyre.trainer.loop.TrainListener;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/// How [Runs] treats a configuration file: replaced keys, resuming, listeners, when to stop.
///
/// ```java
/// RunOptions.DEFAULT.with("train.steps", 50).with("output.dir", "runs/short")
/// ```
public final class RunOptions {
    /// The file as it is, a new run, no listener.
    public static final RunOptions DEFAULT = new RunOptions(List.of(), false, List.of(), () -> false);

    private final List<String> settings;
    private final boolean resume;
    private final List<TrainListener> listeners;
    private final BooleanSupplier stop;

    private RunOptions(List<String> settings, boolean resume, List<TrainListener> listeners, BooleanSupplier stop) {
        this.settings = List.copyOf(settings);
        this.resume = resume;
        this.listeners = List.copyOf(listeners);
        this.stop = stop;
    }

    /// Replaces a key of the configuration.
    ///
    /// @param key by its path: `train.lr`
    /// @param value as it would be written in the file
    /// @return options with this setting added
    public RunOptions with(String key, Object value) {
        return new RunOptions(added(settings, key + "=" + value), resume, listeners, stop);
    }

    /// Goes on with the run in the output directory, from its newest checkpoint.
    ///
    /// @return options that resume
    public RunOptions resuming() {
        return new RunOptions(settings, true, listeners, stop);
    }

    /// Adds a listener to the run's steps, evaluations and checkpoints.
    ///
    /// @param listener called from the training thread
    /// @return options with this listener added
    public RunOptions listening(TrainListener listener) {
        return new RunOptions(settings, resume, added(listeners, listener), stop);
    }

    /// Sets when the run is to stop before its end.
    ///
    /// @param when asked after every step; true ends the run with a checkpoint
    /// @return options that stop so
    public RunOptions stopping(BooleanSupplier when) {
        return new RunOptions(settings, resume, listeners, when);
    }

    private static <T> List<T> added(List<T> all, T one) {
        List<T> out = new ArrayList<>(all);
        out.add(one);
        return out;
    }

    RunOptions ofSweep(boolean resumed) {
        return new RunOptions(List.of(), resumed, listeners, stop);
    }

    List<String> settings() {
        return settings;
    }

    boolean resume() {
        return resume;
    }

    List<TrainListener> listeners() {
        return listeners;
    }

    boolean stop() {
        return stop.getAsBoolean();
    }
}
