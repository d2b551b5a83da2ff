package dev.gyre.kernels.tornado;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.ProductOps;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.TornadoDeviceType;
import uk.ac.manchester.tornado.api.enums.TornadoVMBackendType;

/// Runs programs as TornadoVM task graphs: on a device if a TornadoVM SDK is on the module path, else on the stand-in
/// (`jvm`), which is slow and strict.
public final class TornadoBackend implements Backend {
    /// `true` or `false`: use the kernels that share local memory, or do not, whatever the device is; for comparisons.
    private static final String WORK_GROUPS = "gyre.device.groups";
    /// `false`: attention in F32 also where `precision: bf16`, for GPUs older than compute capability 8.0 and for comparisons.
    private static final String TENSOR_CORES = "gyre.device.tensorcores";
    /// `true`: products by cuBLAS, attention on tensor cores and activations in BF16 on the stand-in too, with the library that
    /// `gyre.cublas` names; for tests.
    private static final String ON_STAND_IN = "gyre.device.standin.cublas";
    /// `true`: launch task graphs on `cuda:N` as CUDA graphs. Off by default: so far run on an emulated device only.
    private static final String CUDA_GRAPHS = "gyre.device.cudagraphs";
    /// [#logits()] of a GPU with at least 64 GiB.
    public static final int GPU_LOGITS = 1 << 28;
    /// Bytes of local memory that the work-group kernels need.
    private static final int GROUP_MEMORY = 48 << 10;

    private final String name;
    private final TornadoDevice device;
    private final Lowering.Choice choice;
    private final String products;

    private TornadoBackend(String name, TornadoDevice device, Lowering.Choice choice, String products) {
        this.name = name;
        this.device = device;
        this.choice = choice;
        this.products = products;
    }

    /// [#open(String,Precision)] with products in F32.
    public static TornadoBackend open(String name) {
        return open(name, Precision.F32);
    }

    /// The device of that name, as listed by [TornadoDevices#list]: `opencl:0`, `cuda:0`, `ptx:0`, or `jvm`. On `cuda:N`
    /// cuBLAS computes large matrix products if it is installed.
    ///
    /// @throws DeviceException if there is no such device, or it cannot multiply in that precision
    public static TornadoBackend open(String name, Precision precision) {
        TornadoDevice device = TornadoDevices.find(name);
        String asked = System.getProperty(WORK_GROUPS);
        boolean workGroups = asked == null
                ? device.getDeviceType() == TornadoDeviceType.GPU && device.getDeviceLocalMemorySize() >= GROUP_MEMORY
                : Boolean.parseBoolean(asked);
        boolean standsIn = Boolean.getBoolean(ON_STAND_IN) && !TornadoDevices.sdkPresent();
        if (device.getTornadoVMBackend() != TornadoVMBackendType.CUDA && !standsIn) {
            if (precision != Precision.F32)
                throw new DeviceException(
                        "precision " + text(precision) + " needs cuBLAS, which only devices cuda:N have;"
                                + " device " + name + " computes in f32 (precision: f32)");
            return new TornadoBackend(name, device, new Lowering.Choice(workGroups, null, false, false), "");
        }
        String missing = CuBlas.missing();
        if (missing == null)
            return new TornadoBackend(name, device,
                    new Lowering.Choice(workGroups || standsIn, precision, precision == Precision.BF16 && tensorCores(),
                            cudaGraphs()),
                    ", products by cuBLAS in " + text(precision));
        if (precision != Precision.F32)
            throw new DeviceException("precision " + text(precision) + " on " + name + " needs cuBLAS: " + missing
                    + "; install CUDA's cuBLAS, or set precision: f32 for our own kernels");
        return new TornadoBackend(name, device, new Lowering.Choice(workGroups, null, false, cudaGraphs()),
                ", products by our own kernels (no cuBLAS: " + missing + ")");
    }

    private static boolean tensorCores() {
        return !"false".equals(System.getProperty(TENSOR_CORES));
    }

    private static boolean cudaGraphs() {
        return Boolean.getBoolean(CUDA_GRAPHS);
    }

    private static String text(Precision p) {
        return p.name().toLowerCase(Locale.ROOT);
    }

    /// The device of that name with the work-group kernels, whatever its type.
    static TornadoBackend withWorkGroups(String name) {
        return new TornadoBackend(name, TornadoDevices.find(name), new Lowering.Choice(true, null, false, false), "");
    }

    /// The device of that name with cuBLAS in this precision, whatever its type; the stand-in has it too.
    static TornadoBackend withCuBlas(String name, Precision precision) {
        return new TornadoBackend(name, TornadoDevices.find(name),
                new Lowering.Choice(true, precision, false, cudaGraphs()),
                "");
    }

