package dev.gyre.trainer.measure;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.model.transformer.Transformer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class ModelRefTest {
    private static final Path BASE = Path.of("../examples/small-llama");

    /// A host with a GPU may have less memory than the model.
    @Test
    void aDeviceGetsMatricesFromTheirFile() {
        ModelRef ref = ModelRef.of(BASE, List.of());
        Transformer device = ref.load(TornadoBackend.open("jvm"));
        Transformer cpu = ref.load(new CpuBackend(1));
        assertThat(cpu.bytesInFiles()).isZero();
        assertThat(device.bytesInFiles()).isPositive();
        device.weights().forEach((name, w) -> {
            assertThat(w instanceof HostData.Stored).as(name).isEqualTo(device.dims(name).length == 2);
            assertThat(w.floats()).as(name).isEqualTo(cpu.data(name).floats());
        });
    }
}
