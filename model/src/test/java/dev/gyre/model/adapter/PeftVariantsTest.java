package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/// Adapters that carry more than their method's tensors, against what PEFT computes with them (`golden/README.md`).
class PeftVariantsTest {
    private static final Path GOLDEN = Golden.path("peft-variants/plain/config.json").getParent().getParent();
    private static final int[] IDS = {7, 12, 30, 5, 22, 38, 9, 3};

    @TempDir
    Path temp;

    private static Transformer model(String name) {
        try (ModelDir dir = ModelDir.open(GOLDEN.resolve(name))) {
            return Transformer.load(dir);
        }
    }

    private static Batch batch() {
        int[] labels = new int[IDS.length];
        java.util.Arrays.fill(labels, Batch.IGNORE);
        System.arraycopy(IDS, 2, labels, 1, 6);
        return Batch.rows(1, IDS.length, IDS, labels);
    }

    private record Computed(float[] logits, double loss, Map<String, float[]> gradients) {
    }

    private static Computed compute(Transformer model, Adapter adapter) {
        Batch b = batch();
        float[] logits = new float[IDS.length * model.config().vocabSize()];
        Map<String, float[]> gradients = new TreeMap<>();
        Set<TrainSession.Use> uses = EnumSet.of(TrainSession.Use.LOGITS);
        if (adapter != null)
            uses.add(TrainSession.Use.TRAIN);
        try (TrainSession s = new TrainSession(model, new CpuBackend(1), List.of(b.shape()), false, uses)) {
            double loss = s.logits(b, logits) / b.trained();
            if (adapter != null) {
                s.microBatch(b, 1f / b.trained());
                s.gradients().forEach((t, g) -> gradients.put("base_model.model." + adapter.nameInFile(t), g));
            }
            return new Computed(logits, loss, gradients);
        }
    }

    private static void assertClose(String what, float[] got, float[] wanted, double tolerance) {
        assertThat(got).as(what).hasSameSizeAs(wanted);
        double scale = 0;
        for (float w : wanted)
            scale = Math.max(scale, Math.abs(w));
        for (int i = 0; i < got.length; i++)
            assertThat(Math.abs(got[i] - wanted[i]) <= tolerance * scale)
                    .as(what + "[" + i + "]: " + got[i] + " for " + wanted[i]).isTrue();
    }

    private static Map<String, float[]> tensors(Path adapter) {
        Map<String, float[]> out = new TreeMap<>();
        try (SafeTensors f = SafeTensors.open(adapter.resolve(PeftFile.WEIGHTS))) {
            f.names().forEach(n -> out.put(n, f.f32(n)));
        }
        return out;
    }

    @ParameterizedTest
    @CsvSource({"pissa,plain,", "olora,plain,", "tokens,plain,", "tokens-both,plain,", "tokens-tied,tied,",
        "lora-bias,biased,", "mts-tied-both,tied,tie_word_embeddings", "mts-tied-embed,tied,tie_word_embeddings",
        "mts-tied-ensured,tied,", "mts-norm-mlp,plain,", "mts-all,plain,", "mts-head-bf16,plain-bf16,", "copies,plain,",
        "copies-adapted,plain,", "bias-all,biased,", "psoft,plain,"})
    void computesMergesAndIsWrittenAsPeftDoes(String name, String base, String unmergeable) throws IOException {
        Transformer model = model(base);
        Path directory = GOLDEN.resolve(name);
        Adapter adapter = Adapter.read(directory, model);
        model.attach(adapter);
        Computed c = compute(model, adapter);
        try (SafeTensors golden = SafeTensors.open(GOLDEN.resolve(name + ".safetensors"))) {
            assertClose("logits", c.logits, golden.f32("logits"), 2e-5);
            assertClose("loss", new float[] {(float) c.loss}, golden.f32("loss"), 1e-5);
            Set<String> wanted = new TreeSet<>();
            for (String g : golden.names())
                // rows that Gyre keeps as they are
                if (g.startsWith("grad/") && !g.endsWith("trainable_tokens_delta"))
                    wanted.add(g.substring("grad/".length()));
            assertThat(c.gradients.keySet()).isEqualTo(wanted);
            for (String g : wanted)
                assertClose(g, c.gradients.get(g), golden.f32("grad/" + g), 2e-4);
        }

        Path again = temp.resolve("again");
        adapter.write(again, "tiny");
        Map<String, float[]> before = tensors(directory);
        Map<String, float[]> after = tensors(again);
        assertThat(after.keySet()).isEqualTo(before.keySet());
        before.forEach((n, v) -> assertThat(after.get(n)).as(n).containsExactly(v));
        JsonNode config = Json.readObject(directory.resolve(PeftConfig.FILE));
        JsonNode written = Json.readObject(again.resolve(PeftConfig.FILE));
        for (String key : List.of("trainable_token_indices", "init_lora_weights", "lora_bias", "ensure_weight_tying",
                "rank_pattern", "bias"))
            assertThat(written.get(key)).as(key).isEqualTo(config.get(key));

        if (unmergeable != null) {
            assertThatThrownBy(() -> Merge.changed(model)).isInstanceOf(InputException.class)
                    .hasMessageContaining(unmergeable);
            return;
        }
        Transformer merged = model(base);
        for (String weight : Merge.changed(model))
            merged.replace(weight, Merge.weight(model, new CpuBackend(1), weight));
        assertClose("merged logits", compute(merged, null).logits, c.logits, 2e-5);
    }

