package dev.gyre.tornadojvm;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/// What a [uk.ac.manchester.tornado.api.TaskGraph] recorded: its tasks in order, and how each array is transferred.
public final class Graph {
    /// A kernel with its arguments on the device.
    public interface Call {
        void run(Object[] arguments);
    }

    /// One kernel launch or library call; scalar arguments have the values of the time when the task was added.
    ///
    /// @param code name of the kernel or the library's function
    /// @param access whether it reads or writes an argument
    /// @param library the call of a library that this is in place of a kernel
    record Task(String id, String code, IntFunction<KernelCode.Access> access, Call call, Object[] arguments,
            @Nullable LibraryTaskDescriptor library) {
        /// What a compiler knows: the values of scalars, and the types of other arguments.
        List<Object> constants() {
            return Arrays.stream(arguments).map(a -> a instanceof Number ? a : a.getClass().getSimpleName()).toList();
        }

        boolean usesKernelContext() {
            for (Object a : arguments)
                if (a instanceof KernelContext)
                    return true;
            return false;
        }
    }

    private final String name;
    private final List<Task> tasks = new ArrayList<>();
    private final Map<Object, Integer> toDevice = new IdentityHashMap<>();
    private final Map<Object, Integer> toHost = new IdentityHashMap<>();
    private final Map<Object, Boolean> persisted = new IdentityHashMap<>();
    /// Array to the name of the graph it is consumed from, empty for whichever ran last.
    private final Map<Object, String> consumed = new IdentityHashMap<>();
    /// Capacity in TornadoVM 5.2, measured: one task more is a BufferOverflowException.
    private static final int DESCRIPTION_BYTES = 8192;
    /// TornadoVM 5.2's `TornadoGraph`.
    private static final int NODES = 1024;

    private int described;
    private boolean frozen;

    public Graph(String name) {
        this.name = name;
    }

    public String name() {
        return name;
    }

    public void transferToDevice(int mode, Object... arrays) {
        if (mode < DataTransferMode.FIRST_EXECUTION || mode > DataTransferMode.UNDER_DEMAND)
            throw new TornadoRuntimeException(name + ": no transfer mode " + mode);
        for (Object a : checked(arrays))
            toDevice.put(a, mode);
    }

    public void transferToHost(int mode, Object... arrays) {
        for (Object a : checked(arrays))
            toHost.put(a, mode);
    }

    public void persist(Object... arrays) {
        for (Object a : checked(arrays))
            persisted.put(a, true);
    }

    public void consume(String graph, Object... arrays) {
        for (Object a : checked(arrays))
            consumed.put(a, graph);
    }

    private Object[] checked(Object[] arrays) {
        if (frozen)
            throw new TornadoRuntimeException(name + " is frozen by snapshot()");
        for (Object a : arrays)
            if (!(a instanceof TornadoNativeArray))
                throw new TornadoRuntimeException(name + ": " + a + " is not a device array");
        return arrays;
    }

    public void task(String id, Serializable code, Call call, Object... arguments) {
        KernelCode kernel = KernelCode.of(code);
        add(id, kernel.name(), kernel::access, call, arguments, null);
    }

    public void library(String id, LibraryTaskDescriptor d) {
        Access[] access = d.getAccess();
        add(id, d.getFunctionName(), i -> switch (access[i]) {
            case NONE -> KernelCode.Access.NONE;
            case READ_ONLY -> KernelCode.Access.READ;
            case WRITE_ONLY -> KernelCode.Access.WRITE;
            case READ_WRITE -> KernelCode.Access.READ_WRITE;
        }, _ -> {
        }, d.getParameters(), d);
    }

    private void add(String id, String code, IntFunction<KernelCode.Access> access, Call call, Object[] arguments,
            @Nullable LibraryTaskDescriptor library) {
        checked(new Object[0]);
        for (Task t : tasks)
            if (t.id.equals(id))
                throw new TornadoRuntimeException(name + ": two tasks are named " + id);
        for (int i = 0; i < arguments.length; i++) {
            Object a = arguments[i];
            if (!(a instanceof TornadoNativeArray || a instanceof KernelContext || a instanceof Integer
                    || a instanceof Float || a instanceof Long || a instanceof Double))
                throw new TornadoRuntimeException(
                        name + "." + id + ": argument " + i + " is neither a device array nor "
                                + "an int, float, long or double: " + (a == null ? "null" : a.getClass().getName()));
        }
        requireEnd(id, access, arguments);
        described += 15 + 5 * arguments.length;
        if (described > DESCRIPTION_BYTES)
            throw new TornadoRuntimeException(name + ": too many tasks; a graph describes them in " + DESCRIPTION_BYTES
                    + " bytes, 15 per task and 5 per argument");
        tasks.add(new Task(id, code, access, call, arguments.clone(), library));
    }

