package dev.gyre.kernels.devices;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import java.util.List;
import java.util.Locale;

/// Opens the backend that a user names. There is no fallback: a device that is not available is an error.
public final class Devices {
    private Devices() {
    }

    /// A backend and why it was chosen.
    public record Chosen(Backend backend, String reason) {
    }

    /// [#open(String,Precision)] in F32.
    public static Chosen open(String device) {
        return open(device, Precision.F32);
    }

    /// @param device `cpu`, `cpu:THREADS`, `auto`, or a TornadoVM device (`opencl:0`, `cuda:0`, `ptx:0`, `jvm`)
    /// @param precision of large products; only `cuda:N` has another one than F32
    public static Chosen open(String device, Precision precision) {
        String[] part = device.split(":", 2);
        return switch (part[0]) {
            case "auto" -> auto(precision);
            case "cpu" -> cpu(part.length == 1 ? new CpuBackend() : new CpuBackend(number(device, part[1], 1)),
                    "asked for", precision);
            case "opencl", "cuda", "ptx", "spirv", "jvm" ->
                    new Chosen(TornadoBackend.open(device, precision), "asked for");
            default -> throw new InputException("device " + device
                    + ": unknown; use cpu, cpu:THREADS, auto, opencl:N, cuda:N, ptx:N or jvm");
        };
    }

    /// The first GPU that TornadoVM finds, by the backend that suits it best; else the CPU.
    private static Chosen auto(Precision precision) {
        if (!TornadoDevices.sdkPresent())
            return cpu(new CpuBackend(), "auto: no TornadoVM SDK", precision);
        List<TornadoDevices.Info> all;
        try {
            all = TornadoDevices.list();
        } catch (DeviceException e) {
            return cpu(new CpuBackend(), "auto: " + e.getMessage(), precision);
        }
        for (String backend : List.of("cuda", "ptx", "opencl"))
            for (TornadoDevices.Info d : all)
                if (d.name().startsWith(backend + ":") && d.type().equals("GPU"))
                    return new Chosen(TornadoBackend.open(d.name(), precision),
                            "auto: the first GPU of TornadoVM's " + backend);
        return cpu(new CpuBackend(), "auto: TornadoVM finds no GPU", precision);
    }

    private static Chosen cpu(CpuBackend backend, String reason, Precision precision) {
        if (precision != Precision.F32)
            throw new InputException("precision " + precision.name().toLowerCase(Locale.ROOT)
                    + " needs cuBLAS, which only devices cuda:N have; the CPU (" + reason
                    + ") computes in f32: leave precision out or choose a device");
        return new Chosen(backend, reason);
    }

    private static int number(String device, String text, int min) {
        try {
            int n = Integer.parseInt(text);
            if (n >= min)
                return n;
        } catch (NumberFormatException e) {
            // reported below
        }
        throw new InputException("device " + device + ": '" + text + "' is not a number of at least " + min);
    }
}
