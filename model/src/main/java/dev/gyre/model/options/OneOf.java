package dev.gyre.model.options;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.util.List;

/// On an interface: its records are alternatives of one section, chosen by the section's key [#value].
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface OneOf {
    String value();

    String doc();

    /// Lists the records; it has a constructor without arguments.
    Class<? extends Cases> cases();

    /// The records among which [#value] chooses, each with a [Case].
    interface Cases {
        List<Class<?>> all();
    }

    /// On each record: the value of the choosing key that selects it.
    @Retention(RetentionPolicy.RUNTIME)
    @Target(ElementType.TYPE)
    @interface Case {
        String value();

        String doc();
    }
}
