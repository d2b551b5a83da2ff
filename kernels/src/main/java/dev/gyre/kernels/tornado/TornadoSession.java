package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.ImmutableTaskGraph;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.TornadoExecutionPlan;
import uk.ac.manchester.tornado.api.TornadoExecutionResult;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.exceptions.TornadoExecutionPlanException;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// One execution plan with the task graphs of the programs, made by [TaskGraphs], and a few more ([DevicePlan]) that move data:
///
/// | graph | runs | does |
/// |---|---|---|
/// | `bind` | once | allocates all arrays and gives them their first values, on the device |
/// | doors | for each write or read of anything large | copy between a small array that travels and a large one that does not |
/// | the programs' | on each run, some several times | |
/// | upload | before a run if the host wrote a small input | copies all small inputs to the device |
///
/// A graph can consume only arrays that the graph executed immediately before persisted. Hence every graph consumes all
/// arrays (`consumeFromDevice` without a name: from whichever graph ran last) and persists all, including those that it
/// does not use. So graphs may run in any order, and nothing is copied between programs. What the device has, the host has
/// only while it reads or writes it; small inputs, and small outputs once read, apart.
final class TornadoSession implements Session {
    private static final ThreadMXBean CPU_TIME = ManagementFactory.getThreadMXBean();

    private final String name;
    private final TornadoDevice device;
    private final Lowering.Choice choice;
    private final List<Program> programs;
    private final Set<Buf> known = new HashSet<>();
    /// Weights in the order of the plan, with their values until these are on the device.
    private final Map<Buf, HostData> weights = new LinkedHashMap<>();
    private final Set<Buf> unbound = new LinkedHashSet<>();
    /// What the host wrote before all weights were bound.
    private final List<Runnable> waiting = new ArrayList<>();
    private boolean inputsNewer = true;
    private boolean outputsStale;
    /// The names of the tasks of each task graph that has not run yet.
    private final Map<Integer, Set<String>> fresh = new HashMap<>();
    /// The names of the tasks of those that have run; each name is compiled once.
    private final Set<String> compiled = new HashSet<>();
    private int graphsRun;
    private long launchedGraphs;
    private long launchedKernels;
    private long hostNanos;
    private long compiling;
    private final long plannedBytes;
    /// Whether native code computes, whose errors may only be printed.
    private final boolean watched;
    private boolean failed;
    private @Nullable DevicePlan plan;
    private IntArray at = new IntArray(1);
    private int upload;
    private @Nullable TornadoExecutionPlan execution;
    private @Nullable TornadoExecutionResult last;

    /// @param outline the plan without arrays
    TornadoSession(String name, TornadoDevice device, Lowering.Choice choice, List<Program> programs,
            DevicePlan outline) {
        this.name = name;
        this.device = device;
        this.choice = choice;
        this.programs = List.copyOf(programs);
        this.plannedBytes = outline.bytes();
        this.watched = TornadoDevices.sdkPresent() || choice.cuBlas() != null;
        for (Program p : programs)
            for (Buf b : p.roots())
                if (b.role() != Buf.Role.ACTIVATION && known.add(b) && b.role() == Buf.Role.WEIGHT)
                    unbound.add(b);
        for (Program p : programs)
            for (Op op : p.ops())
                for (Access a : op.accesses())
                    if (a.writes() && a.buf().role() != Buf.Role.ACTIVATION
                            && outline.memory.mirrored(a.buf().root()))
                        throw new IllegalArgumentException(p.name() + ": " + op.getClass().getSimpleName()
                                + " writes the input " + a.buf().root());
    }

    @Override
    public void bind(Buf weight, HostData data) {
        if (weight.isView() || weight.role() != Buf.Role.WEIGHT)
            throw new IllegalArgumentException(weight + " is not a whole weight");
        if (data.size() != weight.size() || data.dtype() != weight.dtype())
            throw new IllegalArgumentException(
                    weight + ": bound to " + data.size() + " elements of " + data.dtype());
        if (execution != null)
            throw new IllegalStateException(weight + ": bind weights before the first run");
        if (unbound.remove(weight))
            weights.put(weight, data);
        else
            if (known.contains(weight))
                throw new IllegalStateException(weight + " is bound already");
    }

