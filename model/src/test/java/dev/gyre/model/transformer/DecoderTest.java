package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class DecoderTest {
    static Stream<Backend> backends() {
        return Stream.of(new CpuBackend(1), TestDevice.open());
    }

    /// A decoder that is kept while its adapter trains answers like a new one, and not like before.
    @ParameterizedTest
    @MethodSource("backends")
    void reloadedItSeesTheAdapterAsItIsNow(Backend backend) {
        Transformer model =
                Transformer.random(ModelConfig.llama(20, 16, 32, 1, 2, 1, 16, false, null, List.of(), null), 4);
        Adapter a = Adapter.create(Oft.of(Targets.allLinear(), 8), model, 2);
        model.attach(a);
        try (Decoder kept = new Decoder(model, backend, 16)) {
            float[] before = kept.next(3, 7, 1);
            Random random = new Random(8);
            for (Tensor t : a.tensors())
                for (int i = 0; i < t.size(); i++)
                    t.values()[i] += (float) (0.1 * random.nextGaussian());
            kept.reload();
            assertThat(kept.position()).isZero();
            float[] now = kept.next(3, 7, 1);
            assertThat(now).isNotEqualTo(before);
            try (Decoder fresh = new Decoder(model, backend, 16)) {
                assertThat(now).isEqualTo(fresh.next(3, 7, 1));
            }
        }
    }
}
