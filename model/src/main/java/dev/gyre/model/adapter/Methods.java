package dev.gyre.model.adapter;

import dev.gyre.model.files.Fields;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

/// The registered methods, in the order of their registration.
public final class Methods {
    private static final List<Method<?>> ALL = load();

    private Methods() {
    }

    private static List<Method<?>> load() {
        List<Method<?>> all = new ArrayList<>();
        for (Method<?> m : ServiceLoader.load(Method.class, Method.class.getClassLoader())) {
            for (Method<?> known : all)
                if (known.name().equals(m.name()))
                    throw new IllegalStateException("two methods are called " + m.name() + ": "
                            + known.getClass().getName() + " and " + m.getClass().getName());
            all.add(m);
        }
        return List.copyOf(all);
    }

    public static List<Method<?>> all() {
        return ALL;
    }

    /// The method that `options` are of.
    @SuppressWarnings("unchecked") // it is given only the options that it was found by
    public static Method<AdapterOptions> of(AdapterOptions options) {
        for (Method<?> m : ALL)
            if (m.options() == options.getClass())
                return (Method<AdapterOptions>) m;
        throw new IllegalStateException(options.getClass().getName() + ": no method of these options is registered");
    }

    /// The method that wrote an `adapter_config.json`.
    static Method<?> wrote(Fields f) {
        String type = f.text("peft_type");
        for (Method<?> m : ALL)
            if (m.peft().type().equals(type) && m.peft().reads(f))
                return m;
        throw f.bad("peft_type", "one of "
                + ALL.stream().map(m -> m.peft().type()).distinct().collect(Collectors.joining(", ")));
    }
}
