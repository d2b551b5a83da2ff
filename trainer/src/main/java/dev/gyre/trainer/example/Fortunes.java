package dev.gyre.trainer.example;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/// The epigrams of Debian's package `fortunes` as examples: which of 25 categories is a text of? And halves of texts of other
/// categories, which an embedding model should bring together.
public final class Fortunes {
    /// Where Debian's packages `fortunes` and `fortunes-min` put them.
    public static final Path INSTALLED = Path.of("/usr/share/games/fortunes");

    static final List<String> CATEGORIES = List.of("art", "computers", "debian", "definitions", "drugs", "education",
            "food", "kids", "knghtbrd", "law", "linux", "literature", "love", "medicine", "men-women", "news", "perl",
            "politics", "riddles", "science", "songs-poems", "sports", "startrek", "work", "zippy");
    static final List<String> OTHERS = List.of("people", "wisdom", "humorists", "cookie");
    private static final int TRAIN = 120;
    private static final int HELD_OUT = 30;
    private static final int PAIRS = 300;
    private static final int SHORTEST = 20;
    private static final int LONGEST = 200;
    /// Of texts that are cut in half: with less in them, the halves have nothing in common that a model could see.
    private static final int SHORTEST_HALVED = 240;
    private static final int LONGEST_HALVED = 800;

    private Fortunes() {
    }

    /// What was written.
    ///
    /// @param first first halves of texts, `second` their other halves
    public record Data(Path train, Path valid, int trained, int held, List<String> categories, List<String> first,
            List<String> second) {
    }

    /// Writes examples for training and held-out ones: up to 120 and 30 of each category, drawn with a fixed seed. A text that
    /// two categories have is left out.
    public static Data write(Path from, Path to) {
        if (!Files.isDirectory(from))
            throw new InputException(from + ": not there; install it with: apt-get install fortunes fortunes-min"
                    + " (or unpack these Debian packages and name the folder with --data)");
        Map<String, List<String>> all = new LinkedHashMap<>();
        Set<String> seen = new HashSet<>();
        Set<String> twice = new HashSet<>();
        for (String c : CATEGORIES)
            if (Files.isRegularFile(from.resolve(c))) {
                List<String> texts = texts(from.resolve(c), SHORTEST, LONGEST);
                texts.forEach(t -> {
                    if (!seen.add(t))
                        twice.add(t);
                });
                all.put(c, texts);
            }
        List<String> lessons = new ArrayList<>();
        List<String> held = new ArrayList<>();
        all.forEach((c, texts) -> {
            List<String> own = new ArrayList<>(texts);
            own.removeAll(twice);
            Collections.shuffle(own, new Random(1));
            int h = Math.min(HELD_OUT, own.size() / 4);
            own.subList(0, h).forEach(t -> held.add(line(t, c)));
            own.subList(h, Math.min(own.size(), h + TRAIN)).forEach(t -> lessons.add(line(t, c)));
        });
        if (all.size() < 2 || held.isEmpty())
            throw new InputException(from + ": has none of the categories " + String.join(", ", CATEGORIES)
                    + "; install them with: apt-get install fortunes fortunes-min");
        AtomicFiles.createFolder(to);
        Path train = to.resolve("train.jsonl");
        Path valid = to.resolve("valid.jsonl");
        AtomicFiles.write(train, String.join("\n", lessons) + "\n");
        AtomicFiles.write(valid, String.join("\n", held) + "\n");
        List<String> first = new ArrayList<>();
        List<String> second = new ArrayList<>();
        halves(from, first, second);
        if (first.isEmpty())
            throw new InputException(from + ": has no texts of " + SHORTEST_HALVED + " to " + LONGEST_HALVED
                    + " characters in " + String.join(", ", OTHERS)
                    + "; install the package: apt-get install fortunes");
        return new Data(train, valid, lessons.size(), held.size(), List.copyOf(all.keySet()), first, second);
    }

    private static String line(String text, String category) {
        return Json.MAPPER.createObjectNode().put("text", text).put("label", category).toString();
    }

    private static void halves(Path from, List<String> first, List<String> second) {
        List<String> texts = new ArrayList<>();
        for (String c : OTHERS)
            if (Files.isRegularFile(from.resolve(c)))
                texts.addAll(texts(from.resolve(c), SHORTEST_HALVED, LONGEST_HALVED));
        Collections.shuffle(texts, new Random(2));
        for (String t : texts.subList(0, Math.min(PAIRS, texts.size()))) {
            int at = t.indexOf(' ', t.length() / 2);
            if (at > 0) {
                first.add(t.substring(0, at).strip());
                second.add(t.substring(at).strip());
            }
        }
    }

    /// The texts of a file, which lines of one per cent sign part, each on one line.
    private static List<String> texts(Path file, int shortest, int longest) {
        try {
            List<String> out = new ArrayList<>();
            String all = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
            for (String t : all.split("(?m)^%\\s*$")) {
                String line = t.replaceAll("\\s+", " ").strip();
                if (line.length() >= shortest && line.length() <= longest && !out.contains(line))
                    out.add(line);
            }
            return out;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }
}
