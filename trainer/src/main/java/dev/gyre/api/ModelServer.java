package dev.gyre.api;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.format.ModelDir;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.serve.ApiServer;
import dev.gyre.trainer.serve.ServeOptions;
import dev.gyre.trainer.serve.Served;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// A model served under the paths of OpenAI's API, as `gyre serve` does, by the program that runs it.
///
/// ```java
/// try (ModelServer server = ModelServer.start(Path.of("runs/mine"), Map.of("polite", Path.of("runs/polite")), 8080)) {
///     String base = server.address() + "v1";             // what a client library takes as its base URL
///     ...
/// }
/// ```
///
/// It listens on this machine only and takes requests from any number of threads; answers are made together. To let other
/// machines connect, use `gyre serve` with a key, or put a proxy in front.
public final class ModelServer implements AutoCloseable {
    private final ApiServer server;
    private final List<String> names;

    private ModelServer(ApiServer server, List<String> names) {
        this.server = server;
        this.names = names;
    }

    /// Reads a model and adapters and begins to answer, on the CPU with 8 sequences at once.
    ///
    /// @param model a Hugging Face model directory, a name in the hub's cache, or a run directory
    /// @param adapters on the base, by the name that requests choose them by: PEFT directories or run directories
    /// @param port 0: any that is free
    /// @return the server
    public static ModelServer start(Path model, Map<String, Path> adapters, int port) {
        return start(model, adapters, port, "cpu", ServeOptions.SLOTS, ServeOptions.CONTEXT, null);
    }

    /// Reads a model and adapters and begins to answer.
    ///
    /// @param model a Hugging Face model directory, a name in the hub's cache, or a run directory
    /// @param adapters on the base, by the name that requests choose them by: PEFT directories or run directories
    /// @param port 0: any that is free
    /// @param device `cpu`, `cpu:THREADS`, or a TornadoVM device: `opencl:0`, `cuda:0`, `ptx:0`, `jvm`
    /// @param slots sequences answered together
    /// @param context longest prompt and answer together, in tokens; the model's own if that is shorter
    /// @param key that requests must bring; null: none
    /// @return the server
    public static ModelServer start(Path model, Map<String, Path> adapters, int port, String device, int slots,
            int context, @Nullable String key) {
        ModelRef ref = ModelRef.of(model, List.of());
        int positions;
        try (ModelDir files = ModelDir.open(ref.model())) {
            positions = Math.min(context, files.config().maxPositionEmbeddings());
        }
        ApiServer.Place place = ApiServer.take(ServeOptions.local(port, slots, positions).withKey(key));
        try {
            ModelText text = ModelText.load(ref.model(),
                    ModelRef.date(Stream.concat(Stream.of(model), adapters.values().stream()).toList()));
            Backend backend = Devices.open(device).backend();
            Served served = Served.load(ref, model, new LinkedHashMap<>(adapters), text, backend, _ -> {
            });
            return new ModelServer(ApiServer.open(place, served, backend), served.names());
        } catch (RuntimeException | Error e) {
            place.close();
            throw e;
        }
    }

    /// Where it listens.
    ///
    /// @return `http://127.0.0.1:8080/`; client libraries take this with `v1` behind it
    public String address() {
        return server.address();
    }

    /// What can be asked.
    ///
    /// @return model names of requests: the run's where one was given, the base's, the adapters'
    public List<String> models() {
        return names;
    }

    /// Takes no more requests and waits until those that were taken are answered.
    ///
    /// @param most how long to wait; what is not answered then is cut off
    /// @return whether all were answered
    /// @throws InterruptedException if the thread is interrupted meanwhile
    public boolean drain(Duration most) throws InterruptedException {
        return server.drain(most);
    }

    @Override
    public void close() {
        server.close();
    }
}
