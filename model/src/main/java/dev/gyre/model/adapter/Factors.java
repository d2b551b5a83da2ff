package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.model.format.PeftFile;
import dev.gyre.model.weights.Site;

/// Where PSOFT's frozen factors come from: computed from the weight, or read from beside the adapter.
public interface Factors {
    /// None at hand.
    Factors NONE = (site, spec) -> {
        throw new InputException(site.path()
                + ": the principal factors of the weight are not here: no " + PeftFile.PSOFT_FACTORS
                + ", which Gyre writes beside a"
                + " PSOFT adapter; PEFT recomputes the factors, with signs that differ between machines: fold the"
                + " adapter in where it was trained (merge_and_unload) and take that model");
    };

    /// A (r, in) and B (out, r) of one module.
    PrincipalFactors of(Site site, PsoftSpec spec);
}
