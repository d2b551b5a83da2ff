package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.InputException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.TornadoBackend;
import uk.ac.manchester.tornado.api.TornadoRuntime;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.TornadoVMBackendType;
import uk.ac.manchester.tornado.api.runtime.TornadoRuntimeProvider;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// The devices of TornadoVM, and whether its SDK is present.
public final class TornadoDevices {
    private static final String BAILOUT = "tornado.recover.bailout";
    /// Bytes for the instructions of one task graph; each array that a graph only passes on takes 18.
    private static final String BYTECODES = "tornado.tvm.maxbytecodesize";

    /// Limit on the memory that TornadoVM allocates on a device, such as `4GB`.
    static final String MEMORY = "tornado.device.memory";

    private static final int MIN_BYTECODES = 1 << 20;

    private TornadoDevices() {
    }

    /// A device and the name by which [dev.gyre.kernels.tornado.TornadoBackend#open] opens it.
    ///
    /// @param type CPU, GPU, ...
    /// @param memory its memory in bytes
    /// @param groupMemory local memory of a work group in bytes
    public record Info(String name, String type, String description, String platform, long memory, long groupMemory) {
    }

    /// True if a TornadoVM SDK is used and not the stand-in: its classes are in a named module.
    public static boolean sdkPresent() {
        return FloatArray.class.getModule().isNamed();
    }

    /// All devices, in TornadoVM's order; only `jvm` without an SDK.
    ///
    /// @throws DeviceException if the SDK cannot start
    public static List<Info> list() {
        List<Info> out = new ArrayList<>();
        TornadoRuntime runtime = runtime(TornadoRuntimeProvider::getTornadoRuntime);
        for (int b = 0; b < runtime.getNumBackends(); b++)
            for (int d = 0; d < runtime.getBackend(b).getNumDevices(); d++) {
                TornadoDevice device = runtime.getBackend(b).getDevice(d);
                out.add(new Info(name(runtime.getBackendType(b), d), device.getDeviceType().toString(),
                        device.getDescription(), device.getPlatformName(), device.getMaxGlobalMemory(),
                        device.getDeviceLocalMemorySize()));
            }
        return List.copyOf(out);
    }

    /// TornadoVM starts, and loads the drivers of its backends, on the first call.
    static TornadoRuntime runtime(Supplier<TornadoRuntime> start) {
        try {
            return start.get();
        } catch (LinkageError e) {
            Throwable cause = e;
            for (Throwable t = e; t != null; t = t.getCause())
                cause = t;
            throw new DeviceException("the TornadoVM SDK cannot start: " + cause.getClass().getSimpleName() + ": "
                    + String.valueOf(cause.getMessage()).replaceAll("\\s+", " ").strip()
                    + "; install what it needs (an NVIDIA driver has libcuda.so.1, CUDA 13 or Python's"
                    + " nvidia-cuda-nvrtc libnvrtc.so.13, an OpenCL loader libOpenCL.so.1), or"
                    + " unset TORNADOVM_HOME to run without it", e);
        }
    }

    /// Why devices `cuda:N` cannot use cuBLAS; null if they can.
    public static @Nullable String missingCuBlas() {
        return CuBlas.missing();
    }

    private static String name(TornadoVMBackendType type, int device) {
        return type == TornadoVMBackendType.JAVA ? "jvm" : type.name().toLowerCase(Locale.ROOT) + ":" + device;
    }

    /// The device `name`.
    ///
    /// @throws InputException if there is no device of that name
    /// @throws DeviceException if a JVM option is missing without which the SDK would
    ///         compute wrong results or reject our graphs
    static TornadoDevice find(String name) {
        requireFlags();
        TornadoRuntime runtime = runtime(TornadoRuntimeProvider::getTornadoRuntime);
        for (int b = 0; b < runtime.getNumBackends(); b++) {
            TornadoBackend backend = runtime.getBackend(b);
            for (int d = 0; d < backend.getNumDevices(); d++)
                if (name.equals(name(runtime.getBackendType(b), d)))
                    return backend.getDevice(d);
        }
        String have = list().stream().map(Info::name).collect(Collectors.joining(", "));
        throw new InputException("no device " + name + "; there is cpu" + (sdkPresent()
                ? have.isEmpty() ? " only: TornadoVM's drivers find no device (gyre doctor)" : ", " + have
                : ", and jvm for tests of GPU kernels: no TornadoVM SDK is on the module path (set TORNADOVM_HOME)"));
    }

    private static void requireFlags() {
        if (!sdkPresent())
            return;
        if (!"false".equalsIgnoreCase(System.getProperty(BAILOUT)))
            throw new DeviceException(
                    BAILOUT + " is not False: TornadoVM would run kernels that do not compile as "
                            + "sequential Java without any message; start the JVM with -D" + BAILOUT + "=False");
        if (Integer.getInteger(BYTECODES, 4096) < MIN_BYTECODES)
            throw new DeviceException(
                    BYTECODES + " is below " + MIN_BYTECODES + ": a model's task graphs would not "
                            + "fit; start the JVM with -D" + BYTECODES + "=" + MIN_BYTECODES);
    }

    /// Bytes of the device's memory that task graphs may use.
    static long usableMemory(TornadoDevice device) {
        return Math.min(device.getMaxGlobalMemory(),
                sdkPresent() ? parseBytes(System.getProperty(MEMORY, "4GB")) : Long.MAX_VALUE);
    }

    /// Bytes that one array may have on the device.
    static long maxArray(TornadoDevice device) {
        return Math.min(device.getMaxAllocMemory(), usableMemory(device));
    }

    static long parseBytes(String text) {
        Matcher m = Pattern.compile("(\\d+)\\s*([KMG]?)B?").matcher(text.trim().toUpperCase(Locale.ROOT));
        if (!m.matches())
            throw new InputException(MEMORY + "=" + text + " is not a size; write 8GB, 512MB");
        return Long.parseLong(m.group(1)) << 10 * ("KMG".indexOf(m.group(2)) + (m.group(2).isEmpty() ? 0 : 1));
    }

    static String describe(String name, TornadoDevice device) {
        return name + ": " + device.getDescription() + ", " + device.getDeviceType() + ", "
                + (device.getMaxGlobalMemory() >> 20) + " MiB, " + device.getPlatformName() + ", TornadoVM "
                + (sdkPresent() ? "SDK" : "stand-in");
    }
}
