package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.api.Runs;
import dev.gyre.kernels.InputException;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.plan.Draft;
import dev.gyre.trainer.plan.RunDraft;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A run.yaml from a model and examples: it runs as it is.
class InitDraftTest {
    private static final RunDraft.Machine LARGE = new RunDraft.Machine(8_000_000_000L, 2);

    @TempDir
    static Path shared;
    private static TinyModel tiny;

    @TempDir
    Path dir;

    @BeforeAll
    static void model() throws IOException {
        tiny = TinyModel.in(shared, "hidden_size: 32, intermediate_size: 32, heads: 2, kv_heads: 1");
    }

    /// With a chat template.
    private static Path chatModel() throws IOException {
        return Files.writeString(tiny.model().resolve("chat_template.jinja"),
                "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<|eos|>{% endfor %}"
                        + "{% if add_generation_prompt %}<a>{% endif %}")
                .getParent();
    }

    private Path pairs(int n) throws IOException {
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < n; i++)
            s.append("{\"prompt\": \"twice ").append(i).append(" = \", \"completion\": \"").append(2 * i)
                    .append("\"}\n");
        return Files.writeString(dir.resolve("pairs.jsonl"), s);
    }

    private static Cli ok(Cli c) {
        assertThat(c.code).as(c.toString()).isZero();
        return c;
    }

    private RunConfig drafted(Path model, Path data, String... more) throws IOException {
        Path yaml = dir.resolve("run.yaml");
        Files.deleteIfExists(yaml);
        Object[] words = new Object[7 + more.length];
        System.arraycopy(new Object[] {"init", "--model", model, "--data", data, "--out", yaml}, 0, words, 0, 7);
        System.arraycopy(more, 0, words, 7, more.length);
        Cli c = ok(Cli.gyre(words));
        assertThat(c.out).contains("wrote " + yaml + "; start it: gyre train " + yaml);
        return ConfigReader.readWithInputs(yaml, RunConfig.class, List.of());
    }

    @Test
    void pairsAreTrainedOnWithoutAnEdit() throws IOException {
        RunConfig c = drafted(tiny.model(), pairs(60), "--set", "output.dir=" + dir.resolve("run"), "--set",
                "train.epochs=1");
        Path yaml = dir.resolve("run.yaml");
        assertThat(Files.readString(yaml)).contains("  # stays a rotation", "  cayley: newton_schulz", "  terms: 6",
                "  # held out of the training examples", "  valid: \"10%\"", "the longest example has 15",
                "# as given to gyre init\n  dir: " + dir.resolve("run"), "llama, 0.0 M parameters · 60 examples");
        assertThat(c.train().seqLen()).isEqualTo(64);
        ok(Cli.gyre("check", yaml));
        ok(Cli.gyre("plan", yaml));
        Cli train = ok(Cli.gyre("train", yaml));
        assertThat(train.err).doesNotContain("warning");
        assertThat(dir.resolve("run/adapter/adapter_config.json")).exists();
        // an existing file is never replaced
        Cli again = Cli.gyre("init", "--model", tiny.model(), "--data", pairs(60), "--out", yaml);
        assertThat(again.code).isEqualTo(ExitCode.USAGE);
        assertThat(again.err).contains("exists already");
    }

    @Test
    void conversationsAreTrainedOnWithoutAnEdit() throws IOException {
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < 40; i++)
            s.append("{\"messages\": [{\"role\": \"user\", \"content\": \"").append(i)
                    .append("\"}, {\"role\": \"assistant\", \"content\": \"y").append(i % 7).append("\"}]}\n");
        Path data = Files.writeString(dir.resolve("chat.jsonl"), s);
        drafted(chatModel(), data, "--set", "output.dir=" + dir.resolve("run"), "--set", "train.epochs=1");
        Cli train = ok(Cli.gyre("train", dir.resolve("run.yaml")));
        assertThat(train.out).contains("exact answers (");
    }

    @Test
    void textIsCutIntoRowsAndHasNoTasks() throws IOException {
        Path book = Files.writeString(dir.resolve("book.txt"), "It was a dark and stormy night.\n".repeat(300));
        RunConfig c = drafted(tiny.model(), book);
        assertThat(c.data().tooLong()).isEqualTo(RunConfig.TooLong.SPLIT);
        assertThat(c.eval().samples()).isZero();
        assertThat(c.train().seqLen()).isEqualTo(64);
    }

    @Test
    void settingsOfTheUserWin() throws IOException {
        RunConfig c = drafted(tiny.model(), pairs(30), "--valid", tiny.valid().toString(), "--set", "train.steps=7",
                "--set", "adapter.method=lora", "--set", "train.lr=1e-4");
        assertThat(c.train().steps()).isEqualTo(7);
        assertThat(c.train().lr()).isEqualTo(1e-4);
        assertThat(c.adapter().method()).isEqualTo("lora");
        assertThat(c.data().valid()).hasToString(tiny.valid().toString());
        // a handful of examples has none to spare
        assertThat(drafted(tiny.model(), pairs(10)).data().valid()).isNull();
    }

    @Test
    void theMemoryDecidesHowWeightsAreStoredAndHowManyRowsThereAre() throws IOException {
        String model = tiny.model().toString();
        List<String> data = List.of(pairs(200).toString());
        Draft free = RunDraft.of(model, data, null, List.of(), LARGE);
        assertThat(free.yaml("r", "gyre")).contains("base: as_stored", "micro_batch: 2\n", "accumulate: 1\n")
                .doesNotContain("gradient_checkpointing");
        long least = 1;
        long most = 8_000_000_000L;
        while (most - least > 1000) {
            long middle = (least + most) / 2;
            try {
                RunDraft.of(model, data, null, List.of(), new RunDraft.Machine(middle, 2));
                most = middle;
            } catch (InputException e) {
                least = middle;
            }
        }
        String tight = RunDraft.of(model, data, null, List.of(), new RunDraft.Machine(most, 2)).yaml("r", "gyre");
        assertThat(tight).contains("base: nf4_double", "weights in 4 bits (QOFT): the run takes",
                "gradient_checkpointing: true", "micro_batch: 1\n", "accumulate: 2\n");
        assertThatThrownBy(
                () -> RunDraft.of(model, data, null, List.of(), new RunDraft.Machine(1_000_000, 2)))
                .isInstanceOf(InputException.class)
                .hasMessageContaining(model + " does not fit: the least that its training takes here is ")
                .hasMessageContaining("take a smaller model");
    }

    @Test
    void whatIsMissingIsNamed() throws IOException {
        Path data = pairs(5);
        assertThat(Cli.gyre("init", "--model", tiny.model()).err).contains("--data is missing");
        assertThat(Cli.gyre("init", "--data", data).err).contains("--model is missing");
        assertThat(Cli.gyre("init", "--model", tiny.model(), "--data", dir.resolve("none.jsonl"), "--out", "-").err)
                .contains("none.jsonl, which is not there");
        assertThat(Cli.gyre("init", "--model", dir.resolve("none"), "--data", data, "--out", "-").err)
                .contains("none, which is not there");
        assertThat(Cli.gyre("init", "--model", tiny.model(), "--data", data, "--set", "x", "--out", "-").err)
                .contains("--set x: needs the form key.path=value");
        assertThat(Runs.draft(tiny.model().toString(), List.of(data.toString()))).contains("cayley: newton_schulz");
        // a preset takes them as well
        assertThat(ok(Cli.gyre("init", "--preset", "lora", "--model", tiny.model(), "--data", data, "--out", "-")).out)
                .contains(data.toString(), tiny.model().toString(), "method: lora");
    }
}