    /// A switched-off adapter takes what it replaced with it, and two cannot replace the same.
    @Test
    void replacedWeightsGoWithTheirAdapter() {
        Transformer model = model("plain");
        float[] base = compute(model, null).logits;
        Adapter adapter = Adapter.read(GOLDEN.resolve("pissa"), model);
        model.attach("a", adapter);
        assertThatThrownBy(() -> model.attach("b", adapter)).isInstanceOf(InputException.class)
                .hasMessageContaining("PiSSA");
        assertThatThrownBy(() -> Merge.unmerge(model, new CpuBackend(1), "model.layers.0.self_attn.q_proj.weight",
                model.values("model.layers.0.self_attn.q_proj.weight"))).isInstanceOf(InputException.class)
                .hasMessageContaining("base model");
        model.enable("a", false);
        assertThat(compute(model, null).logits).containsExactly(base);
    }

    @Test
    void biasesAreMergedAndTakenOutAgain() {
        Transformer model = model("biased");
        model.attach(Adapter.read(GOLDEN.resolve("lora-bias"), model));
        String bias = "model.layers.0.self_attn.q_proj.bias";
        assertThat(Merge.changed(model)).contains(bias);
        float[] merged = Merge.weight(model, new CpuBackend(1), bias);
        assertClose("bias", Merge.unmerge(model, new CpuBackend(1), bias, merged).values(), model.values(bias), 1e-6);
    }

    /// As transformers: neither biases nor norms, of the model or of the adapter.
    @Test
    void biasesAndNormsDoNotDecay() {
        Transformer biased = model("biased");
        Lora plain = Lora.of(Targets.names("q_proj").with(Targets.Bias.ALL).saving("norm", "embed_tokens"), 2);
        Lora spec = new Lora(2, 4.0, 0, false, false, true, Map.of(), Map.of(), plain.targets(), true, Lora.Start.NONE);
        for (Adapter a : List.of(Adapter.create(spec, biased, 1), Adapter.planned(spec, biased),
                Adapter.read(GOLDEN.resolve("lora-bias"), biased), Adapter.read(GOLDEN.resolve("bias-all"), biased)))
            for (Tensor t : a.tensors())
                assertThat(t.decay()).as(t.name())
                        .isEqualTo(!t.name().endsWith(".bias") && !t.name().endsWith("norm.weight"));
    }

    private Path changed(String adapter, String from, String to) throws IOException {
        Path copy = temp.resolve("changed");
        Files.createDirectories(copy);
        for (String file : List.of(PeftConfig.FILE, PeftFile.WEIGHTS))
            Files.copy(GOLDEN.resolve(adapter).resolve(file), copy.resolve(file));
        Path config = copy.resolve(PeftConfig.FILE);
        String text = Files.readString(config).replaceAll("\\s+", " ");
        assertThat(text).contains(from);
        Files.writeString(config, text.replace(from, to));
        return copy;
    }

    @Test
    void startsThatDifferFromRunToRunAreRefusedWithAWayOut() throws IOException {
        Path adapter = changed("pissa", "\"init_lora_weights\": \"pissa\"", "\"init_lora_weights\": \"pissa_niter_4\"");
        assertThatThrownBy(() -> Adapter.read(adapter, model("plain"))).isInstanceOf(FormatException.class)
                .hasMessageContaining("path_initial_model_for_weight_conversion");
    }

    @Test
    void aStartIsNotComputedFromWeightsInFourBits() {
        Transformer model = model("plain");
        model.store(Storage.NF4);
        assertThatThrownBy(() -> Adapter.read(GOLDEN.resolve("pissa"), model)).isInstanceOf(InputException.class)
                .hasMessageContaining("4 bits");
    }

    @Test
    void tokensOutsideTheVocabularyAreNamed() throws IOException {
        Path adapter = changed("tokens", "7, 30, 12", "7, 30, 40");
        assertThatThrownBy(() -> Adapter.read(adapter, model("plain"))).isInstanceOf(FormatException.class)
                .hasMessageContaining("token 40").hasMessageContaining("resize_token_embeddings");
    }

    @Test
    void namesThatMatchNothingAreWarnedOf() throws IOException {
        Path adapter = changed("mts-all", "\"norm\"", "\"norm\", \"nrom\"");
        assertThat(Adapter.read(adapter, model("plain")).warnings()).singleElement().asString().contains("nrom",
                "modules_to_save");
    }
}
