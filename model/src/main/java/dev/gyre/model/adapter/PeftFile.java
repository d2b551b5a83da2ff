package dev.gyre.model.adapter;

import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.options.Names;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// A PEFT adapter directory: `adapter_config.json` and `adapter_model.safetensors`. Tensors are named here as in the
/// causal-LM model, `model.layers.0.mlp.up_proj.oft_R.weight`; in the file, each name begins with `base_model.model.`.
public final class PeftFile {
    public static final String WEIGHTS = "adapter_model.safetensors";
    private static final String PREFIX = "base_model.model.";

    private final Path directory;
    private final PeftConfig config;
    private final Map<String, Tensor> tensors;
    private final Map<String, Tensor> frozen;
    private final List<String> warnings;

    private PeftFile(Path directory, PeftConfig config, Map<String, Tensor> tensors, Map<String, Tensor> frozen,
            List<String> warnings) {
        this.directory = directory;
        this.config = config;
        this.tensors = Collections.unmodifiableMap(tensors);
        this.frozen = Collections.unmodifiableMap(frozen);
        this.warnings = List.copyOf(warnings);
    }

    /// Numbers of one tensor, row-major; the array is not copied.
    public static final class Tensor {
        public final String name;
        public final float[] values;
        private final long[] shape;

        public Tensor(String name, float[] values, long... shape) {
            this.name = name;
            this.values = values;
            this.shape = shape.clone();
        }

        public List<Long> shape() {
            return java.util.Arrays.stream(shape).boxed().toList();
        }

        public int[] dims() {
            return java.util.Arrays.stream(shape).mapToInt(Math::toIntExact).toArray();
        }
    }

    /// Opens an adapter directory, or the adapter in its only sub-folder: an adapter that is not named "default" is
    /// saved in a folder of its name.
    public static PeftFile open(Path directory) {
        Path found = find(directory);
        PeftConfig config = PeftConfig.read(found.resolve(PeftConfig.FILE));
        List<String> warnings = new ArrayList<>(config.warnings());
        Path weights = found.resolve(WEIGHTS);
        if (!Files.exists(weights) && Files.exists(found.resolve("adapter_model.bin")))
            throw new FormatException(found,
                    "has its weights in adapter_model.bin; Gyre reads safetensors only, save the"
                            + " adapter again with a current PEFT");
        Map<String, Tensor> tensors = new TreeMap<>();
        try (SafeTensors file = SafeTensors.open(weights)) {
            for (String key : file.names()) {
                if (key.contains(".oft_r."))
                    throw new FormatException(weights, "tensor '" + key + "' has the layout of PEFT before 0.14, which"
                            + " means something else; train the adapter again");
                if (!key.startsWith(PREFIX))
                    throw new FormatException(weights, "tensor '" + key + "' does not start with '" + PREFIX
                            + "'; expected an adapter of a causal language model");
                String name = key.substring(PREFIX.length());
                tensors.put(name, tensor(weights, file, key, name));
            }
        }
        Map<String, Tensor> frozen = new TreeMap<>();
        String second = config.form().frozenFile();
        if (second != null && Files.exists(found.resolve(second)))
            try (SafeTensors file = SafeTensors.open(found.resolve(second))) {
                file.names().forEach(n -> frozen.put(n, tensor(found.resolve(second), file, n, n)));
            }
        return new PeftFile(found, config, tensors, frozen, warnings);
    }

    /// Of an adapter that holds NaN, as after a run that diverged, nothing good can be made.
    private static Tensor tensor(Path path, SafeTensors file, String key, String name) {
        float[] values = file.f32(key);
        for (float v : values)
            if (!Float.isFinite(v))
                throw new FormatException(path, "tensor '" + key + "' holds " + v
                        + "; the adapter is of a run that diverged, or damaged: take one of an earlier checkpoint");
        return new Tensor(name, values,
                file.info(key).shape().stream().mapToLong(Long::longValue).toArray());
    }

    private static Path find(Path directory) {
        if (!Files.isDirectory(directory))
            throw new FormatException(directory,
                    "no such directory; give a PEFT adapter directory with " + PeftConfig.FILE);
        if (Files.exists(directory.resolve(PeftConfig.FILE)))
            return directory;
        try (var entries = Files.list(directory)) {
            List<Path> found = entries.filter(d -> Files.exists(d.resolve(PeftConfig.FILE))).sorted().toList();
            if (found.size() == 1)
                return found.getFirst();
            throw new FormatException(directory, found.isEmpty() ? "has no " + PeftConfig.FILE
                    + "; give a PEFT adapter directory"
                    : "holds several adapters, give one of "
                            + String.join(", ", found.stream().map(d -> d.getFileName().toString()).toList()));
        } catch (IOException e) {
            throw FormatException.unreadable(directory, e);
        }
    }

    /// Where the adapter was found.
    public Path directory() {
        return directory;
    }

    public PeftConfig config() {
        return config;
    }

