package dev.gyre.model.files;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Crash-safe writes: under its final name a file or directory is either complete or not there.
/// Written to a temporary file in the same folder, forced to the disk, renamed, and the folder forced too. When writing fails,
/// nothing is left and what was there before still is.
public final class AtomicFiles {
    private AtomicFiles() {
    }

    /// Writes the bytes of one file.
    @FunctionalInterface
    public interface FileBody {
        void writeTo(FileChannel out) throws IOException;
    }

    /// Fills one directory.
    @FunctionalInterface
    public interface DirectoryBody {
        void fill(Path directory) throws IOException;
    }

    /// Creates or replaces `file`.
    public static void write(Path file, FileBody body) {
        Path target = file.toAbsolutePath();
        Path aside = aside(target, "tmp");
        try {
            try (FileChannel out = FileChannel.open(aside, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                body.writeTo(out);
                out.force(true);
            }
            Files.move(aside, target, StandardCopyOption.ATOMIC_MOVE);
            force(folder(target));
        } catch (IOException e) {
            throw failed(file, e);
        } finally {
            deleteQuietly(aside);
        }
    }

    public static void write(Path file, byte[] bytes) {
        write(file, out -> {
            ByteBuffer rest = ByteBuffer.wrap(bytes);
            while (rest.hasRemaining())
                out.write(rest);
        });
    }

    public static void write(Path file, String text) {
        write(file, text.getBytes(StandardCharsets.UTF_8));
    }

    /// Creates `directory`, which must not exist yet or be empty. What an earlier process that was killed while it wrote the
    /// same directory left behind is removed; a process that is writing it now is not disturbed, and this one refused.
    public static void createDirectory(Path directory, DirectoryBody body) {
        requireFree(directory);
        if (ASIDE.matcher(String.valueOf(directory.getFileName())).matches()) {
            // the folder that is being filled for [#replaceDirectory], which makes it appear complete
            try {
                Files.createDirectories(directory);
                body.fill(directory);
            } catch (IOException e) {
                throw failed(directory, e);
            }
            return;
        }
        FolderLock lock = own(directory);
        try (lock) {
            requireFree(directory);
            replaceDirectory(directory, body);
        }
    }

    /// Makes the name of a file or directory that is to be written this process's own, and cleans up what a process that
    /// was killed while writing it left behind.
    public static FolderLock own(Path target) {
        Path p = target.toAbsolutePath().normalize();
        try {
            Files.createDirectories(folder(p));
        } catch (IOException e) {
            throw failed(target, e);
        }
        FolderLock lock = FolderLock.ofName(p);
        try {
            recover(folder(p), String.valueOf(p.getFileName()));
            return lock;
        } catch (RuntimeException | Error e) {
            lock.close();
            throw e;
        }
    }

    /// Cleans up once more after processes that were killed while they wrote `target`, which must be this process's own: what
    /// they had started themselves may have gone on, and made anew what [#own] removed.
    public static void cleanUp(Path target) {
        Path p = target.toAbsolutePath().normalize();
        recover(folder(p), String.valueOf(p.getFileName()));
    }

    /// A new folder to make `target` in, next to it; [#own] removes it if this process is killed.
    public static Work work(Path target) {
        try {
            return new Work(Files.createDirectory(aside(target.toAbsolutePath().normalize(), "tmp")));
        } catch (IOException e) {
            throw failed(target, e);
        }
    }

    /// A folder that is deleted with all that it holds when it is closed.
    public record Work(Path path) implements AutoCloseable {
        @Override
        public void close() {
            delete(path);
        }
    }

    /// Creates or replaces `directory`. The old one is renamed to `.NAME.old-*` just before the new one takes its
    /// name, and deleted after: at every moment at least one of them is complete on the disk.
    public static void replaceDirectory(Path directory, DirectoryBody body) {
        Path target = directory.toAbsolutePath().normalize();
        Path aside = aside(target, "tmp");
        Path old = aside(target, "old");
        try {
            Files.createDirectories(folder(target));
            Files.createDirectory(aside);
            body.fill(aside);
            forceTree(aside);
            boolean replaces = Files.exists(target, LinkOption.NOFOLLOW_LINKS);
            if (replaces)
                Files.move(target, old, StandardCopyOption.ATOMIC_MOVE);
            try {
                Files.move(aside, target, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                if (replaces)
                    Files.move(old, target, StandardCopyOption.ATOMIC_MOVE);
                throw e;
            }
            force(folder(target));
        } catch (IOException e) {
            throw failed(directory, e);
        } finally {
            deleteQuietly(aside);
            if (Files.exists(target, LinkOption.NOFOLLOW_LINKS))
                deleteQuietly(old);
        }
    }

    /// Finds out, before the work that goes into it, whether `directory` can be made: nothing, or an empty directory, is
    /// there, and the folder around it can be written.
    public static void requireNewDirectory(Path directory) {
        requireFree(directory);
        checkFolder(directory);
    }

    /// As [#requireNewDirectory], of a file.
    public static void requireNewFile(Path file) {
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS))
            throw taken(file);
        checkFile(file);
    }

