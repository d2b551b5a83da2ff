package dev.gyre.model.adapter.psoft;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import java.util.List;

/// PSOFT. Its frozen factors follow from the weight; they are stored with the adapter.
public final class PsoftMethod implements Method<Psoft> {
    @Override
    public Class<Psoft> options() {
        return Psoft.class;
    }

    @Override
    public AdapterLayer layer(Psoft o, Site site, LayerSource source) {
        int r = o.r();
        if (r > Math.min(site.in(), site.out()))
            throw new InputException(site.path() + ": psoft rank " + r + " exceeds min(in, out) = "
                    + Math.min(site.in(), site.out()) + "; choose a smaller r or exclude the module");
        Tensor rotation = o.orthogonal()
                ? source.tensor(PsoftPeft.ROTATION, i -> o.initWeights() ? 0 : 0.1 * source.normal(), r * (r - 1) / 2)
                : source.tensor(PsoftPeft.ROTATION,
                        i -> (i / r == i % r ? 1 : 0) + (o.initWeights() ? 0 : 0.1 * source.normal()), r, r);
        Tensor alpha = o.magnitudeA() ? source.tensor(PsoftPeft.VECTOR_A, i -> 1, r) : null;
        Tensor beta = o.magnitudeB() ? source.tensor(PsoftPeft.VECTOR_B, i -> 1, r) : null;
        PrincipalSubspace subspace = new PrincipalSubspace(site, o, source);
        float[] a = source.frozen(PsoftPeft.FACTOR_A, subspace::a, r, site.in());
        float[] b = source.frozen(PsoftPeft.FACTOR_B, subspace::b, site.out(), r);
        return new PsoftLayer(site, a, b, r, rotation, alpha, beta, o.orthogonal() ? o.map() : null, o.scale(),
                o.dropout());
    }

    @Override
    public PeftForm<Psoft> peft() {
        return new PsoftPeft();
    }

    @Override
    public List<Preset> presets() {
        return List.of(Preset.of("psoft", "PSOFT (MOFT): a rotation inside the principal subspace", "adapter.r=32",
                "train.lr=1e-3"));
    }
}
