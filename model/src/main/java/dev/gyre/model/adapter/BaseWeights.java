package dev.gyre.model.adapter;

import dev.gyre.kernels.Backend;
import dev.gyre.model.weights.Sites;

/// A model's weights before they were rounded to the form in which they are stored, for methods that start from a
/// decomposition of them (PSOFT).
///
/// @param backend where the decomposition's products are computed
public record BaseWeights(Sites model, Backend backend, Progress progress) {
    /// Called for each module that is done.
    @FunctionalInterface
    public interface Progress {
        /// @param captured part of the squared Frobenius norm inside the subspace
        /// @param residual relative residual of the triplets
        /// @param gap `(s_r - s_(r+1)) / s_r`
        void done(String module, double captured, double residual, double gap);
    }
}
