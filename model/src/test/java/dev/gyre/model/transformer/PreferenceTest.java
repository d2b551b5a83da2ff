package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.transformer.LearningSession.Use;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/// DPO and ORPO against PyTorch 2.13 and PEFT 0.21 in single precision, by the formulas of the papers: six pairs, two a step,
/// 20 steps of AdamW.
class PreferenceTest {
    private static final List<BatchShape> SHAPES = List.of(new BatchShape(1, 5), new BatchShape(1, 12));

    private static PreferenceLoss loss(String name) {
        return name.equals("dpo") ? new PreferenceLoss.Dpo(0.5, 0.1) : new PreferenceLoss.Orpo(0.4);
    }

    private static Batch row(JsonNode prompt, JsonNode answer) {
        int n = prompt.size() + answer.size();
        int T = n <= 5 ? 5 : 12;
        int[] ids = new int[T];
        int[] labels = new int[T];
        Arrays.fill(labels, Batch.IGNORE);
        for (int i = 0; i < n; i++) {
            ids[i] = (i < prompt.size() ? prompt.get(i) : answer.get(i - prompt.size())).intValue();
            if (i >= prompt.size())
                labels[i - 1] = ids[i];
        }
        return Batch.rows(1, T, ids, labels);
    }

    private static List<PairBatch.Pair> pairs(PreferenceSession reference) throws IOException {
        List<PairBatch.Pair> out = new ArrayList<>();
        for (JsonNode p : Json.MAPPER.readTree(Files.readString(Golden.path("preferences/pairs.json")))) {
            Batch c = row(p.path("prompt"), p.path("chosen"));
            Batch r = row(p.path("prompt"), p.path("rejected"));
            out.add(new PairBatch.Pair(c, r, reference.logProbability(c), reference.logProbability(r)));
        }
        return out;
    }

    private static void close(String name, float[] actual, float[] expected, double tolerance) {
        double most = 0;
        for (float v : expected)
            most = Math.max(most, Math.abs(v));
        for (int i = 0; i < expected.length; i++)
            assertThat((double) actual[i]).as(name + " " + i).isCloseTo(expected[i], within(tolerance * most));
    }

    @ParameterizedTest
    @CsvSource({"lora, dpo", "lora, orpo", "oft, dpo", "oft, orpo"})
    void trainsAsTorch(String method, String name) throws IOException {
        Transformer model;
        try (ModelDir dir = ModelDir.open(Golden.path("tiny-llama"))) {
            model = Transformer.load(dir);
        }
        Adapter adapter = Adapter.read(Golden.path("preferences/" + method + "-" + name), model);
        model.attach("a", adapter);
        // the reference is the same model with its adapter off
        model.enable("a", false);
        List<PairBatch.Pair> pairs;
        CpuBackend backend = new CpuBackend(1);
        try (PreferenceSession s =
                new PreferenceSession(model, backend, SHAPES, false, Set.of(Use.EVALUATE), 1, loss(name))) {
            pairs = pairs(s);
        }
        model.enable("a", true);
        try (SafeTensors expected =
                SafeTensors.open(Golden.path("preferences/" + method + "-" + name + ".safetensors"));
                PreferenceSession s =
                        new PreferenceSession(model, backend, SHAPES, false, Set.of(Use.TRAIN), 1, loss(name))) {
            double[] losses = expected.f64("losses");
            for (int t = 0; t < 20; t++) {
                PairBatch b = new PairBatch(List.of(pairs.get(2 * t % 6), pairs.get((2 * t + 1) % 6)));
                double before = s.evaluate(b);
                double loss = s.microBatch(b, 0.5f);
                assertThat(loss).isEqualTo(before);
                assertThat(loss / 2).as("step " + t).isCloseTo(losses[t], within(1e-4 * losses[t]));
                if (t == 0)
                    for (Map.Entry<Tensor, float[]> g : s.gradients().entrySet())
                        close("gradient of " + g.getKey(), g.getValue(),
                                expected.f32("grad/base_model.model." + adapter.nameInFile(g.getKey())), 2e-4);
                s.update(new AdamWStep(t + 1, 2e-3f, 0.9f, 0.999f, 1e-8f, 0, 0));
            }
            s.pull();
            // Adam divides small gradients by their own size
            for (Tensor t : adapter.tensors())
                close("result " + t, t.values(), expected.f32("final/base_model.model." + adapter.nameInFile(t)), 2e-3);
        }
    }

    /// In double, by central differences; large margins on both sides included.
    @ParameterizedTest
    @CsvSource({"-3, -4, -3.5, -3.7, 3, 5", "-40, -900, -41, -2, 7, 1", "-0.01, -0.2, -0.3, -0.1, 2, 3",
        "-700, -3, -2, -500, 90, 2"})
    void slopesAreThoseOfTheLoss(double c, double r, double c0, double r0, int nc, int nr) {
        for (PreferenceLoss loss : List.of(new PreferenceLoss.Dpo(0.1, 0), new PreferenceLoss.Dpo(0.5, 0.2),
                new PreferenceLoss.Orpo(0.1), new PreferenceLoss.Orpo(2))) {
            PreferenceLoss.Terms t = loss.of(new PreferenceLoss.Answers(c, r, c0, r0, nc, nr));
            double h = 1e-5;
            double slopeC = (loss.of(new PreferenceLoss.Answers(c + h / 2, r, c0, r0, nc, nr)).loss()
                    - loss.of(new PreferenceLoss.Answers(c - h / 2, r, c0, r0, nc, nr)).loss()) / h;
            double slopeR = (loss.of(new PreferenceLoss.Answers(c, r + h / 2, c0, r0, nc, nr)).loss()
                    - loss.of(new PreferenceLoss.Answers(c, r - h / 2, c0, r0, nc, nr)).loss()) / h;
            assertThat(t.chosenSlope()).as(loss + " chosen").isCloseTo(slopeC, within(1e-6 * (1 + Math.abs(slopeC))));
            assertThat(t.rejectedSlope()).as(loss + " rejected")
                    .isCloseTo(slopeR, within(1e-6 * (1 + Math.abs(slopeR))));
            assertThat(t.accurate()).isEqualTo(t.margin() > 0);
        }
    }

    /// An untrained adapter leaves the reference as it is: every pair has the loss log 2 and no margin.
    @Test
    void atTheReferenceTheLossIsLogTwo() {
        PreferenceLoss.Terms t =
                new PreferenceLoss.Dpo(0.1, 0).of(new PreferenceLoss.Answers(-5, -9, -5, -9, 3, 4));
        assertThat(t.loss()).isCloseTo(Math.log(2), within(1e-15));
        assertThat(t.margin()).isZero();
        assertThat(t.chosenSlope()).isCloseTo(-0.05, within(1e-15));
    }
}