    private static void requireFree(Path directory) {
        if (isTaken(directory))
            throw taken(directory);
    }

    private static FormatException taken(Path p) {
        return new FormatException(p, "exists already; choose another name or remove it");
    }

    /// Finds out, before the work that goes into it, whether `file` can be written.
    public static void checkFile(Path file) {
        if (Files.isDirectory(file))
            throw failed(file, new IOException("it is a folder"));
        probe(file, folder(file.toAbsolutePath().normalize()));
    }

    /// As [#checkFile], of a result that may be there from before: what is no such result is not replaced.
    ///
    /// @param mark that all files of this kind have near their beginning
    /// @param kind in words: `a page of Gyre`
    public static void checkResult(Path file, String mark, String kind) {
        if (Files.isSymbolicLink(file))
            throw new FormatException(file, "is a link; name the file itself, or another one");
        if (Files.exists(file) && !Files.isDirectory(file)) {
            Inputs.requireFile(file);
            try (InputStream in = Files.newInputStream(file)) {
                byte[] head = in.readNBytes(MARKED);
                if (head.length > 0 && !new String(head, StandardCharsets.ISO_8859_1).contains(mark))
                    throw new FormatException(file, "exists and is not " + kind + "; choose another name or remove it");
            } catch (IOException e) {
                throw FormatException.unreadable(file, e);
            }
        }
        checkFile(file);
    }

    /// Bytes in which [#checkResult] looks for the mark.
    private static final int MARKED = 1024;

    /// Finds out, before the work that goes into it, whether `folder` takes files, or the folder that it would be made in.
    public static void checkFolder(Path folder) {
        Path at = folder.toAbsolutePath().normalize();
        while (!Files.exists(at) && at.getParent() != null)
            at = at.getParent();
        probe(folder, at);
    }

