package uk.ac.manchester.tornado.api.runtime;

import dev.gyre.tornadojvm.JvmRuntime;
import uk.ac.manchester.tornado.api.TornadoRuntime;

/// Entry to the runtime.
public class TornadoRuntimeProvider {
    private TornadoRuntimeProvider() {
    }

    public static TornadoRuntime getTornadoRuntime() {
        return JvmRuntime.INSTANCE;
    }
}
