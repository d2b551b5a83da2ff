package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.weights.Storage;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What the memory plan says of 4-bit weights: they are held as codes and decoded by the product that reads them.
class QuantisedMemoryTest {
    private static final ModelConfig CONFIG =
            ModelConfig.llama(64, 128, 256, 2, 4, 4, 32, true, null, List.of(), null);

    private static TrainSession session(Transformer model, AdapterOptions spec) {
        model.attach(Adapter.create(spec, model, 1));
        return new TrainSession(model, new CpuBackend(1), List.of(new BatchShape(1, 8)), false);
    }

    private static long activations(AdapterOptions spec) {
        try (TrainSession s = session(Transformer.random(CONFIG, 1), spec)) {
            return s.bytesByRole().get(Role.ACTIVATION);
        }
    }

    @ParameterizedTest
    @EnumSource(value = Storage.class, names = {"NF4", "NF4_DOUBLE"})
    void noWeightStandsInMemoryWhole(Storage base) {
        Targets all = Targets.allLinear();
        for (AdapterOptions spec : List.of(Oft.of(all, 32), Lora.of(all, 4), new Goft(true, all),
                new Qgoft(0.1, all), Boft.of(all, 4, 2), Hra.of(all, 4))) {
            Transformer model = Transformer.random(CONFIG, 1);
            model.store(base);
            // embedding and norms in F32; linear layers in at most 5 bits
            long most = model.weights().values().stream()
                    .mapToLong(w -> w instanceof HostData.NF4 ? w.size() * 5 / 8 : w.size() * Float.BYTES).sum();
            try (TrainSession s = session(model, spec)) {
                assertThat(s.programs()).as(spec.method()).doesNotContain("Decode");
                long tables = 2L * 8 * CONFIG.attention().headDim() / 2 * Float.BYTES; // rotary cosines and sines of 8 positions
                assertThat(s.bytesByRole().get(Role.WEIGHT)).as(spec.method()).isLessThanOrEqualTo(most + tables);
                // nothing more stands beside them than beside weights that need no decoding
                assertThat(s.bytesByRole().get(Role.ACTIVATION)).as(spec.method()).isEqualTo(activations(spec));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Storage.class)
    void randomWeightsRoundedOneByOneAreThoseRoundedTogether(Storage base) {
        Transformer model = Transformer.random(CONFIG, 1);
        model.store(base);
        Transformer oneByOne = Transformer.random(CONFIG, 1, base);
        assertThat(oneByOne.weights().keySet()).isEqualTo(model.weights().keySet());
        model.weights().forEach((name, w) -> {
            assertThat(oneByOne.data(name)).as(name).hasSameClassAs(w);
            assertThat(oneByOne.values(name)).as(name).isEqualTo(model.values(name));
        });
    }

    @Test
    void onlyOftV1DecodesAWholeWeightAndSaysSo() {
        Transformer model = Transformer.random(CONFIG, 1);
        model.store(Storage.NF4);
        Oft v2 = Oft.of(Targets.allLinear(), 32);
        try (TrainSession s = session(model, v2.with(Oft.Form.WEIGHT_BLOCK))) {
            assertThat(s.programs()).contains("Decode");
        }
    }
}
