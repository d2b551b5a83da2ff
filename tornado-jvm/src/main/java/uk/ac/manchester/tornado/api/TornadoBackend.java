package uk.ac.manchester.tornado.api;

import uk.ac.manchester.tornado.api.common.TornadoDevice;

/// The devices of one code generator.
public interface TornadoBackend {
    int getNumDevices();

    TornadoDevice getDevice(int index);

    String getName();
}
