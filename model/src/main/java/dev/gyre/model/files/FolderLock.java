package dev.gyre.model.files;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.UUID;

/// Makes a folder one process's own: a file `.lock` in it that the system unlocks when the process ends, however it ends.
public final class FolderLock implements AutoCloseable {
    public static final String FILE = ".lock";

    private final Path file;
    private final FileChannel channel;

    private FolderLock(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
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
            while (true) {
                FileChannel c = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                boolean taken = false;
                try {
                    if (!isFree(c))
                        throw new FormatException(what, busy);
                    taken = isStillNamed(file, c);
                    if (taken)
                        return new FolderLock(file, c);
                } catch (IOException e) {
                    Files.deleteIfExists(file); // while it is ours
                    throw e;
                } finally {
                    if (!taken)
                        c.close();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(
                    new IOException(what + ": cannot be written; " + FormatException.reason(e), e));
        }
    }

    /// Whether the locked file is still the one of its name: the process that had it before deletes it as it ends, perhaps
    /// after we opened it, and then a third could lock a new file of the same name.
    private static boolean isStillNamed(Path file, FileChannel c) throws IOException {
        byte[] mark = UUID.randomUUID().toString().getBytes(StandardCharsets.US_ASCII);
        c.truncate(0);
        c.write(ByteBuffer.wrap(mark), 0);
        try {
            return Arrays.equals(Files.readAllBytes(file), mark);
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    /// Refuses a folder that another process has, and writes nothing.
    public static void check(Path folder, String busy) {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS))
            return;
        try (FileChannel c = FileChannel.open(file, StandardOpenOption.WRITE)) {
            if (!isFree(c))
                throw new FormatException(folder, busy);
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
        }
    }
}
