package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.op.AttentionOps;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Attention on tensor cores against the reference: on the stand-in, or on the NVIDIA GPU if that is the first device of a
/// TornadoVM SDK.
class AttentionMmaTest {
    static List<OpCase> cases() {
        return Stream.of("Attention", "AttentionGrad").flatMap(op -> OpCases.of(op).stream())
                .filter(c -> c.setup(Layout.PLAIN).ops().stream()
                        .allMatch(o -> !(o instanceof AttentionOps.Attention a) || AttentionMma.takes(a.D())))
                .toList();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void tensorCoresAgreeWithTheReference(OpCase c) {
        String device = TornadoDevices.list().getFirst().name();
        assumeTrue(device.equals("jvm") || device.startsWith("cuda:"));
        OpCheck.Deviation d = OpCheck.deviation(TornadoBackend.withTensorCores(device), c, Layout.GUARDED);
        System.out.println(c.name() + " " + d + " " + d.share());
        assertThat(d.share()).isLessThanOrEqualTo(1);
    }
}
