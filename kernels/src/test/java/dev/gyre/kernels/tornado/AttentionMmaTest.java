package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.op.AttentionOps;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Attention on tensor cores against the reference: on the stand-in, or on the NVIDIA GPU if that is the first device of a
/// TornadoVM SDK.
class AttentionMmaTest {
    /// Head dimensions that the kernels take, except for the largest cases: the stand-in executes each lane of a warp.
    static List<OpCase> cases() {
        return Stream.of("Attention", "AttentionGrad").flatMap(op -> OpCases.of(op).stream())
                .filter(c -> c.setup(Layout.PLAIN).ops().getFirst() instanceof AttentionOps.Attention a
                        && AttentionMma.takes(a.D()) && a.end() == null && a.softCap() == 0
                        && (long) a.B() * a.H() * a.T() * a.T() * a.D() < 1_000_000)
                .toList();
    }

    /// Errors are within the limits for BF16 factors, and large enough to show that the factors were rounded.
    @ParameterizedTest
    @MethodSource("cases")
    void tensorCoresAgreeWithTheReference(OpCase c) {
        String device = TornadoDevices.list().getFirst().name();
        assumeTrue(device.equals("jvm") || device.startsWith("cuda:"));
        double share = OpCheck.deviation(TornadoBackend.withTensorCores(device), c, Layout.GUARDED).share();
        assertThat(share).isBetween(0.05, 1.0);
    }

    @Test
    void everyHeadSizeWindowsPackedRowsAndGroupsAreAmongThem() {
        List<AttentionOps.Attention> all = cases().stream()
                .map(c -> (AttentionOps.Attention) c.setup(Layout.PLAIN).ops().getFirst()).toList();
        assertThat(all).extracting(AttentionOps.Attention::D).contains(16, 32, 80, 96, 192, 256);
        assertThat(all).anyMatch(a -> a.window() > 0 && a.T() > 64 && a.KV() < a.H());
    }

    @Test
    void otherHeadSizesStayInF32() {
        TornadoBackend backend = TornadoBackend.withTensorCores(TornadoDevices.list().getFirst().name());
        assertThat(backend.attentionPrecision(64)).isEqualTo(Precision.BF16);
        assertThat(backend.attentionPrecision(72)).isEqualTo(Precision.F32);
        assertThat(backend.attentionPrecision(272)).isEqualTo(Precision.F32);
    }
}
