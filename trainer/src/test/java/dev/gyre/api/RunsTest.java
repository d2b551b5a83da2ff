package dev.gyre.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.GyreException;
import dev.gyre.trainer.cli.TinyModel;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.loop.TrainListener;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What the commands do, from a Java program: one run of PSOFT, and everything that can be made of it.
class RunsTest {
    @TempDir
    static Path dir;
    private static TinyModel tiny;
    private static Path config;
    private static Runs.Outcome run;
    private static final List<Long> SEEN = new ArrayList<>();

    @BeforeAll
    static void train() throws IOException {
        tiny = TinyModel.in(dir, "hidden_size: 32, intermediate_size: 48, heads: 2, kv_heads: 1");
        config = dir.resolve("run.yaml");
        Files.writeString(config, """
                model: {path: %s}
                adapter: {method: psoft, r: 4}
                data: {train: %s, valid: %s}
                train: {steps: 6, seq_len: 40, micro_batch: 3, lr: 1e-2}
                results: {answers: 4}
                output: {dir: %s}
                device: cpu:2
                """.formatted(tiny.model(), tiny.train(), tiny.valid(), dir.resolve("run")));
        run = Runs.train(config, RunOptions.DEFAULT.with("train.steps", 5).listening(new TrainListener() {
            @Override
            public void onStep(Step s) {
                SEEN.add(s.t());
            }
        }));
    }

    @Test
    void aRunTrainsMeasuresAndReports() {
        assertThat(SEEN).containsExactly(1L, 2L, 3L, 4L, 5L);
        assertThat(run.ended().finished()).isTrue();
        assertThat(run.results()).isNotNull().satisfies(r -> assertThat(r.steps()).isEqualTo(5));
        assertThat(run.result().resolve("adapter_config.json")).exists();
        assertThat(run.directory().resolve("report.html")).exists();
        assertThat(Runs.report(run.directory())).exists();
        assertThat(Runs.compare(List.of(run.directory()), Runs.Table.MARKDOWN)).contains("psoft", "| run");
        assertThat(Runs.compare(List.of(run.directory()), Runs.Table.CSV)).contains("step_seconds");
        Path page = dir.resolve("compare.html");
        Runs.comparePage(List.of(run.directory()), page);
        assertThat(page).content().contains("<html");
    }

    @Test
    void aSweepTrainsWhatIsToDoAndSaysWhatFailed() throws IOException {
        Path sweep = dir.resolve("sweep.yaml");
        Files.writeString(sweep, """
                run: %s
                output: %s
                set: {results.report: false, train.steps: 2}
                runs:
                  small: {adapter.r: 2}
                  wide:  {adapter.r: 1000}
                """.formatted(config, dir.resolve("sweep")));
        List<Long> steps = new ArrayList<>();
        RunOptions options = RunOptions.DEFAULT.listening(new TrainListener() {
            @Override
            public void onStep(Step s) {
                steps.add(s.t());
            }
        });
        Map<String, String> failed = Runs.sweep(sweep, options);
        assertThat(failed).containsOnlyKeys("wide");
        assertThat(failed.get("wide")).contains("rank 1000");
        assertThat(dir.resolve("sweep/small/adapter/adapter_config.json")).exists();
        assertThat(steps).containsExactly(1L, 2L);
        assertThat(Runs.sweep(sweep, options)).isEqualTo(failed);
        assertThat(steps).hasSize(2);
    }

    @Test
    void aDeviceIsCheckedAsTheCommandDoes() {
        var found = Kernels.check("cpu:2", "XS", 0, 0);
        assertThat(found.failed()).isZero();
        assertThat(found.rows()).hasSizeGreaterThan(50);
        assertThatThrownBy(() -> Kernels.check("cpu:2", "XXL", 0, 0)).isInstanceOf(GyreException.class)
                .hasMessageContaining("XXL: unknown");
    }

    @Test
    void aRunThatIsAskedToStopGoesOnLater() {
        Path out = dir.resolve("stopped");
        RunOptions options = RunOptions.DEFAULT.with("output.dir", out).with("results.report", false);
        int[] steps = {0};
        Runs.Outcome first = Runs.train(config, options.stopping(() -> ++steps[0] > 3));
        assertThat(first.ended().finished()).isFalse();
        assertThat(first.results()).isNull();
        assertThatThrownBy(() -> Runs.train(config, options)).isInstanceOf(GyreException.class)
                .hasMessageContaining("exists and is not empty");
        Runs.Outcome second = Runs.train(config, options.resuming());
        assertThat(second.ended().step()).isEqualTo(6);
        assertThat(second.results()).isNotNull();
    }

