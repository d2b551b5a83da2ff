package dev.gyre.model.adapter;

import dev.gyre.model.step.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/// An adapter on a model: its specification and the state of every module it sits on.
public final class Adapter {
    private final AdapterSpec spec;
    private final List<ModuleAdapter> modules;
    private final List<Tensor> tensors = new ArrayList<>();

    Adapter(AdapterSpec spec, List<ModuleAdapter> modules) {
        this.spec = spec;
        this.modules = List.copyOf(modules);
        for (ModuleAdapter m : modules)
            tensors.addAll(m.tensors());
    }

    /// A fresh adapter on the modules of `model` that the specification's targets match.
    public static Adapter create(AdapterSpec spec, Modules model, long seed) {
        List<ModuleAdapter> out = new ArrayList<>();
        for (Modules.Info info : spec.targets().on(model))
            out.add(Builder.build(spec, info, model, Builder.fresh(), (i, s) -> {
                throw new UnsupportedOperationException("psoft");
            }, new Random(seed ^ info.path().hashCode() * 0x9E3779B97F4A7C15L)));
        return new Adapter(spec, out);
    }

    public AdapterSpec spec() {
        return spec;
    }

    public List<ModuleAdapter> modules() {
        return modules;
    }

    /// All trainable tensors, named `module.parameter`.
    public List<Tensor> tensors() {
        return Collections.unmodifiableList(tensors);
    }

    /// Number of trainable numbers.
    public long parameters() {
        return tensors.stream().mapToLong(Tensor::size).sum();
    }
}
