package dev.gyre.trainer.serve;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/// What is served: models that share a base, each under a name, and the text side of the base.
///
/// @param names in the order of `models`
/// @param models of one base; the weights are in memory once
public record Served(List<String> names, List<Transformer> models, ModelText text) implements AutoCloseable {
    public Served {
        names = List.copyOf(names);
        models = List.copyOf(models);
        if (names.isEmpty() || names.size() != models.size())
            throw new IllegalArgumentException(names.size() + " names of " + models.size() + " models");
        for (int i = 0; i < names.size(); i++)
            if (names.subList(0, i).contains(names.get(i)))
                throw new InputException(
                        "two models would be served as " + names.get(i) + "; give the adapter another name");
    }

    /// The base under the name of its folder, what a run made under the run's, each adapter on the base under its own.
    ///
    /// @param ref the base, and the adapter of a run
    /// @param named what the user named: a model, or a run
    /// @param adapters directories in PEFT layout, or runs, by name; each is alone on the base
    /// @param backend that will decode
    /// @param warnings gets each warning about the files
    public static Served load(ModelRef ref, Path named, Map<String, Path> adapters, ModelText text, Backend backend,
            Consumer<String> warnings) {
        List<String> names = new ArrayList<>();
        List<Transformer> models = new ArrayList<>();
        Transformer base = new ModelRef(ref.model(), List.of(), ref.base()).load(backend, warnings);
        if (!ref.adapters().isEmpty()) {
            Transformer made = base.bare();
            for (Path a : ref.adapters())
                made.attach(read(a, base, warnings));
            names.add(ModelRef.name(named));
            models.add(made);
        }
        names.add(ModelRef.name(ref.adapters().isEmpty() ? named : ref.model()));
        models.add(base);
        adapters.forEach((name, dir) -> {
            Transformer m = base.bare();
            for (Path a : ModelRef.of(ref.model(), List.of(dir)).adapters())
                m.attach(read(a, base, warnings));
            names.add(name);
            models.add(m);
        });
        return new Served(names, models, text);
    }

    private static Adapter read(Path directory, Transformer base, Consumer<String> warnings) {
        Adapter a = Adapter.read(directory, base);
        a.warnings().forEach(warnings);
        return a;
    }

    @Override
    public void close() {
        text.close();
    }
}
