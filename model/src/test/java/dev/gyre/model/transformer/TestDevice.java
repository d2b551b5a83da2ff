package dev.gyre.model.transformer;

import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;

/// The device of tests that run task graphs: TornadoVM's stand-in or, with an SDK on the module path, the device that
/// `gyre.test.device` names or else the first one (`.ci/sdk`).
public final class TestDevice {
    private TestDevice() {
    }

    public static TornadoBackend open() {
        return TornadoBackend.open(System.getProperty("gyre.test.device", TornadoDevices.list().getFirst().name()));
    }
}
