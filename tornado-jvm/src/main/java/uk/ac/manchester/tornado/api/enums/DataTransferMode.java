package uk.ac.manchester.tornado.api.enums;

/// When an array is copied between host and device. Plain ints, as in the SDK.
public final class DataTransferMode {
    /// With the first execution of the graph only.
    public static final int FIRST_EXECUTION = 0;
    /// With every execution.
    public static final int EVERY_EXECUTION = 1;
    /// Only when a result is asked for it.
    public static final int UNDER_DEMAND = 2;

    private DataTransferMode() {
    }
}
