package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.check.BackendCheck;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.cpu.SimdChoice;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The backends of this module, all alike. The case tables in every combination of arithmetic and threads are slow
/// because each run of a case needs a run of the reference; the fast build has two combinations of them.
class BackendsTest {
    static List<OpCase> cases() {
        return OpCases.all();
    }

    @Test
    void referenceKeepsTheContractOfSessions() {
        BackendCheck.check(new RefBackend());
    }

    @Test
    void cpuKeepsTheContractOfSessions() {
        BackendCheck.check(new CpuBackend(1, SimdChoice.SCALAR));
        BackendCheck.check(new CpuBackend(2, SimdChoice.VECTOR));
    }

    @Test
    void tornadoKeepsTheContractOfSessions() {
        BackendCheck.check(TornadoBackend.open(TornadoDevices.list().getFirst().name()));
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("cases")
    void scalarsOnTwoThreads(OpCase c) {
        assertThat(OpCheck.check(new CpuBackend(2, SimdChoice.SCALAR), c)).isLessThanOrEqualTo(1);
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("cases")
    void vectorsOnOneThread(OpCase c) {
        assertThat(OpCheck.check(new CpuBackend(1, SimdChoice.VECTOR), c)).isLessThanOrEqualTo(1);
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("cases")
    void vectorsOnTwoThreads(OpCase c) {
        assertThat(OpCheck.check(new CpuBackend(2, SimdChoice.VECTOR), c)).isLessThanOrEqualTo(1);
    }
}
