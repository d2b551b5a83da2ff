package dev.gyre.model.adapter;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/// Adapters as PEFT directories.
final class PeftDirectory {
    private PeftDirectory() {
    }

    static Adapter read(Path directory, Sites model) {
        PeftFile file = PeftFile.open(directory);
        PeftForm<AdapterOptions> form = file.config().form();
        file.config().requireTask(file.directory(), model.taskType());
        List<String> warnings = new ArrayList<>(file.warnings());
        AdapterOptions options = form.corrected(file.config().options(), file, warnings);
        List<Site> sites = options.targets().on(model);
        // one list for models of several kinds is usual
        List<String> idle = options.targets().unmatched(model);
        if (!idle.isEmpty())
            warnings.add(file.directory() + ": target_modules " + idle + " match no module of this model");
        for (String unused : options.targets().withoutUsualHeads(model).idle(options.patterns(), model))
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
        var own = new Replaced(file, model, new LinkedHashMap<>(), new ArrayList<>(), read, warnings);
        for (int i = 0; i < sites.size(); i++) {
            float[] base = modules.get(i).ownBase();
            if (base != null)
                own.weights.put(model.weight(sites.get(i)), new HostData.F32(base));
        }
        for (Site site : ends(model))
            own.copies(site, adapted);
        options.targets().tokens().forEach(own::tokens);
        file.requireOnly(read);
        return new Adapter(options, modules, whole, warnings, model, own.weights, own.kept);
    }

    /// Token embedding and output head.
    private static List<Site> ends(Sites model) {
        return model.adaptable().stream().filter(s -> keepsBase(s.path())).toList();
    }

    /// Collects what the adapter brings in place of frozen weights of the model.
    ///
    /// @param kept tensors to write again
    /// @param read names of the tensors that were read
    private record Replaced(PeftFile file, Sites model, Map<String, HostData> weights, List<PeftFile.Tensor> kept,
            Set<String> read, List<String> warnings) {
        private HostData weight(Site site) {
            HostData own = weights.get(model.weight(site));
            return own != null ? own : model.data(model.weight(site));
        }

        /// Copies of embedding and head, which PEFT writes with `save_embedding_layers` or after the vocabulary was resized,
        /// and loads over the model's. Those that say the same, up to the rounding of 16 bits, are passed over.
        void copies(Site site, List<String> adapted) {
            for (String below : List.of(".weight", ".base_layer.weight", ".token_adapter.base_layer.weight")) {
                String key = site.path() + below;
                if (!file.tensors().containsKey(key) || !read.add(key))
                    continue;
                float[] now = weight(site).floats();
                PeftFile.Tensor copy = file.tensor(key, now.length / site.in(), site.in());
                if (same(copy.values, now))
                    continue;
                if (ModelTensors.tiesHead(model) && site.path().equals(ModelConfig.HEAD)
                        && !file.config().options().targets().tied())
                    throw new FormatException(file.directory().resolve(PeftFile.WEIGHTS), "tensor 'base_model.model."
                            + key + "' differs from the embedding, to which the model ties it (tie_word_embeddings);"
                            + " fold the adapter in with PEFT (merge_and_unload) and take that model");
                if (ModelTensors.tiesHead(model) && site.path().equals(ModelConfig.HEAD))
                    continue;
                weights.put(model.weight(site), new HostData.F32(copy.values));
                warnings.add(file.directory() + ": " + key + " differs from the model's own and takes its place, as in"
                        + " PEFT");
                if (!adapted.contains(site.path()))
                    kept.add(copy);
            }
        }

        /// Rows of an embedding or head that were trained (`trainable_token_indices`).
        void tokens(String module, List<Integer> ids) {
            Path config = file.directory().resolve(PeftConfig.FILE);
            List<Site> found = ends(model).stream().filter(s -> s.path().endsWith(module)).toList();
            if (found.size() != 1)
                throw new FormatException(config, "trainable_token_indices names '" + module + "', which is neither the"
                        + " embedding nor the output head; fold the adapter in with PEFT (merge_and_unload)");
            Site site = found.getFirst();
            if (ModelTensors.tiesHead(model)) {
                Map<String, List<Integer>> all = file.config().options().targets().tokens();
                if (!all.values().stream().allMatch(ids::equals)
                        || all.keySet().stream().noneMatch(ModelConfig.EMBEDDING::endsWith))
                    throw new FormatException(config,
                            "trainable_token_indices trains other tokens of the output head than"
                                    + " of the embedding, to which the model ties it (tie_word_embeddings); fold the adapter in"
                                    + " with PEFT (merge_and_unload)");
                if (!site.equals(model.embedding()))
                    return;
            }
            String key = site.path() + ".token_adapter.trainable_tokens_delta";
            float[] table = weight(site).floats().clone();
            int C = site.in();
            PeftFile.Tensor rows = file.tensor(key, ids.size(), C);
            read.add(key);
            kept.add(rows);
            for (int i = 0; i < ids.size(); i++) {
                int id = ids.get(i);
                if (id < 0 || id >= table.length / C)
                    throw new FormatException(config, "trainable_token_indices names token " + id + ", the model has "
                            + table.length / C + "; give the model with the resized vocabulary, which in Python"
                            + " model.resize_token_embeddings and model.save_pretrained(DIR) write");
                System.arraycopy(rows.values, i * C, table, id * C, C);
            }
            weights.put(model.weight(site), new HostData.F32(table));
            warnings.add(
                    file.directory() + ": its trained tokens (trainable_token_indices) are used as they are and not"
                            + " trained further");
        }
    }

