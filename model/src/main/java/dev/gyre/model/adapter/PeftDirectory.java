package dev.gyre.model.adapter;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Adapters as PEFT directories.
final class PeftDirectory {
    private PeftDirectory() {
    }

    static Adapter read(Path directory, Sites model) {
        PeftFile file = PeftFile.open(directory);
        PeftForm<AdapterOptions> form = file.config().form();
        List<String> warnings = new ArrayList<>(file.warnings());
        AdapterOptions options = form.corrected(file.config().options(), file, warnings);
        List<Site> sites = options.targets().on(model);
        // one list for models of several kinds is usual
        List<String> idle = options.targets().unmatched(model);
        if (!idle.isEmpty())
            warnings.add(file.directory() + ": target_modules " + idle + " match no module of this model");
        for (String unused : options.targets().idle(options.patterns(), model))
            warnings.add(file.directory() + ": " + unused);
        Set<String> read = new LinkedHashSet<>();
        List<AdapterLayer> modules = new ArrayList<>();
        for (Site site : sites) {
            Stored source = new Stored(file, site, model, sites.size(), read);
            modules.add(Adapter.layer(form.fitted(options, site, source.embedding(), file), site, source));
        }
        List<String> adapted = sites.stream().map(Site::path).toList();
        List<Tensor> whole = ModelTensors.of(options.targets(), sites, model, (name, values, decay, dims) -> {
            String key = fileName(name, adapted);
            read.add(key);
            return new Tensor(name, file.tensor(key, wide(dims)).values, decay, dims);
        });
        for (Site site : sites)
            if (keepsBase(site.path()) && file.tensors().containsKey(site.path() + ".base_layer.weight")) {
                requireSameBase(file, base(model, site.path()));
                read.add(site.path() + ".base_layer.weight");
            }
        file.requireOnly(read);
        return new Adapter(options, modules, whole, warnings, model);
    }

    private static long[] wide(int... dims) {
        return Arrays.stream(dims).asLongStream().toArray();
    }

    /// Reads the tensors of one module.
    ///
    /// @param read collects the names of those that were asked for
    /// @param modules number of adapted modules
    private record Stored(PeftFile file, Site site, Sites model, int modules, Set<String> read)
            implements LayerSource {
        @Override
        public Tensor tensor(String name, Init init, int... dims) {
            String key = site.path() + "." + name;
            read.add(key);
            return new Tensor(key, file.tensor(key, wide(dims)).values, true, dims);
        }

        @Override
        public float[] frozen(String name, Supplier<float[]> values, int... dims) {
            if (file.frozen().isEmpty())
                return values.get();
            String key = site.path() + "." + name;
            PeftFile.Tensor t = file.frozen().get(key);
            List<Long> shape = Arrays.stream(dims).mapToObj(Long::valueOf).toList();
            if (t == null || !t.shape().equals(shape))
                throw new FormatException(file.directory().resolve(String.valueOf(file.config().form().frozenFile())),
                        "tensor '" + key + "' is " + (t == null ? "missing" : "of shape " + PeftFile.text(t.shape()))
                                + ", expected " + PeftFile.text(shape) + "; the file belongs to another adapter");
            return t.values;
        }

        @Override
        public HostData weight() {
            return model.data(model.weight(site));
        }

        @Override
        public @Nullable BaseWeights base() {
            return null;
        }

        @Override
        public boolean embedding() {
            return site.equals(model.embedding());
        }

        @Override
        public double normal() {
            return 0;
        }

        @Override
        public double uniform() {
            return 0;
        }
    }

    /// PEFT loads the file's copy over the model's weight. Gyre keeps the model's, which must therefore be the same, up to
    /// the rounding of a copy in 16 bits.
    private static void requireSameBase(PeftFile file, PeftFile.Tensor model) {
        float[] copy = file.tensor(model.name, model.shape().stream().mapToLong(Long::longValue).toArray()).values;
        for (int i = 0; i < copy.length; i++)
            if (!(Math.abs(copy[i] - model.values[i]) <= 0x1p-8f * Math.abs(model.values[i]) + 0x1p-24f))
                throw new FormatException(file.directory().resolve(PeftFile.WEIGHTS), "tensor 'base_model.model."
                        + model.name + "' differs from the model's own; give the model that the adapter was trained on"
                        + " (with its vocabulary and its embedding), or fold the adapter in with PEFT"
                        + " (merge_and_unload)");
    }

    /// PEFT saves a copy of the weight of an adapted embedding or output head (its `save_embedding_layers`).
    private static boolean keepsBase(String module) {
        return module.endsWith("embed_tokens") || module.equals("lm_head");
    }

    /// The copy, in 32 bits.
    private static PeftFile.Tensor base(Sites model, String module) {
        Site site = Stream.concat(Stream.of(model.embedding()), model.linears().stream())
                .filter(i -> i.path().equals(module)).findFirst().orElseThrow();
        HostData data = model.data(model.weight(site));
        float[] values = data.floats();
        return new PeftFile.Tensor(module + ".base_layer.weight", values, values.length / site.in(), site.in());
    }

    static void write(Path directory, Adapter adapter, String baseModel) {
        List<PeftFile.Tensor> tensors = new ArrayList<>();
        List<PeftFile.Tensor> frozen = new ArrayList<>();
        List<String> adapted = adapter.modules().stream().map(AdapterLayer::module).toList();
        for (AdapterLayer m : adapter.modules()) {
            for (Tensor t : m.portable())
                tensors.add(tensor(t.name(), t));
            if (keepsBase(m.module()))
                tensors.add(base(adapter.model(), m.module()));
            for (Tensor t : m.frozen())
                frozen.add(tensor(t.name(), t));
        }
        for (Tensor t : adapter.whole())
            tensors.add(tensor(fileName(t.name(), adapted), t));
        PeftFile.write(directory, PeftConfig
                .of(Methods.of(adapter.options()).peft().described(adapter.options(), adapter.modules()), baseModel),
                tensors, frozen);
    }

    private static PeftFile.Tensor tensor(String name, Tensor t) {
        return new PeftFile.Tensor(name, t.values(), wide(t.dims()));
    }

    /// Biases of adapted modules are named below PEFT's wrapper: `module.base_layer.bias`.
    static String fileName(String weight, List<String> adapted) {
        int dot = weight.lastIndexOf('.');
        String module = weight.substring(0, dot);
        return adapted.contains(module) ? module + ".base_layer" + weight.substring(dot) : weight;
    }
}
