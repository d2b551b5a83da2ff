package dev.gyre.trainer.record;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.loop.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// The folder of one run.
///
/// | name | content |
/// |---|---|
/// | `run.yaml` | the resolved configuration |
/// | `provenance.json` | versions, hashes of model and data, device, flags |
/// | `held-out.txt` | the examples that are held out, where `data.valid` is a part of the training data |
/// | `metrics.jsonl` | one line per step and per evaluation |
/// | `checkpoint-N/` | state after step N, with the adapter as it was then |
/// | `adapter/` or `model/` | the result |
/// | `program.txt` | the operations of a step |
/// | `log.txt` | what the screen showed |
/// | `.lock` | there while a process trains |
/// | `.stop` | asks that process to stop |
public final class RunDir {
    /// Names the examples that are held out of the training data.
    public static final String HELD_OUT = "held-out.txt";

    private static final String STOP = ".stop";

    private static final Pattern CHECKPOINT = Pattern.compile("checkpoint-(0|[1-9]\\d{0,17})");

    private static final String BUSY =
            "a run is going on there; wait for it or end it first, or choose another output.dir";

    private final Path path;
    private final boolean fresh;

    private RunDir(Path path, boolean fresh) {
        this.path = path;
        this.fresh = fresh;
    }

    /// Finds out whether a run can have its folder, before it costs anything.
    public static void check(Path path, boolean resume) {
        if (resume)
            open(path);
        else {
            if (Files.isDirectory(path))
                FolderLock.check(path, BUSY);
            free(path);
        }
        AtomicFiles.checkFolder(path);
    }

    /// A new run; the folder must not exist or hold nothing.
    public static RunDir create(Path path) {
        free(path);
        AtomicFiles.createFolder(path);
        return new RunDir(path, true);
    }

