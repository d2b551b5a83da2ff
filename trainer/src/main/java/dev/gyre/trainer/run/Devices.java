package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import dev.gyre.trainer.config.ConfigException;
import java.util.List;

/// Chooses the backend that a user names. What is asked for is what runs, or the run does not start.
public final class Devices {
    private Devices() {
    }

    /// A backend and why it was chosen.
    public record Chosen(Backend backend, String reason) {
    }

    /// @param device `cpu`, `cpu:THREADS`, `auto`, or a TornadoVM device (`opencl:0`, `cuda:0`, `ptx:0`, `jvm`)
    public static Chosen open(String device) {
        String[] part = device.split(":", 2);
        return switch (part[0]) {
            case "auto" -> auto();
            case "cpu" -> new Chosen(part.length == 1 ? new CpuBackend() : new CpuBackend(number(device, part[1], 1)),
                    "asked for");
            case "opencl", "cuda", "ptx", "spirv", "jvm" -> new Chosen(TornadoBackend.open(device), "asked for");
            default -> throw new ConfigException("device " + device
                    + ": unknown; use cpu, cpu:THREADS, auto, opencl:N, cuda:N, ptx:N or jvm");
        };
    }

    /// The first GPU that TornadoVM finds, by the backend that suits it best; else the CPU.
    private static Chosen auto() {
        if (!TornadoDevices.sdkPresent())
            return new Chosen(new CpuBackend(), "auto: no TornadoVM SDK");
        List<TornadoDevices.Info> all;
        try {
            all = TornadoDevices.list();
        } catch (DeviceException e) {
            return new Chosen(new CpuBackend(), "auto: " + e.getMessage());
        }
        for (String backend : List.of("cuda", "ptx", "opencl"))
            for (TornadoDevices.Info d : all)
                if (d.name().startsWith(backend + ":") && d.type().equals("GPU"))
                    return new Chosen(TornadoBackend.open(d.name()), "auto: the first GPU of TornadoVM's " + backend);
        return new Chosen(new CpuBackend(), "auto: TornadoVM finds no GPU");
    }

    private static int number(String device, String text, int min) {
        try {
            int n = Integer.parseInt(text);
            if (n >= min)
                return n;
        } catch (NumberFormatException e) {
            // told below
        }
        throw new ConfigException("device " + device + ": '" + text + "' is not a number of at least " + min);
    }
}
