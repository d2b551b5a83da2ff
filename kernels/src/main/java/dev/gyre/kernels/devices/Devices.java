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
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

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
        return open(device, precision, () -> false);
    }

    /// @param asked precision of large products; null: BF16 on `cuda:N` with cuBLAS if the weights are `narrow`, else F32
    /// @param narrow whether the weights are in BF16 or NF4; only asked where it matters
    public static Chosen open(String device, @Nullable Precision asked, BooleanSupplier narrow) {
        String[] part = device.split(":", 2);
        return switch (part[0]) {
            case "auto" -> auto(asked, narrow);
            case "cpu" -> cpu(part.length == 1 ? new CpuBackend() : new CpuBackend(number(device, part[1], 1)),
                    "asked for", asked);
            case "opencl", "cuda", "ptx", "spirv", "jvm" -> tornado(device, "asked for", asked, narrow);
            default -> throw new InputException("device " + device
                    + ": unknown; use cpu, cpu:THREADS, auto, opencl:N, cuda:N, ptx:N or jvm");
        };
    }

    /// The first GPU that TornadoVM finds, by the backend that suits it best; else the CPU.
    private static Chosen auto(@Nullable Precision asked, BooleanSupplier narrow) {
        if (!TornadoDevices.sdkPresent())
            return cpu(new CpuBackend(), "auto: no TornadoVM SDK", asked);
        List<TornadoDevices.Info> all;
        try {
            all = TornadoDevices.list();
        } catch (DeviceException e) {
            return cpu(new CpuBackend(), "auto: " + e.getMessage(), asked);
        }
        for (String backend : List.of("cuda", "ptx", "opencl"))
            for (TornadoDevices.Info d : all)
                if (d.name().startsWith(backend + ":") && d.type().equals("GPU"))
                    return tornado(d.name(), "auto: the first GPU of TornadoVM's " + backend, asked, narrow);
        return cpu(new CpuBackend(), "auto: TornadoVM finds no GPU", asked);
    }

    private static Chosen tornado(String device, String reason, @Nullable Precision asked, BooleanSupplier narrow) {
        if (asked != null)
            return new Chosen(TornadoBackend.open(device, asked), reason);
        Precision p = device.startsWith("cuda:") && TornadoDevices.missingCuBlas() == null ? unasked(narrow)
                : Precision.F32;
        return new Chosen(TornadoBackend.open(device, p),
                reason + (p == Precision.BF16 ? "; bf16 because the base is in 16 or 4 bits, precision: f32 is exact"
                        : ""));
    }

    /// The precision of products by cuBLAS that a run has unless it asks for one.
    static Precision unasked(BooleanSupplier narrow) {
        return narrow.getAsBoolean() ? Precision.BF16 : Precision.F32;
    }

    private static Chosen cpu(CpuBackend backend, String reason, @Nullable Precision asked) {
        if (asked != null && asked != Precision.F32)
            throw new InputException("precision " + asked.name().toLowerCase(Locale.ROOT)
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