    private static void free(Path path) {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS))
            return;
        if (!Files.isDirectory(path))
            throw new FormatException(path, "exists and is not a directory; choose another output.dir");
        if (!isBlank(path))
            throw new FormatException(path,
                    "exists and is not empty; continue that run with --resume, choose another output.dir, or remove it");
    }

    /// Whether a folder holds nothing but what a run that was killed before its first file was complete leaves.
    public static boolean isBlank(Path folder) {
        return list(folder).stream().allMatch(p -> isLock(p) || p.endsWith(STOP) || isUnborn(p));
    }

    private static boolean isUnborn(Path p) {
        return String.valueOf(p.getFileName()).startsWith(".run.yaml.tmp-") && AtomicFiles.isLeftOver(p);
    }

    /// An existing run. Nothing in it changes before it is [#lock]ed.
    public static RunDir open(Path path) {
        if (Files.isDirectory(path))
            FolderLock.check(path, BUSY);
        if (!Files.isRegularFile(path.resolve("run.yaml")))
            throw new FormatException(path, "holds no run to resume (no run.yaml); start it without --resume");
        return new RunDir(path, false);
    }

    private static boolean isLock(Path p) {
        return p.endsWith(FolderLock.FILE);
    }

    /// Makes the folder this process's own: two that train into one would delete each other's checkpoints. What a process
    /// that was killed left unfinished there is cleaned up.
    public FolderLock lock() {
        FolderLock lock = FolderLock.take(path, BUSY);
        try {
            if (fresh)
                free(path); // nobody began a run there in the meantime
            AtomicFiles.recover(path);
            stopped(); // what was asked of the process before
            return lock;
        } catch (RuntimeException | Error e) {
            lock.close();
            throw e;
        }
    }

    /// Asks the process that trains in a run directory to finish its step, save and end.
    public static void askToStop(Path run) {
        AtomicFiles.write(run.resolve(STOP), "");
    }

    /// Whether this process is asked to stop.
    public boolean isToStop() {
        return Files.exists(path.resolve(STOP));
    }

    /// What was asked is done.
    public void stopped() {
        AtomicFiles.delete(path.resolve(STOP));
    }

    /// Whether a process trains in a run directory; not for that process itself.
    public static boolean isBusy(Path run) {
        try {
            FolderLock.check(run, BUSY);
            return false;
        } catch (FormatException e) {
            return true;
        }
    }

    /// Deletes a run, file by file, if all that its folder holds is the run's.
    public static void delete(Path path) {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS))
            return;
        if (!Files.isDirectory(path) || !isBlank(path) && !Files.isRegularFile(path.resolve("run.yaml")))
            throw new FormatException(path, "is not a run that Gyre made; move it away or choose another output");
        try (FolderLock _ = FolderLock.take(path, BUSY)) {
            List<Path> all = list(path);
            List<String> foreign =
                    all.stream().filter(p -> !isOurs(p)).map(p -> String.valueOf(p.getFileName())).sorted().toList();
            if (!foreign.isEmpty())
                throw new FormatException(path, "also holds what is not the run's: " + String.join(", ", foreign)
                        + "; move that away first");
            // run.yaml last: what is killed on the way is still a run, which can be deleted again
            all.stream().filter(p -> !isLock(p) && !p.endsWith("run.yaml")).forEach(AtomicFiles::delete);
            AtomicFiles.delete(path.resolve("run.yaml"));
        }
        AtomicFiles.delete(path);
    }

    private static final Set<String> NAMES = Set.of("run.yaml", "provenance.json", "metrics.jsonl", "adapter", "model",
            "program.txt", "log.txt", "tb", "results.json", "report.json", "report.html", HELD_OUT, STOP,
            FolderLock.FILE);

    private static boolean isOurs(Path p) {
        String name = String.valueOf(p.getFileName());
        return NAMES.contains(name) || AtomicFiles.isLeftOver(p)
                || CHECKPOINT.matcher(name).matches() && CheckpointFiles.isIn(p);
    }

    public Path path() {
        return path;
    }

    public Path config() {
        return path.resolve("run.yaml");
    }

    public Path metrics() {
        return path.resolve("metrics.jsonl");
    }

    public Path log() {
        return path.resolve("log.txt");
    }

    public Path checkpoint(long step) {
        return path.resolve("checkpoint-" + step);
    }

    /// Steps with a checkpoint, ascending.
    public List<Long> checkpoints() {
        List<Long> out = new ArrayList<>();
        for (Path p : list(path)) {
            Matcher m = CHECKPOINT.matcher(String.valueOf(p.getFileName()));
            if (m.matches() && Files.isDirectory(p))
                out.add(Long.parseLong(m.group(1)));
        }
        out.sort(Comparator.naturalOrder());
        return out;
    }

    /// The checkpoint of a step.
    public Checkpoint read(long step) {
        return CheckpointFiles.read(checkpoint(step));
    }

    /// The newest checkpoint, or null when there is none.
    public @Nullable Checkpoint latest() {
        List<Long> all = checkpoints();
        return all.isEmpty() ? null : CheckpointFiles.read(checkpoint(all.getLast()));
    }

    /// Writes a checkpoint, complete or not at all, then deletes older ones but the newest `keep` and the best.
    ///
    /// @param keep 0 keeps all
    /// @param extra writes the adapter or model next to the state
    public Path save(Checkpoint c, int keep, Consumer<Path> extra) {
        Path where = checkpoint(c.step());
        AtomicFiles.replaceDirectory(where, dir -> {
            CheckpointFiles.write(c, dir);
            extra.accept(dir);
        });
        prune(keep, c.bestStep());
        return where;
    }

    /// Deletes all checkpoints but the newest `keep` (0: deletes none) and the best.
    public void prune(int keep, long best) {
        List<Long> all = checkpoints();
        for (int i = 0; keep > 0 && i < all.size() - keep; i++)
            if (all.get(i) != best && CheckpointFiles.isIn(checkpoint(all.get(i))))
                AtomicFiles.delete(checkpoint(all.get(i)));
    }

    /// Fills the folder `name` anew; the old one stays until the new one is complete.
    public void replace(String name, Consumer<Path> body) {
        AtomicFiles.replaceDirectory(path.resolve(name), body::accept);
    }

    public void write(String name, String text) {
        AtomicFiles.write(path.resolve(name), text);
    }

    private static List<Path> list(Path dir) {
        try (Stream<Path> s = Files.list(dir)) {
            return s.toList();
        } catch (IOException e) {
            throw FormatException.unreadable(dir, e);
        }
    }
}
