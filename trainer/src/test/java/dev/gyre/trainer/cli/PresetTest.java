package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.Methods;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.PreferenceRunConfig;
import dev.gyre.trainer.config.Preset;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every configuration that Gyre hands out is read, checked and run.
class PresetTest {
    @TempDir
    static Path dir;
    private static Path data;
    private static Path base;

    @BeforeAll
    static void pretrain() {
        data = dir.resolve("data");
        assertThat(Cli.gyre("skills", "--out", data, "--train", 20, "--valid", 4).code).isZero();
        Cli c = Cli.gyre("pretrain", "--preset", "tiny", "--data", data.resolve("train.jsonl"), "--out",
                dir.resolve("base"), "--set",
                "train.steps=1", "--set", "train.seq_len=32", "--set", "train.micro_batch=2");
        assertThat(c.code).as(c.toString()).isZero();
        base = dir.resolve("base/model");
    }

    static List<String> presets() {
        return Preset.all().stream().map(Preset::name).toList();
    }

    /// Paths and sizes that make a configuration small.
    private static List<String> small(boolean tunes, String name) {
        List<String> all = new ArrayList<>(List.of("data.train=" + data.resolve("train.jsonl"), "data.valid=null",
                "data.format=jsonl", "train.steps=2", "train.epochs=null", "train.warmup=0", "train.seq_len=32",
                "train.micro_batch=2", "output.dir=" + dir.resolve("run-" + name), "device=cpu:2"));
        all.addAll(tunes ? List.of("model.path=" + base, "results.forgetting=null") : List.of("model.layers=1"));
        return all;
    }

    private static Object[] words(String command, Path file, List<String> settings, Object... more) {
        List<Object> words = new ArrayList<>(List.of(command, file));
        for (String s : settings)
            words.addAll(List.of("--set", s));
        words.addAll(List.of(more));
        return words.toArray();
    }

    @ParameterizedTest
    @MethodSource("presets")
    void everyPresetIsReadCheckedAndRunsTwoSteps(String name) throws IOException {
        Path file = dir.resolve(name + ".yaml");
        Cli init = Cli.gyre("init", "--preset", name, "--out", file, "--set", "output.dir=" + dir.resolve(name));
        assertThat(init.code).as(init.toString()).isZero();
        Class<? extends Record> type = Preset.of(name).type();
        Record read = ConfigReader.read(file, type, List.of());
        assertThat(Files.readString(file)).contains("#").doesNotContain("  # \n");
        assertThat(ConfigReader.parse("resolved", ConfigWriter.resolved(read), type, List.of())).isEqualTo(read);
        runs(file, type == RunConfig.class, name);
    }

    private static void runs(Path file, boolean tunes, String name) throws IOException {
        Cli c = tunes ? Cli.gyre(words("check", file, small(true, name), "--steps", 2))
                : Cli.gyre(words("pretrain", file, small(false, name)));
        assertThat(c.code).as(c.toString()).isZero();
        if (tunes) {
            assertThat(c.out).contains("step 2     loss ", "nothing was written", file + ": ok");
            assertThat(dir.resolve("run-" + name)).doesNotExist();
        }
    }

    /// The repository's root, from a module's folder.
    private static Path root() {
        Path at = Path.of("").toAbsolutePath();
        while (at != null && !Files.isDirectory(at.resolve("examples")))
            at = at.getParent();
        assertThat(at).isNotNull();
        return at;
    }

    static List<Path> samples() throws IOException {
        Path root = root();
        List<Path> out = new ArrayList<>();
        try (Stream<Path> files = Files.walk(root.resolve("examples"))) {
            files.filter(p -> p.toString().endsWith(".yaml") && !p.toString().contains("sweep")
                    && !p.toString().contains("kubernetes"))
                    .forEach(out::add);
        }
        List<Path> pages = new ArrayList<>(List.of(root.resolve("README.md")));
        try (Stream<Path> files = Files.walk(root.resolve("docs"))) {
            files.filter(p -> p.toString().endsWith(".md")).forEach(pages::add);
        }
        // every block of a page that is a whole configuration
        int n = 0;
        for (Path page : pages) {
            Matcher m = Pattern.compile("(?s)```ya?ml\n(.*?)```").matcher(Files.readString(page));
            while (m.find())
                if (Pattern.compile("(?m)^model:").matcher(m.group(1)).find()
                        && Pattern.compile("(?m)^data:").matcher(m.group(1)).find()) {
                            Path file = dir.resolve("page-" + page.getFileName() + "-" + n++ + ".yaml");
                            Files.writeString(file, m.group(1));
                            out.add(file);
                        }
        }
        return out;
    }

    @ParameterizedTest
    @MethodSource("samples")
    void everySampleOfTheRepositoryRunsTwoSteps(Path file) throws IOException {
        if (ConfigReader.has(file, "task")) { // its model is not here, nor are the pairs of the next
            isReadAndWrittenBack(file, TaskRunConfig.class);
            return;
        }
        if (ConfigReader.has(file, "preference")) {
            isReadAndWrittenBack(file, PreferenceRunConfig.class);
            return;
        }
        boolean tunes = Pattern.compile("(?m)^adapter:").matcher(Files.readString(file)).find();
        if (tunes)
            ConfigReader.read(file, RunConfig.class, List.of());
        else
            ConfigReader.read(file, PretrainConfig.class, List.of());
        runs(file, tunes, "sample-" + file.getFileName());
    }

