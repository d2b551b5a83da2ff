package dev.gyre.model.options;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RegexTest {
    private static final String PATH = "model.layers.0.self_attn.q_proj";

    @ParameterizedTest
    @ValueSource(strings = {"((\\w+)\\.?)+\\1!", "(.*)(.*)(.*)(.*)(.*)(.*)!"})
    void aMatchComesToAnEnd(String expression) {
        long begun = System.nanoTime();
        assertThatThrownBy(() -> Regex.of(expression).matches(PATH)).isInstanceOf(InputException.class)
                .hasMessageContaining("does not come to an end on '" + PATH);
        assertThat(System.nanoTime() - begun).isLessThan(2_000_000_000L);
    }

    @Test
    void expressionsThatCannotBeCompiledInBoundsAreRefused() {
        assertThatThrownBy(() -> Regex.of("(")).hasMessageContaining("'(' is not a regular expression");
        assertThatThrownBy(() -> Regex.of("(".repeat(4000))).isInstanceOf(InputException.class);
        assertThatThrownBy(() -> Regex.of("a".repeat(5000))).hasMessageContaining("at most 4096");
        assertThatThrownBy(() -> Regex.of("(?:(?:){100000}){100000}")).hasMessageContaining("repeats more than");
    }

    @Test
    void pythonsSpellingIsRead() {
        assertThat(Regex.of(".*(?P<x>q)_proj").matches(PATH)).isTrue();
        assertThat(Regex.of(".*(?P<x>l)f_attn.q_proj\\Z").matches(PATH)).isTrue();
        assertThat(Regex.of("(?P<x>a)(?P=x)").matches("aa")).isTrue();
        assertThat(Regex.of(".*\\.[0-3]\\..*(q|v)_proj").matches(PATH)).isTrue();
        assertThat(Regex.of("q_proj").matches(PATH)).isFalse();
        assertThat(Regex.of("model").atStart(PATH)).isNotNull();
    }
}