    @Override
    public void write(Buf buf, float[] values) {
        if (buf.dtype() != DType.F32)
            throw new IllegalArgumentException(buf + ": cannot write floats");
        requireWritable(buf, values.length);
        if (!unbound.isEmpty()) {
            float[] copy = values.clone();
            waiting.add(() -> write(buf, copy));
            return;
        }
        DevicePlan p = plan();
        if (p.memory.mirrored(buf.root())) {
            DeviceMemory.Floats to = p.memory.floats(buf);
            MemorySegment.copy(values, 0, to.array().getSegment(), ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * to.at(),
                    values.length);
            inputsNewer = true;
            return;
        }
        // the small outputs come after all parts of the large array
        boolean output = p.memory.fetched(buf.root());
        int part = output ? p.memory.floats.parts() : p.memory.part(buf.root());
        load(buf.toString(), new DeviceMemory.Load(p.memory.floats, new DeviceMemory.Place(part,
                p.memory.floats(buf).at()), values.length,
                (from, n, a, to) -> DeviceMemory.copy(values, from, n, a, to)));
        outputsStale |= output;
    }

    @Override
    public void write(Buf buf, int[] values) {
        if (buf.dtype() != DType.I32)
            throw new IllegalArgumentException(buf + ": cannot write ints");
        requireWritable(buf, values.length);
        if (!unbound.isEmpty()) {
            int[] copy = values.clone();
            waiting.add(() -> write(buf, copy));
            return;
        }
        DeviceMemory.Ints to = plan().memory.ints(buf);
        MemorySegment.copy(values, 0, to.array().getSegment(), ValueLayout.JAVA_INT_UNALIGNED, 4L * to.at(),
                values.length);
        inputsNewer = true;
    }

    private void requireWritable(Buf buf, int length) {
        if (length != buf.size())
            throw new IllegalArgumentException(buf + ": " + length + " values to write");
        requireVisible(buf);
    }

    private void requireVisible(Buf buf) {
        Buf root = buf.root();
        if (root.role() == Buf.Role.WEIGHT || root.role() == Buf.Role.ACTIVATION || !known.contains(root))
            throw new IllegalArgumentException(buf + ", " + root.role() + ", cannot be read or written by the host"
                    + (known.contains(root) ? "" : "; no program of this session uses it"));
    }

    @Override
    public void read(Buf buf, float[] into) {
        if (buf.dtype() != DType.F32 || into.length != buf.size())
            throw new IllegalArgumentException(buf + ": cannot read " + into.length + " floats");
        requireVisible(buf);
        DevicePlan p = plan();
        DeviceMemory.Floats from = p.memory.floats(buf);
        if (p.memory.mirrored(buf.root()) || p.memory.fetched(buf.root())) {
            if (outputsStale && p.memory.fetched(buf.root())) {
                fetch("reading " + buf, p.memory.outputs());
                outputsStale = false;
            }
            MemorySegment.copy(from.array().getSegment(), ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * from.at(), into, 0,
                    into.length);
            return;
        }
        for (int done = 0; done < into.length;) {
            DevicePlan.Door<FloatArray> door = door(p.gets, into.length - done);
            int n = Math.min(door.length(), into.length - done);
            door.aim(p.memory.part(buf.root()), from.at() + done, n);
            launch("reading " + buf, door.launch());
            fetch("reading " + buf, door.array());
            MemorySegment.copy(door.array().getSegment(), ValueLayout.JAVA_FLOAT_UNALIGNED, 0, into, done, n);
            done += n;
        }
    }

    private void fetch(String what, Object array) {
        attempt(what, () -> {
            Objects.requireNonNull(last).transferToHost(array);
            return array;
        });
    }

    /// The smallest door for `n` elements, else the largest.
    private static <A extends TornadoNativeArray> DevicePlan.Door<A> door(List<DevicePlan.Door<A>> doors, long n) {
        for (DevicePlan.Door<A> d : doors)
            if (d.length() >= n)
                return d;
        return doors.getLast();
    }

