package dev.gyre.trainer.report;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.SweepConfig;
import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.record.RunDir;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// The runs of a sweep and how far they are. The state is in the sweep's folder: a run with `results.json` is
/// done, one named in `sweep.json` has failed, one with a run directory was interrupted and goes on; so a sweep that was
/// killed at any moment goes on where it was.
public final class Sweep implements AutoCloseable {
    public static final String FILE = "sweep.json";

    /// @param config checked and complete
    public record Run(String name, TuningSettings config) {
        public Path dir() {
            return Path.of(config.output().dir());
        }
    }

    /// How far a run is.
    public enum State {
        NEW, INTERRUPTED, DONE, FAILED
    }

    private final Path folder;
    private final List<Run> runs;
    private @Nullable FolderLock lock;

    private Sweep(Path folder, List<Run> runs) {
        this.folder = folder;
        this.runs = List.copyOf(runs);
    }

    /// Reads the sweep and checks the configuration of every run before any of them starts.
    ///
    /// @param overrides `KEY=VALUE` for all runs, stronger than what the sweep says
    public static Sweep read(Path file, List<String> overrides) {
        SweepConfig c = ConfigReader.read(file, SweepConfig.class, List.of());
        List<Run> runs = new ArrayList<>();
        for (SweepConfig.Entry e : c.entries())
            try {
                // output.dir, the last, stays the last
                List<String> settings = new ArrayList<>(e.settings());
                settings.addAll(settings.size() - 1, overrides);
                runs.add(new Run(e.name(),
                        TuningSettings.read(Path.of(c.run()), settings)));
            } catch (ConfigException x) {
                throw new ConfigException(file + ": run " + e.name() + ": " + x.getMessage());
            }
        if (runs.isEmpty())
            throw new ConfigException(file + ": every run is skipped");
        return new Sweep(Path.of(c.output()), runs);
    }

    public Path folder() {
        return folder;
    }

    public List<Run> runs() {
        return runs;
    }

    public State state(Run r) {
        if (Results.readIfSound(r.dir()) != null)
            return State.DONE;
        if (failures().containsKey(r.name()))
            return State.FAILED;
        return isBegun(r) ? State.INTERRUPTED : State.NEW;
    }

    private static boolean isBegun(Run r) {
        return Files.exists(r.dir().resolve("run.yaml"));
    }

    /// Refuses, before anything is written or trained, where the sweep would write over what it did not make: a folder of a
    /// run's name that is no run, or files of the names of its configuration and log.
    public void checkOwn() {
        List<String> known = order(folder);
        if (Files.exists(folder.resolve(FILE)) && !Json.readObject(folder.resolve(FILE)).path("runs").isArray())
            throw new FormatException(folder.resolve(FILE), "is not of a sweep; move it away or choose another output");
        for (Run r : runs) {
            if (Files.exists(r.dir(), LinkOption.NOFOLLOW_LINKS) && !isBegun(r)
                    && !(Files.isDirectory(r.dir()) && RunDir.isBlank(r.dir())))
                throw new FormatException(r.dir(), "exists and is no run, and run " + r.name()
                        + " would be written there; move it away, or choose another output or name");
            if (known.contains(r.name()) || isBegun(r))
                continue;
            for (Path file : List.of(config(r), log(r)))
                if (Files.exists(file, LinkOption.NOFOLLOW_LINKS) && !isWrittenFor(r))
                    throw new FormatException(file, "exists and is not of this sweep, and run " + r.name()
                            + " would write over it; move it away, or choose another output or name");
        }
    }

    /// Whether the run's configuration is there just as [#prepare] writes it: of a sweep that ended before its first run.
    private boolean isWrittenFor(Run r) {
        try {
            return Files.isRegularFile(config(r))
                    && Files.readString(config(r)).equals(ConfigWriter.resolved(r.config().record()));
        } catch (IOException e) {
            return false;
        }
    }

    /// Why runs failed, by name.
    public Map<String, String> failures() {
        return failures(folder);
    }

    /// As [#failures()], of the sweep in `folder`.
    static Map<String, String> failures(Path folder) {
        Map<String, String> out = new LinkedHashMap<>();
        Path file = folder.resolve(FILE);
        if (Files.exists(file))
            for (var e : Json.readObject(file).path("failed").properties())
                out.put(e.getKey(), e.getValue().asString(""));
        return out;
    }

    /// Names of the runs of the sweep in `folder`; empty where it is none.
    static List<String> order(Path folder) {
        List<String> out = new ArrayList<>();
        Path file = folder.resolve(FILE);
        if (Files.exists(file))
            for (var n : Json.readObject(file).path("runs"))
                out.add(n.asString(""));
        return out;
    }

    /// Writes down that a run failed (or, with null, that it did not).
    public void failed(Run r, @Nullable String why) {
        Map<String, String> all = failures();
        if (why == null)
            all.remove(r.name());
        else
            all.put(r.name(), why);
        write(all);
    }

    private void write(Map<String, String> failed) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        var names = o.putArray("runs");
        runs.forEach(x -> names.add(x.name()));
        ObjectNode f = o.putObject("failed");
        failed.forEach(f::put);
        AtomicFiles.write(folder.resolve(FILE), Json.pretty(o));
    }

    /// Makes the folder this process's own until it is closed, if the runs that are done are those of this sweep.
    public void lock() {
        for (Run r : runs)
            if (state(r) == State.DONE)
                checkUnchanged(r);
        AtomicFiles.createFolder(folder);
        lock = FolderLock.take(folder, "another sweep is running there; wait for it or end it first");
        checkOwn();
        // from here on the names of the runs are this sweep's
        write(failures());
    }

    /// Writes a run's configuration next to its folder.
    ///
    /// @return whether there is something to go on with
    public boolean prepare(Run r) {
        AtomicFiles.write(config(r), ConfigWriter.resolved(r.config().record()));
        return isBegun(r);
    }

    /// Removes what a run that failed left, so that it starts anew.
    public void discard(Run r) {
        RunDir.delete(r.dir());
    }

    /// Checks that a finished run was made as the sweep says now.
    private void checkUnchanged(Run r) {
        Map<String, String> was = ConfigWriter.flat(TuningSettings.of(r.dir()).record());
        ConfigWriter.flat(r.config().record()).forEach((key, now) -> {
            String before = was.getOrDefault(key, "absent");
            if (!before.equals(now))
                throw new FormatException(r.dir(), "is finished with " + key + ": " + before + ", the sweep now says "
                        + now + "; remove that folder to run it again, or choose another output");
        });
    }

    /// Where [#prepare] puts the configuration.
    public Path config(Run r) {
        return folder.resolve(r.name() + ".yaml");
    }

    public Path log(Run r) {
        return folder.resolve(r.name() + ".log");
    }

    @Override
    public void close() {
        if (lock != null)
            lock.close();
        lock = null;
    }
}
