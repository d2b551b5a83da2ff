package dev.gyre.model.files;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

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
        Path file = folder.resolve(FILE);
        try {
            FileChannel c = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            if (!isFree(c)) {
                c.close();
                throw new FormatException(folder, busy);
            }
            return new FolderLock(file, c);
        } catch (IOException e) {
            throw new UncheckedIOException(new IOException(folder + ": cannot be written: " + e.getMessage(), e));
        }
    }

    /// Refuses a folder that another process has, and writes nothing.
    public static void check(Path folder, String busy) {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file))
            return;
        try (FileChannel c = FileChannel.open(file, StandardOpenOption.WRITE)) {
            if (!isFree(c))
                throw new FormatException(folder, busy);
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    private static boolean isFree(FileChannel c) {
        try {
            FileLock lock = c.tryLock();
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
