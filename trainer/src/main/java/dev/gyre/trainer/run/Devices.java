package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.tornado.TornadoBackend;
import dev.gyre.trainer.config.ConfigException;

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
            case "auto" -> new Chosen(new CpuBackend(), "auto: the CPU, a GPU is used only when named");
            case "cpu" -> new Chosen(part.length == 1 ? new CpuBackend() : new CpuBackend(number(device, part[1], 1)),
                    "asked for");
            case "opencl", "cuda", "ptx", "spirv", "jvm" -> new Chosen(tornado(device), "asked for");
            default -> throw new ConfigException("device " + device
                    + ": unknown; use cpu, cpu:THREADS, auto, opencl:N, cuda:N, ptx:N or jvm");
        };
    }

    private static Backend tornado(String device) {
        try {
            return TornadoBackend.open(device);
        } catch (IllegalArgumentException | IllegalStateException e) {
            throw new ConfigException("device " + device + ": " + e.getMessage());
        }
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
