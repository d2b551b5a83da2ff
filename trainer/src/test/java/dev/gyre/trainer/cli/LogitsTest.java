package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// `gyre logits` against reference values of PyTorch, transformers and PEFT.
class LogitsTest {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden");
    /// Of the largest value of a tensor; what the reference files suggest for F32.
    private static final double TOLERANCE = 2e-4;

    @TempDir
    Path dir;

    private static String rows(long[] values, int T) {
        return IntStream.range(0, values.length / T)
                .mapToObj(b -> Arrays.toString(Arrays.copyOfRange(values, b * T, b * T + T)))
                .collect(Collectors.joining(",", "[", "]"));
    }

    private static void close(SafeTensors got, String name, SafeTensors want, String reference) {
        float[] x = got.f32(name);
        float[] y = want.f32(reference);
        assertThat(x).as(name).hasSameSizeAs(y);
        double largest = 0;
        for (float v : y)
            largest = Math.max(largest, Math.abs(v));
        for (int i = 0; i < x.length; i++)
            if (!(Math.abs(x[i] - y[i]) <= TOLERANCE * largest))
                throw new AssertionError(name + "[" + i + "]: " + x[i] + ", expected " + y[i]);
    }

    @ParameterizedTest
    @CsvSource({"tiny-llama", "tiny-llama-nf4"})
    void agreesWithTheReferenceModels(String model) throws IOException {
        Path m = GOLDEN.resolve(model);
        try (SafeTensors want = SafeTensors.open(m.resolve("reference_oft.safetensors"))) {
            int T = want.info("input_ids").shape().get(1).intValue();
            String json = "{\"input_ids\": " + rows(want.i64("input_ids"), T) + ", \"labels\": "
                    + rows(want.i64("labels"), T)
                    + (want.contains("attention_mask") ? ", \"attention_mask\": " + rows(want.i64("attention_mask"), T)
                            : "")
                    + "}";
            Path tokens = dir.resolve("tokens.json");
            Files.writeString(tokens, json);
            Path out = dir.resolve("out.safetensors");
            Cli c = Cli.gyre("logits", m, "--adapter", m.resolve("adapter_oft"), "--tokens", tokens, "--out", out);
            assertThat(c.code).as(c.toString()).isZero();
            try (SafeTensors got = SafeTensors.open(out)) {
                assertThat(got.info("logits").shape()).isEqualTo(want.info("oft.logits.f32").shape());
                close(got, "logits", want, "oft.logits.f32");
                close(got, "loss", want, "oft.loss.f32");
                int gradients = 0;
                for (String name : want.names())
                    if (name.startsWith("grad/") && name.endsWith(".f32")) {
                        close(got, name.substring(0, name.length() - 4), want, name);
                        gradients++;
                    }
                assertThat(got.names()).hasSize(gradients + 2);
            }
            Path plain = dir.resolve("plain.safetensors");
            assertThat(Cli.gyre("logits", m, "--tokens", tokens, "--out", plain).code).isZero();
            try (SafeTensors got = SafeTensors.open(plain)) {
                close(got, "logits", want, "base.logits.f32");
                assertThat(got.names()).containsExactlyInAnyOrder("logits", "loss");
            }
            Cli again = Cli.gyre("logits", m, "--tokens", tokens, "--out", plain);
            assertThat(again.code).isEqualTo(ExitCode.USAGE);
            assertThat(again.err).contains("exists already");
        }
    }

    @Test
    void leftPaddingChangesNothingButThePositionsAndRightPaddingNothing() throws IOException {
        Path m = GOLDEN.resolve("tiny-llama");
        float[] right = logits(m, "{\"input_ids\": [[5, 6, 7, 0, 0]], \"attention_mask\": [[1, 1, 1, 0, 0]]}", "a");
        float[] plain = logits(m, "{\"input_ids\": [[5, 6, 7]]}", "b");
        for (int i = 0; i < plain.length; i++)
            assertThat(!(Math.abs(right[i] - plain[i]) <= 1e-5)).as("logit " + i).isFalse();
        // RoPE only sees differences of positions
        float[] left = logits(m, "{\"input_ids\": [[0, 0, 5, 6, 7]], \"attention_mask\": [[0, 0, 1, 1, 1]]}", "c");
        for (int i = 0; i < plain.length; i++)
            assertThat(!(Math.abs(left[2 * 128 + i] - plain[i]) <= 1e-5)).as("logit " + i).isFalse();
    }

