package dev.gyre.kernels.tornado;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
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
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// One execution plan with the task graphs of the programs, made by [TaskGraphs], and two more that only move data:
///
/// | graph | runs | copies to the device |
/// |---|---|---|
/// | `bind` | once | weights, constants, and (to allocate them) activations and workspaces |
/// | `upload` | before a run if the host wrote one of these | parameters, gradients, state, results, large inputs |
/// | the programs' | on each run | the small inputs that they use |
///
/// A graph can consume only arrays that the graph executed immediately before persisted. Hence every graph consumes all
/// arrays (`consumeFromDevice` without a name: from whichever graph ran last) and persists all, including those that it
/// does not use. So programs may run in any order, `upload` may run again at any time, and nothing is copied between
/// programs. `upload` copies all of its arrays, so those that the device has written since are fetched first. Results are
/// copied to the host on request.
final class TornadoSession implements Session {
    /// Index of the first graph of [TaskGraphs#graphs].
    private static final int FIRST = 2;

    private final String name;
    private final TornadoDevice device;
    private final Lowering.Choice choice;
    private final List<Program> programs;
    private final MemoryPlan memoryPlan;
    private final DeviceMemory memory;
    private final Set<Buf> unbound = new LinkedHashSet<>();
    private final Set<Buf> known = new HashSet<>();
    /// State that the device wrote since the host last read it.
    private final Set<Buf> deviceNewer = new LinkedHashSet<>();
    private boolean hostNewer = true;
    /// What each program executes.
    private final List<List<TaskGraphs.Launch>> launches = new ArrayList<>();
    private IntArray at = new IntArray(1);
    /// The names of the tasks of each task graph that has not run yet.
    private final Map<Integer, Set<String>> fresh = new HashMap<>();
    /// The names of the tasks of those that have run; each name is compiled once.
    private final Set<String> compiled = new HashSet<>();
    private long compiling;
    private @Nullable TornadoExecutionPlan plan;
    private @Nullable TornadoExecutionResult last;

    TornadoSession(String name, TornadoDevice device, Lowering.Choice choice, List<Program> programs,
            MemoryPlan memoryPlan) {
        this.name = name;
        this.device = device;
        this.choice = choice;
        this.programs = List.copyOf(programs);
        this.memoryPlan = memoryPlan;
        this.memory = new DeviceMemory(this.programs, memoryPlan);
        for (Buf b : memoryPlan.persistent()) {
            known.add(b);
            if (b.role() == Buf.Role.WEIGHT)
                unbound.add(b);
        }
        for (Program p : programs)
            for (Op op : p.ops())
                for (Access a : op.accesses())
                    if (a.writes() && DeviceMemory.copiedAlways(a.buf().root()))
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
        if (plan != null)
            throw new IllegalStateException(weight + ": bind weights before the first run");
        if (unbound.remove(weight))
            memory.bind(weight, data);
        else
            if (known.contains(weight))
                throw new IllegalStateException(weight + " is bound already");
    }

    @Override
    public void write(Buf buf, float[] values) {
        if (buf.dtype() != DType.F32)
            throw new IllegalArgumentException(buf + ": cannot write floats");
        MemorySegment.copy(values, 0, hostCopyToWrite(buf, values.length), ValueLayout.JAVA_FLOAT, 4 * buf.offset(),
                values.length);
    }

    @Override
    public void write(Buf buf, int[] values) {
        if (buf.dtype() != DType.I32)
            throw new IllegalArgumentException(buf + ": cannot write ints");
        MemorySegment.copy(values, 0, hostCopyToWrite(buf, values.length), ValueLayout.JAVA_INT, 4 * buf.offset(),
                values.length);
    }

    private MemorySegment hostCopyToWrite(Buf buf, int length) {
        if (length != buf.size())
            throw new IllegalArgumentException(buf + ": " + length + " values to write");
        Buf root = hostVisible(buf);
        if (DeviceMemory.isState(root)) {
            if (root.size() != buf.size())
                fetch(root);
            deviceNewer.remove(root);
            hostNewer = true;
        }
        return memory.array(root).getSegment();
    }

    private Buf hostVisible(Buf buf) {
        Buf root = buf.root();
        if (root.role() == Buf.Role.WEIGHT || root.role() == Buf.Role.ACTIVATION || !known.contains(root))
            throw new IllegalArgumentException(buf + ", " + root.role() + ", cannot be read or written by the host"
                    + (known.contains(root) ? "" : "; no program of this session uses it"));
        return root;
    }

    @Override
    public void read(Buf buf, float[] into) {
        if (buf.dtype() != DType.F32 || into.length != buf.size())
            throw new IllegalArgumentException(buf + ": cannot read " + into.length + " floats");
        Buf root = hostVisible(buf);
        fetch(root);
        MemorySegment.copy(memory.array(root).getSegment(), ValueLayout.JAVA_FLOAT, 4 * buf.offset(), into, 0,
                into.length);
    }

