package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class PeftDirectoryTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden/tiny-llama");
    private static final Targets ALL = Targets.allLinear();

    @TempDir
    Path temp;

    private static Transformer model() {
        try (ModelDir dir = ModelDir.open(GOLDEN)) {
            return Transformer.load(dir);
        }
    }

    static Stream<AdapterOptions> specs() {
        Oft oft = Oft.of(ALL, 16);
        return Stream.of(oft,
                new Oft(null, 4, Oft.Cayley.NEUMANN, 3, false, false, 6e-5, 0, Oft.Form.INPUT, false, ALL),
                oft.with(Oft.Cayley.EXACT, 5), oft.with(Oft.Cayley.EXACT_PLUS, 5),
                oft.with(Oft.Cayley.NEWTON_SCHULZ, 6), oft.with(Oft.Cayley.NEUMANN_LEGACY, 5), Oft.of(ALL, 24).shared(),
                Oft.of(ALL, 8).constrained(0.2), Oft.of(Targets.names("embed_tokens", "q_proj"), 8),
                Oft.of(Targets.names("q_proj", "lm_head"), 8),
                new Lora(4, 8.0, 0, true, false, true, Map.of("q_proj", 2), Map.of("q_proj", 3.0), ALL),
                new Goft(true, ALL), new Qgoft(0.01, ALL), Boft.of(ALL, 4, 2), Hra.of(ALL, 4),
                new Hra(3, true, false, ALL));
    }

    private static float[] logits(Transformer model) {
        int[] ids = new int[2 * 7];
        Random random = new Random(5);
        for (int i = 0; i < ids.length; i++)
            ids[i] = random.nextInt(model.config().vocabSize());
        int[] labels = new int[ids.length];
        java.util.Arrays.fill(labels, -100);
        Batch b = Batch.rows(2, 7, ids, labels);
        float[] out = new float[ids.length * model.config().vocabSize()];
        try (TrainSession s = new TrainSession(model, new CpuBackend(1), List.of(b.shape()), false,
                Set.of(TrainSession.Use.LOGITS))) {
            s.logits(b, out);
        }
        return out;
    }

    private static void disturb(Adapter a, double by) {
        Random random = new Random(17);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += (float) (by * random.nextGaussian());
    }

    private static double distance(float[] a, float[] b) {
        assertThat(a).hasSameSizeAs(b);
        double d = 0;
        for (int i = 0; i < a.length; i++) {
            double e = Math.abs(a[i] - b[i]);
            d = e <= d ? d : e; // NaN stays
        }
        return d;
    }

    /// Fresh adapters that start at the identity leave the model as it is; disturbed ones do not; writing, reading and
    /// merging change nothing more.
    @ParameterizedTest
    @MethodSource("specs")
    void writtenReadAndMergedAdaptersComputeTheSame(AdapterOptions spec) {
        Transformer model = model();
        float[] base = logits(model);
        Adapter a = Adapter.create(spec, model, 3);
        model.attach(a);
        boolean identity = switch (spec) {
            case Oft s -> s.initWeights();
            case Hra s -> s.initWeights();
            default -> true;
        };
        if (identity)
            assertThat(distance(logits(model), base)).isLessThan(1e-5);
        disturb(a, 0.05);
        float[] adapted = logits(model);
        assertThat(distance(adapted, base)).isGreaterThan(1e-3);

        Path dir = temp.resolve("adapter");
        a.write(dir, "tiny-llama");
        Transformer other = model();
        Adapter b = Adapter.read(dir, other);
        boolean older = spec instanceof Oft o && o.cayley() == Oft.Cayley.NEUMANN_LEGACY;
        assertThat(b.warnings()).hasSize(older ? 1 : 0);
        assertThat(b.parameters()).isEqualTo(a.parameters());
        other.attach(b);
        assertThat(distance(logits(other), adapted)).isLessThan(2e-5);

        Transformer merged = model();
        for (String name : Merge.changed(model))
            merged.replace(name, Merge.weight(model, new CpuBackend(1), name));
        assertThat(distance(logits(merged), adapted)).isLessThan(5e-5);
    }

    @Test
    void stackedAdaptersMergeInTheOrderInWhichTheyRun() {
        Transformer model = model();
        for (AdapterOptions spec : List.of(Oft.of(ALL, 16),
                new Lora(2, 4.0, 0, false, false, false, Map.of(), Map.of(), ALL), new Goft(false, ALL))) {
            Adapter a = Adapter.create(spec, model, 9);
            disturb(a, 0.1);
            model.attach(new Adapter(a.options(), a.modules(), List.of(), List.of(), model));
        }
        float[] adapted = logits(model);
        Transformer merged = model();
        for (String name : Merge.changed(model))
            merged.replace(name, Merge.weight(model, new CpuBackend(2), name));
        assertThat(distance(logits(merged), adapted)).isLessThan(5e-5);
    }

    private static Adapter disturbed(AdapterOptions spec, Transformer model, long seed) {
        Adapter a = Adapter.create(spec, model, seed);
        Random random = new Random(seed);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += (float) (0.1 * random.nextGaussian());
        return a;
    }

    /// Two adapters of one method on the same modules: the order counts, each can be switched off, merging agrees with
    /// whatever is on, and unmerging in the same order gives the weights back.
    @Test
    void adaptersOfOneMethodStackSwitchOffMergeAndUnmerge() {
        Transformer model = model();
        Targets targets = Targets.names("embed_tokens", "q_proj", "down_proj");
        float[] base = logits(model);
        model.attach("first", disturbed(Oft.of(targets, 16), model, 1));
        float[] first = logits(model);
        model.attach("second", disturbed(Oft.of(targets, 8), model, 2));
        float[] both = logits(model);
        Transformer other = model();
        other.attach("second", model.named("second"));
        float[] second = logits(other);
        other.attach("first", model.named("first"));
        assertThat(distance(logits(other), both)).isGreaterThan(1e-3);

        Transformer merged = model();
        for (String name : Merge.changed(model))
            merged.replace(name, Merge.weight(model, new CpuBackend(1), name));
        assertThat(distance(logits(merged), both)).isLessThan(5e-5);
        for (String name : Merge.changed(model)) {
            float[] back = Merge.unmerge(model, new CpuBackend(1), name, merged.values(name)).values();
            assertThat(distance(back, model.values(name))).as(name).isLessThan(1e-6);
        }

        model.enable("second", false);
        assertThat(logits(model)).containsExactly(first);
        model.enable("second", true);
        model.enable("first", false);
        assertThat(logits(model)).containsExactly(second);
        model.enable("second", false);
        assertThat(logits(model)).containsExactly(base);
        assertThat(model.adapterNames()).containsExactly("first", "second");
        model.detach("first");
        model.enable("second", true);
        assertThat(logits(model)).containsExactly(second);
        assertThatThrownBy(() -> model.enable("first", true)).hasMessageContaining("no adapter is named first")
                .hasMessageContaining("second");
        assertThatThrownBy(() -> model.attach("second", model.named("second"))).hasMessageContaining("already");
    }

    /// As PEFT does with `save_embedding_layers`, which it sets when an embedding is adapted.
    @Test
    void adaptedEmbeddingsAndHeadsAreWrittenWithTheirBaseWeight() {
        Transformer model = model();
        Path dir = temp.resolve("adapter");
        Adapter.create(Oft.of(Targets.names("embed_tokens", "lm_head", "q_proj"), 16), model, 1).write(dir, "m");
        try (SafeTensors f = SafeTensors.open(dir.resolve("adapter_model.safetensors"))) {
            for (String name : List.of("model.embed_tokens", "lm_head")) {
                String key = "base_model.model." + name + ".base_layer.weight";
                assertThat(f.f32(key)).as(key).containsExactly(model.values(name + ".weight"));
                assertThat(f.info(key).shape()).containsExactly(128L, 64L);
            }
            assertThat(f.names()).noneMatch(n -> n.contains("q_proj.base_layer")).hasSize(6);
        }
        assertThat(Adapter.read(dir, model).warnings()).isEmpty();
    }

    /// Writes an adapter's weights again with one tensor added or replaced.
    private static void put(Path adapter, String key, TensorType type, float[] values, long... shape) {
        Path file = adapter.resolve("adapter_model.safetensors");
        try (SafeTensors f = SafeTensors.open(file)) {
            var w = new SafeTensorsWriter().floats(key, type, () -> values, shape);
            for (String name : f.names())
                if (!name.equals(key))
                    w.f32(name, f.f32(name), f.info(name).shape().stream().mapToLong(Long::longValue).toArray());
            w.write(file);
        }
    }

    /// PEFT puts the file's copy into the model it loads the adapter on.
    @Test
    void aBaseWeightThatIsNotTheModelsTakesItsPlace() {
        Transformer model = model();
        Path dir = temp.resolve("adapter");
        Adapter.create(Oft.of(Targets.names("lm_head", "q_proj"), 16), model, 1).write(dir, "m");
        String key = "base_model.model.lm_head.base_layer.weight";
        float[] head = model.values("lm_head.weight").clone();
        put(dir, key, TensorType.BF16, head, 128, 64);
        Adapter same = Adapter.read(dir, model);
        assertThat(same.warnings()).as("the same but for rounding").isEmpty();
        assertThat(same.replaced()).isEmpty();
        head[70] += 0.01f;
        put(dir, key, TensorType.F32, head, 128, 64);
        Adapter other = Adapter.read(dir, model);
        assertThat(other.warnings()).singleElement().asString().contains("lm_head.base_layer.weight differs");
        model.attach(other);
        assertThat(model.values("lm_head.weight")).containsExactly(head);
        model.enable(model.adapterNames().getFirst(), false);
        assertThat(model.values("lm_head.weight")[70]).isNotEqualTo(head[70]);
        put(dir, key, TensorType.F32, new float[130 * 64], 130, 64);
        assertThatThrownBy(() -> Adapter.read(dir, model)).isInstanceOf(FormatException.class)
                .hasMessageContaining(key).hasMessageContaining("vocabulary of 130")
                .hasMessageContaining("resize_token_embeddings(130)");
    }

    /// Without its compiled kernel PEFT makes one factor, whatever the configuration that it saves says.
    @Test
    void boftOfOneFactorIsReadWhateverTheConfigurationSays() throws IOException {
        Transformer model = model();
        Adapter one = Adapter.create(Boft.of(Targets.names("q_proj"), 4, 1), model, 1);
        disturb(one, 0.1);
        Path dir = temp.resolve("adapter");
        one.write(dir, "m");
        Path config = dir.resolve("adapter_config.json");
        Files.writeString(config, Files.readString(config).replace("\"boft_n_butterfly_factor\": 1",
                "\"boft_n_butterfly_factor\": 3"));
        Adapter read = Adapter.read(dir, model);
        assertThat(((Boft) read.options()).factors()).isEqualTo(1);
        assertThat(read.warnings()).singleElement().asString().contains("boft_n_butterfly_factor", "3");
        for (int i = 0; i < read.tensors().size(); i++)
            assertThat(read.tensors().get(i).values()).containsExactly(one.tensors().get(i).values());
    }

    private static Targets saving(String... whole) {
        return Targets.names("q_proj").saving(whole);
    }

    private static Transformer small(boolean tied, boolean bias) {
        ModelConfig c = ModelConfig.llama(32, 24, 40, 1, 2, 1, 16, tied, null, List.of(), null);
        return Transformer.random(!bias ? c
                : new ModelConfig(c.family(), c.shape(),
                        new ModelConfig.Attention(2, 1, 12, ModelConfig.Bias.ALL, ModelConfig.QkNorm.NONE),
                        c.positions(), new ModelConfig.Mlp(40, true), c.norms(), c.tokens(), c.stored()),
                1);
    }

    /// As in transformers: neither biases nor norms decay, whatever trains them, also after a resumption.
    @Test
    void biasesDoNotDecay() {
        Transformer model = small(false, true);
        Adapter made = Adapter.create(Oft.of(saving("down_proj").with(Targets.Bias.ALL), 8), model, 1);
        Path dir = temp.resolve("adapter");
        made.write(dir, "m");
        for (Adapter a : List.of(made, Adapter.read(dir, model))) {
            assertThat(a.whole()).extracting(Tensor::name).anyMatch(n -> n.endsWith("q_proj.bias"));
            assertThat(a.whole())
                    .allSatisfy(t -> assertThat(t.decay()).as(t.name()).isEqualTo(!t.name().endsWith("bias")));
            assertThat(a.tensors()).filteredOn(t -> t.name().contains("oft_R")).isNotEmpty()
                    .allSatisfy(t -> assertThat(t.decay()).isTrue());
        }
    }

    @Test
    void anAdapterThatIsReplacedTakesNothingElseWithIt() throws IOException {
        Transformer model = small(false, false);
        Path dir = temp.resolve("adapter");
        Adapter a = Adapter.create(Oft.of(Targets.names("q_proj"), 8), model, 1);
        a.write(dir, "m");
        a.write(dir, "m");
        Files.writeString(dir.resolve("notes.txt"), "work");
        assertThatThrownBy(() -> a.write(dir, "m")).isInstanceOf(FormatException.class)
                .hasMessageContaining("also holds notes.txt, which would be lost");
        assertThat(dir.resolve("notes.txt")).hasContent("work");
    }

    @Test
    void aModuleTrainedWholeBringsItsBias() {
        Transformer model = small(false, true);
        for (Targets.Bias bias : Targets.Bias.values()) {
            Adapter a = Adapter.create(Oft.of(saving("down_proj").with(bias), 8), model, 1);
            assertThat(a.whole()).extracting(Tensor::name).contains("model.layers.0.mlp.down_proj.weight",
                    "model.layers.0.mlp.down_proj.bias").doesNotHaveDuplicates();
        }
    }

    @Test
    void aModuleTrainedWholeOfAnotherVocabularyIsNamedWithAWayOut() {
        Transformer model = small(false, false);
        Path dir = temp.resolve("adapter");
        Adapter.create(Oft.of(saving("embed_tokens"), 8), model, 1).write(dir, "m");
        put(dir, "base_model.model.model.embed_tokens.weight", TensorType.F32, new float[33 * 24], 33, 24);
        assertThatThrownBy(() -> Adapter.read(dir, model)).isInstanceOf(FormatException.class)
                .hasMessageContaining("model.embed_tokens.weight").hasMessageContaining("vocabulary of 33")
                .hasMessageContaining("resize_token_embeddings");
    }

    @Test
    void aFreshAdapterTakesNoNameThatTheModelDoesNotHave() {
        assertThatThrownBy(() -> Adapter.create(Oft.of(Targets.names("q_proj", "vproj"), 8), model(), 1))
                .hasMessageContaining("[vproj] match no module").hasMessageContaining("v_proj");
    }

    @Test
    void twoAdaptersCannotBothBringTheSameTrainedWeight() {
        Transformer model = model();
        Oft spec = Oft.of(saving("lm_head"), 16);
        model.attach(Adapter.create(spec, model, 1));
        assertThatThrownBy(() -> model.attach(Adapter.create(spec, model, 1)))
                .hasMessageContaining("lm_head.weight");
        assertThatThrownBy(
                () -> Merge.unmerge(model, new CpuBackend(1), "lm_head.weight", model.values("lm_head.weight")))
                .hasMessageContaining("trained copy");
    }

    @Test
    void theGoldenAdapterIsReadAndWrittenUnchanged() throws Exception {
        Transformer model = model();
        Adapter a = Adapter.read(GOLDEN.resolve("adapter_oft"), model);
        assertThat(((Oft) a.options()).map()).isEqualTo(Orthogonal.neumann(5));
        Path dir = temp.resolve("again");
        a.write(dir, "tiny-llama");
        assertThat(Files.readAllBytes(dir.resolve("adapter_model.safetensors")))
                .isEqualTo(Files.readAllBytes(GOLDEN.resolve("adapter_oft/adapter_model.safetensors")));
    }

    @Test
    void anAdapterOfAnotherModelIsRefusedByName() {
        Transformer model = model();
        Adapter a = Adapter.create(Oft.of(Targets.names("q_proj"), 16), model, 1);
        Path dir = temp.resolve("adapter");
        a.write(dir, "tiny-llama");
        Transformer small =
                Transformer
                        .random(dev.gyre.model.family.ModelConfig.llama(32, 24, 40, 1, 2, 1, 16, false, null, List.of(),
                                null), 1);
        assertThatThrownBy(() -> Adapter.read(dir, small)).isInstanceOf(FormatException.class)
                .hasMessageContaining("oft_R.weight");
    }
}
