package dev.gyre.api;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.check.DeviceCheck;
import dev.gyre.kernels.check.Shape;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.devices.Devices;
import java.util.List;
import java.util.regex.Pattern;

/// Checks that a device computes right, as `gyre kernels` does.
public final class Kernels {
    private static final Pattern ALL = Pattern.compile("");

    private Kernels() {
    }

    /// Runs every operation of every method on a device at the sizes of a model, compares it with a double-precision
    /// reference, and times it there and on the CPU backend.
    ///
    /// @param device `cpu`, `cpu:THREADS`, or a TornadoVM device: `opencl:0`, `cuda:0`, `ptx:0`, `jvm`
    /// @param size of the model: XS, S, M, L, 7B4 or 7B, as in `gyre kernels`
    /// @param seconds measuring time per operation
    /// @param oddSizes cases of each operation that are also checked at odd sizes; 0 for none
    /// @return what was found; `failed()` is 0 on a device that computes right
    /// @throws dev.gyre.kernels.GyreException when the device or the size is unknown
    public static DeviceCheck.Findings check(String device, String size, double seconds, int oddSizes) {
        Shape shape = Size.of(size)
                .orElseThrow(() -> new InputException("size " + size + ": unknown; use one of " + Size.NAMES)).shape();
        Backend on = Devices.open(device).backend();
        boolean isCpu = on instanceof CpuBackend;
        Backend cpu = isCpu ? on : new CpuBackend();
        DeviceCheck.Progress none = DeviceCheck.Progress.NONE;
        List<DeviceCheck.Timed> timed = DeviceCheck.time(on, isCpu ? null : cpu, shape, ALL, seconds, none);
        List<DeviceCheck.Checked> odd = oddSizes == 0 ? List.of() : DeviceCheck.check(on, ALL, oddSizes, none);
        return new DeviceCheck.Findings(on.describe(), on.precision(), cpu.describe(), size + " (" + shape + ")", timed,
                odd);
    }
}
