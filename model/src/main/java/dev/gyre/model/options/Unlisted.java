package dev.gyre.model.options;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// On a record component or a constant of an enum: no run.yaml can give it; it comes from a PEFT file or from a program.
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.RECORD_COMPONENT, ElementType.FIELD})
public @interface Unlisted {
    /// Value of a component in a run.yaml, in YAML.
    String def() default "null";
}
