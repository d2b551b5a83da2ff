package dev.gyre.model.adapter.adalora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.offset;

import dev.gyre.model.adapter.StepHook;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.weights.Site;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Replays of PEFT's rank allocator: budgets and choices exactly, scores as far as parameters in single precision allow.
class RankAllocatorTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden/adalora-allocator");

    record Case(JsonNode json) {
        @Override
        public String toString() {
            return json.get("name").asString();
        }
    }

    static Stream<Case> cases() throws IOException {
        List<Case> out = new ArrayList<>();
        JsonMapper.builder().build().readTree(Files.readString(GOLDEN.resolve("allocator.json"))).get("cases")
                .forEach(c -> out.add(new Case(c)));
        assertThat(out).hasSize(4);
        return out.stream();
    }

    /// Values of all tensors of a case at one step.
    private record Step(float[] all, Map<Tensor, Integer> offsets) implements StepHook.Values {
        @Override
        public int offset(Tensor t) {
            return offsets.get(t);
        }
    }

    private static Step step(String name, SafeTensors f, List<AdaLoraLayer> layers, int step, String what) {
        Map<Tensor, Integer> offsets = new HashMap<>();
        float[] all = new float[0];
        for (AdaLoraLayer l : layers)
            for (Tensor t : l.tensors()) {
                int at = all.length;
                double[] values = f.f64(name + "/" + t.name() + "." + what);
                all = Arrays.copyOf(all, at + t.size());
                for (int i = 0; i < t.size(); i++)
                    all[at + i] = (float) values[step * t.size() + i];
                offsets.put(t, at);
            }
        return new Step(all, offsets);
    }

    private static RankAllocator allocator(Case c, List<AdaLoraLayer> layers) {
        JsonNode o = c.json.get("config");
        return new RankAllocator(new AdaLora(o.get("init_r").asInt(), o.get("target_r").asInt(),
                o.get("lora_alpha").asDouble(), 0, o.get("tinit").asInt(), o.get("tfinal").asInt(),
                o.get("deltaT").asInt(), o.get("beta1").asDouble(), o.get("beta2").asDouble(),
                o.get("orth_reg_weight").asDouble(), true, Targets.names("a"), o.get("total_step").asLong(), Map.of()),
                layers);
    }

    private static List<AdaLoraLayer> layers(Case c, SafeTensors f) {
        List<AdaLoraLayer> out = new ArrayList<>();
        for (JsonNode m : c.json.get("modules")) {
            String name = m.get("name").asString();
            // the shapes of the tensors count: the index gives module b of the ties another width
            int[] a = f.info(c + "/" + name + ".lora_A.value").dims();
            int[] b = f.info(c + "/" + name + ".lora_B.value").dims();
            out.add(new AdaLoraLayer(new Site(name, a[2], b[1], false), Tensor.zeros(name + ".lora_A", a[1], a[2]),
                    Tensor.zeros(name + ".lora_E", a[1], 1), Tensor.zeros(name + ".lora_B", b[1], b[2]), null, 1, 0,
                    0));
        }
        return out;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void choosesWhatPeftChoosesAlsoWhenItIsResumed(Case c) {
        try (SafeTensors f = SafeTensors.open(GOLDEN.resolve("allocator.safetensors"))) {
            List<AdaLoraLayer> layers = layers(c, f);
            RankAllocator allocator = allocator(c, layers);
            int i = 0;
            for (JsonNode s : c.json.get("steps")) {
                long t = s.get("global_step").asLong();
                String what = c + " step " + t;
                assertThat(allocator.budget(t)).as(what).isEqualTo(s.get("budget").asInt());
                Step values = step(c.toString(), f, layers, i, "value");
                boolean changed = allocator.afterStep(t, values, step(c.toString(), f, layers, i, "grad"), 1);
                assertThat(changed).as(what).isEqualTo(!s.get("masks").asString().equals("none"));
                int first = 0;
                for (AdaLoraLayer l : layers) {
                    int r = l.rank();
                    for (int k = 0; k < r; k++) {
                        double expected = f.f64(c + "/" + l.e().name() + ".after")[i * r + k];
                        assertThat((double) values.all()[values.offset(l.e()) + k]).as(what)
                                .isCloseTo(expected, offset(1e-6));
                        if (s.get("masks").asString().equals("allocate")) {
                            assertThat(allocator.chosen()[first + k]).as(what + " " + l.module() + " direction " + k)
                                    .isEqualTo(s.get("rank_pattern").get(l.module()).get(k).asBoolean());
                            double score = f.f64(c + "/" + l.module() + ".score")[i * r + k];
                            assertThat(allocator.scores()[first + k]).as(what).isCloseTo(score,
                                    offset(1e-5 * Math.abs(score) + 1e-12));
                        }
                    }
                    first += r;
                }
                // a run that stops here and goes on is the same run
                double[] state = allocator.state();
                allocator = allocator(c, layers);
                allocator.restore(state);
                assertThat(allocator.state()).containsExactly(state);
                i++;
            }
        }
    }
}