    /// A field of a newer PEFT may change what an adapter computes, weights that config.json does not call for a model.
    @Test
    void whatIsIgnoredOfModelAndAdapterIsSaid() throws IOException {
        Path m = Files.createDirectories(dir.resolve("model"));
        Path a = Files.createDirectories(dir.resolve("adapter"));
        Files.copy(GOLDEN.resolve("tiny-llama/config.json"), m.resolve("config.json"));
        try (SafeTensors s = SafeTensors.open(GOLDEN.resolve("tiny-llama/model.safetensors"))) {
            var w = new SafeTensorsWriter();
            for (String name : s.names())
                w.f32(name, s.f32(name), s.info(name).shape().stream().mapToLong(Long::longValue).toArray());
            w.f32("model.layers.0.mlp.up_proj.bias", new float[160], 160).write(m.resolve("model.safetensors"));
        }
        Path golden = GOLDEN.resolve("tiny-llama/adapter_oft");
        Files.copy(golden.resolve("adapter_model.safetensors"), a.resolve("adapter_model.safetensors"));
        Files.writeString(a.resolve("adapter_config.json"), Files.readString(golden.resolve("adapter_config.json"))
                .replaceFirst("\\{", "{\"turned\": 7,").replace("\"q_proj\"", "\"q_proj\", \"c_attn\""));
        Path tokens = dir.resolve("tokens.json");
        Files.writeString(tokens, "{\"input_ids\": [[5, 6, 7]]}");
        Cli c = Cli.gyre("logits", m, "--adapter", a, "--tokens", tokens, "--out", dir.resolve("o.safetensors"));
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.err.lines()).hasSize(3).anyMatch(l -> l.contains("unknown fields are ignored: turned"))
                .anyMatch(l -> l.contains("[c_attn] match no module"))
                .anyMatch(l -> l.contains("1 tensor is ignored") && l.contains("up_proj.bias"));
    }

    @Test
    void gradientsOfBiasesAreNamedAsInTheAdapter() throws IOException {
        Path m = Path.of("../model/src/test/resources/golden/families/qwen2-mixed-window");
        Path adapter = dir.resolve("adapter");
        try (ModelDir d = ModelDir.open(m)) {
            Transformer llama = Transformer.load(d);
            Adapter.create(Oft.of(Targets.names("q_proj").with(Targets.Bias.ALL), 8), llama, 1).write(adapter,
                    "m");
        }
        Path tokens = dir.resolve("tokens.json");
        Files.writeString(tokens, "{\"input_ids\": [[5, 6, 7]], \"labels\": [[5, 6, 7]]}");
        Path out = dir.resolve("o.safetensors");
        Cli c = Cli.gyre("logits", m, "--adapter", adapter, "--tokens", tokens, "--out", out, "--gradients");
        assertThat(c.code).as(c.toString()).isZero();
        try (SafeTensors got = SafeTensors.open(out);
                SafeTensors file = SafeTensors.open(adapter.resolve("adapter_model.safetensors"))) {
            assertThat(got.names().stream().filter(n -> n.startsWith("grad/")).map(n -> n.substring(5)))
                    .containsExactlyInAnyOrderElementsOf(file.names());
        }
    }

    /// transformers loads a model in the type that its configuration names, whatever the weights are stored in.
    @Test
    void aModelMergedInto32BitsSaysSo() throws IOException {
        Path m = Files.createDirectories(dir.resolve("model"));
        Path golden = GOLDEN.resolve("tiny-llama");
        Files.copy(golden.resolve("model.safetensors"), m.resolve("model.safetensors"));
        Files.writeString(m.resolve("config.json"), Files.readString(golden.resolve("config.json"))
                .replace("\"float32\"", "\"bfloat16\""));
        for (String type : List.of("f32", "f16")) {
            Path out = dir.resolve(type);
            Cli c = Cli.gyre("merge", m, "--adapter", golden.resolve("adapter_oft"), "--out", out, "--dtype", type);
            assertThat(c.code).as(c.toString()).isZero();
            assertThat(Files.readString(out.resolve("config.json")))
                    .contains(type.equals("f32") ? "dtype\": \"float32\"" : "dtype\": \"bfloat16\"");
        }
    }

    private float[] logits(Path model, String json, String name) throws IOException {
        Path tokens = dir.resolve(name + ".json");
        Files.writeString(tokens, json);
        Path out = dir.resolve(name + ".safetensors");
        Cli c = Cli.gyre("logits", model, "--tokens", tokens, "--out", out);
        assertThat(c.code).as(c.toString()).isZero();
        try (SafeTensors got = SafeTensors.open(out)) {
            return got.f32("logits");
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{}                                                            | 'input_ids' is missing",
        "{\"input_ids\": [[1], [1, 2]]}                                | row 1 of 'input_ids' has 2 values, row 0 1",
        "{\"input_ids\": [[1.5]]}                                      | 'input_ids' row 0 place 0: 1.5 is not a whole number",
        "{\"input_ids\": [[1]], \"labels\": [[1], [2]]}                | row 1 of 'labels' has 1 values, its input_ids 0",
        "{\"input_ids\": [[1, 2, 3]], \"attention_mask\": [[1, 0, 1]]} | attention_mask of row 0 has a gap",
        "{\"inputs\": [[1]]}                                           | unknown key 'inputs'",
        "{\"input_ids\": [[9999]]}                                     | token id 9999 is outside the vocabulary of 128",
    })
    void badTokenFilesAreNamed(String json, String message) throws IOException {
        Path m = GOLDEN.resolve("tiny-llama");
        Path tokens = dir.resolve("bad.json");
        Files.writeString(tokens, json);
        Path out = dir.resolve("bad.safetensors");
        Cli c = Cli.gyre("logits", m, "--tokens", tokens, "--out", out);
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains(message);
        assertThat(out).doesNotExist();
    }
}
