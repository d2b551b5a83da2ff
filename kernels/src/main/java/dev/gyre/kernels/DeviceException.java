package dev.gyre.kernels;

/// A device is missing, too small, refuses a kernel, or computes wrong results. The message says which, and what to do.
public final class DeviceException extends GyreException {
    private static final long serialVersionUID = 1L;

    public DeviceException(String message) {
        super(message);
    }

    public DeviceException(String message, Throwable cause) {
        super(message, cause);
    }
}