    private static boolean same(float[] copy, float[] model) {
        for (int i = 0; i < copy.length; i++)
            if (!(Math.abs(copy[i] - model[i]) <= 0x1p-8f * Math.abs(model[i]) + 0x1p-24f))
                return false;
        return true;
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
            return new Tensor(key, file.tensor(key, wide(dims)).values, !name.endsWith(".bias"), dims);
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
        public boolean embedding() {
            return site.equals(model.embedding());
        }
    }

    /// PEFT saves a copy of the weight of an adapted embedding or output head (its `save_embedding_layers`).
    private static boolean keepsBase(String module) {
        return module.endsWith("embed_tokens") || module.equals("lm_head");
    }

    /// The copy, in 32 bits.
    private static PeftFile.Tensor base(Adapter adapter, String module) {
        Sites model = adapter.model();
        Site site = ends(model).stream().filter(i -> i.path().equals(module)).findFirst().orElseThrow();
        HostData own = adapter.replaced().get(model.weight(site));
        float[] values = (own != null ? own : model.data(model.weight(site))).floats();
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
                tensors.add(base(adapter, m.module()));
            for (Tensor t : m.frozen())
                frozen.add(tensor(t.name(), t));
        }
        for (Tensor t : adapter.whole())
            tensors.add(tensor(fileName(t.name(), adapted), t));
        if (adapter.options().targets().tied() && ModelTensors.tiesHead(adapter.model()))
            // PEFT writes the module under both names
            for (Tensor t : adapter.whole())
                if (t.name().equals(ModelConfig.EMBEDDING + ".weight"))
                    tensors.add(tensor(ModelConfig.HEAD + ".weight", t));
        tensors.addAll(adapter.kept());
        PeftFile.write(directory, PeftConfig
                .of(Methods.of(adapter.options()).peft().described(adapter.options(), adapter.modules()), baseModel)
                .task(adapter.model().taskType()),
                tensors, frozen);
    }

    private static PeftFile.Tensor tensor(String name, Tensor t) {
        return new PeftFile.Tensor(name, t.values(), wide(t.dims()));
    }

    /// Biases of adapted modules are named below PEFT's wrapper: `module.base_layer.bias`.
    static String fileName(String weight, List<String> adapted) {
        if (weight.equals(ModelConfig.EMBEDDING_APART))
            return ModelConfig.EMBEDDING + ".weight";
        int dot = weight.lastIndexOf('.');
        String module = weight.substring(0, dot);
        return adapted.contains(module) ? module + ".base_layer" + weight.substring(dot) : weight;
    }
}
