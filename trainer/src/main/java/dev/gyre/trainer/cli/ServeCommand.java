package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.PlannedModel;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Interrupt;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.serve.ApiServer;
import dev.gyre.trainer.serve.ServeMemory;
import dev.gyre.trainer.serve.ServeOptions;
import dev.gyre.trainer.serve.Served;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre serve`: a model, with adapters to choose from, for other programs.
@Command(name = "serve",
        description = "Serve a model to other programs under the paths of OpenAI's API (/v1/chat/completions, /v1/completions, /v1/models), with a chat page at /, /health and /metrics for Prometheus. Adapters on one base are chosen by the request's model name; requests are answered together. Ctrl-C answers what was asked, then ends.")
final class ServeCommand extends GyreCommand {
    private static final int LOOKS_MILLIS = 50;

    @Parameters(index = "0", paramLabel = "MODEL",
            description = "Hugging Face model directory, a name of its hub such as Qwen/Qwen3-0.6B, or a run directory (its base model with the adapter it made).")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path model;

    @Option(names = "--adapter", paramLabel = "NAME=DIR",
            description = "Adapter on the base (PEFT layout, or a run directory) that requests choose as model NAME; may be repeated.")
    Map<String, Path> adapters = new LinkedHashMap<>();

    @Option(names = "--host", defaultValue = "127.0.0.1", paramLabel = "HOST",
            description = "Address to listen at (default: ${DEFAULT-VALUE}, this machine only). One that other machines reach needs --api-key.")
    String host = "127.0.0.1";

    @Option(names = "--port", defaultValue = "" + ServeOptions.PORT, paramLabel = "N",
            description = "Default: ${DEFAULT-VALUE}; 0 takes a free one.")
    int port;

    @Option(names = "--api-key", paramLabel = "KEY", defaultValue = "${env:GYRE_API_KEY:-}",
            description = "Key that requests must bring (Authorization: Bearer KEY). Default: the environment variable GYRE_API_KEY, which other users of the machine cannot see; if that is not set, none.")
    String key = "";

    @Option(names = "--slots", defaultValue = "" + ServeOptions.SLOTS, paramLabel = "N",
            description = "Requests answered together (default: ${DEFAULT-VALUE}).")
    int slots;

    @Option(names = "--context", paramLabel = "N",
            description = "Longest prompt and answer together, in tokens (default: " + ServeOptions.CONTEXT
                    + ", or the model's own if that is shorter). Each slot has memory for so many.")
    @Nullable
    Integer context;

    @Option(names = "--queue", defaultValue = "" + ServeOptions.QUEUE, paramLabel = "N",
            description = "Requests that may wait for a slot; more are told to try again, status 429 (default: ${DEFAULT-VALUE}).")
    int queue;

    @Option(names = {"-n", "--max-tokens"}, defaultValue = "" + ServeOptions.MAX_TOKENS, paramLabel = "N",
            description = "Tokens of an answer at most, where a request does not say (default: ${DEFAULT-VALUE}).")
    int most;

    @Option(names = "--timeout", defaultValue = "" + ServeOptions.TIMEOUT_SECONDS, paramLabel = "SECONDS",
            description = "Longest time for an answer, waiting included (default: ${DEFAULT-VALUE}).")
    int timeout;

    @Mixin
    SamplingArgs sampling = new SamplingArgs();

    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "auto",
            description = "cpu, cpu:THREADS, opencl:N, cuda:N, ptx:N, jvm or auto (default: ${DEFAULT-VALUE}).")
    String device = "auto";

    @Option(names = "--base", paramLabel = "BASE",
            description = "Store the model's weights as as_stored, f32, bf16, nf4 or nf4_double (default: a run's own, else as_stored).")
    @Nullable
    Storage base;

    @Option(names = "--date", paramLabel = "DATE",
            description = "What the chat template shows that asks for today's date, such as 2025-07-26 (default: a run's data.date, else none).")
    @Nullable
    String date;

    @Override
    protected int run() throws InterruptedException {
        for (var e : Map.of("--slots", slots, "--queue", queue, "--max-tokens", most, "--timeout", timeout, "--context",
                context == null ? 1 : context).entrySet())
            if (e.getValue() < 1)
                throw new UsageException(e.getKey() + " must be at least 1");
        sampling.sampler(1);
        ModelRef named = ModelRef.of(model, List.of());
        ModelRef ref = base == null ? named : new ModelRef(named.model(), named.adapters(), base);
        ServeOptions options;
        try (ModelDir files = ModelDir.open(ref.model())) {
            int longest = files.config().maxPositionEmbeddings();
            if (context != null && context > longest)
                throw new InputException("--context " + context + ": the model's context is " + longest);
            options = new ServeOptions(host, port, key.isEmpty() ? null : key, slots,
                    context != null ? context : Math.min(longest, ServeOptions.CONTEXT), queue, most,
                    sampling.temperature, sampling.topP, sampling.seed, timeout, 10, 20);
            options.check();
            // before a weight is read, without the adapters, which are small and not read yet
            memory(PlannedModel.of(files, ref.base()), List.of(List.of()), options)
                    .require(Runtime.getRuntime().maxMemory(), options.slots(), options.context());
        }
        try (ApiServer.Place place = ApiServer.take(options)) {
            serve(ref, place, options);
        }
        return ExitCode.OK;
    }

    private void serve(ModelRef ref, ApiServer.Place place, ServeOptions options) throws InterruptedException {
        Backend backend = Devices.open(device).backend();
        Served served = Served.load(ref, model, adapters, text(ref), backend, screen()::note);
        try (ModelDir files = ModelDir.open(ref.model())) {
            List<List<Adapter>> all = new ArrayList<>();
            served.models().forEach(m -> all.add(m.adapters()));
            ServeMemory m = memory(PlannedModel.of(files, ref.base()), all, options);
            m.require(Runtime.getRuntime().maxMemory(), options.slots(), options.context());
            screen().line("memory: " + Text.bytes(m.total()) + " at most, of which " + Text.bytes(m.weights())
                    + " weights, " + Text.bytes(m.cache()) + " cache of " + options.slots() + " slots of "
                    + options.context() + " tokens");
        }
        try (Interrupt end = Interrupt.ofServer(screen());
                ApiServer server = ApiServer.open(place, served, backend)) {
            screen().result("serving " + String.join(", ", served.names()) + " at " + server.address()
                    + "v1 (Ctrl-C ends it)");
            while (!end.requested()) {
                Thread.sleep(LOOKS_MILLIS);
                // else the heap would grow to its limit before anything is collected
                HeapTrim.collect(ServeMemory.LEFT);
            }
            if (!server.drain(Duration.ofSeconds(timeout)))
                screen().note("some answers were cut off: they took longer than --timeout " + timeout + " seconds");
        }
    }

    private static ServeMemory memory(PlannedModel model, List<List<Adapter>> models, ServeOptions o) {
        int threads = Runtime.getRuntime().availableProcessors();
        return ServeMemory.of(model, models, o.slots(), o.context(), o.queue(), threads,
                MemoryEstimate.beside(0, 0, threads));
    }

    private ModelText text(ModelRef ref) {
        LocalDateTime day;
        try {
            day = date != null ? RunConfig.Data.day(date)
                    : ModelRef.date(Stream.concat(Stream.of(model), adapters.values().stream()).toList());
        } catch (DateTimeParseException e) {
            throw new UsageException("--date " + date + " is not a date; write 2025-07-26 or 2025-07-26T14:30:00");
        }
        return ModelText.load(ref.model(), day);
    }
}
