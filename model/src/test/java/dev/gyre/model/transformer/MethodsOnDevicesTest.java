package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
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
import dev.gyre.model.weights.Storage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Logits, loss and every gradient of every method over every base: TornadoVM's kernels (on the JVM) against the CPU
/// backend, on one small model; and what the session takes there, against its plan.
class MethodsOnDevicesTest {
    private static final Targets ALL = Targets.allLinear();

    /// Every method, in its forms.
    static List<AdapterOptions> methods() {
        return List.of(Oft.of(ALL, 8),
                oft(Oft.Cayley.EXACT, 5).shared(),
                oft(Oft.Cayley.NEWTON_SCHULZ, 6),
                Oft.of(ALL, 8).with(Oft.Form.WEIGHT_DENSE),
                oft(Oft.Cayley.EXACT, 5).with(Oft.Form.WEIGHT_BLOCK),
                Oft.of(Targets.names("embed_tokens", "o_proj"), 8), Psoft.of(ALL, 4),
                new Goft(true, ALL), new Qgoft(0.01, ALL),
                new Boft(4, null, 2, 0, true, ALL), new Hra(4, false, true, ALL), new Hra(3, true, false, ALL),
                new Lora(4, 8.0, 0, true, false, true, Map.of(), Map.of(), ALL));
    }

    static List<Arguments> cases() {
        List<Arguments> out = new ArrayList<>();
        for (AdapterOptions s : methods())
            for (Storage b : List.of(Storage.F32, Storage.BF16, Storage.NF4,
                    Storage.NF4_DOUBLE))
                out.add(Arguments.of(s, b));
        return out;
    }

    private static Oft oft(Oft.Cayley cayley, int terms) {
        return Oft.of(ALL, 8).with(cayley, terms);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void taskGraphsAgreeWithTheCpu(AdapterOptions spec, Storage base) {
        Transformer model =
                Transformer.random(ModelConfig.llama(20, 16, 32, 1, 2, 1, 16, false, null, List.of(), null), 4);
        Adapter a = Adapter.create(spec, model, 2, new BaseWeights(model, new CpuBackend(1), (m, c, r, g) -> {
        }));
        Random random = new Random(8);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += (float) (0.1 * random.nextGaussian());
        model.store(base);
        model.attach(a);
        List<float[]> cpu = values(model, new CpuBackend(1), false);
        List<float[]> graphs = values(model, TestDevice.open(), base == Storage.NF4_DOUBLE);
        assertThat(graphs).hasSize(cpu.size());
        for (int k = 0; k < cpu.size(); k++) {
            double top = 0;
            for (float v : cpu.get(k))
                top = Math.max(top, Math.abs(v));
            assertThat(top).isGreaterThan(0);
            for (int i = 0; i < cpu.get(k).length; i++)
                if (!(Math.abs(cpu.get(k)[i] - graphs.get(k)[i]) <= 2e-5 * top))
                    throw new AssertionError("value " + k + " (0 logits, 1 loss, then gradients) [" + i + "]: cpu "
                            + cpu.get(k)[i] + ", task graphs " + graphs.get(k)[i] + ", largest " + top);
        }
    }

    private static List<float[]> values(Transformer model, Backend backend, boolean doubled) {
        int[] ids = {3, 7, 1, 19, 4, 4};
        Batch batch = Batch.rows(2, 3, ids, new int[] {7, 1, -100, 4, 4, -100});
        float[] logits = new float[ids.length * 20];
        List<float[]> out = new ArrayList<>();
        Set<TrainSession.Use> uses = EnumSet.of(TrainSession.Use.TRAIN, TrainSession.Use.LOGITS);
        try (TrainSession s = new TrainSession(model, backend, List.of(batch.shape()), false, uses)) {
            double loss = s.logits(batch, logits);
            s.microBatch(batch, 0.25f);
            out.add(logits);
            out.add(new float[] {(float) loss});
            // one tensor may have hardly any gradient; what counts is its size beside the largest
            float[] all = new float[0];
            for (float[] g : s.gradients().values()) {
                int at = all.length;
                all = Arrays.copyOf(all, at + g.length);
                System.arraycopy(g, 0, all, at, g.length);
            }
            out.add(all);
            if (backend instanceof TornadoBackend device)
                assertThat(device.bytes(new StepPlan(model.config(), model, List.of(), model.adapters(),
                        List.of(batch.shape()), uses, 1, device.logits()).programs(), doubled)).as("planned")
                        .isEqualTo(s.bytes());
        }
        return out;
    }
}
