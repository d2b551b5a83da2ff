package dev.gyre.model.files;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// Makes a folder one process's own: a file `.lock` in it that the system unlocks when the process ends, however it ends.
public final class FolderLock implements AutoCloseable {
    public static final String FILE = ".lock";

    /// Lock files that this process has. A POSIX lock is gone as soon as its process closes any descriptor of the file, so none
    /// of these is opened again, not even to look at it.
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path file;
    private final Path held;
    private final FileChannel channel;

    private FolderLock(Path file, Path held, FileChannel channel) {
        this.file = file;
        this.held = held;
        this.channel = channel;
    }

    /// One name for a file whatever it is called by.
    private static Path real(Path file) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        return folder == null ? file : folder.toRealPath().resolve(String.valueOf(file.getFileName()));
    }

    /// @param busy what to say when another process has the folder
    public static FolderLock take(Path folder, String busy) {
        return take(folder.resolve(FILE), folder, busy);
    }

    /// Of one name in a folder that others write to as well: a file `.NAME.lock` next to it.
    static FolderLock ofName(Path target) {
        return take(target.resolveSibling("." + target.getFileName() + FILE), target,
                "another process is writing it; wait for that one, or choose another name");
    }

    private static FolderLock take(Path file, Path what, String busy) {
        try {
            Path held = real(file);
            if (!HELD.add(held))
                throw new FormatException(what, busy);
            boolean taken = false;
            try {
                while (true) {
                    FileChannel c = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                    try {
                        if (!isFree(c))
                            throw new FormatException(what, busy);
                        taken = isStillNamed(file, c);
                        if (taken)
                            return new FolderLock(file, held, c);
                    } catch (IOException e) {
                        Files.deleteIfExists(file); // while it is ours
                        throw e;
                    } finally {
                        if (!taken)
                            c.close();
                    }
                }
            } finally {
                if (!taken)
                    HELD.remove(held);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(
                    new IOException(what + ": cannot be written; " + FormatException.reason(e), e));
        }
    }

    /// Whether the locked file is still the one of its name: the process that had it before deletes it as it ends, perhaps
    /// after we opened it, and then a third could lock a new file of the same name. A size that no other has tells, as
    /// reading the file would give up the lock.
    private static boolean isStillNamed(Path file, FileChannel c) throws IOException {
        long size = 1L + new SecureRandom().nextInt(MOST);
        c.truncate(0);
        c.write(ByteBuffer.allocate(1), size - 1);
        try {
            return Files.size(file) == size;
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private static final int MOST = 1 << 16;

    /// Refuses a folder that another process has, and writes nothing.
    public static void check(Path folder, String busy) {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS))
            return;
        try {
            if (HELD.contains(real(file)))
                throw new FormatException(folder, busy);
            try (FileChannel c = FileChannel.open(file, StandardOpenOption.WRITE)) {
                if (!isFree(c))
                    throw new FormatException(folder, busy);
            }
        } catch (NoSuchFileException e) {
            // its owner has just ended
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    /// Locks a byte far behind the content, which stays readable where locks are mandatory.
    private static boolean isFree(FileChannel c) {
        try {
            FileLock lock = c.tryLock(Long.MAX_VALUE - 1, 1, false);
            return lock != null;
        } catch (OverlappingFileLockException e) {
            return false;
        } catch (IOException e) {
            return true; // a file system without locks
        }
    }

    @Override
    public void close() {
        try (channel) {
            Files.deleteIfExists(file); // before it is free for another
        } catch (IOException e) {
            // a file that is left there harms nothing
        } finally {
            HELD.remove(held);
        }
    }
}
