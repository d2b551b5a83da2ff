package dev.gyre.model.adapter;

import static dev.gyre.model.adapter.MethodCases.close;
import static dev.gyre.model.adapter.MethodCases.widened;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.adapter.MethodCases.Layer;
import dev.gyre.model.adapter.dora.Dora;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.PlannedModel;
import dev.gyre.model.transformer.StepPlan;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.node.ObjectNode;

/// What every method owes, with every option that changes what it computes. One layer of it, in double: a fresh adapter is
/// the identity, the merged weight gives its output, unmerging gives the weight back ([LayerGradientsTest] has its
/// gradients). On a model: a PEFT directory that is read back and written again byte for byte, memory as planned, and
/// training on weights of every form.
class MethodContractTest {
    private static final ModelConfig CONFIG =
            ModelConfig.llama(40, 16, 24, 2, 2, 1, 32, true, 1, List.of(2), null);
    private static final Targets TARGETS = Targets.names("q_proj", "k_proj", "up_proj");
    private static final List<BatchShape> SHAPES = List.of(new BatchShape(2, 8));
    private static final Set<Use> USES = Set.of(Use.TRAIN, Use.EVALUATE);
    /// What each case's directory held when its method was written: `adapter_config.json`, and the digest of the weights.
    private static final Path WRITTEN = Path.of("src/test/resources/methods/written.json");

    @TempDir
    static Path files;

    @TempDir
    Path temp;

    @BeforeAll
    static void writeModel() {
        Transformer random = Transformer.random(CONFIG, 3);
        ModelDirWriter w = ModelDirWriter.of(CONFIG);
        random.weights().keySet().forEach(n -> w.tensor(n, TensorType.F32, () -> random.values(n),
                Arrays.stream(random.dims(n)).asLongStream().toArray()));
        w.write(files.resolve("model"));
    }

    static List<Layer> cases() {
        return MethodCases.all();
    }

    /// Cases that start as the unchanged layer.
    static List<Layer> identities() {
        return cases().stream().filter(l -> !(l.options instanceof Hra h && !h.initWeights())
                && !(l.options instanceof Dora d && !d.lora().initWeights())).toList();
    }

    @Test
    void everyRegisteredMethodHasCases() {
        assertThat(cases().stream().<Class<?>>map(c -> c.options.getClass()).distinct())
                .containsExactlyInAnyOrderElementsOf(Methods.all().stream().<Class<?>>map(Method::options).toList());
        for (Layer c : cases())
            assertThat(Methods.of(c.options).name()).isEqualTo(c.options.method());
    }