    @Test
    void aConfigurationIsCheckedPlannedAndTried() {
        assertThat(Runs.check(config, RunOptions.DEFAULT)).contains("method: psoft", "steps: 6", "clip: 1");
        assertThatThrownBy(() -> Runs.check(config, RunOptions.DEFAULT.with("adapter.r", 1000)))
                .isInstanceOf(GyreException.class).hasMessageContaining("1000");
        var plan = Runs.plan(config, RunOptions.DEFAULT);
        assertThat(plan.impossible()).isNull();
        assertThat(plan.memory()).isNotNull();
        long total = plan.memory().total();
        assertThat(total).isGreaterThan(plan.memory().weights());
        assertThat(Runs.largestBatch(config, RunOptions.DEFAULT, total)).isGreaterThanOrEqualTo(3);
        assertThat(Runs.trial(config, RunOptions.DEFAULT, 2).step()).isEqualTo(2);
        var found = Runs.findLearningRate(config, RunOptions.DEFAULT, 12, 1e-4, 1e-2, _ -> {
        });
        assertThat(found.points()).hasSize(12);
    }

    @Test
    void aModelIsMergedVerifiedAndUnmerged() {
        Path merged = dir.resolve("merged");
        assertThat(Models.mergeAndVerify(run.directory(), List.of(), merged, "cpu:2", null))
                .startsWith("largest difference of ");
        assertThat(loss(merged)).isCloseTo(loss(run.directory()), within(1e-4));
        Path unmerged = dir.resolve("unmerged");
        assertThat(Models.unmerge(merged, List.of(run.result()), unmerged, "cpu:2")).isGreaterThanOrEqualTo(1);
        assertThat(loss(unmerged)).isCloseTo(loss(tiny.model()), within(1e-4));
        Path refused = dir.resolve("refused");
        assertThatThrownBy(() -> Models.mergeAndVerify(run.directory(), List.of(), refused, "cpu:2", 0.0))
                .isInstanceOf(CheckFailedException.class);
        assertThat(refused).doesNotExist();
        assertThatThrownBy(() -> Models.merge(run.directory(), List.of(), merged, "cpu")).isInstanceOf(
                GyreException.class).hasMessageContaining("exists already");
    }

    @Test
    void aModelIsQuantisedAndAnAdapterExported() throws IOException {
        Path four = dir.resolve("nf4");
        Models.quantize(tiny.model(), four, true);
        assertThat(loss(four)).isCloseTo(loss(tiny.model()), within(0.2));
        Path lora = dir.resolve("lora");
        Models.exportLora(run.directory(), List.of(), lora, "cpu:2");
        try (LanguageModel m = LanguageModel.load(tiny.model(), "cpu:2")) {
            m.addAdapter("lora", lora);
            assertThat(loss(m)).isCloseTo(loss(run.directory()), within(1e-4));
        }
        Path tokens = dir.resolve("tokens.json");
        Files.writeString(tokens, "{\"input_ids\": [[1, 2, 3]], \"labels\": [[1, 2, 3]]}");
        Path logits = dir.resolve("logits.safetensors");
        assertThat(Models.logits(run.directory(), List.of(), tokens, true, logits, "cpu:2")).isPositive();
        assertThat(logits).exists();
    }

    @Test
    void aRunDirectoryIsAModelWithItsAdapter() {
        try (LanguageModel m = LanguageModel.load(run.directory(), "cpu:2")) {
            assertThat(m.adapters()).containsExactly("run");
            assertThat(m.geometry()).isNotEmpty().allSatisfy(g -> assertThat(g.geometry()).isNotNull());
            double with = loss(m);
            m.enable("run", false);
            assertThat(with).isNotEqualTo(loss(m));
        }
    }

    private static double loss(Path model) {
        try (LanguageModel m = LanguageModel.load(model, "cpu:2")) {
            return loss(m);
        }
    }

    private static double loss(LanguageModel m) {
        return m.evaluate(List.of(new Example.Completion("copy abc = ", "abc"), new Example.Text("the cat")), 2, 40)
                .loss();
    }
}
