package uk.ac.manchester.tornado.runtime.library.spi;

/// A device whose work is ordered by a stream of its driver, which libraries can use as well.
public interface TornadoNativeStreamSupport {
    /// The driver's handle of the stream (CUstream) of an execution plan.
    long getNativeStream(long executionPlanId);

    /// The driver's handle of the context (CUcontext) of an execution plan.
    long getNativeContext(long executionPlanId);
}