    /// TornadoVM 5.2 makes whatever follows a written argument wait for the task, and never returns if that is an argument of
    /// the same task.
    @SuppressWarnings("ReferenceEquality") // identity, not contents
    private void requireEnd(String id, IntFunction<KernelCode.Access> access, Object[] arguments) {
        for (int i = 0; i < arguments.length; i++)
            if (arguments[i] instanceof TornadoNativeArray && access.apply(i).writes())
                for (int j = i + 1; j < arguments.length; j++)
                    if (arguments[j] == arguments[i])
                        throw new TornadoRuntimeException(name + "." + id + ": argument " + j
                                + " is the array that argument "
                                + i + " is written to; TornadoVM would wait for ever. Pass what is written last");
    }

    public Graph snapshot() {
        if (tasks.isEmpty())
            throw new TornadoRuntimeException(name + " has no task");
        Graph g = new Graph(name);
        g.tasks.addAll(tasks);
        g.toDevice.putAll(toDevice);
        g.toHost.putAll(toHost);
        g.persisted.putAll(persisted);
        g.consumed.putAll(consumed);
        g.frozen = true;
        return g;
    }

    /// Nodes of the graph that TornadoVM 5.2 builds from this one, counted as its `TornadoGraphBuilder` makes them: one for each
    /// constant, array and context; two for the device; one for each task and for each array that a task writes; two for each
    /// array that a task uses or that is copied to the device; one for each copied to the host.
    int nodes() {
        Set<Object> constants = new HashSet<>();
        Set<Object> objects = Collections.newSetFromMap(new IdentityHashMap<>());
        Set<Object> used = Collections.newSetFromMap(new IdentityHashMap<>());
        Set<Object> written = Collections.newSetFromMap(new IdentityHashMap<>());
        objects.addAll(toDevice.keySet());
        objects.addAll(consumed.keySet());
        int nodes = 2;
        for (Task t : tasks) {
            nodes++;
            for (int i = 0; i < t.arguments.length; i++) {
                Object a = t.arguments[i];
                if (a instanceof Number)
                    constants.add(a);
                else {
                    objects.add(a);
                    if (used.add(a))
                        nodes += 2;
                    if (a instanceof TornadoNativeArray && t.access.apply(i).writes()) {
                        nodes++;
                        written.add(a);
                    }
                }
            }
        }
        for (Map.Entry<Object, Integer> e : toDevice.entrySet())
            if (e.getValue() == DataTransferMode.EVERY_EXECUTION && !used.contains(e.getKey()))
                nodes += 2;
        for (Map.Entry<Object, Integer> e : toHost.entrySet())
            if (e.getValue() != DataTransferMode.UNDER_DEMAND) {
                objects.add(e.getKey());
                if (written.contains(e.getKey()))
                    nodes++;
            }
        return nodes + constants.size() + objects.size();
    }

    /// The SDK finds out when it runs the graph.
    void requireNodes() {
        int nodes = nodes();
        if (nodes > NODES)
            throw new TornadoRuntimeException(
                    "unimplemented: Tornado Graph resize not implemented yet. (" + name + " has "
                            + nodes + " nodes, and there is room for " + NODES + ")");
    }

    List<Task> tasks() {
        return tasks;
    }

    Map<Object, Integer> toDevice() {
        return toDevice;
    }

    Map<Object, Integer> toHost() {
        return toHost;
    }

    Map<Object, String> consumed() {
        return consumed;
    }

    boolean persists(Object array) {
        return persisted.containsKey(array);
    }

    /// Every array that the graph names or uses.
    Set<Object> arrays() {
        Set<Object> all = Collections.newSetFromMap(new IdentityHashMap<>());
        all.addAll(toDevice.keySet());
        all.addAll(toHost.keySet());
        all.addAll(consumed.keySet());
        for (Task t : tasks)
            for (Object a : t.arguments)
                if (a instanceof TornadoNativeArray)
                    all.add(a);
        return all;
    }

    /// The access of the first task that reads or writes `array`; NONE if no task does.
    @SuppressWarnings("ReferenceEquality") // identity, not contents
    KernelCode.Access firstAccess(Object array) {
        for (Task t : tasks) {
            KernelCode.Access all = KernelCode.Access.NONE;
            for (int i = 0; i < t.arguments.length; i++)
                if (t.arguments[i] == array)
                    all = all.and(t.access.apply(i));
            if (all != KernelCode.Access.NONE)
                return all;
        }
        return KernelCode.Access.NONE;
    }

    /// Names of the tasks, sorted; for messages.
    @Override
    public String toString() {
        Set<String> ids = new TreeSet<>();
        for (Task t : tasks)
            ids.add(t.id);
        return "task graph " + name + " " + ids;
    }
}
