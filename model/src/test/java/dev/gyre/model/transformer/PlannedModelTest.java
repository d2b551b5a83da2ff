package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.adapter.GivensSpec;
import dev.gyre.model.adapter.HraSpec;
import dev.gyre.model.adapter.LoraSpec;
import dev.gyre.model.adapter.OftSpec;
import dev.gyre.model.adapter.PrincipalSubspace;
import dev.gyre.model.adapter.PsoftSpec;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.TrainSession.Use;
import dev.gyre.model.weights.Storage;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlannedModelTest {
    private static final ModelConfig CONFIG =
            ModelConfig.llama(40, 16, 24, 2, 2, 1, 32, true, 1, List.of(2), null);
    private static final List<BatchShape> SHAPES = List.of(new BatchShape(2, 8));
    private static final Set<Use> USES = Set.of(Use.TRAIN, Use.EVALUATE);

    private static List<AdapterSpec> specs() {
        Targets all = Targets.allLinear();
        return List.of(OftSpec.of(all, 8), LoraSpec.of(all, 4), PsoftSpec.of(all, 4),
                new GivensSpec(all, true, true, 0), new GivensSpec(all, false, false, 0.1),
                new HraSpec(all, 4, false, true));
    }

    @Test
    void theProgramsAndMemoryOfASketchAreThoseOfTheModelForEveryMethodAndBase(@TempDir Path dir) {
        CpuBackend backend = new CpuBackend(1);
        for (TensorType type : new TensorType[] {TensorType.F32, TensorType.BF16}) {
            Path at = dir.resolve(type.name());
            Transformer random = Transformer.random(CONFIG, 3);
            ModelDirWriter w = ModelDirWriter.of(CONFIG);
            random.weights().keySet().forEach(n -> w.tensor(n, type, () -> random.values(n),
                    Arrays.stream(random.dims(n)).asLongStream().toArray()));
            w.write(at);
            for (Storage base : Storage.values())
                for (AdapterSpec spec : specs())
                    try (ModelDir files = ModelDir.open(at)) {
                        Transformer model = Transformer.load(files);
                        Adapter adapter = Adapter.create(spec, model, 1,
                                new PrincipalSubspace(model, backend, (m, c, r, g) -> {
                                }));
                        model.store(base);
                        model.attach(adapter);
                        PlannedModel sketch = PlannedModel.of(files, base);
                        StepPlan plan = sketch.plan(sketch.adapter(spec), SHAPES, USES);
                        try (TrainSession s = new TrainSession(model, backend, SHAPES, false, USES)) {
                            String what = type + " " + base + " " + spec.method();
                            assertThat(plan.memory().bytesByRole()).as(what).isEqualTo(s.bytesByRole());
                            assertThat(plan.flops()).as(what).isEqualTo(s.flops());
                            assertThat(plan.trainable()).as(what).isEqualTo(s.trainableParameters());
                        }
                        assertThat(sketch.decoderBytes(sketch.adapter(spec), 20)).isEqualTo(Decoder.bytes(model, 20));
                    }
        }
    }

    @Test
    void fullTrainingIsPlannedWithoutNumbers() {
        StepPlan plan = PlannedModel.of(CONFIG).plan(null, SHAPES, USES);
        try (TrainSession s = new TrainSession(Transformer.random(CONFIG, 1), new CpuBackend(1), SHAPES, true, USES)) {
            assertThat(plan.memory().bytesByRole()).isEqualTo(s.bytesByRole());
        }
        assertThat(plan.trainable()).isEqualTo((int) CONFIG.parameters());
        assertThatThrownBy(() -> plan.store.tensors().getFirst().values()).hasMessageContaining("planned only");
    }

    @Test
    void aDecoderTakesItsCachesAndTheAdaptersNumbersBesideTheWeights() {
        PlannedModel sketch = PlannedModel.of(CONFIG);
        Adapter adapter = sketch.adapter(LoraSpec.of(Targets.allLinear(), 4));
        // keys and values of 2 layers, one head of 8 features
        assertThat(sketch.decoderBytes(null, 30) - sketch.decoderBytes(null, 20))
                .isGreaterThanOrEqualTo(2 * 2 * 8 * 4 * 10);
        assertThat(sketch.decoderBytes(adapter, 20) - sketch.decoderBytes(null, 20))
                .isGreaterThanOrEqualTo(4L * adapter.parameters());
    }

    @Test
    void aLargeModelIsPlannedWithoutItsWeights() {
        ModelConfig big = ModelConfig.llama(32000, 4096, 11008, 32, 32, 32, 4096, false, 1, List.of(2), null);
        PlannedModel sketch = PlannedModel.of(big);
        StepPlan plan = sketch.plan(sketch.adapter(OftSpec.of(Targets.allLinear(), 32)),
                List.of(new BatchShape(1, 512)), USES);
        Map<dev.gyre.kernels.op.Buf.Role, Long> by = plan.memory().bytesByRole();
        assertThat(sketch.parameters()).isEqualTo(6_738_415_616L);
        assertThat(by.get(dev.gyre.kernels.op.Buf.Role.WEIGHT)).isGreaterThan(4 * sketch.parameters());
        // d (b-1) / 2 numbers a layer: six inputs of 4096 features and one of 11008
        assertThat(plan.trainable()).isEqualTo(32 * (6 * 4096 + 11008) * 31 / 2);
    }
}
