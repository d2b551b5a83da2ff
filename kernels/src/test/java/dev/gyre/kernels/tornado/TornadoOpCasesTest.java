package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Every operation in every mode through task graphs, against the reference: on the stand-in, or with a TornadoVM SDK on
/// the module path on its first device.
class TornadoOpCasesTest {
    static List<OpCase> cases() {
        return OpCases.all();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void kernelsAgreeWithTheReference(OpCase c) {
        assertThat(OpCheck.check(TornadoBackend.open(TornadoDevices.list().getFirst().name()), c))
                .isLessThanOrEqualTo(1);
    }

    static List<OpCase> products() {
        return OpCases.of("MatMul");
    }

    /// Up to eight cases of each operation, spread over those with few elements.
    static List<OpCase> groups() {
        return Stream.of("RmsNorm", "RmsNormGrad", "CrossEntropy", "Attention", "AttentionGrad", "CachedAttention",
                "BlockRotate", "BlockRotateGrad", "Cayley", "CayleyGrad", "GivensSweep", "GivensSweepGrad")
                .flatMap(op -> {
                    // attention over several tiles, packed and with windows, needs more
                    int limit = op.startsWith("Attention") ? 20_000 : op.startsWith("Cached") ? 100_000 : 2500;
                    List<OpCase> few = OpCases.of(op).stream().filter(c -> elements(c) < limit).toList();
                    int n = Math.min(8, few.size());
                    return IntStream.range(0, n).mapToObj(i -> few.get(i * (few.size() - 1) / Math.max(1, n - 1)));
                }).toList();
    }

    private static int elements(OpCase c) {
        return c.setup(Layout.GUARDED).operands().stream().mapToInt(OpCase.Operand::size).sum();
    }

    @ParameterizedTest
    @MethodSource("groups")
    void workGroupsAgreeWithTheReference(OpCase c) {
        assertThat(OpCheck.check(TornadoBackend.withWorkGroups(TornadoDevices.list().getFirst().name()), c))
                .isLessThanOrEqualTo(1);
    }

    /// The kernels used on GPUs only; the stand-in runs each work item as a thread, so large products are left out.
    @ParameterizedTest
    @MethodSource("products")
    void tiledProductsAgreeWithTheReference(OpCase c) {
        assumeTrue(c.setup(Layout.GUARDED).ops().stream().mapToLong(Op::flops).sum() < 1_000_000);
        assertThat(OpCheck.check(TornadoBackend.withWorkGroups(TornadoDevices.list().getFirst().name()), c))
                .isLessThanOrEqualTo(1);
    }

    /// Every eighth product of at least 16 rows and columns, which cuBLAS takes, that is small enough for plain loops.
    static List<OpCase> largeProducts() {
        List<OpCase> large = products().stream().filter(c -> c.setup(Layout.GUARDED).ops().stream()
                .allMatch(o -> o instanceof ProductOps.MatMul m && m.M() >= 16 && m.N() >= 16 && m.flops() < 1_000_000))
                .toList();
        return IntStream.range(0, (large.size() + 7) / 8).mapToObj(i -> large.get(8 * i)).toList();
    }

    /// Through the stand-in's library calls, or by cuBLAS itself if the first device of an SDK is an NVIDIA GPU.
    @ParameterizedTest
    @MethodSource("largeProducts")
    void productsByCuBlasAgreeWithTheReference(OpCase c) {
        String device = HostCuBlas.device();
        for (Precision p : Precision.values()) {
            TornadoBackend backend = TornadoBackend.withCuBlas(device, p);
            assertThat(OpCheck.check(backend, c)).as(p.name()).isLessThanOrEqualTo(1);
        }
    }

    /// Each precision has its own limits; errors stay within them, and are large enough to show that it was used.
    @ParameterizedTest
    @EnumSource
    void limitsFollowThePrecision(Precision precision) {
        String device = HostCuBlas.device();
        OpCase c = OpCases.sized(Size.XS.shape()).getFirst();
        var deviation = OpCheck.deviation(TornadoBackend.withCuBlas(device, precision), c, Layout.PLAIN);
        assertThat(deviation.share()).isBetween(precision == Precision.F32 ? 0.0 : 0.1, 1.0);
        double f32 = OpCheck.deviation(TornadoBackend.withWorkGroups(device), c, Layout.PLAIN).allowed();
        assertThat(deviation.allowed() / f32).isBetween(precision == Precision.F32 ? 1.0 : 100,
                precision == Precision.F32 ? 1.0 : 10_000);
    }

    /// Small products use our own kernels in any precision, with the limits of F32.
    @Test
    void smallProductsStayInF32() {
        String device = HostCuBlas.device();
        TornadoBackend backend = TornadoBackend.withCuBlas(device, Precision.BF16);
        for (OpCase c : products())
            for (Op op : c.setup(Layout.PLAIN).ops())
                if (op instanceof ProductOps.MatMul m && (m.M() < 16 || m.N() < 16))
                    assertThat(backend.precision(m)).isEqualTo(Precision.F32);
    }
}
