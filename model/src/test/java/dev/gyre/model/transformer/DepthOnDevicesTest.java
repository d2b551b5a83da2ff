package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.weights.Storage;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// What a model needs on a device does not grow with its depth, except memory: TornadoVM has room for some hundred arrays in
/// a task graph, and each graph is compiled.
class DepthOnDevicesTest {
    private static final BatchShape SHAPE = new BatchShape(2, 3);
    /// Arrays of a session, at most.
    private static final int ARRAYS = 24;

    private static Transformer model(int layers, AdapterOptions spec, Storage base) {
        Transformer model =
                Transformer.random(ModelConfig.llama(20, 16, 32, layers, 2, 1, 16, false, null, List.of(), null), 4);
        model.attach(Adapter.create(spec, model, 2, new BaseWeights(model, new CpuBackend(1), (m, c, r, g) -> {
        })));
        model.store(base);
        return model;
    }

    /// Every method, and every base with the first one.
    private static List<Arguments> cases() {
        List<AdapterOptions> methods = MethodsOnDevicesTest.methods();
        List<Storage> bases = List.of(Storage.F32, Storage.BF16, Storage.NF4, Storage.NF4_DOUBLE);
        List<Arguments> out = new ArrayList<>();
        for (Storage base : bases)
            out.add(Arguments.of(methods.getFirst(), base));
        for (int i = 1; i < methods.size(); i++)
            out.add(Arguments.of(methods.get(i), bases.get(i % bases.size())));
        return out;
    }

    private static TornadoBackend.Outline outline(List<Program> programs, Storage base) {
        return TornadoBackend.open("jvm").outline(programs, base == Storage.NF4_DOUBLE);
    }

    private static List<Program> training(Transformer m, boolean checkpointing) {
        Set<TrainSession.Use> uses = EnumSet.of(TrainSession.Use.TRAIN, TrainSession.Use.EVALUATE,
                TrainSession.Use.LOGITS);
        if (checkpointing)
            uses.add(TrainSession.Use.GRADIENT_CHECKPOINTING);
        return new StepPlan(m.config(), m, List.of(), m.adapters(), List.of(SHAPE), uses, 1, Backend.LOGITS).programs();
    }

    private static List<Program> decoding(Transformer m) {
        return Decoder.emit(m.config(), m, m.adapters(), 16).programs();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void graphsKernelsAndArraysAreThoseOfFewLayers(AdapterOptions spec, Storage base) {
        Transformer few = model(4, spec, base);
        for (int layers : spec.equals(MethodsOnDevicesTest.methods().getFirst()) ? new int[] {2, 32, 80}
                : new int[] {2, 32}) {
            Transformer m = model(layers, spec, base);
            for (boolean checkpointing : new boolean[] {false, true}) {
                TornadoBackend.Outline o = outline(training(m, checkpointing), base);
                TornadoBackend.Outline four = outline(training(few, checkpointing), base);
                assertThat(o.arrays()).as("%d layers", layers).isLessThanOrEqualTo(ARRAYS);
                if (layers > 2) {
                    assertThat(o.graphs()).as("graphs of %d layers", layers).isEqualTo(four.graphs());
                    assertThat(o.kernels()).as("kernels of %d layers", layers).isEqualTo(four.kernels());
                }
            }
            TornadoBackend.Outline d = outline(decoding(m), base);
            assertThat(d.arrays()).isLessThanOrEqualTo(ARRAYS);
            if (layers > 2)
                assertThat(d.graphs()).isEqualTo(outline(decoding(few), base).graphs());
        }
    }

    @Test
    void fortyLayersTrainOnTheStandIn() {
        Transformer m = model(40, Oft.of(Targets.allLinear(), 8), Storage.F32);
        Batch batch = Batch.rows(2, 3, new int[] {3, 7, 1, 19, 4, 4}, new int[] {7, 1, -100, 4, 4, -100});
        double[] losses = new double[2];
        float[][] gradients = new float[2][];
        for (int i = 0; i < 2; i++)
            try (TrainSession s = new TrainSession(m, i == 0 ? new CpuBackend(1) : TestDevice.open(),
                    List.of(batch.shape()), false, EnumSet.of(TrainSession.Use.TRAIN))) {
                        losses[i] = s.microBatch(batch, 0.25f);
                        gradients[i] = s.gradients().values().iterator().next();
                    }
        assertThat(losses[1]).isCloseTo(losses[0], offset(1e-4));
        for (int k = 0; k < gradients[0].length; k++)
            assertThat(gradients[1][k]).isCloseTo(gradients[0][k], offset(1e-4f));
    }
}
