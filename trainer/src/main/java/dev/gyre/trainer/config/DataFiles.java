package dev.gyre.trainer.config;

import dev.gyre.kernels.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystems;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Files of examples as a configuration names them: a file, a folder, a pattern such as `data/*.jsonl`, or a list of
/// these; where a set may be a part of another one, also `10%` or a number of examples.
///
/// @param names as they were written, at least one
public record DataFiles(List<String> names) {
    private static final Pattern SHARE = Pattern.compile("(\\d{1,3}(?:\\.\\d+)?)\\s*%");
    private static final Pattern COUNT = Pattern.compile("\\d{1,9}");

    /// Endings of the files that are taken from a folder, with or without `.gz` behind them.
    private static final List<String> ENDINGS =
            List.of(".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".text", ".md");

    /// A part of the examples of another set.
    ///
    /// @param share between 0 and 1; 0 where `count` tells
    /// @param count of examples; 0 where `share` tells
    public record Split(double share, int count) {
    }

    public DataFiles {
        names = List.copyOf(names);
        if (names.isEmpty())
            throw new IllegalArgumentException("no files");
    }

    /// Of one name, or several.
    public static DataFiles of(String... names) {
        return new DataFiles(List.of(names));
    }

    /// The part that is meant, where no file is.
    public @Nullable Split split() {
        if (names.size() != 1)
            return null;
        String s = names.getFirst().strip();
        Matcher m = SHARE.matcher(s);
        if (m.matches())
            return new Split(Double.parseDouble(m.group(1)) / 100, 0);
        if (!COUNT.matcher(s).matches())
            return null;
        int n = Integer.parseInt(s);
        return new Split(0, n == 0 ? -1 : n);
    }

    /// Whether a name may stand for several files.
    public static boolean isPattern(String name) {
        return name.chars().anyMatch(c -> "*?[{".indexOf(c) >= 0);
    }

    /// The files in the order in which they are read: as the names are listed, those of a folder or pattern by name. Of a
    /// folder, the files directly in it that have the ending of a format; hidden ones are left out.
    ///
    /// @throws InputException where a pattern or folder holds none, or a file is named twice
    public List<Path> paths() {
        Set<Path> out = new LinkedHashSet<>();
        for (String name : names) {
            Path p = Path.of(name);
            List<Path> found = Files.isDirectory(p) ? folder(p)
                    : isPattern(name) && !Files.exists(p) ? matching(name) : List.of(p);
            for (Path f : found)
                if (!out.add(f))
                    throw new InputException(f + " is named twice; each example would count twice");
        }
        return List.copyOf(out);
    }

    private static List<Path> folder(Path folder) {
        try (Stream<Path> all = Files.list(folder)) {
            List<Path> out = all.filter(p -> !isHidden(p) && isData(p) && !Files.isDirectory(p)).sorted().toList();
            if (out.isEmpty())
                throw new InputException(folder + " is a folder without a file of examples ("
                        + String.join(", ", ENDINGS) + ")");
            return out;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static boolean isHidden(Path p) {
        String name = String.valueOf(p.getFileName());
        return name.startsWith(".") || name.startsWith("_");
    }

    private static boolean isData(Path p) {
        String name = String.valueOf(p.getFileName()).toLowerCase(Locale.ROOT);
        String plain = name.endsWith(".gz") ? name.substring(0, name.length() - 3) : name;
        return ENDINGS.stream().anyMatch(plain::endsWith);
    }

    private static List<Path> matching(String pattern) {
        // looked for below the last folder that the pattern names in full
        String[] parts = pattern.split("/", -1);
        List<String> fixed = new ArrayList<>();
        for (String part : parts) {
            if (isPattern(part))
                break;
            fixed.add(part);
        }
        String start = String.join("/", fixed);
        Path from = Path.of(start.isEmpty() && pattern.startsWith("/") ? "/" : start);
        PathMatcher matcher;
        try {
            matcher = FileSystems.getDefault().getPathMatcher("glob:" + pattern);
        } catch (PatternSyntaxException e) {
            throw new InputException(pattern + " is no pattern for files: " + e.getDescription());
        }
        int depth = pattern.contains("**") ? 32 : parts.length - fixed.size();
        if (!Files.isDirectory(from.toString().isEmpty() ? Path.of(".") : from))
            throw new InputException(pattern + " matches no file: there is no folder " + from);
        try (Stream<Path> all = Files.walk(from, depth, FileVisitOption.FOLLOW_LINKS)) {
            List<Path> out = all.filter(p -> !isHidden(p) && matcher.matches(p) && Files.isRegularFile(p)).sorted()
                    .toList();
            if (out.isEmpty())
                throw new InputException(pattern + " matches no file (looked in " + Path.of("").toAbsolutePath() + ")");
            return out;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// As it is written: the name, or the list of names.
    @Override
    public String toString() {
        return names.size() == 1 ? names.getFirst() : names.toString();
    }
}
