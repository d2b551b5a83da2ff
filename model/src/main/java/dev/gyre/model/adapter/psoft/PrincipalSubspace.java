package dev.gyre.model.adapter.psoft;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.weights.Site;
import dev.gyre.quant.linalg.TruncatedSvd;
import org.jspecify.annotations.Nullable;

/// PSOFT's frozen factors A (r, in) and B (out, r) of one module, so that `s B A` is the principal part of the weight, from
/// its leading singular triplets `U S V^T`, with `s = alpha / r`:
///
/// - `psoft_init`: `A = V^T`, `B = U S / s`: A keeps orthonormal rows and B takes all singular values, the condition under
///   which a rotation in the subspace preserves inner products (paper, section on the geometry condition);
/// - `pissa_init`: `A = (S/s)^1/2 V^T`, `B = U (S/s)^1/2`.
///
/// Signs follow a rule of our own (the largest entry of each row of V^T is positive), so factors agree from machine to
/// machine up to rounding; they need not agree with PEFT's.
final class PrincipalSubspace {
    private record Factors(float[] a, float[] b) {
    }

    private final Site site;
    private final Psoft options;
    private final LayerSource source;
    private @Nullable Factors factors;

    PrincipalSubspace(Site site, Psoft options, LayerSource source) {
        this.site = site;
        this.options = options;
        this.source = source;
    }

    float[] a() {
        return factors().a;
    }

    float[] b() {
        return factors().b;
    }

    private Factors factors() {
        Factors f = factors;
        if (f == null) {
            BaseWeights base = source.base();
            if (base == null)
                throw new InputException(site.path()
                        + ": the principal factors of the weight are missing: no " + PsoftPeft.FACTORS
                        + ", which Gyre writes into the folder of a"
                        + " PSOFT adapter; PEFT recomputes the factors, with signs that differ between machines: fold the"
                        + " adapter in where it was trained (merge_and_unload) and take that model");
            factors = f = decompose(base);
        }
        return f;
    }

    private Factors decompose(BaseWeights base) {
        int n = site.out();
        int d = site.in();
        int r = options.r();
        HostData weight = base.model().data(site.path() + ".weight");
        Backend backend = base.backend();
        TruncatedSvd svd = switch (options.svd()) {
            case FULL -> TruncatedSvd.leading(weight, n, d, r, TruncatedSvd.Options.defaults(r, options.seed()),
                    backend, (products, residual) -> {
                    });
            case LOWRANK -> TruncatedSvd.lowrank(weight, n, d, r, options.svdIterations(), options.seed(), backend);
        };
        base.progress().done(site.path(), svd.captured(), svd.residual(), svd.gap());
        float[] a = svd.vt();
        float[] b = svd.u();
        double[] sigma = svd.s();
        double s = options.scale();
        for (int j = 0; j < r; j++) {
            double left = switch (options.factors()) {
                case PSOFT -> sigma[j] / s;
                case PISSA -> Math.sqrt(sigma[j] / s);
            };
            for (int o = 0; o < n; o++)
                b[o * r + j] *= (float) left;
            if (options.factors() == Psoft.Factors.PISSA)
                for (int i = 0; i < d; i++)
                    a[j * d + i] *= (float) left;
        }
        return new Factors(a, b);
    }
}
