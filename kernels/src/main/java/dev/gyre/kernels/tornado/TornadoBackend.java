package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import java.util.List;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.TornadoDeviceType;

/// Runs programs as TornadoVM task graphs: on a device when a TornadoVM SDK is on the module path, else on the stand-in
/// (`jvm`), slowly and strictly.
public final class TornadoBackend implements Backend {
    /// `true` or `false`: take the kernels that share local memory, whatever the device is; for comparisons.
    private static final String WORK_GROUPS = "gyre.device.groups";
    /// Bytes of local memory that those kernels need.
    private static final int GROUP_MEMORY = 48 << 10;

    private final String name;
    private final TornadoDevice device;
    private final boolean workGroups;

    private TornadoBackend(String name, TornadoDevice device, boolean workGroups) {
        this.name = name;
        this.device = device;
        this.workGroups = workGroups;
    }

    /// The device of that name, as [TornadoDevices#list] gives it: `opencl:0`, `cuda:0`, `ptx:0`, or `jvm`.
    public static TornadoBackend open(String name) {
        TornadoDevice device = TornadoDevices.find(name);
        String asked = System.getProperty(WORK_GROUPS);
        return new TornadoBackend(name, device, asked == null ? device.getDeviceType() == TornadoDeviceType.GPU
                && device.getDeviceLocalMemorySize() >= GROUP_MEMORY : Boolean.parseBoolean(asked));
    }

    /// The device of that name with the kernels that share local memory in work groups, whatever its type.
    static TornadoBackend withWorkGroups(String name) {
        return new TornadoBackend(name, TornadoDevices.find(name), true);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String describe() {
        return TornadoDevices.describe(name, device);
    }

    /// @throws DeviceException when the device has less than `need` bytes
    static void requireMemory(String name, TornadoDevice device, long need) {
        long have = TornadoDevices.usableMemory(device);
        if (need > have)
            throw new DeviceException("device " + name + " is out of memory: the programs need " + mib(need) + ", "
                    + mib(have) + " of its " + mib(device.getMaxGlobalMemory())
                    + " may be used; take a smaller micro-batch or sequence, a smaller base (nf4)"
                    + (have < device.getMaxGlobalMemory()
                            ? ", or allow more with -D" + TornadoDevices.MEMORY + "=..." : ""));
    }

    private static String mib(long bytes) {
        return Math.ceilDiv(bytes, 1 << 20) + " MiB";
    }

    @Override
    public Session open(List<Program> programs) {
        MemoryPlan plan = MemoryPlan.of(programs);
        requireMemory(name, device, plan.bytes());
        return new TornadoSession(name, device, workGroups, programs, plan);
    }
}
