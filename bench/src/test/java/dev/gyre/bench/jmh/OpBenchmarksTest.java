package dev.gyre.bench.jmh;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.Size;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Every operation at a small size on every kind of backend: it is checked before it would be timed.
class OpBenchmarksTest {
    static List<String> backends() {
        return List.of("scalar", "vector", "jvm");
    }

    private static OpBenchmark benchmark(String op, String backend) {
        OpBenchmark b = new OpBenchmark();
        b.op = op;
        b.backend = backend;
        return b;
    }

    @ParameterizedTest
    @MethodSource("backends")
    void everyOperationOfTheSmallestSizeIsCheckedThenRun(String backend) {
        for (OpCase c : OpCases.sized(Size.XS.shape())) {
            OpBenchmark b = benchmark(c.name(), backend);
            b.prepare();
            b.run();
            b.close();
        }
    }

    @ParameterizedTest
    @EnumSource
    void namesFindTheirCases(Size size) {
        List<String> products = OpBenchmarks.names(size, "^MatMul|^BlockRotate ");
        assertThat(products).hasSizeGreaterThan(20);
        for (String name : products)
            assertThat(OpBenchmarks.named(name).name()).isEqualTo(name);
    }

    @Test
    void aNameThatMatchesNothingIsRefused() {
        assertThatThrownBy(() -> OpBenchmarks.named("MatMul of nothing")).hasMessageContaining("MatMul of nothing");
        assertThatThrownBy(() -> OpBenchmarks.main("XS", "nothing")).hasMessageContaining("regular expression");
        assertThatThrownBy(() -> OpBenchmarks.main("XS")).hasMessageContaining("regular expression");
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
        OpBenchmark b = benchmark(OpCases.sized(Size.XS.shape()).getFirst().name(), "gpu:9");
        assertThatThrownBy(b::prepare).hasMessageContaining("gpu:9");
    }

    @Test
    void jarListsTheBenchmarks() throws Exception {
        assumeTrue(
                OpBenchmarks.class.getProtectionDomain().getCodeSource().getLocation().getPath().contains("/target/"),
                "only Maven's build runs the annotation processor that writes the list");
        try (var in = OpBenchmarks.class.getResourceAsStream("/META-INF/BenchmarkList")) {
            String list = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            assertThat(list).contains("OpBenchmark", "Nf4Benchmark");
        }
    }
}
