package uk.ac.manchester.tornado.runtime.library.spi;

import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.runtime.common.TornadoXPUDevice;

/// One call of a library task. An array is an argument twice: as the host's object, and as the address of its first element
/// on the device.
public final class LibraryInvocation {
    private final Object[] arguments;
    private final long[] pointers;
    private final boolean[] references;
    private final TornadoXPUDevice device;
    private final long plan;
    private final LibraryContext context;
    private final @Nullable Object tuning;

    public LibraryInvocation(Object[] javaArgs, long[] devicePointers, boolean[] isReference, TornadoXPUDevice device,
            long executionPlanId, LibraryContext context, @Nullable Object tuning) {
        this.arguments = javaArgs.clone();
        this.pointers = devicePointers.clone();
        this.references = isReference.clone();
        this.device = device;
        this.plan = executionPlanId;
        this.context = context;
        this.tuning = tuning;
    }

    public int getNumArgs() {
        return arguments.length;
    }

    /// A boxed scalar, or the host's array, whose elements are those of the host.
    public Object getArg(int index) {
        return arguments[index];
    }

    /// The address of the first element on the device, behind the array's header; 0 for scalars.
    public long getDevicePointer(int index) {
        return pointers[index];
    }

    public boolean isReference(int index) {
        return references[index];
    }

    public TornadoXPUDevice getDevice() {
        return device;
    }

    public long getExecutionPlanId() {
        return plan;
    }

    public LibraryContext getContext() {
        return context;
    }

    public @Nullable Object getTuning() {
        return tuning;
    }
}
