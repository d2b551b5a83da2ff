package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TuningSettings;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.record.Provenance;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// A model as a user names it: a model directory with adapter directories, or a run directory, which means its base
/// model with the adapter it made (or for the model it made).
///
/// @param model the model directory
/// @param adapters in the order of stacking, the first nearest to the input
/// @param base how the model's weights are stored; a run's adapter belongs to the base it was trained over
public record ModelRef(Path model, List<Path> adapters, Storage base) {
    public ModelRef {
        adapters = List.copyOf(adapters);
    }

    public ModelRef(Path model, List<Path> adapters) {
        this(model, adapters, Storage.AS_STORED);
    }

    /// @param named a model directory, a run directory, or a name of the Hugging Face hub
    /// @param adapters adapter directories, or run directories for their results
    public static ModelRef of(Path named, List<Path> adapters) {
        Path given = Hub.directory(named);
        ModelDir.require(given);
        List<Path> all = new ArrayList<>();
        Storage base = Storage.AS_STORED;
        Path model = given;
        if (isRun(given)) {
            Path made = given.resolve("model");
            if (Files.isDirectory(made))
                model = made;
            else {
                RunConfig.Model m = TuningSettings.of(given).model();
                model = m.directory();
                base = m.base();
                if (adapters.isEmpty())
                    all.add(result(given));
            }
        }
        for (Path a : adapters)
            all.add(isRun(a) ? result(a) : Hub.directory(a));
        return new ModelRef(model, all, base);
    }

    /// The same model with the named adapters switched off.
    ///
    /// @param off [#name]s or paths of adapters
    public ModelRef without(Collection<String> off) {
        List<Path> on = new ArrayList<>(adapters);
        for (String o : off)
            if (!on.removeIf(a -> name(a).equals(o) || a.equals(Path.of(o)) || a.equals(Path.of(o).resolve("adapter"))))
                throw new ConfigException("--off " + o + ": no such adapter; there are "
                        + (adapters.isEmpty() ? "none" : adapters.stream().map(ModelRef::name).distinct()
                                .collect(Collectors.joining(", "))));
        return new ModelRef(model, on, base);
    }

    /// What users call an adapter: the name of its folder, or of the run that holds it in a folder `adapter`.
    public static String name(Path adapter) {
        Path p = adapter.toAbsolutePath().normalize();
        Path parent = p.getParent();
        Path named = p.endsWith("adapter") && parent != null ? parent : p;
        Path last = named.getFileName();
        return last == null ? named.toString() : last.toString();
    }

    /// The date that chat templates showed in the first of the named runs that has one; null if there is none.
    public static @Nullable LocalDateTime date(List<Path> named) {
        for (Path p : named)
            if (isRun(p))
                try {
                    LocalDateTime date =
                            ConfigReader.read(p.resolve("run.yaml"), RunConfig.class, List.of()).data().day();
                    if (date != null)
                        return date;
                } catch (ConfigException e) {
                    // a run of gyre pretrain, which has no chat template
                }
        return null;
    }

    private static boolean isRun(Path p) {
        return Files.isRegularFile(p.resolve("run.yaml"));
    }

    private static Path result(Path run) {
        Path adapter = run.resolve("adapter");
        if (!Files.isDirectory(adapter))
            throw new FormatException(run, !Files.exists(run.resolve(Provenance.FILE))
                    ? "has a run.yaml, but no run was made here; name that file's output.dir"
                    : "has no adapter yet: the run is not finished; finish it with --resume, or name one of"
                            + " its checkpoints (--adapter " + run.resolve("checkpoint-N").resolve("adapter") + ")");
        return adapter;
    }

    /// Warnings about the files of a model directory.
    public static List<String> warnings(Path model) {
        try (ModelDir dir = ModelDir.open(model)) {
            return dir.warnings();
        }
    }

    /// Reads model and adapters, which are known to be in order.
    public Transformer load() {
        return load(_ -> {
        });
    }

    /// Reads model and adapters.
    ///
    /// @param warnings gets each warning about the files
    public Transformer load(Consumer<String> warnings) {
        return load(false, warnings);
    }

    /// Reads model and adapters, which are known to be in order, for sessions of this backend.
    public Transformer load(Backend backend) {
        return load(backend, _ -> {
        });
    }

    /// Reads model and adapters, for sessions of this backend.
    ///
    /// @param warnings gets each warning about the files
    public Transformer load(Backend backend, Consumer<String> warnings) {
        return load(staysInFiles(backend), warnings);
    }

    /// Whether weights stay in their files where they can: a device gets them from there piece by piece, and the host need not
    /// hold them.
    public static boolean staysInFiles(Backend backend) {
        return !(backend instanceof CpuBackend);
    }

    private Transformer load(boolean inFiles, Consumer<String> warnings) {
        Storage held = base;
        Transformer llama;
        try (ModelDir dir = ModelDir.open(model)) {
            dir.warnings().forEach(warnings);
            HeapTrim.collectAll();
            llama = Transformer.load(dir, held, inFiles);
        }
        for (Path a : adapters) {
            String name = name(a);
            Adapter adapter = Adapter.read(a, llama);
            adapter.warnings().forEach(warnings);
            // two folders may be called the same
            llama.attach(llama.adapterNames().contains(name) ? name + " (" + a + ")" : name, adapter);
        }
        return llama;
    }
}
