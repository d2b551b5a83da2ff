package dev.gyre.model.adapter;

import dev.gyre.model.options.OneOf;
import java.util.List;
import java.util.stream.Stream;

/// What a fine-tuning run trains: an adapter of one method with its options, or all weights.
@OneOf(value = "method", doc = "how to fine-tune", cases = Tuning.Registered.class)
public sealed interface Tuning permits AdapterOptions, Full {
    /// The method's name, as in run.yaml.
    default String method() {
        return Method.described(getClass()).value();
    }

    /// The options by which runs of one method differ in size, for tables: `b=32`; empty where there are none.
    default String variant() {
        return "";
    }

    /// The options of every registered method, and [Full].
    final class Registered implements OneOf.Cases {
        @Override
        public List<Class<?>> all() {
            return Stream.<Class<?>>concat(Methods.all().stream().map(Method::options), Stream.of(Full.class)).toList();
        }
    }
}