    private static <T extends Record> void isReadAndWrittenBack(Path file, Class<T> type) {
        T read = ConfigReader.read(file, type, List.of());
        assertThat(ConfigReader.parse("resolved", ConfigWriter.resolved(read), type, List.of())).isEqualTo(read);
    }

    @Test
    void initNeverReplacesAFileAndSuggestsThePresetMeant() throws IOException {
        Path file = dir.resolve("mine.yaml");
        Files.writeString(file, "mine");
        Cli c = Cli.gyre("init", "--out", file);
        assertThat(c.code).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains("mine.yaml: exists already");
        assertThat(file).hasContent("mine");
        Cli typo = Cli.gyre("init", "--preset", "qotf", "--out", dir.resolve("typo.yaml"));
        assertThat(typo.code).isEqualTo(ExitCode.USAGE);
        assertThat(typo.err).contains("no preset qotf; did you mean qoft?");
    }

    @Test
    void aMistakeShowsItsPlaceItsLineAndWhatWasMeant() throws IOException {
        Path file = dir.resolve("wrong.yaml");
        for (Map.Entry<String, String> e : Map
                .of("train: {lrr: 1e-3}", ":4:9: unknown key 'lrr' in train; did you mean 'lr'?",
                        "train: {lr: fast}", ":4:13: 'train.lr' must be a number, not fast",
                        "train: {lr: 1e-3, lr: 2e-3}", ":4:19: key 'lr' is given twice",
                        "train: {steps: 3, epochs: 1}", ":4:19: steps and epochs exclude each other")
                .entrySet()) {
            Files.writeString(file, "model: {path: m}\nadapter: {method: oft}\ndata: {train: t}\n" + e.getKey()
                    + "\noutput: {dir: d}\n");
            Cli c = Cli.gyre("check", file);
            assertThat(c.code).isEqualTo(ExitCode.USAGE);
            assertThat(c.err).contains("wrong.yaml" + e.getValue()).contains("  4 | " + e.getKey()).contains("^");
        }
        Files.writeString(file,
                "model: {path: m, base: nf4}\nadapter: {method: full}\ndata: {train: t}\noutput: {dir: d}\n");
        assertThat(Cli.gyre("check", file).err).contains("wrong.yaml:2:1: full trains the weights themselves");
    }

    @Test
    void planComparesEveryMethodOverEveryBaseAndFindsWhatFits() throws IOException {
        Path file = dir.resolve("plan.yaml");
        assertThat(Cli.gyre("init", "--preset", "lora", "--out", file).code).isZero();
        Cli c = Cli.gyre(words("plan", file, small(true, "plan"), "--limit", "400MB"));
        assertThat(c.code).as(c.toString()).isZero();
        for (Method<?> method : Methods.all())
            assertThat(c.out).containsPattern("(?m)^  " + method.name() + " +nf4_double +\\S+ ");
        Matcher m = Pattern.compile("within 400MB on the CPU: train.micro_batch (\\d+) at").matcher(c.out);
        assertThat(m.find()).as(c.toString()).isTrue();
        int most = Integer.parseInt(m.group(1));
        assertThat(process(words("plan", file, small(true, "plan"), "--set", "train.micro_batch=" + most)))
                .isLessThanOrEqualTo(400.5);
        assertThat(process(words("plan", file, small(true, "plan"), "--set", "train.micro_batch=" + (most + 1))))
                .isGreaterThanOrEqualTo(399.5);
        Path tasks = Files.writeString(dir.resolve("tasks.jsonl"), "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n");
        assertThat(Cli.gyre(words("plan", file, small(true, "plan"), "--set", "data.valid=" + tasks, "--set",
                "eval.samples=4")).out).as("a decoder answers while training").contains("eval.samples");
        assertThat(Cli.gyre("plan", file, "--limit", "many").err).contains("--limit many: not a size");
    }

    private static double process(Object[] words) {
        Matcher m = Pattern.compile("  process +([0-9.]+) MB").matcher(Cli.gyre(words).out);
        assertThat(m.find()).isTrue();
        return Double.parseDouble(m.group(1));
    }

    @Test
    void dataShowsTheTrainedTokensAndCountsEverything() throws IOException {
        Path file = dir.resolve("data.yaml");
        Path examples = dir.resolve("two.jsonl");
        Files.writeString(examples,
                "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"text\": \"" + "x".repeat(60) + "\"}\n"
                        + "{\"prompt\": \"" + "y".repeat(60) + "\", \"completion\": \"z\"}\n");
        assertThat(Cli.gyre("init", "--out", file).code).isZero();
        Cli c = Cli.gyre(words("data", file, small(true, "data"), "--set", "data.train=" + examples, "--show", 1));
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).contains("ab[[cd", "2 examples of 3 · 1 truncated to 33 tokens · 1 dropped");
        Cli ids = Cli.gyre(words("data", file, small(true, "data"), "--set", "data.train=" + examples, "--show", 1,
                "--ids"));
        assertThat(ids.out).containsPattern("(?m)^ +1 +\\d+ +a$").containsPattern("(?m) yes +c$");
    }
}
