package dev.gyre.trainer.data;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// A small synthetic language with several skills, for models that must be trained in minutes: the shipped base model, the
/// quick start, teaching. Everything follows from a seed. Whether a task may occur in training or is held out is decided
/// by a hash of its text, so the two can never overlap, whatever the seeds.
public final class Skills {
    private Skills() {
    }

    /// One kind of task. [#BASE] is what the shipped model knows; [#SHIFT] and [#REVERSE] are left for fine-tuning.
    public enum Skill {
        /// `copy kzqt = kzqt`
        COPY,
        /// `sort kzqt = kqtz`
        SORT,
        /// `add 27+45 = 72`
        ADD,
        /// `look k3 b7 q1 f0: b = 7`
        LOOK,
        /// `after k = l`, z is followed by a
        AFTER,
        /// `the old cat sees a red bird.`
        SENTENCE,
        /// `shift kzqt = laru`: every letter replaced by the one after it
        SHIFT,
        /// `reverse kzqt = tqzk`
        REVERSE;

        /// What the shipped model is trained on.
        public static final List<Skill> BASE = List.of(COPY, SORT, ADD, LOOK, AFTER, SENTENCE);

        public String word() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /// Which side of the split.
    public enum Part {
        TRAIN, HELD_OUT
    }

    private static final List<String> NOUNS =
            List.of("cat", "dog", "bird", "fox", "tree", "house", "river", "child", "king",
                    "boat");
    private static final List<String> ADJECTIVES = List.of("old", "red", "small", "quiet", "green", "tired");
    private static final List<String> VERBS = List.of("sees", "likes", "follows", "finds", "paints", "hears");
    private static final List<String> PLACES = List.of("near", "behind", "under", "beside");

    /// `count` examples of a skill. Tasks of few forms (AFTER, ADD) repeat; held-out ones are all distinct where there are
    /// enough of them.
    public static List<Example> make(Skill skill, Part part, int count, long seed) {
        SplittableRandom random =
                new SplittableRandom(seed * 0x9E3779B97F4A7C15L + 31L * skill.ordinal() + part.ordinal());
        List<Example> out = new ArrayList<>(count);
        Set<Example> seen = new HashSet<>();
        int tries = 0;
        while (out.size() < count) {
            Example e = one(skill, random);
            // the alphabet is too small to hold letters back
            if (skill != Skill.AFTER && part(e) != part)
                continue;
            if (part == Part.HELD_OUT && !seen.add(e) && ++tries < 100 * count)
                continue;
            out.add(e);
        }
        return out;
    }

    /// The side of the split on which a task falls: one of sixteen is held out.
    static Part part(Example e) {
        String task = switch (e) {
            // the space after the prompt counts as it did when the shipped model was trained: its held-out tasks stay so
            case Example.Completion c -> c.prompt() + " ";
            case Example.Text t -> t.text();
            case Example.Chat c -> String.valueOf(c);
        };
        int h = task.hashCode() * 0x9E3779B1;
        return (h >>> 28) == 0 ? Part.HELD_OUT : Part.TRAIN;
    }

    private static Example one(Skill skill, SplittableRandom r) {
        return switch (skill) {
            case COPY -> {
                String w = letters(r, 3 + r.nextInt(6));
                yield task(skill, w, w);
            }
            case SORT -> {
                String w = letters(r, 3 + r.nextInt(4));
                char[] c = w.toCharArray();
                Arrays.sort(c);
                yield task(skill, w, new String(c));
            }
            case ADD -> {
                int a = r.nextInt(100);
                int b = r.nextInt(100);
                yield task(skill, a + "+" + b, String.valueOf(a + b));
            }
            case LOOK -> look(r);
            case AFTER -> {
                char c = (char) ('a' + r.nextInt(26));
                yield task(skill, String.valueOf(c), String.valueOf(after(c)));
            }
            case SENTENCE -> new Example.Text(sentence(r));
            case SHIFT -> {
                String w = letters(r, 3 + r.nextInt(4));
                StringBuilder s = new StringBuilder();
                for (char c : w.toCharArray())
                    s.append(after(c));
                yield task(skill, w, s.toString());
            }
            case REVERSE -> {
                String w = letters(r, 3 + r.nextInt(4));
                yield task(skill, w, new StringBuilder(w).reverse().toString());
            }
        };
    }