    /// Makes `folder`, and those that it would be in, where it is not there yet.
    public static void createFolder(Path folder) {
        checkFolder(folder);
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw failed(folder, e);
        }
    }

    /// Rights, read-only file systems and full disks all show when a file is made.
    private static void probe(Path what, Path folder) {
        // deleted as soon as it is open, so that a process killed here leaves nothing
        try (FileChannel c = FileChannel.open(aside(folder.resolve("probe"), "tmp"), StandardOpenOption.CREATE_NEW,
                StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE)) {
            c.write(ByteBuffer.allocate(1));
        } catch (IOException e) {
            throw failed(what, e);
        }
    }

    /// Names that [#aside] makes, and no other: a UUID written out in full.
    private static final Pattern ASIDE = Pattern
            .compile("\\.(.+)\\.(tmp|old)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");

    /// Whether a file of this name is one that [#recover] cleans up.
    public static boolean isLeftOver(Path p) {
        return ASIDE.matcher(String.valueOf(p.getFileName())).matches();
    }

    /// Cleans up in `folder`, which must be Gyre's own and locked, after a process that was killed while writing there:
    /// unfinished files are deleted, and a directory that was moved away to be replaced, but was not replaced, gets its name
    /// back.
    public static void recover(Path folder) {
        recover(folder, null);
    }

    /// @param only the name whose left-overs are meant; null: all
    private static void recover(Path folder, @Nullable String only) {
        List<Path> all;
        try (Stream<Path> s = Files.list(folder)) {
            all = s.toList();
        } catch (IOException e) {
            throw FormatException.unreadable(folder, e);
        }
        for (Path p : all) {
            Matcher m = ASIDE.matcher(String.valueOf(p.getFileName()));
            if (!m.matches() || only != null && !m.group(1).equals(only))
                continue;
            Path target = p.resolveSibling(m.group(1));
            if (m.group(2).equals("old") && !isLeftOver(target) && !Files.exists(target, LinkOption.NOFOLLOW_LINKS))
                try {
                    Files.move(p, target, StandardCopyOption.ATOMIC_MOVE);
                } catch (IOException e) {
                    throw failed(target, e);
                }
            else
                deleteLeftOver(p);
        }
    }

    /// A process that a killed one had started, such as jlink, may write there for some seconds more.
    private static void deleteLeftOver(Path root) {
        for (int i = 0;; i++)
            try {
                delete(root);
                return;
            } catch (UncheckedIOException e) {
                if (i == 50)
                    return; // harmless, and deleted the next time
                LockSupport.parkNanos(100_000_000);
            }
    }

    /// Whether something exists where a new directory is to be written; an empty directory does not count.
    private static boolean isTaken(Path directory) {
        return Files.exists(directory, LinkOption.NOFOLLOW_LINKS) && !isEmptyDirectory(directory);
    }

    /// Whether `directory` is a folder that holds nothing.
    private static boolean isEmptyDirectory(Path directory) {
        if (!Files.isDirectory(directory))
            return false;
        try (var entries = Files.list(directory)) {
            return entries.findAny().isEmpty();
        } catch (IOException e) {
            throw FormatException.unreadable(directory, e);
        }
    }

    private static UncheckedIOException failed(Path what, IOException e) {
        return new UncheckedIOException(
                new IOException(what + ": cannot be written; " + FormatException.reason(e), e));
    }

    private static Path folder(Path absolute) {
        Path parent = absolute.getParent();
        return parent == null ? absolute : parent;
    }

    private static Path aside(Path target, String kind) {
        return target.resolveSibling("." + target.getFileName() + "." + kind + "-" + UUID.randomUUID());
    }

    private static void force(Path directory) throws IOException {
        try (FileChannel c = FileChannel.open(directory, StandardOpenOption.READ)) {
            c.force(true);
        }
    }

    private static void forceTree(Path root) throws IOException {
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes a) throws IOException {
                try (FileChannel c = FileChannel.open(file, StandardOpenOption.WRITE)) {
                    c.force(true);
                }
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, java.io.IOException e) throws IOException {
                force(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    /// Deletes a file, or a folder with all that it holds; nothing where there is nothing.
    public static void delete(Path root) {
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS))
            return;
        try {
            Files.walkFileTree(root, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes a) throws IOException {
                    Files.delete(file);
                    return FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult postVisitDirectory(Path directory, java.io.IOException e) throws IOException {
                    Files.delete(directory);
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (IOException e) {
            throw new UncheckedIOException(
                    new IOException(root + ": cannot be deleted; " + FormatException.reason(e), e));
        }
    }

    private static void deleteQuietly(Path root) {
        try {
            delete(root);
        } catch (UncheckedIOException e) {
            // a left-over under a dotted temporary name harms nothing and must not hide the real failure
        }
    }
}
