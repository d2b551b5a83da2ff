package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// An adapter on a model: its specification, the state of every module it sits on, and the model weights that are trained
/// whole beside it (biases, `modules_to_save`).
public final class Adapter {
    private final AdapterSpec spec;
    private final List<ModuleAdapter> modules;
    private final List<Tensor> whole;
    private final List<String> warnings;
    private final Sites model;

    /// @param model the adapter is for
    Adapter(AdapterSpec spec, List<ModuleAdapter> modules, List<Tensor> whole, List<String> warnings, Sites model) {
        this.model = model;
        this.spec = spec;
        this.modules = List.copyOf(modules);
        this.whole = List.copyOf(whole);
        this.warnings = List.copyOf(warnings);
    }

    /// A fresh adapter on the modules of `model` that the specification's targets match.
    ///
    /// @param seed of random initial values; one module's do not depend on which others are adapted
    public static Adapter create(AdapterSpec spec, Sites model, long seed) {
        return create(spec, model, seed, Factors.NONE);
    }

    /// @param factors where PSOFT's frozen factors come from; other methods have none
    public static Adapter create(AdapterSpec spec, Sites model, long seed, Factors factors) {
        List<ModuleAdapter> out = new ArrayList<>();
        List<Site> sites = spec.targets().on(model);
        List<String> misspelt = spec.targets().unmatched(model);
        if (!misspelt.isEmpty())
            throw new InputException("targets " + misspelt + " match no module; the model has "
                    + Stream.concat(Stream.of(model.embedding()), model.linears().stream())
                            .map(i -> i.path().substring(i.path().lastIndexOf('.') + 1))
                            .collect(Collectors.toCollection(TreeSet::new)));
        for (Site site : sites)
            out.add(Builder.build(spec, site, model, Builder.fresh(), factors,
                    new Random(seed ^ site.path().hashCode() * 0x9E3779B97F4A7C15L)));
        return new Adapter(spec, out, Builder.whole(spec, sites, model, Builder.fresh()), List.of(), model);
    }

    /// Reads a PEFT adapter directory.
    ///
    /// @throws dev.gyre.model.files.FormatException when the directory is broken, incomplete, or for another model
    public static Adapter read(Path directory, Sites model) {
        return PeftDirectory.read(directory, model, Factors.NONE);
    }

    /// @param recompute PSOFT's factors where the directory has none; the result is the author's only if the SVD is
    public static Adapter read(Path directory, Sites model, Factors recompute) {
        return PeftDirectory.read(directory, model, recompute);
    }

    /// Writes a PEFT adapter directory (adapter_config.json, adapter_model.safetensors, for PSOFT also its factors), aside
    /// first; an adapter that is there is replaced.
    ///
    /// @param baseModel what `base_model_name_or_path` says
    public void write(Path directory, String baseModel) {
        PeftDirectory.write(directory, this, baseModel);
    }

    public AdapterSpec spec() {
        return spec;
    }

    public List<ModuleAdapter> modules() {
        return modules;
    }

    /// Model weights trained whole, named as in the model directory.
    public List<Tensor> whole() {
        return whole;
    }

    Sites model() {
        return model;
    }

    /// What a user should hear about the files it came from.
    public List<String> warnings() {
        return warnings;
    }

    /// All trainable tensors, named `module.parameter`.
    public List<Tensor> tensors() {
        List<Tensor> out = new ArrayList<>();
        for (ModuleAdapter m : modules)
            out.addAll(m.tensors());
        out.addAll(whole);
        return Collections.unmodifiableList(out);
    }

    /// The name of one of its tensors in adapter_model.safetensors, without what stands before all of them.
    public String nameInFile(Tensor t) {
        return whole.contains(t)
                ? PeftDirectory.fileName(t.name(), modules.stream().map(ModuleAdapter::module).toList())
                : t.name();
    }

    /// Number of trainable numbers.
    public long parameters() {
        return tensors().stream().mapToLong(Tensor::size).sum();
    }
}