    /// The space between task and answer belongs to the answer: tokenizers join it with the word that follows, so a prompt
    /// that ends in one is asked otherwise than it was trained.
    private static Example task(Skill skill, String question, String answer) {
        return new Example.Completion(skill.word() + " " + question + " =", " " + answer);
    }

    private static char after(char c) {
        return c == 'z' ? 'a' : (char) (c + 1);
    }

    private static String letters(SplittableRandom r, int n) {
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < n; i++)
            s.append((char) ('a' + r.nextInt(26)));
        return s.toString();
    }

    private static Example look(SplittableRandom r) {
        int n = 3 + r.nextInt(3);
        List<Character> keys = new ArrayList<>();
        while (keys.size() < n) {
            char c = (char) ('a' + r.nextInt(26));
            if (!keys.contains(c))
                keys.add(c);
        }
        int[] values = new int[n];
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < n; i++) {
            values[i] = r.nextInt(10);
            s.append(i == 0 ? "" : " ").append(keys.get(i)).append(values[i]);
        }
        int asked = r.nextInt(n);
        return task(Skill.LOOK, s + ": " + keys.get(asked), String.valueOf(values[asked]));
    }

    private static String sentence(SplittableRandom r) {
        String s = noun(r) + " " + pick(VERBS, r) + " " + noun(r);
        return r.nextInt(3) == 0 ? s + " " + pick(PLACES, r) + " " + noun(r) + "." : s + ".";
    }

    private static String noun(SplittableRandom r) {
        String article = r.nextBoolean() ? "the " : "a ";
        String noun = pick(NOUNS, r);
        if (r.nextInt(3) == 0)
            return article + noun;
        String adjective = pick(ADJECTIVES, r);
        // an old cat, a red bird
        return (article.equals("a ") && adjective.startsWith("o") ? "an " : article) + adjective + " " + noun;
    }

    private static String pick(List<String> from, SplittableRandom r) {
        return from.get(r.nextInt(from.size()));
    }

    /// Examples of several skills, `count` of each, shuffled together.
    public static List<Example> mixed(List<Skill> skills, Part part, int count, long seed) {
        List<Example> all = new ArrayList<>();
        for (Skill s : skills)
            all.addAll(make(s, part, count, seed));
        SplittableRandom r = new SplittableRandom(seed + 17);
        for (int i = all.size() - 1; i > 0; i--)
            all.set(i, all.set(r.nextInt(i + 1), all.get(i)));
        return all;
    }

    /// Writes examples as JSONL; a file that holds anything else is left alone.
    ///
    /// @throws FormatException when there is one
    public static void write(Path file, List<Example> examples) {
        StringBuilder s = new StringBuilder();
        for (Example e : examples) {
            ObjectNode o = JsonNodeFactory.instance.objectNode();
            switch (e) {
                case Example.Text t -> o.put("text", t.text());
                case Example.Completion c -> o.put("prompt", c.prompt()).put("completion", c.completion());
                case Example.Chat _ -> throw new IllegalArgumentException("the language has no conversations");
            }
            s.append(o).append('\n');
        }
        byte[] bytes = s.toString().getBytes(StandardCharsets.UTF_8);
        try {
            if (Files.exists(file)) {
                if (Files.size(file) == bytes.length && Arrays.equals(Files.readAllBytes(file), bytes))
                    return;
                throw new FormatException(file,
                        "exists already and holds something else; choose another folder or remove it");
            }
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        Path parent = file.getParent();
        if (parent != null)
            AtomicFiles.createFolder(parent);
        AtomicFiles.write(file, bytes);
    }
}
