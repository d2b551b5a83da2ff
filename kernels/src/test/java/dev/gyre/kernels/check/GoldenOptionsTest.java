package dev.gyre.kernels.check;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

class GoldenOptionsTest {
    private static GoldenOptions options() {
        return new GoldenOptions("psoft p", new JsonMapper().readTree("{\"r\": 4, \"eps\": 0.9, \"alpha\": 8}"));
    }

    @Test
    void anUnreadOptionIsAFailure() {
        GoldenOptions o = options();
        assertThat(o.get("r").asInt()).isEqualTo(4);
        o.expect("alpha", 8);
        assertThatThrownBy(o::expectAllRead).isInstanceOf(AssertionError.class)
                .hasMessage("psoft p: the test reads no option eps");
        assertThat(o.path("eps").asDouble()).isEqualTo(0.9);
        o.expectAllRead();
    }

    @Test
    void aMissingOptionAndAnotherValueAreFailures() {
        GoldenOptions o = options();
        assertThatThrownBy(() -> o.get("block")).hasMessage("psoft p: no option block");
        assertThat(o.path("block").isMissingNode()).isTrue();
        assertThatThrownBy(() -> o.expect("r", 5)).hasMessage("psoft p: option r is 4, this test computes 5");
    }
}
