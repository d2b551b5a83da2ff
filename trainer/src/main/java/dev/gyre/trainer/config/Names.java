package dev.gyre.trainer.config;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// Modules by name, in PEFT's two forms: a list of names (a module's path equals an entry or ends with `.` and the
/// entry), or one regular expression for the whole path; `all-linear` is every linear layer but the output head.
///
/// @param list the names; empty when a pattern is given
/// @param pattern the expression, or null when names are given
public record Names(List<String> list, @Nullable String pattern) {
    public Names {
        list = List.copyOf(list);
    }
}
