package dev.gyre.model.adapter;

/// Where PSOFT's frozen factors come from: computed from the weight, or read from beside the adapter.
public interface Factors {
    /// None at hand.
    Factors NONE = (info, spec) -> {
        throw new IllegalArgumentException(info.path()
                + ": PSOFT needs the principal factors of the weight, which are not"
                + " here; they are computed from the base weights (with a sign rule of our own) when recomputing is asked for");
    };

    /// A (r, in) and B (out, r) of one module.
    PrincipalFactors of(Modules.Info info, PsoftSpec spec);
}
