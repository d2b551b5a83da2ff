package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

/// The commands on models with a head.
class TaskCommandsTest {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden/tasks");

    @TempDir
    Path dir;

    /// Images with a bright quarter, which is their class.
    private Path images(int n) throws IOException {
        Path file = dir.resolve("train-images-idx3-ubyte");
        images(file, n, 3);
        return file;
    }

    /// @param file `...-images-idx3-ubyte`; its labels are written beside it
    static void images(Path file, int n, long seed) throws IOException {
        Random random = new Random(seed);
        ByteArrayOutputStream pixels = new ByteArrayOutputStream();
        ByteArrayOutputStream labels = new ByteArrayOutputStream();
        try (DataOutputStream p = new DataOutputStream(pixels); DataOutputStream l = new DataOutputStream(labels)) {
            p.writeInt(0x803);
            p.writeInt(n);
            p.writeInt(8);
            p.writeInt(8);
            l.writeInt(0x801);
            l.writeInt(n);
            for (int i = 0; i < n; i++) {
                int which = random.nextInt(4);
                l.writeByte(which);
                for (int at = 0; at < 64; at++)
                    p.writeByte((at / 32 == which / 2 && at % 8 / 4 == which % 2 ? 200 : 0) + random.nextInt(50));
            }
        }
        Files.write(file, pixels.toByteArray());
        Files.write(file.resolveSibling(file.getFileName().toString().replace("images-idx3", "labels-idx1")),
                labels.toByteArray());
    }

    private Path run(Path images, String adapter) throws Exception {
        Path yaml = dir.resolve("run.yaml");
        Files.writeString(yaml, """
                model: {path: %s}
                task: {kind: class}
                adapter: %s
                data: {train: %s, valid: %s}
                train: {epochs: 4, micro_batch: 8, lr: 3e-3}
                output: {dir: %s}
                device: cpu
                """.formatted(GOLDEN.resolve("vit-5way"), adapter, images, images, dir.resolve("out")));
        return yaml;
    }

    private static Cli ok(Object... args) {
        Cli c = Cli.gyre(args);
        assertThat(c.code).as(c.toString() + c.err).isZero();
        return c;
    }

    @ParameterizedTest
    @ValueSource(strings = {"{method: full}", "{method: oft, block_size: 8, targets: [q_proj, v_proj, fc1, fc2]}"})
    void anImageClassifierLearnsAndIsTheSameInEveryCommand(String adapter) throws Exception {
        Path images = images(120);
        Path yaml = run(images, adapter);
        assertThat(ok("check", yaml, "--steps", "1").out).contains("4 labels: 0, 1, 2, 3");
        ok("train", yaml);
        Path out = dir.resolve("out");
        ObjectNode scores = Json.readObject(out.resolve("task.json"));
        double accuracy = scores.path("after").path("accuracy").doubleValue();
        assertThat(accuracy).isGreaterThan(0.6).isGreaterThan(scores.path("before").path("accuracy").doubleValue());
        assertThat(Files.readString(out.resolve("report.html"))).contains("Confusion matrix");
        String measured = ok("eval", out, images, "--device", "cpu").out;
        assertThat(measured).contains(String.format(java.util.Locale.ROOT, "accuracy %.4f", accuracy));
        if (adapter.contains("oft")) {
            Path merged = dir.resolve("merged");
            ok("merge", out, "--out", merged, "--device", "cpu");
            String again = ok("eval", merged, images, "--device", "cpu").out;
            assertThat(again).contains(String.format(java.util.Locale.ROOT, "accuracy %.4f", accuracy));
        }
    }

    /// `gyre logits` gives the values of transformers and PEFT, of a text and of an image model.
    @ParameterizedTest
    @ValueSource(strings = {"bert-multilabel", "vit-5way", "vit-cropped", "deberta-c2p-tokens", "qwen2-left"})
    void logitsAgreeWithTheReference(String name) throws Exception {
        Path m = GOLDEN.resolve(name);
        try (SafeTensors want = SafeTensors.open(m.resolve("reference_lora.safetensors"))) {
            ObjectNode in = Json.MAPPER.createObjectNode();
            for (String key : new String[] {"input_ids", "attention_mask", "token_type_ids", "labels", "pixel_values"})
                if (want.contains(key))
                    in.set(key, Json.MAPPER.readTree(nested(want, key)));
            Path tokens = dir.resolve("in.json");
            Files.writeString(tokens, in.toString());
            Path out = dir.resolve("got.safetensors");
            // references are of evaluation mode, where nothing is dropped
            Path adapter = dir.resolve("adapter");
            Files.createDirectory(adapter);
            Files.copy(m.resolve("adapter_lora/adapter_model.safetensors"),
                    adapter.resolve("adapter_model.safetensors"));
            ObjectNode config = Json.readObject(m.resolve("adapter_lora/adapter_config.json"));
            config.put("lora_dropout", 0.5);
            Files.writeString(adapter.resolve("adapter_config.json"), config.toString());
            ok("logits", m, "--adapter", adapter, "--tokens", tokens, "--out", out, "--device", "cpu");
            try (SafeTensors got = SafeTensors.open(out)) {
                int compared = 0;
                for (String key : got.names()) {
                    // logits of padding mean nothing
                    if (key.equals("logits") && name.endsWith("tokens"))
                        continue;
                    compared++;
                    near(key, got.f32(key), want.f32(key + ".f32"));
                }
                assertThat(compared).isGreaterThan(5);
            }
        }
    }