    /// Every tensor of the file, by its name in the model.
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /// Tensors of the method's second file, if the directory has it.
    public Map<String, Tensor> frozen() {
        return frozen;
    }

    public List<String> warnings() {
        return warnings;
    }

    /// The tensor of a parameter, checked against the shape it must have.
    public Tensor tensor(String name, long... shape) {
        Tensor t = tensors.get(name);
        if (t == null)
            throw new FormatException(directory.resolve(WEIGHTS), "tensor '" + PREFIX + name
                    + "' is missing; the adapter is incomplete or for another model");
        if (!t.shape().equals(java.util.Arrays.stream(shape).boxed().toList()))
            throw t.shape().size() == 2 && shape.length == 2 && t.shape().get(1) == shape[1]
                    && (name.startsWith(ModelConfig.HEAD + ".") || name.startsWith(ModelConfig.EMBEDDING + "."))
                            ? resized(name, t.shape().get(0), shape[0])
                            : new FormatException(directory.resolve(WEIGHTS),
                                    "tensor '" + PREFIX + name + "' has shape "
                                            + text(t.shape()) + ", expected "
                                            + text(java.util.Arrays.stream(shape).boxed().toList())
                                            + "; the adapter belongs to another model or configuration");
        return t;
    }

    private FormatException resized(String name, long rows, long vocabulary) {
        return new FormatException(directory.resolve(WEIGHTS), "tensor '" + PREFIX + name + "' has a vocabulary of "
                + rows + ", the model one of " + vocabulary + "; give the model with the resized vocabulary, which in"
                + " Python model.resize_token_embeddings(" + rows + ") and model.save_pretrained(DIR) write");
    }

    static String text(List<Long> shape) {
        return shape.stream().map(String::valueOf).collect(Collectors.joining(", ", "(", ")"));
    }

    /// Modules that have parameters of the method in the file, in name order.
    public List<String> modules() {
        Set<String> modules = new LinkedHashSet<>();
        for (String name : tensors.keySet()) {
            String m = module(name, config.form().parameters());
            if (m != null)
                modules.add(m);
        }
        return List.copyOf(modules);
    }

    private static @Nullable String module(String tensor, List<String> parameters) {
        for (String p : parameters)
            if (tensor.endsWith("." + p))
                return tensor.substring(0, tensor.length() - p.length() - 1);
        return null;
    }

    /// Fails unless the tensors are exactly `expected` (names in the model).
    public void requireOnly(Set<String> expected) {
        Path file = directory.resolve(WEIGHTS);
        for (String name : expected)
            if (!tensors.containsKey(name))
                throw new FormatException(file,
                        "tensor '" + PREFIX + name + "' is missing; the adapter is incomplete or"
                                + " for another model");
        for (String name : tensors.keySet())
            if (!expected.contains(name))
                throw new FormatException(file, "tensor '" + PREFIX + name + "' belongs to no adapted module of this"
                        + " model; check target_modules, modules_to_save and the base model");
    }

    /// Writes an adapter directory aside and renames it; an adapter that is there is replaced, anything else is not.
    /// `all-linear` is written as the list of the modules that the tensors name, as PEFT does.
    public static void write(Path directory, PeftConfig config, Collection<Tensor> tensors) {
        write(directory, config, tensors, List.of());
    }

    /// @param frozen tensors of the method's second file ([PeftForm#frozenFile]), if any
    public static void write(Path directory, PeftConfig config, Collection<Tensor> tensors, Collection<Tensor> frozen) {
        PeftConfig expanded = config;
        Targets targets = config.options().targets();
        if (targets.targets().isAllLinear()) {
            Set<String> modules = new LinkedHashSet<>();
            for (Tensor t : tensors) {
                String m = module(t.name, config.form().parameters());
                if (m != null)
                    modules.add(m);
            }
            expanded = config.with(new Targets(new Names(List.copyOf(modules), null), targets.exclude(), targets.bias(),
                    List.of(), List.of(), targets.modulesToSave(), targets.tokens(), targets.tied()));
        }
        String json = Json.pretty(expanded.toJson()).strip();
        String second = config.form().frozenFile();
        AtomicFiles.DirectoryBody body = aside -> {
            Files.writeString(aside.resolve(PeftConfig.FILE), json);
            writeTensors(aside.resolve(WEIGHTS), PREFIX, tensors);
            if (second != null && !frozen.isEmpty())
                writeTensors(aside.resolve(second), "", frozen);
        };
        if (Files.exists(directory.resolve(PeftConfig.FILE)))
            AtomicFiles.replaceDirectory(directory, body);
        else
            AtomicFiles.createDirectory(directory, body);
    }

    private static void writeTensors(Path file, String prefix, Collection<Tensor> tensors) {
        var writer = new SafeTensorsWriter();
        for (Tensor t : tensors)
            writer.f32(prefix + t.name, t.values, t.shape);
        writer.write(file);
    }
}
