package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.adapter.psoft.Psoft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.LearningSession.Use;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class CheckpointingTest {
    private static final ModelConfig CONFIG =
            ModelConfig.llama(40, 16, 24, 4, 2, 1, 32, false, 1, List.of(2), null);
    private static final Targets ALL = Targets.allLinear();

    private static @Nullable Adapter adapter(Transformer model, @Nullable AdapterOptions spec) {
        if (spec == null)
            return null;
        Adapter a = Adapter.create(spec, model, 1, new BaseWeights(model, new CpuBackend(1), (m, c, r, g) -> {
        }));
        // away from the identity, where half of the gradients are 0
        Random random = new Random(5);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += 0.3f * (float) random.nextGaussian();
        return a;
    }

    private record Step(double loss, List<float[]> gradients, float[] params, long activations, long flops) {
    }

    /// Two steps, so that parameters which a forward pass changes (COFT) are seen.
    private static Step step(@Nullable AdapterOptions spec, Set<Use> uses) {
        Transformer model = Transformer.random(CONFIG, 3);
        Adapter a = adapter(model, spec);
        if (a != null)
            model.attach(a);
        Random random = new Random(11);
        Batch batch = Batch.rows(2, 9, random.ints(18, 3, 40).toArray(), random.ints(18, 3, 40).toArray());
        try (TrainSession s = new TrainSession(model, new CpuBackend(2), List.of(batch.shape()), a == null, uses)) {
            s.microBatch(batch, 0.1f);
            s.update(new AdamWStep(1, 1e-2f, 0.9f, 0.999f, 1e-8f, 0f, 1f));
            double loss = s.microBatch(batch, 0.1f);
            return new Step(loss, List.copyOf(s.gradients().values()), s.state().params(),
                    s.bytesByRole().get(Buf.Role.ACTIVATION), s.flops());
        }
    }

    @Test
    void gradientsAreTheSameToTheBitForEveryMethodWithLessMemory() {
        Oft oft = Oft.of(ALL, 8);
        Oft bounded = new Oft(8, null, Oft.Cayley.NEUMANN, 5, false, true, 1e-1, 0.5, Oft.Form.INPUT, true, ALL);
        Map<String, AdapterOptions> specs = Map.of("OFT", oft, "COFT with dropped blocks", bounded, "LoRA with dropout",
                new Lora(4, 8.0, 0.3, false, false, true, Map.of(), Map.of(), ALL), "PSOFT", Psoft.of(ALL, 4),
                "GOFT",
                new Goft(true, ALL), "qGOFT", new Qgoft(0.1, ALL), "HRA",
                new Hra(4, false, true, ALL), "BOFT", new Boft(8, null, 1, 0.2, true, ALL));
        specs.forEach(CheckpointingTest::compare);
        compare("full", null);
    }

    private static void compare(String what, @Nullable AdapterOptions spec) {
        Step plain = step(spec, Set.of(Use.TRAIN));
        Step again = step(spec, Set.of(Use.TRAIN, Use.GRADIENT_CHECKPOINTING));
        assertThat(again.loss).as(what).isEqualTo(plain.loss);
        assertThat(again.params).as(what).isEqualTo(plain.params);
        assertThat(again.gradients).as(what).hasSameSizeAs(plain.gradients);
        for (int i = 0; i < plain.gradients.size(); i++)
            assertThat(again.gradients.get(i)).as(what + " " + i).isEqualTo(plain.gradients.get(i));
        assertThat(plain.gradients).as(what).anyMatch(g -> g[0] != 0);
        assertThat(again.activations).as(what).isLessThan(plain.activations);
        assertThat(again.flops).as(what).isGreaterThan(plain.flops).isLessThan((long) (1.5 * plain.flops));
    }
}