    /// As `precision: bf16` on a GPU with cuBLAS and tensor cores, whatever its type.
    static TornadoBackend inBf16(String name) {
        return new TornadoBackend(name, TornadoDevices.find(name),
                new Lowering.Choice(true, Precision.BF16, true, cudaGraphs()), "");
    }

    /// The device of that name with attention on tensor cores, whatever its type; the stand-in executes their instructions.
    static TornadoBackend withTensorCores(String name) {
        return new TornadoBackend(name, TornadoDevices.find(name), new Lowering.Choice(true, null, true, false), "");
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String describe() {
        return TornadoDevices.describe(name, device) + products;
    }

    /// On a GPU a 64th of its memory, at most 1 GiB.
    @Override
    public int logits() {
        return device.getDeviceType() == TornadoDeviceType.GPU ? logits(device.getMaxGlobalMemory()) : LOGITS;
    }

    static int logits(long memory) {
        return (int) Math.clamp(memory / 64 / Float.BYTES, LOGITS, GPU_LOGITS);
    }

    @Override
    public Precision precision() {
        return choice.cuBlas() == null ? Precision.F32 : choice.cuBlas();
    }

    @Override
    public Precision precision(ProductOps.MatMul product) {
        Precision p = choice.cuBlas();
        return p != null && ProductCuBlas.takes(product) ? p : Precision.F32;
    }

    @Override
    public Precision activationPrecision() {
        return choice.packs() ? Precision.BF16 : Precision.F32;
    }

    @Override
    public Precision attentionPrecision(int D) {
        return choice.tensorCores() && AttentionMma.takes(D) ? Precision.BF16 : Precision.F32;
    }

    /// @throws DeviceException if the device has less than `need` bytes
    static void requireMemory(String name, TornadoDevice device, long need) {
        long have = TornadoDevices.usableMemory(device);
        if (need > have)
            throw new DeviceException(
                    "device " + name + " is out of memory: the programs need " + MemoryPlan.mib(need) + ", "
                            + MemoryPlan.mib(have) + " of its " + MemoryPlan.mib(device.getMaxGlobalMemory())
                            + " may be used; take a smaller micro-batch or sequence, a smaller base (nf4)"
                            + (have < device.getMaxGlobalMemory()
                                    ? ", or allow more with -D" + TornadoDevices.MEMORY + "=..." : ""));
    }

    /// Bytes that a session of these programs needs on this device, including the workspaces of its kernels; nothing is
    /// allocated.
    ///
    /// @param doubled whether NF4 weights are double-quantised
    public long bytes(List<Program> programs, boolean doubled) {
        return outline(programs, doubled, choice, TornadoDevices.maxArray(device)).bytes();
    }

    /// [#bytes(List,boolean)] for a GPU, which need not be present.
    ///
    /// @param cuBlas the precision of cuBLAS on that GPU; null without cuBLAS
    public static long bytesOnGpu(List<Program> programs, boolean doubled, @Nullable Precision cuBlas) {
        return outline(programs, doubled, new Lowering.Choice(true, cuBlas, cuBlas == Precision.BF16, false),
                Long.MAX_VALUE).bytes();
    }

    /// What programs take on a device, without running them.
    ///
    /// @param arrays on the device
    /// @param graphs task graphs that are built and compiled
    /// @param kernels that are compiled
    /// @param launches of graphs when each program runs once
    /// @param bytes on the device
    /// @param hostBytes of arrays that the host touches
    public record Outline(int arrays, int graphs, int kernels, int launches, long bytes, long hostBytes) {
    }

    /// @param doubled whether NF4 weights are double-quantised
    public Outline outline(List<Program> programs, boolean doubled) {
        DevicePlan p = outline(programs, doubled, choice, TornadoDevices.maxArray(device));
        return new Outline(p.arrays(), p.graphs(), p.kernels(), p.launches(), p.bytes(), p.hostBytes());
    }

    private static DevicePlan outline(List<Program> programs, boolean doubled, Lowering.Choice choice, long maxArray) {
        return DevicePlan.outline(programs,
                new DeviceMemory(programs, choice, _ -> DeviceMemory.Nf4Form.of(doubled), maxArray), choice);
    }

    @Override
    public Session open(List<Program> programs) {
        // whether NF4 weights are double-quantised is known only when they are bound; the session checks again then
        DeviceMemory memory =
                new DeviceMemory(programs, choice, _ -> DeviceMemory.Nf4Form.of(true),
                        TornadoDevices.maxArray(device));
        requireMemory(name, device, memory.residentBytes()); // first: a buffer longer than any array cannot be lowered
        DevicePlan outline = DevicePlan.outline(programs, memory, choice);
        requireMemory(name, device, outline.bytes());
        return new TornadoSession(name, device, choice, programs, outline);
    }
}