    private static void near(String name, float[] got, float[] want) {
        assertThat(got).as(name).hasSameSizeAs(want);
        double top = 0;
        for (float v : want)
            top = Math.max(top, Math.abs(v));
        for (int i = 0; i < got.length; i++)
            if (!(Math.abs(got[i] - want[i]) <= 2e-4 * top))
                throw new AssertionError(name + "[" + i + "]: " + got[i] + ", expected " + want[i]);
    }

    /// The values of a tensor as nested lists.
    private static String nested(SafeTensors file, String key) {
        int[] shape = file.info(key).dims();
        String[] values = file.info(key).type().name().startsWith("I")
                ? Arrays.stream(file.i64(key)).mapToObj(Long::toString).toArray(String[]::new)
                : IntStream.range(0, file.f32(key).length).mapToObj(i -> Float.toString(file.f32(key)[i]))
                        .toArray(String[]::new);
        for (int d = shape.length - 1; d >= 0; d--) {
            int n = shape[d];
            String[] now = values;
            values = IntStream.range(0, now.length / n)
                    .mapToObj(i -> Arrays.stream(now, i * n, (i + 1) * n).collect(Collectors.joining(",", "[", "]")))
                    .toArray(String[]::new);
        }
        return values[0];
    }

    /// What transformers computes and Gyre does not is refused, not computed in another way.
    @Test
    void whatIsNotComputedIsRefusedByName() throws Exception {
        Path deberta = GOLDEN.resolve("deberta-v3-3way");
        refused(deberta, "{\"input_ids\": [[0, 5, 6]], \"attention_mask\": [[0, 1, 1]]}", "pad on the right");
        Path unnamed = edited(deberta, "problem_type", null);
        refused(unnamed, "{\"input_ids\": [[5, 6]], \"labels\": [[0.5, 0.25, 0.25]]}",
                "problem_type is missing", "multi_label_classification");
        refused(edited(deberta, "conv_kernel_size", 4), "{\"input_ids\": [[5]]}", "conv_kernel_size: 4");
        refused(edited(GOLDEN.resolve("bert-3way"), "hidden_act", "quick_gelu"), "{\"input_ids\": [[5]]}",
                "hidden_act: \"quick_gelu\"");
        Path teacher = edited(GOLDEN.resolve("deit-3way"), "architectures", null);
        Files.writeString(teacher.resolve("config.json"), Files.readString(teacher.resolve("config.json"))
                .replaceFirst("\\{", "{\"architectures\": [\"DeiTForImageClassificationWithTeacher\"],"));
        refused(teacher, "{\"pixel_values\": [[[[1]]]]}",
                "the head of DeiTForImageClassificationWithTeacher is not read");
    }

    private Path edited(Path model, String key, @Nullable Object value) throws IOException {
        Path to = Files.createTempDirectory(dir, "model");
        ObjectNode config = Json.readObject(model.resolve("config.json"));
        config.remove(key);
        if (value != null)
            config.putPOJO(key, value);
        Files.writeString(to.resolve("config.json"), config.toString());
        Files.copy(model.resolve("model.safetensors"), to.resolve("model.safetensors"));
        return to;
    }

    private void refused(Path model, String tokens, String... said) throws IOException {
        Path in = Files.writeString(dir.resolve("refused.json"), tokens);
        Cli c = Cli.gyre("logits", model, "--tokens", in, "--out", dir.resolve("none.safetensors"), "--device", "cpu");
        assertThat(c.code).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains(said).hasLineCount(1);
        assertThat(dir.resolve("none.safetensors")).doesNotExist();
    }

    @Test
    void aMissingPartOfTheModelIsSaid() throws Exception {
        Path model = dir.resolve("model");
        Files.createDirectory(model);
        Files.copy(GOLDEN.resolve("bert-3way/config.json"), model.resolve("config.json"));
        Files.copy(GOLDEN.resolve("vit-5way/model.safetensors"), model.resolve("model.safetensors"));
        Path tokens = dir.resolve("in.json");
        Files.writeString(tokens, "{\"input_ids\": [[1]]}");
        Cli c = Cli.gyre("logits", model, "--tokens", tokens, "--out", dir.resolve("x.safetensors"), "--device", "cpu");
        assertThat(c.code).isNotZero();
        assertThat(c.err).contains("bert.embeddings.word_embeddings.weight").contains("is missing");
    }
}
