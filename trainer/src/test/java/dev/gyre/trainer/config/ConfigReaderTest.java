package dev.gyre.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.options.Names;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConfigReaderTest {
    private static final String MINIMAL = """
            model: {path: m}
            adapter: {method: oft}
            data: {train: t.jsonl}
            output: {dir: runs/x}
            """;

    private static RunConfig parse(String text, String... set) {
        return ConfigReader.parse("run.yaml", text, RunConfig.class, List.of(set));
    }

    private static String error(String text, String... set) {
        try {
            return "no error: " + parse(text, set);
        } catch (ConfigException e) {
            return e.getMessage();
        }
    }

    @Test
    void absentKeysTakeTheDocumentedDefaults() {
        RunConfig c = parse(MINIMAL);
        Oft oft = (Oft) c.adapter();
        assertThat(oft.blockSize()).isEqualTo(32);
        assertThat(oft.cayley()).isEqualTo(Oft.Cayley.NEUMANN);
        assertThat(oft.targets().targets()).isEqualTo(new Names(List.of(), "all-linear"));
        assertThat(c.train().epochs()).isEqualTo(1.0);
        assertThat(c.train().steps()).isNull();
        assertThat(c.train().lr()).isEqualTo(4e-4);
        assertThat(c.seed()).isEqualTo(1);
        assertThat(c.eval().every()).as("nothing to evaluate on").isZero();
    }

    @Test
    void theSampleOfTheStyleGuideIsRead() {
        RunConfig c = parse("""
                model:   {path: models/tiny-llama}
                adapter: {method: oft, block_size: 16, cayley: neumann, terms: 5, targets: [q_proj, v_proj]}
                data:    {train: data/train.jsonl, valid: data/valid.jsonl, train_on: completion}
                train:   {steps: 300, seq_len: 512, micro_batch: 4, accumulate: 4, lr: 4e-4, schedule: cosine, warmup: 20, clip: 1.0}
                eval:    {every: 50, batches: 20}
                output:  {dir: runs/tiny-oft, checkpoint_every: 100, keep: 2}
                device:  auto
                """);
        assertThat(c.rowsPerStep()).isEqualTo(16);
        assertThat(c.train().steps()).isEqualTo(300);
        assertThat(((AdapterOptions) c.adapter()).targets().targets().list()).containsExactly("q_proj", "v_proj");
    }

    @Test
    void whatIsWrittenIsReadBackEqual() {
        RunConfig zero = parse(MINIMAL, "train.lr=-0");
        assertThat(parse(ConfigWriter.resolved(zero))).isEqualTo(zero);
        RunConfig c = parse(MINIMAL, "train.lr=0.00037", "data.valid=\"a b: c\\\"d\"", "adapter.layers=[0, 3]",
                "adapter.exclude='.*up_proj'", "adapter.targets=all-linear", "train.steps=7", "seed=9000000000");
        RunConfig again = parse(ConfigWriter.resolved(c));
        assertThat(again).isEqualTo(c);
        assertThat(again.data().valid()).isEqualTo(DataFiles.of("a b: c\"d"));
        assertThat(again.seed()).isEqualTo(9_000_000_000L);
    }

    @Test
    void settingsOverrideTheFile() {
        RunConfig c =
                parse(MINIMAL, "train.steps=5", "train.lr = 1e-3", "adapter.targets=[q_proj]", "adapter.block_size=8",
                        "device=cpu");
        assertThat(c.train().steps()).isEqualTo(5);
        assertThat(c.train().lr()).isEqualTo(1e-3);
        assertThat(((AdapterOptions) c.adapter()).targets().targets().list()).containsExactly("q_proj");
        assertThat(((Oft) c.adapter()).blockSize()).isEqualTo(8);
        assertThat(c.device()).isEqualTo("cpu");
        assertThat(parse(MINIMAL, "adapter={method: full}").adapter()).isEqualTo(new Full());
    }

    @Test
    void anotherMethodByASettingTakesWhatItKnowsAndLeavesTheRest() {
        String psoft = MINIMAL.replace("{method: oft}", "{method: psoft, r: 16, cayley: exact, targets: [q_proj]}");
        RunConfig c = parse(psoft, "adapter.method=oft", "adapter.block_size=8");
        assertThat(c.adapter()).isInstanceOfSatisfying(Oft.class, o -> {
            assertThat(o.targets().targets().list()).containsExactly("q_proj");
            assertThat(o.blockSize()).isEqualTo(8);
        });
        assertThat(error(psoft, "adapter.method=oft", "adapter.r=8")).contains("--set adapter.r=8: unknown key 'r'");
        assertThat(error(psoft.replace("r: 16", "rr: 16"), "adapter.method=oft")).contains("unknown key 'rr'");
        assertThat(error(psoft.replace("psoft", "oft"))).as("in the file itself it stays a mistake")
                .contains("unknown key 'r' in adapter (method: oft); it belongs to another method");
    }

    @Test
    void anUnknownKeyIsShownWithItsLineACaretAndASuggestion() {
        String e = error("""
                model: {path: m}
                train:
                  steps: 3
                  lrr: 4e-4
                """);
        assertThat(e).isEqualTo("""
                run.yaml:4:3: unknown key 'lrr' in train; did you mean 'lr'?
                  4 |   lrr: 4e-4
                    |   ^^^""");
    }

    @Test
    void aKeyInTheWrongSectionIsSentHome() {
        assertThat(error(MINIMAL + "lr: 3\n")).startsWith("run.yaml:5:1: unknown key 'lr'; it belongs to 'train.lr'");
        assertThat(error(MINIMAL, "train.seed=3"))
                .isEqualTo("--set train.seed=3: unknown key 'seed' in train; it belongs to 'seed'");
        assertThat(error(MINIMAL, "adapter={method: full, block_size: 3}"))
                .contains("unknown key 'block_size' in adapter (method: full); it belongs to another method");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "train.steps=ten              | 'train.steps' must be a whole number, not ten",
        "train.steps='10'             | 'train.steps' must be a whole number, not the text \"10\"",
        "train.steps=1.5              | 'train.steps' must be a whole number, not 1.5",
        "train.steps=0                | 'train.steps' must be at least 1, not 0",
        "train.steps=3000000000       | 'train.steps' must be between -2147483648 and 2147483647",
        "train.lr=.nan                | 'train.lr' must be a number, not .nan",
        "train.lr=1e-4f               | 'train.lr' must be a number, not 1e-4f",
        "train.beta1=1                | 'train.beta1' must be between 0 and 0.999999, not 1",
        "train.beta2=0.99999999       | 'train.beta2' must be between 0 and 0.9999999, not 0.99999999",
        "train.eps=0                  | 'train.eps' must be at least 1.0e-30, not 0",
        "train.lr=[1]                 | 'train.lr' must be a single value",
        "train.lr=                    | 'train.lr' has no value",
        "train.schedule=cosin         | 'train.schedule' must be one of constant, linear, cosine; did you mean cosine?",
        "data.packing=yes             | 'data.packing' must be true or false, not yes",
        "adapter.method=oftt          | 'adapter.method' must be one of oft, psoft, goft, qgoft, boft, hra, lora, dora, adalora, full; did you mean oft?",
        "adapter.targets=[]           | 'adapter.targets' lists no module",
        "adapter.targets=\"(\"        | 'adapter.targets': '(' is not a regular expression: Unclosed group at 1",
        "adapter.layers=3             | 'adapter.layers' must be a list, such as [a, b]",
        "adapter.layers=[-1]          | 'adapter.layers' must be at least 0, not -1",
        "train=3                      | train must be a section of keys",
        "train.steps                  | needs the form key.path=value",
    })
    void aBadSettingNamesTheSettingTheKeyAndWhatIsAllowed(String setting, String message) {
        assertThat(error(MINIMAL, setting)).isEqualTo("--set " + setting + ": " + message);
    }

    @Test
    void placesOfMistakesInTheFileAreExact() {
        assertThat(error("model: {path: m}\nmodel: {path: n}\n"))
                .startsWith("run.yaml:2:1: key 'model' is given twice\n  2 | model: {path: n}\n    | ^^^^^");
        assertThat(error("model: {path: m, path: n}\n"))
                .startsWith("run.yaml:1:18: key 'path' is given twice (in model)");
        assertThat(error("model: [\n")).startsWith("run.yaml:2:1: not valid YAML:");
        assertThat(error("model:\n\t path: x\n")).startsWith("run.yaml:2:1: not valid YAML:");
        assertThat(error(MINIMAL.replace("{train: t.jsonl}", "{}")))
                .startsWith("run.yaml:3:7: 'data.train' is missing: training examples");
        assertThat(error("")).startsWith("run.yaml: 'model.path' is missing");
        assertThat(error("- a\n")).startsWith("run.yaml:1:1: the configuration must be a section of keys");
    }

    @Test
    void impossibleCombinationsPointAtTheKey() {
        assertThat(error(MINIMAL + "train: {steps: 3, epochs: 2}\n"))
                .startsWith("run.yaml:5:19: steps and epochs exclude each other");
        assertThat(error(MINIMAL + "train: {steps: 3, warmup: 4}\n"))
                .startsWith("run.yaml:5:19: warmup 4 is as long as the run or longer (steps 3) (in train)");
        assertThat(error(MINIMAL.replace("{method: oft}", "{method: oft, blocks: 2, block_size: 4}")))
                .startsWith("run.yaml:2:24: block_size and blocks exclude each other");
        assertThat(error(MINIMAL.replace("{method: oft}", "{method: oft, targets: '.*q_proj', layers: [1]}")))
                .startsWith("run.yaml:2:45: layers needs targets as a list or all-linear");
    }

    @Test
    void aMissingFileIsNamed() {
        assertThatThrownBy(() -> ConfigReader.read(Path.of("no/such/run.yaml"), RunConfig.class, List.of()))
                .isInstanceOf(ConfigException.class).hasMessageContaining("run.yaml: no such file (looked in ");
    }

    @Test
    void inputsThatAreNotThereAreShownWithTheirPlace(@TempDir Path dir) throws IOException {
        Path model = Files.createDirectory(dir.resolve("m"));
        Path train = Files.writeString(dir.resolve("t.jsonl"), "");
        String text = """
                model: {path: %s}
                adapter: {method: oft}
                data:
                  train: %s
                  also_valid: {old: gone/old.jsonl}
                  valid: %s
                output: {dir: runs/x}
                """.formatted(model, train, train);
        assertThat(parse(text).data().alsoValid()).as("reading alone asks for nothing").containsKey("old");
        assertThatThrownBy(() -> ConfigReader.parseWithInputs("run.yaml", text, RunConfig.class, List.of()))
                .isInstanceOf(ConfigException.class).hasMessageStartingWith(
                        "run.yaml:5:21: 'data.also_valid' names gone/old.jsonl, which is not there (looked in ")
                .hasMessageEndingWith(
                        "\n  5 |   also_valid: {old: gone/old.jsonl}\n    |                     ^^^^^^^^^^^^^^");
        List<String> fixed = List.of("data.also_valid={old: " + train + "}");
        ConfigReader.parseWithInputs("run.yaml", text, RunConfig.class, fixed);
        assertThatThrownBy(() -> ConfigReader.parseWithInputs("run.yaml", text, RunConfig.class,
                List.of(fixed.getFirst(), "model.path=gone"))).hasMessageStartingWith(
                        "--set model.path=gone: 'model.path' names gone, which is not there");
    }

    @Test
    void flatNamesEveryKeyOnce() {
        assertThat(ConfigWriter.flat(parse(MINIMAL))).containsEntry("train.lr", "4.0e-4")
                .containsEntry("adapter.method", "oft").containsEntry("adapter.block_size", "32")
                .containsEntry("seed", "1");
    }

    /// Words of PEFT and transformers, and files of another command.
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`',
            value = {"train.learning_rate=1 | unknown key 'learning_rate' in train; here it is train.lr",
                "train.per_device_train_batch_size=1 | here it is train.micro_batch",
                "train.max_seq_length=1 | here it is train.seq_len",
                "adapter.target_modules=x | here it is adapter.targets", "num_train_epochs=3 | here it is train.epochs",
                "model.load_in_4bit=true | here it is model.base: nf4", "adapter.method=oftv2 | oftv2 is method: oft",
                "adapter.method=QOFT | QOFT is method: oft with model.base: nf4",
                "runs=1 | this is a sweep: gyre sweep FILE",
                "output.dir=\"a\\0b\" | 'output.dir' has a NUL character"})
    void wordsOfOtherToolsAreTranslated(String setting, String hint) {
        assertThatThrownBy(() -> ConfigReader.parse("run.yaml", MINIMAL, RunConfig.class, List.of(setting)))
                .isInstanceOf(ConfigException.class).hasMessageContaining(hint);
    }

    @Test
    void filesOfOtherCommandsAndOfTheShellAreNamed() {
        assertThatThrownBy(() -> ConfigReader.parse("run.yaml", MINIMAL, SweepConfig.class, List.of()))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("this is a configuration of gyre train, not a sweep");
        assertThatThrownBy(() -> ConfigReader.parseWithInputs("run.yaml", MINIMAL, RunConfig.class,
                List.of("model.path=~/models/x"))).isInstanceOf(ConfigException.class)
                .hasMessageContaining("begins with ~/, which only a shell replaces; write "
                        + System.getProperty("user.home"));
    }

    @Test
    void noConfigurationIsTooMuch() throws Exception {
        assertThat(error("model: " + "[".repeat(100_000) + "]".repeat(100_000))).contains("nested more than 64 deep")
                .hasSizeLessThan(600);
        assertThat(error("model: " + "{a: ".repeat(100_000))).contains("nested more than 64 deep");
        assertThat(error("? " + "a".repeat(900_000) + "\n: 1")).contains("unknown key").hasSizeLessThan(1600);
        assertThat(error(MINIMAL + "seed: " + "9".repeat(100_000))).contains("'seed' must be a whole number")
                .hasSizeLessThan(1600);
        assertThat(error(MINIMAL + "train: {epochs: 1e18}")).contains("'train.epochs' must be between");
        assertThat(error(MINIMAL + "train: {seq_len: 1048576, micro_batch: 65536}"))
                .contains("micro_batch 65536 times seq_len 1048576 is more than 2147483647 tokens at once");
        assertThat(error(MINIMAL + "train: {accumulate: 2147483647}")).contains("rows in a step");
        assertThat(error(MINIMAL + "seed: *\n").lines().findFirst().orElseThrow())
                .endsWith("not valid YAML: unexpected character found (10)");
        assertThat(error(MINIMAL + "seed: |\n  a\n  b\n").lines().findFirst().orElseThrow())
                .endsWith("'seed' must be a whole number, not the text \"a b \"");
        assertThat(error("x: &a [1]\ny: [" + "*a, ".repeat(1001) + "*a]")).contains("more than 1000 aliases");
        assertThat(error(MINIMAL.replace("method: oft", "method: oft, targets: '('"))).contains("'adapter.targets'",
                "is not a regular expression");
        java.nio.file.Path pipe = java.nio.file.Files.createTempDirectory("gyre").resolve("run.yaml");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor()).isZero();
        assertThatThrownBy(() -> ConfigReader.read(pipe, RunConfig.class, List.of()))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("is a pipe, a socket or a device");
        java.nio.file.Files.delete(pipe);
        java.nio.file.Files.delete(pipe.getParent());
    }

    @Test
    void aGridHasLimits() {
        StringBuilder grid = new StringBuilder("run: r.yaml\noutput: o\ngrid:\n");
        for (int i = 0; i < 40; i++)
            grid.append("  k").append(i).append(": [a, b]\n");
        assertThatThrownBy(() -> ConfigReader.parse("sweep.yaml", grid.toString(), SweepConfig.class, List.of()))
                .isInstanceOf(ConfigException.class).hasMessageContaining("more than 10000 combinations");
    }

    @Test
    void dataMayBeSeveralFilesAndAPartOfThem() throws IOException {
        RunConfig c = parse(MINIMAL, "data.train=[a.jsonl, \"b/*.csv\"]", "data.valid=10%",
                "data.keys={prompt: question, completion: answer}");
        assertThat(c.data().train().names()).containsExactly("a.jsonl", "b/*.csv");
        assertThat(c.data().split()).isEqualTo(new DataFiles.Split(0.1, 0));
        assertThat(c.data().validFiles()).isNull();
        assertThat(c.data().keys()).containsEntry("prompt", "question");
        assertThat(ConfigReader.parse("again", ConfigWriter.resolved(c), RunConfig.class, List.of())).isEqualTo(c);
        RunConfig n = parse(MINIMAL, "data.valid=200");
        assertThat(n.data().split()).isEqualTo(new DataFiles.Split(0, 200));
        assertThat(ConfigReader.parse("again", ConfigWriter.resolved(n), RunConfig.class, List.of())).isEqualTo(n);
        assertThat(parse(MINIMAL, "data.valid=./200").data().split()).as("a file of that name").isNull();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "data.train=10% | train: 10% names no file",
        "data.valid=0% | must be above 0 % and below 100 %",
        "data.valid=100% | must be above 0 % and below 100 %",
        "data.valid=0 | must be above 0 %",
        "data.valid=[] | 'data.valid' lists no file",
        "data.train={a: b} | 'data.train' must be a file, a folder or a pattern",
        "data.keys={answer: completion} | 'answer' is no name that Gyre reads",
        "data.keys={prompt: ''} | the column of 'prompt' has no name",
        "data.memory=-1 | must be between 0 and 4096",
    })
    void dataThatCannotBeMeantIsNamed(String setting, String message) {
        assertThatThrownBy(() -> parse(MINIMAL, setting)).isInstanceOf(ConfigException.class)
                .hasMessageContaining(message);
    }
}
