package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.files.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/// Runs on pairs of answers, from the command line.
class PreferenceCommandTest {
    @TempDir
    Path dir;

    @BeforeEach
    void data() throws IOException {
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < 10; i++)
            s.append("{\"prompt\": \"say ").append(i).append(": \", \"chosen\": \"yes").append(i)
                    .append("\", \"rejected\": \"no\"}\n");
        Files.writeString(dir.resolve("train.jsonl"), s);
        Files.writeString(dir.resolve("valid.jsonl"), s.substring(0, s.indexOf("\n", s.indexOf("\n") + 1) + 1));
    }

    private Path config(String name, String loss, String adapter, String train) throws IOException {
        Path file = dir.resolve(name + ".yaml");
        Files.writeString(file, """
                model: {path: ../examples/small-llama}
                preference: {loss: %s, beta: 0.2}
                adapter: %s
                data: {train: '%s', valid: '%s'}
                train: {seq_len: 24, micro_batch: 2, lr: 1e-2, warmup: 0, %s}
                eval: {every: 2}
                output: {dir: '%s', checkpoint_every: 2, log_every: 1}
                device: cpu:1
                """.formatted(loss, adapter, dir.resolve("train.jsonl"), dir.resolve("valid.jsonl"), train,
                dir.resolve(name)));
        return file;
    }

    @ParameterizedTest
    @CsvSource({"dpo", "orpo"})
    void theChosenAnswersWin(String loss) throws IOException {
        Path file = config("run", loss, "{method: oft, block_size: 8, targets: [q_proj, v_proj, up_proj]}",
                "steps: 12, accumulate: 2, buckets: [12]");
        Cli c = Cli.gyre("train", file);
        assertThat(c.code).as(c.err).isZero();
        assertThat(c.out + c.err).contains("10 pairs", loss + " · beta 0.2", "before", "after");
        JsonNode o = Json.readObject(dir.resolve("run/preference.json"));
        assertThat(o.path("after").path("loss").doubleValue()).isLessThan(o.path("before").path("loss").doubleValue());
        assertThat(o.path("after").path("margin").doubleValue())
                .isGreaterThan(o.path("before").path("margin").doubleValue());
        assertThat(o.path("after").path("accuracy").doubleValue()).isEqualTo(1);
        if (loss.equals("dpo")) {
            assertThat(o.path("before").path("loss").doubleValue()).isEqualTo(Math.log(2));
            assertThat(o.path("before").path("margin").doubleValue()).isZero();
        }
        assertThat(dir.resolve("run/adapter/adapter_model.safetensors")).exists();
        assertThat(Files.readString(dir.resolve("run/metrics.jsonl"))).contains("margin");
        // the run stands for its model wherever one is asked for
        Cli merged = Cli.gyre("merge", dir.resolve("run"), "--out", dir.resolve("merged"), "--device", "cpu:1");
        assertThat(merged.code).as(merged.err).isZero();
    }

    /// A run that stops after four steps and goes on ends as the one that never stopped, bit for bit.
    @ParameterizedTest
    @ValueSource(strings = {"{method: lora, r: 4, targets: [q_proj, down_proj]}", "{method: full}",
        "{method: psoft, r: 4, targets: [q_proj, v_proj]}"})
    void resumedRunsEndAlike(String adapter) throws IOException {
        Cli whole = Cli.gyre("train", config("whole", "dpo", adapter, "steps: 8, schedule: constant"));
        assertThat(whole.code).as(whole.err).isZero();
        Cli first = Cli.gyre("train", config("parts", "dpo", adapter, "steps: 4, schedule: constant"));
        assertThat(first.code).as(first.err).isZero();
        Cli rest = Cli.gyre("train", config("parts", "dpo", adapter, "steps: 8, schedule: constant"), "--resume");
        assertThat(rest.code).as(rest.err).isZero();
        String result = adapter.contains("full") ? "model/model.safetensors" : "adapter/adapter_model.safetensors";
        assertThat(Files.readAllBytes(dir.resolve("parts").resolve(result)))
                .isEqualTo(Files.readAllBytes(dir.resolve("whole").resolve(result)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"{method: oft, block_size: 8}", "{method: boft, block_size: 8}", "{method: hra, r: 4}",
        "{method: goft}", "{method: qgoft}", "{method: dora, r: 4}", "{method: adalora, init_r: 4, target_r: 2}",
        "{method: psoft, r: 4}", "{method: lora, r: 4}"})
    void everyMethodTakesSteps(String adapter) throws IOException {
        Cli c = Cli.gyre("check", config("run", "dpo", adapter, "steps: 6"), "--steps", "1");
        assertThat(c.code).as(c.err).isZero();
        // before the first update the model is the reference
        assertThat(c.out + c.err).contains("loss 0.6931");
        assertThat(dir.resolve("run")).doesNotExist();
    }

    @Test
    void whatIsWrongWithDataIsSaidInALine() throws IOException {
        Path file = config("run", "dpo", "{method: lora, r: 2}", "steps: 2");
        for (String[] bad : new String[][] {
            {"{\"prompt\": \"a\", \"chosen\": \"b\"}", "needs prompt, chosen and rejected"},
            {"[1]", "not a JSON object"}, {"{", "is not JSON"}, {"", "has no pairs"},
            {"{\"prompt\": \"" + "a".repeat(40) + "\", \"chosen\": \"b\", \"rejected\": \"c\"}", "raise it"},
            {"{\"prompt\": [], \"chosen\": \"b\", \"rejected\": \"c\"}", "needs prompt"}}) {
            Files.writeString(dir.resolve("train.jsonl"), bad[0]);
            Cli c = Cli.gyre("check", file);
            assertThat(c.code).as(bad[0]).isNotZero();
            assertThat(c.err).contains(bad[1]);
        }
    }
}
