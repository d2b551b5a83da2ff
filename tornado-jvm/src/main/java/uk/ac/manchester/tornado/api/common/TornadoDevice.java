package uk.ac.manchester.tornado.api.common;

import uk.ac.manchester.tornado.api.enums.TornadoDeviceType;
import uk.ac.manchester.tornado.api.enums.TornadoVMBackendType;

/// A device that runs task graphs.
public interface TornadoDevice {
    String getDeviceName();

    String getDescription();

    String getPlatformName();

    TornadoDeviceType getDeviceType();

    /// Bytes of the device's memory.
    long getMaxGlobalMemory();

    /// Bytes of the largest array.
    long getMaxAllocMemory();

    /// Bytes of memory that a work group shares.
    long getDeviceLocalMemorySize();

    TornadoVMBackendType getTornadoVMBackend();
}
