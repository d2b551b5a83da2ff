package dev.gyre.model.files;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Files that come from others. Opening a pipe waits for a writer and a device may have no end, so both are refused before
/// they are opened, as sockets are.
public final class Inputs {
    private Inputs() {
    }

    /// Refuses what is neither a file nor a directory nor absent; for those the reader has its own words.
    public static void requireFile(Path file) {
        if (isSpecial(file))
            throw new FormatException(file, "is a pipe, a socket or a device, not a file; name a file");
    }

    /// Whether `file` is there and is neither a file nor a directory, links followed.
    public static boolean isSpecial(Path file) {
        return Files.exists(file) && !Files.isRegularFile(file) && !Files.isDirectory(file);
    }

    /// The text of a UTF-8 file of at most `limit` bytes.
    public static String text(Path file, long limit) {
        requireFile(file);
        try {
            if (Files.size(file) > limit)
                throw new FormatException(file, "larger than " + limit + " bytes; this is another kind of file");
            return Files.readString(file);
        } catch (CharacterCodingException e) {
            throw new FormatException(file, "not UTF-8 text; save it as UTF-8", e);
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }
}