    private void load(String what, DeviceMemory.Load load) {
        DevicePlan p = plan();
        for (long done = 0; done < load.n();) {
            DevicePlan.Door<?> door = load.pool() == p.memory.floats ? door(p.puts, load.n() - done)
                    : Objects.requireNonNull(load.pool() == p.memory.shorts ? p.putShorts : p.putBytes);
            int n = (int) Math.min(door.length(), load.n() - done);
            load.from().copy(done, n, door.array(), 0);
            door.aim(load.place().part(), load.place().at() + (int) done, n);
            launch("writing " + what, door.launch());
            done += n;
        }
    }

    @Override
    public void run(Program program) {
        int index = programs.indexOf(program);
        if (index < 0)
            throw new IllegalArgumentException(program + " is not a program of this session");
        DevicePlan p = plan();
        if (inputsNewer) {
            last = execute("upload", upload);
            inputsNewer = false;
        }
        for (TaskGraphs.Launch l : p.programs.get(index))
            launch(program.name(), l);
        outputsStale = true;
    }

    /// The plan, built as soon as the weights are known and something is needed of the device.
    private DevicePlan plan() {
        DevicePlan p = plan;
        if (p != null)
            return p;
        if (!unbound.isEmpty())
            throw new IllegalStateException("weights without values: " + unbound);
        p = DevicePlan.of(programs, new DeviceMemory(programs, choice,
                w -> DeviceMemory.Nf4Form.of((HostData.NF4) Objects.requireNonNull(weights.get(w))),
                TornadoDevices.maxArray(device)), choice);
        // only now is known how NF4 weights are stored
        TornadoBackend.requireMemory(name, device, p.bytes());
        plan = p;
        at = p.newAt();
        DevicePlan built = p;
        execution = attempt("building task graphs", () -> execution(built));
        launch("allocating memory", p.bind);
        last = execute("allocating memory", upload); // every later graph passes on the small inputs as well
        List<DeviceMemory.Load> loads = new ArrayList<>();
        for (Map.Entry<Buf, HostData> w : weights.entrySet())
            p.memory.load(w.getKey(), w.getValue(), loads);
        weights.clear();
        for (DeviceMemory.Load l : loads)
            load("the weights", l);
        for (Runnable write : waiting)
            write.run();
        waiting.clear();
        return p;
    }

    private TornadoExecutionPlan execution(DevicePlan p) {
        IntArray ticks = p.memory.ticks();
        Object[] resident = p.memory.resident();
        Object[] outside = {p.memory.intInputs(), p.memory.inputs()};
        List<ImmutableTaskGraph> all = new ArrayList<>();
        List<TaskGraphs.Graph> graphs = p.tasks.graphs();
        for (int i = 0; i < graphs.size(); i++) {
            TaskGraph g = TaskGraphs.build(graphs.get(i), at, ticks);
            if (i == p.bind.graph()) {
                g.transferToDevice(DataTransferMode.EVERY_EXECUTION, p.memory.first());
                g.transferToDevice(DataTransferMode.UNDER_DEMAND, p.memory.large());
                g.persistOnDevice(without(resident, outside));
            } else {
                boolean bound = i < p.first;
                TornadoNativeArray door = p.door(i);
                if (door != null && !p.reads(i))
                    g.transferToDevice(DataTransferMode.EVERY_EXECUTION, door);
                if (door != null && p.reads(i))
                    g.transferToHost(DataTransferMode.UNDER_DEMAND, door);
                g.consumeFromDevice(resident).persistOnDevice(resident);
                if (!bound)
                    fresh.put(i, graphs.get(i).names());
            }
            g.transferToHost(DataTransferMode.UNDER_DEMAND, p.memory.outputs(), ticks);
            all.add(g.snapshot());
        }
        Object[] passed = without(resident, outside);
        upload = all.size();
        all.add(TaskGraphs.moving(outside, ticks).consumeFromDevice(passed).persistOnDevice(resident)
                .transferToHost(DataTransferMode.UNDER_DEMAND, p.memory.outputs(), ticks).snapshot());
        TornadoExecutionPlan e = new TornadoExecutionPlan(all.toArray(ImmutableTaskGraph[]::new));
        e.withDevice(device);
        e.withGridScheduler(p.tasks.grids());
        if (choice.cudaGraphs())
            e.withCUDAGraph();
        return e;
    }

