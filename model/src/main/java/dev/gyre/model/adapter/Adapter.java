package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// An adapter on a model: its options, the state of every module it sits on, and the model weights that are trained whole
/// with it (biases, `modules_to_save`).
public final class Adapter {
    private final AdapterOptions options;
    private final List<AdapterLayer> layers;
    private final List<Tensor> whole;
    private final List<String> warnings;
    private final Sites model;
    private final Map<String, HostData> replaced;
    private final List<PeftFile.Tensor> kept;

    /// @param whole model weights trained with it, named as in the model directory
    /// @param model the adapter is for
    public Adapter(AdapterOptions options, List<AdapterLayer> layers, List<Tensor> whole, List<String> warnings,
            Sites model) {
        this(options, layers, whole, warnings, model, Map.of(), List.of());
    }

    /// @param replaced as [#replaced]
    /// @param kept tensors of a PEFT file that are written again as they were read
    Adapter(AdapterOptions options, List<AdapterLayer> layers, List<Tensor> whole, List<String> warnings, Sites model,
            Map<String, HostData> replaced, List<PeftFile.Tensor> kept) {
        this.replaced = Collections.unmodifiableMap(replaced);
        this.kept = List.copyOf(kept);
        this.model = model;
        this.options = options;
        this.layers = List.copyOf(layers);
        this.whole = List.copyOf(whole);
        this.warnings = List.copyOf(warnings);
    }

    /// A fresh adapter on the modules of `model` that the options' targets match.
    ///
    /// @param seed of random initial values; one module's do not depend on which others are adapted
    public static Adapter create(AdapterOptions options, Sites model, long seed) {
        return create(options, model, seed, null);
    }

    /// @param base what methods that decompose the weights start from; the others need none
    public static Adapter create(AdapterOptions options, Sites model, long seed, @Nullable BaseWeights base) {
        return create(options, model,
                (name, values, decay, dims) -> new Tensor(name, values.get().clone(), decay, dims),
                (site, modules) -> new Fresh(site, model, modules, base,
                        new Random(seed ^ site.path().hashCode() * 0x9E3779B97F4A7C15L)));
    }

    /// An adapter of which only the shapes are known, to plan with.
    public static Adapter planned(AdapterOptions options, Sites model) {
        return create(options, model, (name, values, decay, dims) -> Tensor.planned(name, decay, dims),
                (site, modules) -> new Planned(site, model, modules));
    }

    private interface Sources {
        LayerSource of(Site site, int modules);
    }

    private static Adapter create(AdapterOptions options, Sites model, ModelTensors.Source whole, Sources sources) {
        List<AdapterLayer> out = new ArrayList<>();
        List<Site> sites = options.targets().on(model);
        List<String> misspelt = options.targets().unmatched(model);
        if (!misspelt.isEmpty())
            throw new InputException("targets " + misspelt + " match no module; the model has "
                    + model.adaptable().stream()
                            .map(i -> i.path().substring(i.path().lastIndexOf('.') + 1))
                            .collect(Collectors.toCollection(TreeSet::new)));
        List<String> idle = options.targets().idle(options.patterns(), model);
        if (!idle.isEmpty())
            throw new InputException(String.join("; ", idle));
        for (Site site : sites)
            out.add(layer(options, site, sources.of(site, sites.size())));
        return new Adapter(options, out, ModelTensors.of(options.targets(), sites, model, whole), List.of(), model);
    }

    static AdapterLayer layer(AdapterOptions options, Site site, LayerSource source) {
        Method<AdapterOptions> method = Methods.of(options);
        if (source.embedding() && !method.adaptsEmbedding())
            throw new InputException(
                    site.path() + ": " + options.method() + " adapts linear layers only; take the"
                            + " embedding out of the targets, or use oft");
        return method.layer(options, site, source);
    }

    /// Reads a PEFT adapter directory.
    ///
    /// @throws dev.gyre.model.files.FormatException when the directory is broken, incomplete, or for another model
    public static Adapter read(Path directory, Sites model) {
        return PeftDirectory.read(directory, model);
    }

    /// Writes a PEFT adapter directory (adapter_config.json, adapter_model.safetensors, for PSOFT also its factors), under
    /// another name first; an adapter that is there is replaced.
    ///
    /// @param baseModel what `base_model_name_or_path` says
    public void write(Path directory, String baseModel) {
        PeftDirectory.write(directory, this, baseModel);
    }

    public AdapterOptions options() {
        return options;
    }

    public List<AdapterLayer> modules() {
        return layers;
    }

    /// Model weights trained whole, named as in the model directory.
    public List<Tensor> whole() {
        return whole;
    }

    /// Frozen weights that it brings in place of the model's own, by name: the base of a PiSSA or OLoRA start, embeddings
    /// with trained tokens, copies of a resized embedding.
    public Map<String, HostData> replaced() {
        return replaced;
    }

    List<PeftFile.Tensor> kept() {
        return kept;
    }

    public Sites model() {
        return model;
    }

    /// Warnings about the files it was read from.
    public List<String> warnings() {
        return warnings;
    }

    /// All trainable tensors, named `module.parameter`.
    public List<Tensor> tensors() {
        List<Tensor> out = new ArrayList<>();
        for (AdapterLayer m : layers)
            out.addAll(m.tensors());
        out.addAll(whole);
        return Collections.unmodifiableList(out);
    }

    /// The name of one of its tensors in adapter_model.safetensors, without the prefix that all of them share.
    public String nameInFile(Tensor t) {
        return whole.contains(t)
                ? PeftDirectory.fileName(t.name(), layers.stream().map(AdapterLayer::module).toList())
                : t.name();
    }

    /// Number of trainable parameters.
    public long parameters() {
        return tensors().stream().mapToLong(Tensor::size).sum();
    }

    /// Draws the tensors of one module.
    private record Fresh(Site site, Sites model, int modules, @Nullable BaseWeights base, Random random)
            implements LayerSource {
        @Override
        public Tensor tensor(String name, Init init, int... dims) {
            Tensor t = Tensor.zeros(site.path() + "." + name, !name.endsWith(".bias"), dims);
            for (int i = 0; i < t.size(); i++)
                t.values()[i] = (float) init.at(i);
            return t;
        }

        @Override
        public float[] frozen(String name, Supplier<float[]> values, int... dims) {
            return values.get();
        }

        @Override
        public HostData weight() {
            return model.data(model.weight(site));
        }

        @Override
        public boolean embedding() {
            return site.equals(model.embedding());
        }

        @Override
        public double normal() {
            return random.nextGaussian();
        }

        @Override
        public double uniform() {
            return random.nextDouble();
        }
    }

    private record Planned(Site site, Sites model, int modules) implements LayerSource {
        @Override
        public Tensor tensor(String name, Init init, int... dims) {
            return Tensor.planned(site.path() + "." + name, !name.endsWith(".bias"), dims);
        }

        @Override
        public float[] frozen(String name, Supplier<float[]> values, int... dims) {
            int n = 1;
            for (int d : dims)
                n = Math.multiplyExact(n, d);
            return new float[n];
        }

        @Override
        public HostData weight() {
            throw new IllegalStateException(site.path() + ": a planned model has no weights");
        }

        @Override
        public boolean embedding() {
            return site.equals(model.embedding());
        }
    }
}
