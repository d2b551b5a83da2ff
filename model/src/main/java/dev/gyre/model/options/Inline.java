package dev.gyre.model.options;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// On a record component that is itself a record: its keys belong to the section around it.
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Inline {
    /// Components of the inner record that are no keys here and keep their defaults.
    String[] without() default {};
}
