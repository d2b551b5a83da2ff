package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.trainer.cli.Cli;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

class OpsCommandTest {
    @Test
    void tableIsCheckedAndTimed() {
        Cli r = Cli.gyre("bench", "ops", "--size", "xs", "--only", "RmsNorm|Copy", "--seconds", 0.01, "--threads", 1);
        assertThat(r.code()).as(r.err()).isZero();
        assertThat(r.out())
                .contains("ceilings measured here", "RmsNormWeightGrad", "Copy", "all within their tolerances")
                .doesNotContain("AdamW");
    }

    @Test
    void jsonHasEveryColumn() {
        Cli r = Cli.gyre("bench", "ops", "--size", "xs", "--only", "^AdamW n10240 ", "--seconds", 0.01, "--threads", 1,
                "--json");
        JsonNode row = r.json().get(0);
        assertThat(row.get("op").asString()).startsWith("AdamW n10240 ");
        assertThat(row.get("ms").asDouble()).isPositive();
        assertThat(row.get("gbs").asDouble()).isPositive();
        assertThat(row.get("ceiling").asDouble()).isPositive();
        assertThat(row.get("error_of_allowed").asDouble()).isBetween(0.0, 1.0);
    }

    @Test
    void deviceHasNoCeiling() {
        Cli r = Cli.gyre("bench", "ops", "--size", "xs", "--only", "^Copy", "--seconds", 0.01, "--device", "jvm",
                "--json");
        assertThat(r.json().get(0).get("ceiling").isNull()).isTrue();
    }

    /// Those that the reference can compute in a test's time.
    static List<OpCase> unfriendly() {
        return OpCases.timed().stream().filter(c -> c.name().contains("207") || c.name().contains("702")).toList();
    }

    @ParameterizedTest
    @MethodSource("unfriendly")
    void unfriendlySizesAgreeWithTheReference(OpCase c) {
        assertThat(OpCheck.deviation(new CpuBackend(1), c, OpCase.Layout.PLAIN).share()).isLessThanOrEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --size 9B        | --size 9B: unknown; use one of XS, S, M, L, 7B4, 7B
            --only Nonsense  | --only Nonsense: matches no operation
            --only (         | --only (:
            --seconds 0      | --seconds 0.0 is not positive
            --precision bf16 | precision bf16 needs cuBLAS, which only devices cuda:N have; the CPU
            """)
    void wrongFlagGivesOneLine(String flags, String expected) {
        Cli r = Cli.gyre((Object[]) ("bench ops " + flags).split(" +"));
        assertThat(r.code()).isEqualTo(2);
        assertThat(r.err().strip()).contains(expected).doesNotContain("\n");
    }
}
