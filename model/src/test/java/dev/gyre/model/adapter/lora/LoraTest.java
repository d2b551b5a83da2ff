package dev.gyre.model.adapter.lora;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.adapter.Targets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LoraTest {
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
        Lora lora = new Lora(8, 16.0, 0, false, false, true, ranks, alphas, Targets.allLinear());
        for (int i = 0; i < 40; i++) {
            String path = "model.layers." + i + ".self_attn.q_proj";
            assertThat(lora.rank(path)).as(path).isEqualTo(i < 20 ? i + 1 : 50);
            assertThat(lora.scale(path)).as(path).isEqualTo(i < 20 ? (100.0 + i) / (i + 1) : 10);
        }
        assertThat(lora.rank("lm_head")).isEqualTo(8);
        assertThat(lora.scale("lm_head")).isEqualTo(2);
    }
}
