package dev.gyre.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.Tuning;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The section `adapter` of run.yaml, for every method: what is written is read back equal, and is what it always was.
class MethodSectionsTest {
    private static final Path WRITTEN = Path.of("src/test/resources/methods/sections.txt");

    @Test
    void everyMethodIsHere() throws IOException {
        for (Class<?> options : new Tuning.Registered().all())
            assertThat(Files.readString(WRITTEN)).contains("\n  method: " + Method.described(options).value() + "\n");
    }

    @ParameterizedTest
    @ValueSource(strings = {"oft", "oft, blocks: 4, form: weight_block", "oft, cayley: exact, coft: true, eps: 0.001",
        "oft, cayley: newton_schulz, terms: 6, dropout: 0.3, block_share: true, init_weights: false, form: weight_dense",
        "oft, targets: [q_proj, v_proj], exclude: '.*0.*', bias: adapted, layers: [0, 2]", "psoft",
        "psoft, cayley: neumann, max_norm: 0.5, r: 8, alpha: 4, factors: pissa, svd: lowrank, svd_iterations: 3",
        "psoft, orthogonal: false, magnitude_a: false, magnitude_b: false, dropout: 0.1", "goft", "goft, scaler: false",
        "qgoft", "qgoft, penalty: 1e-3", "lora", "lora, r: 4, alpha: 3, rslora: true, gaussian: true, dropout: 0.05",
        "lora, rank_pattern: {q_proj: 4, '.*up': 8}, alpha_pattern: {q_proj: 2.5}, bias: all", "boft",
        "boft, blocks: 8, factors: 2, dropout: 0.2", "hra", "hra, r: 3, gram_schmidt: true, init_weights: false",
        "dora", "dora, r: 4, rslora: true", "adalora",
        "adalora, init_r: 6, target_r: 3, tinit: 20, tfinal: 50, delta_t: 10, orthogonality: 0.1, alpha: 32", "full"})
    void isReadBackEqualAndWrittenAsItAlwaysWas(String section) throws IOException {
        RunConfig c = ConfigReader.parse("run.yaml", "{model: {path: m}, adapter: {method: " + section
                + "}, data: {train: t}, output: {dir: d}}", RunConfig.class, List.of());
        String text = ConfigWriter.resolved(c);
        assertThat(ConfigReader.parse("again", text, RunConfig.class, List.of())).isEqualTo(c);
        String written = "== " + section + "\n" + c.adapter().method() + ": "
                + c.adapter().variant() + "\n"
                + text.substring(text.indexOf("adapter:"), text.indexOf("data:"));
        assertThat(Files.readString(WRITTEN)).contains(written);
    }
}
