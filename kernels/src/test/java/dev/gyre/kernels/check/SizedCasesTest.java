package dev.gyre.kernels.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class SizedCasesTest {
    private static final List<OpCase> CASES = OpCases.sized(Size.XS.shape());

    @Test
    void theyAreWithinTheirLimitsOnTheCpuAndWhatIsMeasuredMakesSense() {
        CpuBackend cpu = new CpuBackend(1);
        for (OpCase c : CASES) {
            OpTimer.Measured m = OpTimer.measure(cpu, c, true, 0);
            assertThat(Objects.requireNonNull(m.deviation()).share()).as(c.name()).isLessThanOrEqualTo(1);
            assertThat(m.ms()).isPositive();
            assertThat(m.bytes()).as(c.name()).isPositive();
        }
    }

    @Test
    void bytesCountEachBufferOncePerAccess() {
        OpCase axpy = CASES.stream().filter(c -> c.op().equals("Axpy")).findFirst().orElseThrow();
        // x is read, y read and written
        assertThat(OpTimer.measure(new CpuBackend(1), axpy, false, 0).bytes()).isEqualTo(3L * 4 * 2 * 32 * 64);
    }
}
