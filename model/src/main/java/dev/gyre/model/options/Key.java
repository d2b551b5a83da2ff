package dev.gyre.model.options;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// One key of a configuration: what a record component means, what it is when absent, what it may be. Reader, sample,
/// resolved copy and reference page all come from here, so that none of them can drift.
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Key {
    /// The `def` of a key that must be given.
    String REQUIRED = "\0required";

    /// One line for the sample's comment.
    String doc();

    /// Value when absent, as YAML would have it; `null` makes the key optional.
    String def() default REQUIRED;

    /// Smallest number allowed.
    double min() default Double.NEGATIVE_INFINITY;

    /// Largest number allowed.
    double max() default Double.POSITIVE_INFINITY;

    /// Whether it names a file or folder that a run reads, which must therefore exist.
    boolean input() default false;

    /// Whether it names a model: a folder, or a name of the hub.
    boolean model() default false;

    /// A value to show in the sample when there is no default.
    String example() default "";
}
