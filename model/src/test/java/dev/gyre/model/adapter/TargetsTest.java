package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.options.Names;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class TargetsTest {
    private static final List<String> PATHS = paths();

    private static List<String> paths() {
        var c = ModelConfig.llama(16, 8, 16, 12, 2, 2, 16, false, null, List.of(), null);
        List<String> all = new ArrayList<>(List.of("model.embed_tokens"));
        c.linears().forEach(l -> all.add(l.path()));
        all.add("lm_head");
        return all;
    }

    private static List<String> select(Names targets, @Nullable Names exclude, List<Integer> layers,
            List<String> pattern,
            List<String> saved) {
        return new Targets(targets, exclude, Targets.Bias.NONE, layers, pattern, saved).select(PATHS);
    }

    private static Names names(String... n) {
        return Names.of(n);
    }

    @Test
    void aNameMatchesAWholePathOrItsEndAfterADot() {
        assertThat(Targets.names("q_proj").select(PATHS)).hasSize(12).allMatch(p -> p.endsWith(".q_proj"));
        assertThat(Targets.names("self_attn.q_proj").select(PATHS)).hasSize(12);
        assertThat(Targets.names("model.layers.3.mlp.up_proj").select(PATHS))
                .containsExactly("model.layers.3.mlp.up_proj");
        assertThat(Targets.names("lm_head", "embed_tokens").select(PATHS)).containsExactly("model.embed_tokens",
                "lm_head");
        assertThatThrownBy(() -> Targets.names("proj", "_proj", "Q_PROJ").select(PATHS))
                .isInstanceOf(InputException.class).hasMessageContaining("match no module")
                .hasMessageContaining("down_proj");
    }

    @Test
    void aStringMustMatchTheWholePath() {
        assertThat(select(Names.matching(".*\\.[12]\\.mlp\\.(up|down)_proj"), null, List.of(), List.of(), List.of()))
                .containsExactly("model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj",
                        "model.layers.2.mlp.up_proj", "model.layers.2.mlp.down_proj");
        assertThatThrownBy(() -> select(Names.matching("q_proj"), null, List.of(), List.of(), List.of()))
                .hasMessageContaining("match no module");
        assertThat(select(Names.matching(".*(?P<which>q)_proj"), null, List.of(), List.of(), List.of())).hasSize(12);
        assertThatThrownBy(() -> Names.matching("(")).isInstanceOf(InputException.class)
                .hasMessageContaining("'(' is not a regular expression");
    }

    @Test
    void allLinearLeavesOutHeadAndEmbedding() {
        assertThat(Targets.allLinear().select(PATHS)).hasSize(12 * 7).doesNotContain("lm_head",
                "model.embed_tokens");
    }

    @Test
    void theDefaultIsQueriesAndValues() {
        assertThat(Targets.defaults().select(PATHS)).hasSize(24)
                .allMatch(p -> p.endsWith(".q_proj") || p.endsWith(".v_proj"));
    }

    @Test
    void exclusionsWin() {
        assertThat(select(Names.allLinear(), names("mlp.up_proj", "o_proj"), List.of(), List.of(), List.of()))
                .hasSize(12 * 5).noneMatch(p -> p.endsWith("up_proj") || p.endsWith("o_proj"));
        assertThat(select(names("q_proj"), Names.matching(".*layers\\.1\\d?\\..*"), List.of(), List.of(), List.of()))
                .hasSize(9);
        assertThat(select(names("model.layers.0.mlp.up_proj", "q_proj"), names("model.layers.0.mlp.up_proj"), List.of(),
                List.of(), List.of())).hasSize(12);
    }

    @Test
    void layerNumbersLimitNamesButNotWholePaths() {
        assertThat(select(names("q_proj"), null, List.of(1, 11), List.of(), List.of()))
                .containsExactly("model.layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj");
        assertThat(select(names("q_proj"), null, List.of(1), List.of("layers"), List.of()))
                .containsExactly("model.layers.1.self_attn.q_proj");
        assertThat(select(names("q_proj"), null, List.of(1), List.of("blocks", "layers"), List.of())).hasSize(1);
        // a pattern may begin where the path does
        assertThat(select(names("q_proj"), null, List.of(1), List.of("model.layers"), List.of()))
                .containsExactly("model.layers.1.self_attn.q_proj");
        assertThatThrownBy(() -> select(names("q_proj"), null, List.of(1), List.of("blocks"), List.of()))
                .hasMessageContaining("in layers [1]");
        assertThat(select(names("q_proj", "model.layers.5.mlp.up_proj"), null, List.of(1), List.of(), List.of()))
                .containsExactly("model.layers.1.self_attn.q_proj", "model.layers.5.mlp.up_proj");
        assertThat(select(names("q_proj"), null, List.of(), List.of(), List.of())).hasSize(12);
        // the head has no number, so a limit on numbers leaves it out unless it is named whole, which it is here
        assertThat(select(names("lm_head"), null, List.of(1), List.of(), List.of())).containsExactly("lm_head");
    }

    @Test
    void modulesSavedWholeAreNotAdapted() {
        assertThat(select(names("q_proj", "up_proj"), null, List.of(), List.of(), List.of("mlp"))).hasSize(12)
                .allMatch(p -> p.endsWith("q_proj"));
        assertThat(select(names("q_proj", "lm_head"), null, List.of(), List.of(), List.of("lm_head"))).hasSize(12);
        assertThat(select(names("q_proj"), null, List.of(), List.of(), List.of("layers.3", "proj"))).hasSize(11);
    }

    @Test
    void namesWithoutAnyModuleAreReported() {
        assertThat(Targets.names("q_proj", "qproj", "c_attn").unmatched(PATHS)).containsExactly("qproj",
                "c_attn");
    }

    /// Random selections keep order, never grow when something is excluded, and equal the union of what each name gives.
    @Test
    void selectionsObeyTheirAlgebra() {
        var random = new SplittableRandom(11);
        List<String> words = List.of("q_proj", "k_proj", "mlp.up_proj", "down_proj", "lm_head", "embed_tokens",
                "model.layers.4.self_attn.o_proj", "layers.7.mlp.gate_proj", "nothing");
        for (int run = 0; run < 300; run++) {
            List<String> a = words.stream().filter(w -> random.nextBoolean()).toList();
            List<String> b = words.stream().filter(w -> random.nextInt(4) == 0).toList();
            List<Integer> layers = random.nextBoolean() ? List.of()
                    : List.of(random.nextInt(12), random.nextInt(12), random.nextInt(12));
            var plain = new Targets(new Names(a, null), null, Targets.Bias.NONE, layers, List.of(), List.of());
            var without = new Targets(new Names(a, null), new Names(b, null), Targets.Bias.NONE, layers,
                    List.of(), List.of());
            for (String path : PATHS) {
                boolean one = a.stream().anyMatch(w -> new Targets(Names.of(w), null, Targets.Bias.NONE, layers,
                        List.of(), List.of()).matches(path));
                assertThat(plain.matches(path)).as("%s on %s", plain, path).isEqualTo(one);
                boolean excluded = Targets.of(new Names(b, null)).matches(path);
                assertThat(without.matches(path)).as("%s on %s", without, path).isEqualTo(one && !excluded);
            }
        }
    }

    private static void assertIdle(AdapterOptions options, String... words) {
        assertThatThrownBy(() -> Adapter.planned(options, MODEL)).isInstanceOf(InputException.class)
                .hasMessageContainingAll(words);
    }

    private static final dev.gyre.model.weights.Sites MODEL = dev.gyre.model.transformer.PlannedModel.of(
            ModelConfig.llama(16, 8, 16, 2, 2, 2, 16, false, null, List.of(), null));

    private static Lora lora(Targets t, Map<String, Integer> ranks, Map<String, Double> alphas) {
        return new Lora(4, null, 0, false, false, true, ranks, alphas, t);
    }

    @Test
    void everythingThatMatchesNothingIsNamed() {
        Targets qv = Targets.names("q_proj", "v_proj");
        Adapter.planned(lora(qv, Map.of("q_proj", 2, ".*1.*v_proj", 3), Map.of("layers.0.self_attn.q_proj", 1.0)),
                MODEL);
        assertIdle(lora(qv, Map.of("q_porj", 2), Map.of()), "rank_pattern [q_porj] matches no adapted module");
        assertIdle(lora(qv, Map.of(), Map.of("k_proj", 2.0)), "alpha_pattern [k_proj] matches no adapted module");
        assertIdle(lora(qv, Map.of("(", 2), Map.of()), "rank_pattern: ", "is not a regular expression");
        assertIdle(lora(qv, Map.of("((\\w+)\\.?)+\\2!", 2), Map.of()), "rank_pattern: ", "does not come to an end");
        assertIdle(Lora.of(new Targets(qv.targets(), Names.of("v_porj"), Targets.Bias.NONE, List.of(), List.of(),
                List.of()), 4), "exclude [v_porj] matches no module");
        assertIdle(Lora.of(new Targets(qv.targets(), Names.matching(".*x"), Targets.Bias.NONE, List.of(), List.of(),
                List.of()), 4), "exclude [.*x] matches no module");
        assertIdle(Lora.of(new Targets(qv.targets(), null, Targets.Bias.NONE, List.of(0, 2), List.of(), List.of()), 4),
                "layers [2]");
        assertIdle(Lora.of(new Targets(qv.targets(), null, Targets.Bias.NONE, List.of(0), List.of("layers", "blocks"),
                List.of()), 4), "layers_pattern [blocks] matches no list of layers");
    }
}
