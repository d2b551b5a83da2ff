package dev.gyre.trainer.config;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// On a sealed interface: its records are alternatives of one section, chosen by the section's key [#value].
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface OneOf {
    String value();

    String doc();

    /// On each record: the value of the choosing key that selects it.
    @Retention(RetentionPolicy.RUNTIME)
    @Target(ElementType.TYPE)
    @interface Case {
        String value();

        String doc();
    }
}
