package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.model.format.TargetModules;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.ArrayList;
import java.util.List;

/// Modules an adapter goes on, and which biases are trained with it.
///
/// @param modules choice of modules in PEFT's terms; its `modules_to_save` are trained whole
/// @param bias `none`, `all`, or `<method>_only` for the biases of adapted modules
public record Targets(TargetModules modules, String bias) {
    public Targets {
        if (!bias.equals("none") && !bias.equals("all") && !bias.endsWith("_only"))
            throw new InputException("bias must be none, all or <method>_only, got '" + bias + "'");
    }

    public static Targets of(TargetModules modules) {
        return new Targets(modules, "none");
    }

    public static Targets names(String... names) {
        return of(TargetModules.names(names));
    }

    public static Targets allLinear() {
        return of(TargetModules.allLinear());
    }

    /// The modules of `model` that are adapted, in its order.
    List<Site> on(Sites model) {
        List<String> selected = modules.select(paths(model));
        return all(model).stream().filter(i -> selected.contains(i.path())).toList();
    }

    /// Names among the targets that no module of `model` has.
    List<String> unmatched(Sites model) {
        return modules.unmatched(paths(model));
    }

    private static List<String> paths(Sites model) {
        return all(model).stream().map(Site::path).toList();
    }

    private static List<Site> all(Sites model) {
        List<Site> all = new ArrayList<>();
        all.add(model.embedding());
        all.addAll(model.linears());
        return all;
    }

    boolean trainsBias(Site site, boolean adapted) {
        return site.bias() && (bias.equals("all") || adapted && !bias.equals("none"));
    }
}
