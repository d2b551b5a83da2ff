package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.check.GoldenLayers;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.cpu.SimdChoice;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Layers of the reference libraries: outputs, gradients, merged weights.
class GoldenLayersTest {
    static List<GoldenLayers.Case> cases() {
        return GoldenLayers.cases();
    }

    @Test
    void allCasesOfSixMethodsAreThere() {
        assertThat(cases()).hasSize(24);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void referenceInDouble(GoldenLayers.Case c) {
        assertThat(GoldenLayers.check(new RefBackend(), c)).isLessThanOrEqualTo(1);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void cpuWithScalars(GoldenLayers.Case c) {
        assertThat(GoldenLayers.check(new CpuBackend(1, SimdChoice.SCALAR), c)).isLessThanOrEqualTo(1);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void cpuWithVectorsOnTwoThreads(GoldenLayers.Case c) {
        assertThat(GoldenLayers.check(new CpuBackend(2, SimdChoice.VECTOR), c)).isLessThanOrEqualTo(1);
    }

    /// On a device where TornadoVM has one, else on the stand-in.
    @ParameterizedTest
    @MethodSource("cases")
    void tornadoTaskGraphs(GoldenLayers.Case c) {
        assertThat(GoldenLayers.check(TornadoBackend.open(TornadoDevices.list().getFirst().name()), c))
                .isLessThanOrEqualTo(1);
    }
}
