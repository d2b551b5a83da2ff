package dev.gyre.kernels.devices;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import java.util.List;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/// The device whose memory a plan is about: the one that a run names where it is at hand, else a GPU as it will be found.
///
/// @param name for messages: `opencl:0`, `a GPU`
/// @param logits that its programs hold at once ([dev.gyre.kernels.Backend#logits]); those of a large GPU if it is not at hand
public record PlannedDevice(String name, Size size, int logits) {
    /// Bytes that a session of programs takes there.
    @FunctionalInterface
    public interface Size {
        /// @param doubled whether the maxima of NF4 weights are quantised again
        long bytes(List<Program> programs, boolean doubled);
    }

    /// @param device as a run names it
    /// @param asked precision of its large products; null as in [Devices#open(String,Precision,BooleanSupplier)]
    /// @param narrow whether the weights are in BF16 or NF4
    public static PlannedDevice of(String device, @Nullable Precision asked, BooleanSupplier narrow) {
        if (!device.startsWith("cpu") && (TornadoDevices.sdkPresent() || device.equals("jvm")))
            try {
                if (Devices.open(device, asked, narrow).backend() instanceof TornadoBackend b)
                    return new PlannedDevice(b.name(), b::bytes, b.logits());
            } catch (DeviceException e) {
                // planned for another machine
            }
        boolean cuda = device.startsWith("cuda:");
        Precision precision = asked != null ? asked : cuda ? Devices.unasked(narrow) : Precision.F32;
        if (precision == Precision.F32 && !cuda)
            return new PlannedDevice("a GPU",
                    (programs, doubled) -> TornadoBackend.bytesOnGpu(programs, doubled, null),
                    TornadoBackend.GPU_LOGITS);
        return new PlannedDevice("a GPU with cuBLAS in " + precision.name().toLowerCase(Locale.ROOT),
                (programs, doubled) -> TornadoBackend.bytesOnGpu(programs, doubled, precision),
                TornadoBackend.GPU_LOGITS);
    }
}
