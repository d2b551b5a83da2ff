package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LoraSpecTest {
    /// A name is a regular expression for the end of the path, and the first that matches counts, as in PEFT.
    @Test
    void theFirstPatternThatMatchesCounts() {
        Map<String, Integer> ranks = new LinkedHashMap<>();
        Map<String, Double> alphas = new LinkedHashMap<>();
        for (int i = 0; i < 20; i++) {
            ranks.put("layers." + i + ".self_attn.q_proj", i + 1);
            alphas.put("layers." + i + ".self_attn.q_proj", 100.0 + i);
        }
        ranks.put(".*_proj", 50);
        alphas.put(".*_proj", 500.0);
        for (int i = 20; i < 40; i++) {
            ranks.put("layers." + i + ".self_attn.q_proj", i + 1);
            alphas.put("layers." + i + ".self_attn.q_proj", 100.0 + i);
        }
        var spec = new LoraSpec(Targets.allLinear(), 8, 16, 0, false, false, true, ranks, alphas);
        for (int i = 0; i < 40; i++) {
            String path = "model.layers." + i + ".self_attn.q_proj";
            assertThat(spec.rank(path)).as(path).isEqualTo(i < 20 ? i + 1 : 50);
            assertThat(spec.scale(path)).as(path).isEqualTo(i < 20 ? (100.0 + i) / (i + 1) : 10);
        }
        assertThat(spec.rank("lm_head")).isEqualTo(8);
        assertThat(spec.scale("lm_head")).isEqualTo(2);
    }
}
