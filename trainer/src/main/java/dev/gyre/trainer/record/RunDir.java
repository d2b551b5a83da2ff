package dev.gyre.trainer.record;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.loop.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
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
/// | `metrics.jsonl` | one line per step and per evaluation |
/// | `checkpoint-N/` | state after step N, with the adapter as it was then |
/// | `adapter/` or `model/` | the result |
/// | `program.txt` | the operations of a step |
/// | `log.txt` | what the screen showed |
/// | `.lock` | there while a process trains |
public final class RunDir {
    private static final Pattern CHECKPOINT = Pattern.compile("checkpoint-(\\d+)");

    private static final String BUSY =
            "a run is going on there; wait for it or end it first, or choose another output.dir";

    private final Path path;

    private RunDir(Path path) {
        this.path = path;
    }

    /// Finds out whether a run can have its folder, before it costs anything.
    public static void check(Path path, boolean resume) {
        if (resume)
            open(path);
        else
            free(path);
        AtomicFiles.checkFolder(path);
    }

    /// A new run; the folder must not exist or be empty.
    public static RunDir create(Path path) {
        free(path);
        AtomicFiles.createFolder(path);
        return new RunDir(path);
    }

    private static void free(Path path) {
        if (Files.isDirectory(path))
            recover(path);
        if (Files.exists(path) && !(Files.isDirectory(path) && list(path).stream().allMatch(RunDir::isLock)))
            throw new FormatException(path, Files.isDirectory(path)
                    ? "exists and is not empty; continue that run with --resume, choose another output.dir, or remove it"
                    : "exists and is not a directory; choose another output.dir");
    }

    /// An existing run.
    public static RunDir open(Path path) {
        if (Files.isDirectory(path))
            recover(path);
        if (!Files.isRegularFile(path.resolve("run.yaml")))
            throw new FormatException(path, "holds no run to resume (no run.yaml); start it without --resume");
        return new RunDir(path);
    }

    /// What looks left over in the folder of a run that is still going on is being written.
    private static void recover(Path path) {
        FolderLock.check(path, BUSY);
        AtomicFiles.recover(path);
    }

    private static boolean isLock(Path p) {
        return p.endsWith(FolderLock.FILE);
    }

    /// Makes the folder this process's own: two that train into one would delete each other's checkpoints.
    public FolderLock lock() {
        return FolderLock.take(path, BUSY);
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
        List<Long> all = checkpoints();
        for (int i = 0; keep > 0 && i < all.size() - keep; i++)
            if (all.get(i) != c.bestStep())
                AtomicFiles.delete(checkpoint(all.get(i)));
        return where;
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
