package uk.ac.manchester.tornado.runtime.library.spi;

import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.runtime.common.TornadoXPUDevice;

/// Calls the functions of a native library for library tasks; found by [java.util.ServiceLoader].
public interface TornadoLibraryProvider {
    /// The name by which descriptors ask for it ([LibraryTaskDescriptor#getLibraryName]).
    String libraryName();

    boolean canHandle(TornadoXPUDevice device);

    /// Called once for a device and an execution plan, before the first task runs.
    LibraryContext createContext(TornadoXPUDevice device, long executionPlanId);

    /// Called before the tasks of a graph run, each time.
    default void prepare(LibraryTaskDescriptor descriptor, LibraryContext context) {
    }

    void dispatch(String functionName, LibraryInvocation invocation);

    void destroyContext(LibraryContext context);
}