    @ParameterizedTest
    @MethodSource("identities")
    void aFreshAdapterIsTheIdentity(Layer l) {
        // DoRA starts from lengths that are stored in single precision
        close(l.name, l.output(), l.plain(l.weight), l.options instanceof Dora ? 1e-7 : 1e-12);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theMergedWeightGivesTheOutput(Layer l) {
        l.disturbed(0.3);
        double[] y = l.output();
        close(l.name, l.plain(l.merged()), y, 5e-7);
        assertThat(Arrays.equals(y, l.plain(l.weight))).isFalse();
    }

    /// Cases of methods that can be taken out of a merged weight.
    static List<Layer> unmergeable() {
        return cases().stream().filter(l -> Methods.of(l.options).unmerges()).toList();
    }

    static List<Layer> lasting() {
        return cases().stream().filter(l -> !Methods.of(l.options).unmerges()).toList();
    }

    @ParameterizedTest
    @MethodSource("lasting")
    void whatCannotBeUnmergedSaysSo(Layer l) {
        assertThatThrownBy(() -> l.adapter.unmerge(widened(l.merged()), MethodCases.OUT, false, new RefBackend()))
                .isInstanceOf(InputException.class).hasMessageContaining("layer: ")
                .hasMessageContaining("take it from the base model");
    }

    @ParameterizedTest
    @MethodSource("unmergeable")
    void unmergingGivesTheWeightBack(Layer l) {
        l.disturbed(0.15);
        double[] w = widened(l.merged());
        double growth = l.adapter.unmerge(w, MethodCases.OUT, false, new RefBackend());
        assertThat(growth).isBetween(1.0, 50.0);
        close(l.name, w, widened(l.weight), 1e-6 * growth);
    }

    private static Transformer model() {
        try (ModelDir dir = ModelDir.open(files.resolve("model"))) {
            return Transformer.load(dir);
        }
    }

    private static Adapter fresh(AdapterOptions options, Transformer model) {
        return Adapter.create(options.with(TARGETS), model, 3,
                new BaseWeights(model, new CpuBackend(1), (m, c, r, g) -> {
                }));
    }

    private static void disturb(Adapter a, double by) {
        Random random = new Random(17);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += (float) (by * random.nextGaussian());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void writtenReadAndWrittenAgainGivesTheSameBytes(Layer c) throws IOException {
        Transformer model = model();
        Adapter a = fresh(c.options, model);
        disturb(a, 0.05);
        Path first = temp.resolve("first");
        Path second = temp.resolve("second");
        a.write(first, "base");
        Adapter b = Adapter.read(first, model);
        b.write(second, "base");
        assertThat(b.parameters()).isEqualTo(a.parameters());
        try (var all = Files.list(first)) {
            List<String> names = all.map(p -> p.getFileName().toString()).sorted().toList();
            assertThat(names).contains("adapter_config.json", "adapter_model.safetensors");
            for (String name : names)
                assertThat(Files.readAllBytes(second.resolve(name))).as(name)
                        .isEqualTo(Files.readAllBytes(first.resolve(name)));
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aFreshAdapterIsWrittenAsItAlwaysWas(Layer c) throws Exception {
        fresh(c.options, model()).write(temp.resolve("a"), "base");
        ObjectNode known = (ObjectNode) Json.readObject(WRITTEN).get(c.name);
        assertThat(known).as("no record of " + c.name + " in " + WRITTEN + "; add\n" + record(c)).isNotNull();
        assertThat(Files.readString(temp.resolve("a/adapter_config.json")))
                .isEqualTo(Json.pretty((ObjectNode) known.get("config")).strip());
        assertThat(digest()).isEqualTo(known.get("weights").stringValue());
    }

    private String digest() throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256")
                .digest(Files.readAllBytes(temp.resolve("a/adapter_model.safetensors"))));
    }

    private String record(Layer c) throws Exception {
        return "\"" + c.name + "\": {\"config\": " + Files.readString(temp.resolve("a/adapter_config.json"))
                + ", \"weights\": \"" + digest() + "\"}";
    }

    @ParameterizedTest
    @MethodSource("cases")
    void memoryIsPlannedAsItIsAllocatedOnEveryStorage(Layer c) {
        CpuBackend backend = new CpuBackend(1);
        for (Storage storage : Storage.values())
            try (ModelDir dir = ModelDir.open(files.resolve("model"))) {
                Transformer model = Transformer.load(dir);
                Adapter adapter = fresh(c.options, model);
                model.store(storage);
                model.attach(adapter);
                PlannedModel planned = PlannedModel.of(dir, storage);
                StepPlan plan = planned.plan(planned.adapter(c.options.with(TARGETS)), SHAPES, USES, 1);
                try (TrainSession s = new TrainSession(model, backend, SHAPES, false, USES)) {
                    assertThat(plan.memory().bytesByRole()).as(storage.name()).isEqualTo(s.bytesByRole());
                    assertThat(plan.flops()).as(storage.name()).isEqualTo(s.flops());
                    assertThat(plan.trainable()).as(storage.name()).isEqualTo(s.trainableParameters());
                }
            }
    }

    private static Batch batch() {
        int[] ids = new int[16];
        Arrays.setAll(ids, i -> (7 * i + 3) % 40);
        int[] labels = new int[16];
        Arrays.setAll(labels, i -> (7 * i + 10) % 40);
        return Batch.rows(2, 8, ids, labels);
    }

    /// Steps `from + 1` to `to` of a run over [#batch], after `begun`.
    private static TrainState steps(Layer c, @Nullable TrainState begun, long draws, int from, int to, long[] drawn) {
        Transformer model = model();
        model.attach(fresh(c.options, model));
        try (TrainSession s = new TrainSession(model, new CpuBackend(1), SHAPES, false, USES)) {
            if (begun != null)
                s.restore(begun, draws);
            for (int step = from + 1; step <= to; step++) {
                s.microBatch(batch(), 1f / 16);
                s.update(new AdamWStep(step, 5e-3f, 0.9f, 0.999f, 1e-8f, 0f, 1f));
            }
            drawn[0] = s.draws();
            return s.state();
        }
    }

    /// Whatever a method remembers from step to step is in the state of the session.
    @ParameterizedTest
    @MethodSource("cases")
    void aRunThatWasStoppedGoesOnBitForBit(Layer c) {
        long[] drawn = {0};
        TrainState whole = steps(c, null, 0, 0, 19, drawn);
        TrainState half = steps(c, null, 0, 0, 7, drawn);
        TrainState resumed = steps(c, half, drawn[0], 7, 19, drawn);
        assertThat(resumed.params()).containsExactly(whole.params());
        assertThat(resumed.m()).containsExactly(whole.m());
        assertThat(resumed.v()).containsExactly(whole.v());
        assertThat(resumed.method()).containsExactly(whole.method());
    }

    /// The loss of the very rows that are trained falls, on weights of every form.
    @ParameterizedTest
    @MethodSource("cases")
    void trainsOnEveryStorage(Layer c) {
        Batch batch = batch();
        for (Storage storage : Storage.values()) {
            Transformer model = model();
            Adapter adapter = fresh(c.options, model);
            model.store(storage);
            model.attach(adapter);
            try (TrainSession s = new TrainSession(model, new CpuBackend(1), SHAPES, false, USES)) {
                double before = s.evaluate(batch);
                for (int step = 1; step <= 8; step++) {
                    s.microBatch(batch, 1f / 16);
                    double norm = s.update(new AdamWStep(step, 5e-3f, 0.9f, 0.999f, 1e-8f, 0f, 1f));
                    assertThat(norm).as(storage + " step " + step).isPositive().isFinite();
                }
                assertThat(s.evaluate(batch)).as(storage.name()).isFinite().isLessThan(before);
            }
        }
    }
}