    private static Object[] without(Object[] all, Object[] some) {
        List<Object> rest = new ArrayList<>(List.of(all));
        rest.removeAll(List.of(some));
        return rest.toArray();
    }

    private void launch(String what, TaskGraphs.Launch l) {
        long cpu = CPU_TIME.getCurrentThreadCpuTime();
        l.fill(at);
        boolean compiles = fresh.containsKey(l.graph());
        last = execute(what, l.graph());
        if (!compiles) {
            launchedGraphs++;
            launchedKernels += l.slots().length + 1; // the tick
            hostNanos += CPU_TIME.getCurrentThreadCpuTime() - cpu;
        }
    }

    private TornadoExecutionResult execute(String what, int graph) {
        long begun = System.nanoTime();
        TornadoExecutionPlan e = Objects.requireNonNull(execution);
        TornadoExecutionResult r = attempt(what, () -> e.withGraph(graph).execute());
        Set<String> names = fresh.remove(graph);
        if (names != null) {
            compiled.addAll(names);
            graphsRun++;
            compiling += System.nanoTime() - begun;
        }
        return r;
    }

    @Override
    public Compiled compiled() {
        DevicePlan p = plan;
        return new Compiled(compiled.size(), graphsRun, p == null ? 0 : p.arrays(), compiling / 1e9);
    }

    @Override
    public Launched launched() {
        return new Launched(launchedGraphs, launchedKernels, hostNanos / 1e9);
    }

    /// Runs an action of TornadoVM and its drivers and reports a failure as a [DeviceException], one that native code only
    /// printed as well.
    private <T> T attempt(String what, Supplier<T> action) {
        try {
            return watched ? DriverOutput.watch(action) : action.get();
        } catch (OutOfMemoryError e) {
            throw e; // the JVM's heap, not the device
        } catch (DriverOutput.Reported e) {
            Throwable thrown = e.getCause();
            throw failure(what, "the driver reported " + e.getMessage()
                    + (thrown == null ? "" : "; " + reason(thrown)), e.memory(), e);
        } catch (RuntimeException | Error e) {
            throw failure(what, reason(e), e.getClass().getSimpleName().contains("Memory"), e);
        }
    }

    private DeviceException failure(String what, String reason, boolean memory, Throwable cause) {
        failed = true;
        return new DeviceException("device " + name + (memory ? " is out of memory in " : " failed in ") + what + ": "
                + reason + (memory ? "; take a smaller micro-batch or sequence"
                        : "; gyre kernels --device " + name + " shows which operations it can run, and --debug the"
                                + " driver's message"),
                cause);
    }

    /// The message of a TornadoVM failure, on one line.
    private static String reason(Throwable e) {
        String text = String.valueOf(e.getMessage());
        int stack = text.indexOf("Stacktrace:");
        text = (stack < 0 ? text : text.substring(0, stack)).replaceAll("\\u001B\\[[;\\d]*m", "")
                .replaceAll("\\s+", " ").strip();
        return e.getClass().getSimpleName() + ": " + (text.length() > 300 ? text.substring(0, 300) + " ..." : text);
    }

    @Override
    public long bytes() {
        DevicePlan p = plan;
        return p == null ? plannedBytes : p.bytes();
    }

    @Override
    public void close() {
        TornadoExecutionPlan p = execution;
        if (p == null)
            return;
        execution = null;
        boolean before = failed;
        try {
            attempt("freeing its memory", () -> {
                try {
                    p.freeDeviceMemory();
                    p.close();
                } catch (TornadoExecutionPlanException e) {
                    throw new IllegalStateException("cannot free the device memory of the task graphs: "
                            + e.getMessage(), e);
                }
                return p;
            });
        } catch (DeviceException e) {
            if (!before) // after a failure the device may refuse everything, and the first one is what matters
                throw e;
        }
    }
}