    /// Brings the host copy of a root up to date.
    private void fetch(Buf root) {
        if (last != null && deviceNewer.remove(root))
            attempt("reading " + root, () -> {
                Objects.requireNonNull(last).transferToHost(memory.array(root));
                return root;
            });
    }

    @Override
    public void run(Program program) {
        int index = programs.indexOf(program);
        if (index < 0)
            throw new IllegalArgumentException(program + " is not a program of this session");
        TornadoExecutionPlan p = plan();
        if (hostNewer) {
            for (Buf b : List.copyOf(deviceNewer))
                fetch(b);
            last = execute(p, "upload", 1);
            hostNewer = false;
        }
        for (TaskGraphs.Launch launch : launches.get(index)) {
            launch.fill(at);
            last = execute(p, program.name(), FIRST + launch.graph());
        }
        for (Op op : program.ops())
            for (Access a : op.accesses())
                if (a.writes() && DeviceMemory.isState(a.buf().root()))
                    deviceNewer.add(a.buf().root());
    }

    /// The plan, built before the first run, when the weights are known.
    private TornadoExecutionPlan plan() {
        TornadoExecutionPlan p = plan;
        if (p != null)
            return p;
        if (!unbound.isEmpty())
            throw new IllegalStateException("weights without values: " + unbound);
        TaskGraphs tasks = new TaskGraphs(true);
        launches.clear();
        for (Program program : programs) {
            Lowering.lower(program, tasks, memory, choice);
            launches.add(tasks.finish());
        }
        at = new IntArray(tasks.atLength());
        // only now are all arrays known: lowering adds workspaces and constants
        TornadoBackend.requireMemory(name, device, memory.bytes());
        Object[] fixed = memory.fixed();
        Object[] state = memory.state();
        List<ImmutableTaskGraph> all = new ArrayList<>();
        all.add(TaskGraphs.moving(fixed, memory.ticks()).persistOnDevice(fixed).snapshot());
        TaskGraph upload =
                TaskGraphs.moving(state, memory.ticks()).consumeFromDevice(fixed).persistOnDevice(fixed);
        all.add(upload.persistOnDevice(state).transferToHost(DataTransferMode.UNDER_DEMAND, state).snapshot());
        for (TaskGraphs.Graph graph : tasks.graphs()) {
            TaskGraph g = TaskGraphs.build(graph, at, memory.ticks());
            g.transferToDevice(DataTransferMode.EVERY_EXECUTION, memory.smallInputs(graph.arrays()));
            g.consumeFromDevice(fixed).persistOnDevice(fixed);
            g.consumeFromDevice(state).persistOnDevice(state);
            fresh.put(all.size(), graph.names());
            all.add(g.transferToHost(DataTransferMode.UNDER_DEMAND, state).snapshot());
        }
        p = new TornadoExecutionPlan(all.toArray(ImmutableTaskGraph[]::new));
        p.withDevice(device);
        // TornadoVM rejects a scheduler that has no grid for any of the tasks
        if (tasks.hasGrids())
            p.withGridScheduler(tasks.grids());
        if (choice.cudaGraphs())
            p.withCUDAGraph();
        plan = p;
        last = execute(p, "upload of the weights", 0);
        return p;
    }

    private TornadoExecutionResult execute(TornadoExecutionPlan p, String what, int graph) {
        long begun = System.nanoTime();
        TornadoExecutionResult r = attempt(what, () -> p.withGraph(graph).execute());
        Set<String> names = fresh.remove(graph);
        if (names != null) {
            compiled.addAll(names);
            compiling += System.nanoTime() - begun;
        }
        return r;
    }

    @Override
    public Compiled compiled() {
        return new Compiled(compiled.size(), compiling / 1e9);
    }

    /// Runs an action of TornadoVM and its drivers and reports a failure as a [DeviceException].
    private <T> T attempt(String what, Supplier<T> action) {
        try {
            return action.get();
        } catch (OutOfMemoryError e) {
            throw e; // the JVM's heap, not the device
        } catch (RuntimeException | Error e) {
            String kind = e.getClass().getSimpleName();
            boolean memory = kind.contains("Memory");
            throw new DeviceException(
                    "device " + name + (memory ? " is out of memory in " : " failed in ") + what + ": "
                            + reason(e) + (memory ? "; take a smaller micro-batch or sequence"
                                    : "; gyre kernels --device " + name
                                            + " shows which operations it can run, and --debug the"
                                            + " driver's message"),
                    e);
        }
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
        return plan == null ? memoryPlan.bytes() : memory.bytes();
    }

    @Override
    public void close() {
        TornadoExecutionPlan p = plan;
        if (p != null)
            try {
                p.freeDeviceMemory();
                p.close();
            } catch (TornadoExecutionPlanException e) {
                throw new IllegalStateException("cannot free the device memory of the task graphs: " + e.getMessage(),
                        e);
            }
        plan = null;
    }
}
