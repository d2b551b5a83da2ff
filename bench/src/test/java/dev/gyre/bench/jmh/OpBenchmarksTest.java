package dev.gyre.bench.jmh;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Every benchmark at a small size on every kind of backend: it is checked before it would be timed.
class OpBenchmarksTest {
    private static List<OpBenchmark> all() {
        OpBenchmarks.Product product = new OpBenchmarks.Product();
        product.form = Form.TN;
        product.shape = "7x5x3";
        OpBenchmarks.CodedProduct coded = new OpBenchmarks.CodedProduct();
        coded.type = DType.BF16;
        coded.shape = "7x5x3";
        OpBenchmarks.Rotation rotation = new OpBenchmarks.Rotation();
        rotation.shape = "7x15x5";
        OpBenchmarks.RotationGradient back = new OpBenchmarks.RotationGradient();
        back.shape = "7x15x5";
        OpBenchmarks.Orthogonalisation map = new OpBenchmarks.Orthogonalisation();
        map.form = Orthogonal.Form.NEWTON_SCHULZ;
        map.shape = "3x5";
        OpBenchmarks.OrthogonalisationGradient mapBack = new OpBenchmarks.OrthogonalisationGradient();
        mapBack.shape = "3x5";
        OpBenchmarks.GivensSweep givens = new OpBenchmarks.GivensSweep();
        givens.shape = "5x13";
        OpBenchmarks.GivensSweepGradient givensBack = new OpBenchmarks.GivensSweepGradient();
        givensBack.shape = "5x13";
        OpBenchmarks.Subspace subspace = new OpBenchmarks.Subspace();
        subspace.shape = "5x13x7x3";
        OpBenchmarks.Decode decode = new OpBenchmarks.Decode();
        decode.shape = "7x13";
        OpBenchmarks.Attention attention = new OpBenchmarks.Attention();
        attention.shape = "1x9x4x2x6";
        attention.gradient = true;
        OpBenchmarks.Norm norm = new OpBenchmarks.Norm();
        norm.shape = "5x13";
        norm.gradient = true;
        OpBenchmarks.CrossEntropy loss = new OpBenchmarks.CrossEntropy();
        loss.shape = "5x13";
        loss.gradient = true;
        OpBenchmarks.AdamW adam = new OpBenchmarks.AdamW();
        adam.size = 13;
        return List.of(product, coded, rotation, back, map, mapBack, givens, givensBack, subspace, decode, attention,
                norm,
                loss, adam);
    }

    @ParameterizedTest
    @ValueSource(strings = {"scalar", "vector", "jvm"})
    void everyOperationIsCheckedThenRun(String backend) {
        for (OpBenchmark b : all()) {
            b.backend = backend;
            b.prepare();
            b.run();
            b.close();
        }
    }

    @Test
    void fourBitsAreCheckedBothWays() {
        Nf4Benchmark b = new Nf4Benchmark();
        b.size = 145;
        b.prepare();
        assertThat(b.dequantise()).hasSize(145);
        assertThat(b.quantise().absmax).hasSize(3);
    }

    @Test
    void unknownDeviceIsRefused() {
        OpBenchmark b = all().getFirst();
        b.backend = "gpu:9";
        assertThatThrownBy(b::prepare).hasMessageContaining("gpu:9");
    }

    @Test
    void jarListsEveryBenchmark() throws Exception {
        assumeTrue(
                OpBenchmarks.class.getProtectionDomain().getCodeSource().getLocation().getPath().contains("/target/"),
                "only Maven's build runs the annotation processor that writes the list");
        try (var in = OpBenchmarks.class.getResourceAsStream("/META-INF/BenchmarkList")) {
            String list = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            for (OpBenchmark b : all())
                assertThat(list).contains(b.getClass().getSimpleName());
            assertThat(list).contains("Nf4Benchmark");
        }
    }
}
