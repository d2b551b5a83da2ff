package dev.gyre.model.files;

import dev.gyre.kernels.GyreException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/// A file is not what it should be. The message is one line for the user: file, place in it, what is wrong,
/// what to do about it.
public final class FormatException extends GyreException {
    private static final long serialVersionUID = 1;

    public FormatException(Path file, String problem) {
        super(file + ": " + oneLine(problem));
    }

    public FormatException(Path file, String problem, Throwable cause) {
        super(file + ": " + oneLine(problem), cause);
    }

    /// `cause` happened while reading `file`.
    public static FormatException unreadable(Path file, IOException cause) {
        return new FormatException(file, reason(cause), cause);
    }

    static String reason(IOException e) {
        return switch (e) {
            case NoSuchFileException _ -> "no such file or directory; check the path";
            case CharacterCodingException _ -> "not UTF-8 text; save it as UTF-8";
            case AccessDeniedException _ -> "permission denied; check the rights of the file and its folder";
            case FileSystemException f when f.getReason() != null -> "input/output error: " + f.getReason();
            case IOException x when x.getMessage() != null -> "input/output error: " + x.getMessage();
            case IOException x -> "input/output error: " + x.getClass().getSimpleName();
        };
    }

    /// Names and messages come out of files: no line breaks, nothing endless.
    private static String oneLine(String s) {
        String line = s.strip().replaceAll("\\s*[\\r\\n]+\\s*", " ");
        return line.length() <= 600 ? line : line.substring(0, 597) + "...";
    }
}
