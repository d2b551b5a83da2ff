package dev.gyre.tornadojvm;

import uk.ac.manchester.tornado.api.TornadoBackend;
import uk.ac.manchester.tornado.api.TornadoRuntime;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.TornadoDeviceType;
import uk.ac.manchester.tornado.api.enums.TornadoVMBackendType;
import uk.ac.manchester.tornado.runtime.common.TornadoXPUDevice;
import uk.ac.manchester.tornado.runtime.library.spi.TornadoNativeStreamSupport;

/// One backend with one device: this JVM.
public enum JvmRuntime implements TornadoRuntime, TornadoBackend, TornadoXPUDevice, TornadoNativeStreamSupport {
    INSTANCE;

    /// Local memory of a work group in bytes, as on the smallest GPUs of interest.
    static final int LOCAL_MEMORY = 48 << 10;

    @Override
    public TornadoBackend getBackend(int index) {
        only(index, "backend");
        return this;
    }

    @Override
    public TornadoVMBackendType getBackendType(int index) {
        only(index, "backend");
        return TornadoVMBackendType.JAVA;
    }

    @Override
    public int getNumBackends() {
        return 1;
    }

    @Override
    public TornadoDevice getDefaultDevice() {
        return this;
    }

    @Override
    public int getNumDevices() {
        return 1;
    }

    @Override
    public TornadoDevice getDevice(int index) {
        only(index, "device");
        return this;
    }

    @Override
    public String getName() {
        return "jvm";
    }

    @Override
    public String getDeviceName() {
        return "jvm";
    }

    @Override
    public String getDescription() {
        return "JVM threads in place of a TornadoVM device";
    }

    @Override
    public String getPlatformName() {
        return "Gyre tornado-jvm";
    }

    @Override
    public TornadoDeviceType getDeviceType() {
        return TornadoDeviceType.CPU;
    }

    @Override
    public long getMaxGlobalMemory() {
        return Runtime.getRuntime().maxMemory();
    }

    @Override
    public long getMaxAllocMemory() {
        return getMaxGlobalMemory();
    }

    @Override
    public long getDeviceLocalMemorySize() {
        return LOCAL_MEMORY;
    }

    @Override
    public TornadoVMBackendType getTornadoVMBackend() {
        return TornadoVMBackendType.JAVA;
    }

    /// Libraries run at once, in the calling thread.
    @Override
    public long getNativeStream(long executionPlanId) {
        return 0;
    }

    @Override
    public long getNativeContext(long executionPlanId) {
        return 0;
    }

    private static void only(int index, String what) {
        if (index != 0)
            throw new IndexOutOfBoundsException(what + " " + index + ": there is only 0 without a TornadoVM SDK");
    }
}
