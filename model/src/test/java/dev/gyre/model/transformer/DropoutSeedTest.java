package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What dropout drops follows from the session's seed and the number of draws before, and from nothing else.
class DropoutSeedTest {
    private static final Targets ALL = Targets.allLinear();

    /// Dropout of single values, and of whole blocks.
    static List<AdapterOptions> methods() {
        return List.of(new Lora(4, 8.0, 0.3, false, false, true, Map.of(), Map.of(), ALL),
                new Oft(4, null, Oft.Cayley.NEUMANN, 5, false, false, 6e-5, 0.5, Oft.Form.INPUT, true, ALL));
    }

    /// Losses of micro-batches `draws + 1 .. 6` of a session that counts `draws` before them.
    private static List<Double> losses(AdapterOptions spec, long seed, int draws) {
        Transformer model =
                Transformer.random(ModelConfig.llama(40, 16, 24, 2, 2, 1, 32, false, 1, List.of(2), null), 3);
        Adapter a = Adapter.create(spec, model, 1);
        Random random = new Random(5);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += 0.3f * (float) random.nextGaussian();
        model.attach(a);
        Batch batch = Batch.rows(2, 9, random.ints(18, 3, 40).toArray(), random.ints(18, 3, 40).toArray());
        List<Double> out = new ArrayList<>();
        try (TrainSession s = new TrainSession(model, new CpuBackend(1), List.of(batch.shape()), false,
                Set.of(TrainSession.Use.TRAIN), seed)) {
            s.restore(s.state(), draws);
            for (int i = draws; i < 6; i++)
                out.add(s.microBatch(batch, 0.1f));
        }
        return out;
    }

    @ParameterizedTest
    @MethodSource("methods")
    void anotherSeedDropsSomethingElse(AdapterOptions spec) {
        assertThat(losses(spec, 1, 0)).isNotEqualTo(losses(spec, 2, 0));
    }

    @ParameterizedTest
    @MethodSource("methods")
    void theSameSeedDropsTheSameAlsoWhenResumed(AdapterOptions spec) {
        List<Double> whole = losses(spec, 7, 0);
        assertThat(losses(spec, 7, 0)).isEqualTo(whole);
        assertThat(losses(spec, 7, 4)).isEqualTo(whole.subList(4, 6));
        assertThat(whole).doesNotHaveDuplicates();
    }
}
