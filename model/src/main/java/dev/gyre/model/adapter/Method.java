package dev.gyre.model.adapter;

import dev.gyre.model.options.OneOf;
import dev.gyre.model.weights.Site;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A method of adapting a linear layer. Each lives in a package of its own and is registered by one line in
/// `META-INF/services/dev.gyre.model.adapter.Method`; nothing else lists the methods.
///
/// @param <O> the record of its options
public interface Method<O extends AdapterOptions> {
    /// The record of the options; it carries name and description as a [OneOf.Case].
    Class<O> options();

    /// The method's state on one module, its tensors drawn or read by `source`.
    AdapterLayer layer(O options, Site site, LayerSource source);

    /// How PEFT's files hold it.
    PeftForm<O> peft();

    /// What it does after each optimiser step; most methods do nothing.
    default @Nullable StepHook stepHook(O options, List<AdapterLayer> layers) {
        return null;
    }

    /// Whether it can adapt the token embedding ([AdapterLayer#onEmbedding]).
    default boolean adaptsEmbedding() {
        return false;
    }

    /// Whether a layer can be taken out of a merged weight again ([AdapterLayer#unmerge]).
    default boolean unmerges() {
        return true;
    }

    /// Configurations to start from.
    default List<Preset> presets() {
        return List.of();
    }

    default String name() {
        return described(options()).value();
    }

    /// What `gyre init --preset NAME` writes: run.yaml with some keys set.
    ///
    /// @param purpose one line for lists
    /// @param settings `key.path=value`, values in YAML
    record Preset(String name, String purpose, List<String> settings) {
        public static Preset of(String name, String purpose, String... settings) {
            return new Preset(name, purpose, List.of(settings));
        }
    }

    /// @throws IllegalStateException for options that do not say which method they are of
    static OneOf.Case described(Class<?> options) {
        OneOf.Case c = options.getAnnotation(OneOf.Case.class);
        if (c == null)
            throw new IllegalStateException(options.getName() + " has no @OneOf.Case");
        return c;
    }
}
