package dev.gyre.model.task;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// Folds the adapters of a model with a head into its weights, as [Merge] does: an adapted layer is what it does to the unit
/// vectors.
public final class TaskMerge {
    private TaskMerge() {
    }

    /// Weights that the model's adapters change, by their names.
    public static Set<String> changed(TaskModel model) {
        Set<String> out = new LinkedHashSet<>();
        for (Adapter a : model.adapters()) {
            for (AdapterLayer m : a.modules()) {
                out.add(m.module() + ".weight");
                if (m.outputBias() != null) {
                    if (!site(model, m.module()).bias())
                        throw new InputException(m.module() + ": the model has no bias there, into which the adapter's"
                                + " (lora_bias) could be merged; use the adapter unmerged");
                    out.add(m.module() + ".bias");
                }
            }
            for (Tensor t : a.whole())
                out.add(t.name());
            out.addAll(a.replaced().keySet());
        }
        return out;
    }

    /// A merged tensor in F32.
    public static float[] weight(TaskModel model, Backend backend, String name) {
        String module = name.substring(0, name.lastIndexOf('.'));
        List<Tensor> tensors = new ArrayList<>();
        for (Adapter a : model.adapters())
            tensors.addAll(a.tensors());
        List<AdapterLayer> layers = TaskModel.byModule(model.adapters()).getOrDefault(module, List.of());
        if (name.endsWith(".weight") && !layers.isEmpty())
            return Merge.matrix(backend, new Buffers(model, tensors), site(model, module), layers);
        float[] values = tensors.stream().filter(t -> t.name().equals(name)).findFirst().map(t -> t.values().clone())
                .orElseGet(() -> model.values(name).clone());
        for (AdapterLayer l : layers) {
            AdapterLayer.OutputBias own = l.outputBias();
            for (int i = 0; own != null && i < values.length; i++)
                values[i] += (float) (own.scale() * own.values().values()[i]);
        }
        return values;
    }

    /// Weights that adapters changed and that [#unmerge] restores: all of [#changed] but those that they replaced.
    public static Set<String> restorable(TaskModel model) {
        Set<String> out = changed(model);
        for (Adapter a : model.adapters()) {
            a.whole().forEach(t -> out.remove(t.name()));
            out.removeAll(a.replaced().keySet());
        }
        return out;
    }

    /// A weight of a merged model as it was before.
    ///
    /// @param model the merged one, with the adapters attached in the order in which they were merged
    /// @throws InputException when an inverse would divide by almost nothing
    public static Merge.Unmerged unmerge(TaskModel model, Backend backend, String name) {
        String module = name.substring(0, name.lastIndexOf('.'));
        return Merge.without(TaskModel.byModule(model.adapters()).getOrDefault(module, List.of()), name,
                model.values(name), model.dims(name)[0], false, backend);
    }

    private static Site site(TaskModel model, String module) {
        return model.linears().stream().filter(s -> s.path().equals(module)).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("the model has no linear module " + module));
    }
}
