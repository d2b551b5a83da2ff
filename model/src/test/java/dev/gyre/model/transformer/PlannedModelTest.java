package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.LearningSession.Use;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class PlannedModelTest {
    private static final ModelConfig CONFIG =
            ModelConfig.llama(40, 16, 24, 2, 2, 1, 32, true, 1, List.of(2), null);
    private static final List<BatchShape> SHAPES = List.of(new BatchShape(2, 8));
    private static final Set<Use> USES = Set.of(Use.TRAIN, Use.EVALUATE);

    @Test
    void fullTrainingIsPlannedWithoutNumbers() {
        StepPlan plan = PlannedModel.of(CONFIG).plan(null, SHAPES, USES, 1);
        try (TrainSession s = new TrainSession(Transformer.random(CONFIG, 1), new CpuBackend(1), SHAPES, true, USES)) {
            assertThat(plan.memory().bytesByRole()).isEqualTo(s.bytesByRole());
        }
        assertThat(plan.trainable()).isEqualTo((int) CONFIG.parameters());
        assertThatThrownBy(() -> plan.store.tensors().getFirst().values()).hasMessageContaining("planned only");
    }

    @Test
    void aDecoderTakesItsCachesAndTheAdaptersNumbersBesideTheWeights() {
        PlannedModel sketch = PlannedModel.of(CONFIG);
        Adapter adapter = sketch.adapter(Lora.of(Targets.allLinear(), 4));
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
        StepPlan plan = sketch.plan(sketch.adapter(Oft.of(Targets.allLinear(), 32)),
                List.of(new BatchShape(1, 512)), USES, 1);
        Map<dev.gyre.kernels.op.Buf.Role, Long> by = plan.memory().bytesByRole();
        assertThat(sketch.parameters()).isEqualTo(6_738_415_616L);
        assertThat(by.get(dev.gyre.kernels.op.Buf.Role.WEIGHT)).isGreaterThan(4 * sketch.parameters());
        // d (b-1) / 2 numbers a layer: six inputs of 4096 features and one of 11008
        assertThat(plan.trainable()).isEqualTo(32 * (6 * 4096 + 11008) * 31 / 2);
    }
}
