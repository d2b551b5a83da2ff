package dev.gyre.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.adapter.psoft.Psoft;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.data.DataException;
import dev.gyre.trainer.data.Example;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The library as a Java program uses it, on the model of this repository.
class LanguageModelTest {
    private static final Path SMALL = Path.of("../examples/small-llama");
    private static final List<Example> TASKS = List.of(new Example.Completion("twice ab = ", "abab"),
            new Example.Completion("twice xyz = ", "xyzxyz"), new Example.Completion("twice q = ", "qq"));

    @TempDir
    Path dir;

    private static double loss(LanguageModel m) {
        return m.evaluate(TASKS, 2, 24).loss();
    }

    @Test
    void trainsSwitchesSavesLoadsAndMerges() {
        try (LanguageModel model = LanguageModel.load(SMALL); LanguageModel other = LanguageModel.load(SMALL)) {
            double before = loss(model);
            assertThat(model.adapt("twice", Oft.of(Targets.allLinear(), 8), 1)).isPositive();
            assertThat(loss(model)).isCloseTo(before, Offset.offset(1e-6));
            List<Double> losses = new ArrayList<>();
            var result = model.train(TASKS, TrainOptions.steps(8).with("lr", 1e-2).with("seq_len", 24)
                    .with("micro_batch", 2).seed(3), s -> losses.add(s.loss()));
            assertThat(result.step()).isEqualTo(8);
            assertThat(losses).hasSize(8).last().isEqualTo(result.loss());
            double after = loss(model);
            assertThat(after).isLessThan(before - 0.1);

            model.enable("twice", false);
            assertThat(loss(model)).isEqualTo(before);
            assertThatThrownBy(() -> model.merge(dir.resolve("none"))).isInstanceOf(IllegalStateException.class);
            model.enable("twice", true);

            model.saveAdapter("twice", dir.resolve("adapter"));
            assertThat(other.addAdapter("from disk", dir.resolve("adapter"))).isEmpty();
            assertThat(loss(other)).isEqualTo(after);
            StringBuilder heard = new StringBuilder();
            String said = other.generate("twice ab = ", 6, 0.7, 0.9, 5, heard::append);
            assertThat(said).isEqualTo(heard.toString()).isEqualTo(model.generate("twice ab = ", 6, 0.7, 0.9, 5, _ -> {
            }));

            model.merge(dir.resolve("merged"));
            try (LanguageModel merged = LanguageModel.load(dir.resolve("merged"))) {
                // the model is stored in 16 bits
                assertThat(loss(merged)).isCloseTo(after, Offset.offset(5e-3));
            }
            other.removeAdapter("from disk");
            assertThat(other.adapters()).isEmpty();
            assertThat(loss(other)).isEqualTo(before);
        }
    }

    @Test
    void everyTrainingOptionCounts() {
        try (LanguageModel model = LanguageModel.load(SMALL, "cpu:1")) {
            model.adapt("twice", Lora.of(Targets.names("q_proj"), 2), 1);
            List<Long> places = new ArrayList<>();
            TrainOptions o = TrainOptions.steps(1).with("seq_len", 64).with("micro_batch", 1)
                    .with("gradient_checkpointing", true);
            model.train(TASKS.subList(0, 1), o, s -> places.add(s.tokens()));
            model.train(TASKS.subList(0, 1), o.with("buckets", List.of(24)), s -> places.add(s.tokens()));
            assertThat(places).containsExactly(64L, 24L);
        }
    }

    @Test
    void adaptersStackOverFourBitWeights() {
        try (LanguageModel model = LanguageModel.load(SMALL, "cpu:1")) {
            model.adapt("inside", Psoft.of(Targets.names("q_proj", "v_proj"), 8), 1);
            model.adapt("beside", Lora.of(Targets.names("down_proj"), 4), 1);
            model.storeAs(Storage.NF4);
            double before = loss(model);
            model.train(TASKS, TrainOptions.epochs(4).with("lr", 1e-2).with("seq_len", 24).with("micro_batch", 1),
                    _ -> {
                    });
            assertThat(loss(model)).isLessThan(before);
            assertThat(model.adapters()).containsExactly("inside", "beside");
        }
    }

    @Test
    void mistakesAreExceptionsThatSayWhatToDo() {
        try (LanguageModel model = LanguageModel.load(SMALL)) {
            assertThatThrownBy(() -> model.train(TASKS, TrainOptions.steps(1), _ -> {
            })).isInstanceOf(IllegalStateException.class).hasMessageContaining("adapt()");
            model.adapt("a", Oft.of(Targets.allLinear(), 8), 1);
            assertThatThrownBy(() -> model.train(TASKS, TrainOptions.steps(1).with("lr", -1), _ -> {
            })).isInstanceOf(ConfigException.class).hasMessageContaining("'lr' must be");
            assertThatThrownBy(() -> model.train(List.of(), TrainOptions.steps(1), _ -> {
            })).isInstanceOf(DataException.class).hasMessageContaining("no examples");
            assertThatThrownBy(() -> model.adapt("a", Oft.of(Targets.allLinear(), 8), 1))
                    .hasMessageContaining("named a");
            assertThatThrownBy(() -> model.generate("a".repeat(5000), 1)).isInstanceOf(InputException.class)
                    .hasMessageContaining("the model takes");
        }
        assertThatThrownBy(() -> LanguageModel.load(dir.resolve("nowhere"))).hasMessageContaining("nowhere");
    }

    @Test
    void anUnknownKeyIsNamedWhereItIsGiven() {
        TrainOptions options = TrainOptions.steps(1);
        assertThatThrownBy(() -> options.with("lrr", 1)).isInstanceOf(ConfigException.class)
                .hasMessageContaining("unknown key 'lrr'; did you mean 'lr'?");
        // a bucket fits once the rows are longer
        options.with("buckets", List.of(600)).with("seq_len", 1000);
    }

    @Test
    void anAdapterIsNotWrittenOverWhatIsThere() throws Exception {
        Path there = Files.createDirectory(dir.resolve("there"));
        try (LanguageModel model = LanguageModel.load(SMALL)) {
            model.adapt("a", Lora.of(Targets.names("down_proj"), 4), 1);
            model.saveAdapter("a", there);
            Path file = there.resolve("adapter_model.safetensors");
            byte[] first = Files.readAllBytes(file);
            model.removeAdapter("a");
            model.adapt("a", Lora.of(Targets.names("down_proj"), 2), 1);
            assertThatThrownBy(() -> model.saveAdapter("a", there)).isInstanceOf(FormatException.class)
                    .hasMessage(there + ": exists already; choose another name or remove it");
            assertThat(file).hasBinaryContent(first);
        }
    }

    @Test
    void theExampleProgramRuns() throws Exception {
        String path = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        Path out = dir.resolve("out");
        Path log = dir.resolve("log");
        Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "-Dai.djl.offline=true", "-XX:+UseSerialGC", "-cp", path,
                "../examples/FineTune.java",
                SMALL.toString(), "2", out.toString()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        assertThat(p.waitFor(15, TimeUnit.MINUTES)).isTrue();
        String said = Files.readString(log, StandardCharsets.UTF_8);
        assertThat(p.exitValue()).as(said).isZero();
        assertThat(said).contains("training 86800 parameters", "wrote ");
        assertThat(out.resolve("adapter/adapter_model.safetensors")).exists();
        assertThat(out.resolve("merged/model.safetensors")).exists();
    }
}
