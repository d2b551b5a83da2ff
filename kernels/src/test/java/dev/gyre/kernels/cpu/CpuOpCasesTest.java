package dev.gyre.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every operation against the double-precision reference: values, guard words, and the same bits in a second run.
class CpuOpCasesTest {
    private static final Backend SCALAR = new CpuBackend(1, SimdChoice.SCALAR);
    private static final Backend VECTOR = new CpuBackend(3, SimdChoice.VECTOR);

    static List<OpCase> cases() {
        return OpCases.all();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void vectorArithmeticOnThreeThreads(OpCase c) {
        assertThat(OpCheck.check(VECTOR, c)).isLessThanOrEqualTo(1);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void scalarArithmeticOnOneThread(OpCase c) {
        assertThat(OpCheck.check(SCALAR, c)).isLessThanOrEqualTo(1);
    }
}
