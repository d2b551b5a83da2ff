package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.ref.RefBackend;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The reference passes its own table: guards, inputs and repeatability hold, and rounding its results to F32
/// stays within every tolerance.
class RefOpCasesTest {
    static List<OpCase> cases() {
        return OpCases.all();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void referencePassesItsOwnTable(OpCase c) {
        assertThat(OpCheck.check(new RefBackend(), c, OpCase.Layout.GUARDED)).isLessThanOrEqualTo(1);
    }
}
