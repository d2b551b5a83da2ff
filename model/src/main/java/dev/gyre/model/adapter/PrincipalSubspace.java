package dev.gyre.model.adapter;

import dev.gyre.kernels.Backend;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import dev.gyre.quant.linalg.TruncatedSvd;

/// PSOFT's frozen factors from the weight's leading singular triplets `U S V^T` (n,r), with `s = alpha / r`:
///
/// - `psoft_init`: `A = V^T`, `B = U S / s`: A keeps orthonormal rows and B takes all singular values, the condition under
///   which a rotation in the subspace preserves inner products (paper, section on the geometry condition);
/// - `pissa_init`: `A = (S/s)^1/2 V^T`, `B = U (S/s)^1/2`.
///
/// Signs follow a rule of our own (the largest entry of each row of V^T is positive), so factors agree from machine to
/// machine up to rounding; they need not agree with PEFT's.
public final class PrincipalSubspace implements Factors {
    /// Told about each module as it is done.
    @FunctionalInterface
    public interface Progress {
        /// @param captured part of the squared Frobenius norm inside the subspace
        /// @param residual relative residual of the triplets
        /// @param gap `(s_r - s_(r+1)) / s_r`
        void done(String module, double captured, double residual, double gap);
    }

    private final Sites model;
    private final Backend backend;
    private final Progress progress;

    public PrincipalSubspace(Sites model, Backend backend, Progress progress) {
        this.model = model;
        this.backend = backend;
        this.progress = progress;
    }

    @Override
    public PrincipalFactors of(Site site, PsoftSpec spec) {
        int n = site.out();
        int d = site.in();
        int r = spec.r();
        TruncatedSvd svd = switch (spec.svd()) {
            case FULL -> TruncatedSvd.leading(model.data(site.path() + ".weight"), n, d, r,
                    TruncatedSvd.Options.defaults(r, spec.seed()), backend, (products, residual) -> {
                    });
            case LOWRANK -> TruncatedSvd.lowrank(model.data(site.path() + ".weight"), n, d, r, spec.lowrankIterations(),
                    spec.seed(), backend);
        };
        progress.done(site.path(), svd.captured(), svd.residual(), svd.gap());
        float[] a = svd.vt();
        float[] b = svd.u();
        double[] sigma = svd.s();
        double s = spec.scale();
        for (int j = 0; j < r; j++) {
            double left = switch (spec.init()) {
                case PSOFT -> sigma[j] / s;
                case PISSA -> Math.sqrt(sigma[j] / s);
            };
            for (int o = 0; o < n; o++)
                b[o * r + j] *= (float) left;
            if (spec.init() == PsoftSpec.Init.PISSA)
                for (int i = 0; i < d; i++)
                    a[j * d + i] *= (float) left;
        }
        return new PrincipalFactors(a, b);
    }
}
