package dev.gyre.trainer.data;

import dev.gyre.kernels.InputException;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunConfig.Format;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/// The files of one set of examples, and how they are read.
///
/// @param files in their order
/// @param keys names of columns, as `data.keys` has them
public record ExampleFiles(List<Path> files, Format format, Map<String, String> keys) implements Iterable<Example> {
    public ExampleFiles {
        files = List.copyOf(files);
        keys = Map.copyOf(keys);
    }

    /// One file with Gyre's own names.
    public static ExampleFiles of(Path file, Format format) {
        return of(DataFiles.of(file.toString()), format, Map.of());
    }

    /// What a configuration calls by `names`, read as its section `data` says.
    public static ExampleFiles of(DataFiles names, RunConfig.Data d) {
        return of(names, d.format(), d.keys());
    }

    public static ExampleFiles of(DataFiles names, Format format, Map<String, String> keys) {
        List<Path> paths;
        try {
            paths = names.paths();
        } catch (InputException e) {
            throw new DataException(String.valueOf(e.getMessage()));
        }
        return new ExampleFiles(paths, format, keys);
    }

    /// Receives examples with the number of their file and the line on which they start, until it has enough.
    @FunctionalInterface
    interface Sink {
        boolean accept(Example example, int file, int line);
    }

    void read(Sink sink) {
        RowKeys names = new RowKeys(keys);
        for (int i = 0; i < files.size(); i++) {
            int number = i;
            if (!ExampleReader.read(files.get(i), format, names, (e, line) -> sink.accept(e, number, line)))
                return;
        }
    }

    /// All examples, read as they are asked for. A file is closed when its last one was given.
    @Override
    public Iterator<Example> iterator() {
        RowKeys names = new RowKeys(keys);
        return new Iterator<>() {
            private int file = -1;
            private @Nullable Rows rows;
            private @Nullable Example next = advance();

            private @Nullable Example advance() {
                while (true) {
                    Rows r = rows;
                    Rows.@Nullable Row row = r == null ? null : ExampleReader.next(files.get(file), r);
                    if (row != null)
                        return row.example();
                    if (++file >= files.size())
                        return null;
                    rows = ExampleReader.open(files.get(file), format, names);
                }
            }

            @Override
            public boolean hasNext() {
                return next != null;
            }

            @Override
            public Example next() {
                Example e = next;
                if (e == null)
                    throw new NoSuchElementException();
                next = advance();
                return e;
            }
        };
    }

    /// The first `most` examples that ask for an answer.
    public List<Example> tasks(int most) {
        return tasks(most, e -> true);
    }

    /// @param wanted of which examples
    List<Example> tasks(int most, Predicate<Example> wanted) {
        List<Example> out = new ArrayList<>();
        if (most > 0)
            read((e, _, _) -> {
                if (e.isTask() && wanted.test(e))
                    out.add(e);
                return out.size() < most;
            });
        return out;
    }

    /// Whether a file holds plain text.
    boolean isText(int file) {
        return ExampleReader.format(files.get(file), format) == Format.TEXT;
    }

    /// Whether all files hold plain text, which has no tasks.
    public boolean isText() {
        for (int i = 0; i < files.size(); i++)
            if (!isText(i))
                return false;
        return true;
    }

    /// Bytes on the disk.
    long bytes() {
        long n = 0;
        for (Path f : files)
            try {
                n += Files.size(f);
            } catch (IOException e) {
                // reading it has the better message
                if (Files.exists(f))
                    throw new UncheckedIOException(e);
            }
        return n;
    }

    /// The one file, or the name that stands for several: what messages about the set as a whole call it.
    public String name() {
        return files.size() == 1 ? files.getFirst().toString()
                : files.getFirst() + " and " + (files.size() - 1) + " more";
    }
}
