package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.devices.Devices;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// `[--device NAME] [--threads N] [--precision P]`, for the measurements that run on any backend.
final class BackendArgs {
    @Option(names = "--device", paramLabel = "NAME", description = "Where to run: cpu, opencl:0, cuda:0, ptx:0, jvm."
            + " Default: cpu.")
    @Nullable
    String device;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of the CPU. Default: all processors.")
    @Nullable
    Integer threads;

    @Option(names = "--precision", defaultValue = "F32", paramLabel = "P",
            description = "How cuBLAS multiplies on cuda:N: f32, tf32 or bf16. Default: f32.")
    Precision precision = Precision.F32;

    Backend backend() {
        return backend(device, threads, precision);
    }

    /// The backend that the options name.
    static Backend backend(@Nullable String device, @Nullable Integer threads, Precision precision) {
        if (threads != null && (device != null && !device.equals("cpu")))
            throw new InputException("--threads is for the CPU, and --device names " + device);
        if (threads != null && threads < 1)
            throw new InputException("--threads " + threads + " is below 1");
        return Devices.open(threads != null ? "cpu:" + threads : device == null ? "cpu" : device, precision)
                .backend();
    }
}
