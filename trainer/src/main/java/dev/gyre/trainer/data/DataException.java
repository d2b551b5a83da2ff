package dev.gyre.trainer.data;

import dev.gyre.kernels.GyreException;
import java.nio.file.Path;

/// An example file is not what it should be; the message is one line, `file:line: what, remedy`.
public final class DataException extends GyreException {
    private static final long serialVersionUID = 1L;

    public DataException(String problem) {
        super(problem);
    }

    public DataException(Path file, String problem) {
        super(file + ": " + problem);
    }

    public DataException(Path file, int line, String problem) {
        super(file + ":" + line + ": " + problem);
    }
}
