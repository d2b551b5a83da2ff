package dev.gyre.trainer.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.kernels.devices.PlannedDevice;
import dev.gyre.model.format.ModelDir;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

/// `precision` where a run does not state it.
class RunDeviceTest {
    private static final Path ROOT = Path.of("..");
    private static final BooleanSupplier NEVER = () -> {
        throw new AssertionError("asked for the base");
    };

    private static RunConfig config(String... set) {
        return ConfigReader.read(ROOT.resolve("examples/quickstart.yaml"), RunConfig.class, List.of(set));
    }

    private static boolean narrow(String... set) {
        try (ModelDir files = ModelDir.open(ROOT.resolve("examples/small-llama"))) {
            return RunDevice.narrow(config(set), files);
        }
    }

    @Test
    void aBaseIn16Or4BitsIsNarrow() {
        assertThat(narrow()).isTrue(); // the shipped model is in BF16
        assertThat(narrow("model.base=bf16")).isTrue();
        assertThat(narrow("model.base=nf4_double")).isTrue();
        assertThat(narrow("model.base=f32")).isFalse();
        assertThat(narrow("adapter={method: full}")).isFalse();
    }

    @Test
    void cudaMultipliesInBf16OverANarrowBaseUnlessAsked() {
        assertThat(config().precision()).isNull();
        assertThat(PlannedDevice.of("cuda:7", null, () -> true).name()).isEqualTo("a GPU with cuBLAS in bf16");
        assertThat(PlannedDevice.of("cuda:7", null, () -> false).name()).isEqualTo("a GPU with cuBLAS in f32");
        assertThat(PlannedDevice.of("cuda:7", Precision.F32, NEVER).name()).isEqualTo("a GPU with cuBLAS in f32");
        assertThat(PlannedDevice.of("auto", null, NEVER).name()).isEqualTo("a GPU");
    }

    @Test
    void otherDevicesComputeInF32() {
        for (String device : List.of("cpu:1", "jvm")) {
            Devices.Chosen chosen = Devices.open(device, null, NEVER);
            assertThat(chosen.backend().precision()).isEqualTo(Precision.F32);
            assertThat(chosen.reason()).isEqualTo("asked for");
        }
        assertThatThrownBy(() -> Devices.open("cpu:1", Precision.BF16, NEVER)).isInstanceOf(InputException.class)
                .hasMessageContaining("precision bf16 needs cuBLAS");
    }
}
