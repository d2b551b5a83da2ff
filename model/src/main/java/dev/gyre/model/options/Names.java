package dev.gyre.model.options;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// Modules by name, in PEFT's two forms: a list of names (a module's path equals an entry or ends with `.` and the
/// entry), or one regular expression for the whole path; `all-linear` is every linear layer but the output head.
///
/// @param list the names; empty when a pattern is given
/// @param pattern the expression, or null when names are given
public record Names(List<String> list, @Nullable String pattern) {
    private static final String ALL_LINEAR = "all-linear";

    public Names {
        list = List.copyOf(list);
    }

    public static Names of(String... names) {
        return new Names(List.of(names), null);
    }

    /// @throws dev.gyre.kernels.InputException when it is not a regular expression
    public static Names matching(String pattern) {
        Regex.of(pattern);
        return new Names(List.of(), pattern);
    }

    /// Every linear layer but the output head.
    public static Names allLinear() {
        return new Names(List.of(), ALL_LINEAR);
    }

    public boolean isAllLinear() {
        return ALL_LINEAR.equals(pattern);
    }

    /// Whether the module at `path` is among them.
    public boolean matches(String path) {
        if (isAllLinear())
            return !path.equals("lm_head") && !path.endsWith("embed_tokens");
        return pattern != null ? Regex.of(pattern).matches(path)
                : list.stream().anyMatch(x -> path.equals(x) || path.endsWith("." + x));
    }

    @Override
    public String toString() {
        return pattern == null ? list.toString() : isAllLinear() ? ALL_LINEAR : "'" + pattern + "'";
    }
}
