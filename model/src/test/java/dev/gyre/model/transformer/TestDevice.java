package dev.gyre.model.transformer;

import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import java.util.List;

/// The device of tests that run task graphs: TornadoVM's stand-in or, with an SDK on the module path, the device that
/// `gyre.test.device` names or else the first one (`.ci/sdk`).
public final class TestDevice {
    private TestDevice() {
    }

    /// Whether a golden model is among those to run on the device: all, or those that `gyre.test.models` lists, with
    /// commas. An SDK compiles kernels for each, for many seconds.
    public static boolean takes(String model) {
        String some = System.getProperty("gyre.test.models", "");
        return some.isEmpty() || List.of(some.split(",")).contains(model);
    }

    public static TornadoBackend open() {
        return TornadoBackend.open(System.getProperty("gyre.test.device", TornadoDevices.list().getFirst().name()));
    }
}
