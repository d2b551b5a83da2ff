package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/// Makes the state of one module: fresh, by each method's initialisation, or from given tensors.
final class Builder {
    private Builder() {
    }

    /// Where a module's tensors come from: drawn, or read from a file under PEFT's names.
    interface Source {
        /// @param name `module.parameter`
        /// @param init fills a fresh tensor; not called when the numbers are read
        Tensor tensor(String name, Init init, int... dims);
    }

    /// Initial value of element `i`.
    interface Init {
        double at(int i);
    }

    static Source fresh() {
        return (name, init, dims) -> {
            Tensor t = Tensor.zeros(name, dims);
            for (int i = 0; i < t.size(); i++)
                t.values()[i] = (float) init.at(i);
            return t;
        };
    }

    static String oftName(Site site, Sites model) {
        return site.equals(model.embedding()) ? "oft_embedding_R.weight" : "oft_R.weight";
    }

    /// Model weights that are trained whole: biases, and the modules that are to be saved.
    static List<Tensor> whole(AdapterSpec spec, List<Site> adapted, Sites model, Source source) {
        List<Tensor> out = new ArrayList<>();
        for (Site site : model.linears()) {
            boolean saved = spec.targets().modules().modulesToSave().stream()
                    .anyMatch(m -> site.path().equals(m) || site.path().endsWith("." + m));
            if (saved && site.bias() || spec.targets().trainsBias(site, adapted.contains(site)))
                out.add(copy(site.path() + ".bias", model, source, site.out()));
            if (saved && !model.weight(site).equals(site.path() + ".weight"))
                throw new InputException(site.path() + ": modules_to_save trains it apart from the embedding,"
                        + " to which the model ties it (tie_word_embeddings); fold the adapter in with PEFT"
                        + " (merge_and_unload) and take that model, or leave the module out");
            if (saved)
                out.add(copy(site.path() + ".weight", model, source, site.out(), site.in()));
        }
        return out;
    }

    private static Tensor copy(String name, Sites model, Source source, int... dims) {
        if (!(model.data(name) instanceof HostData.F32 f))
            throw new InputException(name + ": a weight trained whole must be loaded in 32 bits");
        return source.tensor(name, i -> f.values[i], dims);
    }

    static ModuleAdapter build(AdapterSpec spec, Site site, Sites model, Source source, Factors factors,
            Random random) {
        String p = site.path() + ".";
        if (site.equals(model.embedding()) && !(spec instanceof OftSpec))
            throw new InputException(
                    site.path() + ": " + spec.method() + " adapts linear layers only; take the"
                            + " embedding out of the targets, or use oft");
        return switch (spec) {
            case OftSpec s -> {
                int d = site.in();
                int b = s.blockSize(d);
                int m = b * (b - 1) / 2;
                String name = p + oftName(site, model);
                Tensor v = source.tensor(name, i -> s.initWeights() ? 0 : 0.1 * random.nextGaussian(),
                        s.blockShare() ? 1 : d / b, m);
                yield new OftModule(site, s, v, b);
            }
            case LoraSpec s -> {
                int r = s.rank(site.path());
                double bound = 1 / Math.sqrt(site.in());
                Tensor a = source.tensor(p + "lora_A.weight", i -> s.gaussianInit() ? random.nextGaussian() / r
                        : (2 * random.nextDouble() - 1) * bound, r, site.in());
                Tensor b = source.tensor(p + "lora_B.weight",
                        i -> s.initWeights() ? 0 : (2 * random.nextDouble() - 1) / Math.sqrt(r), site.out(), r);
                yield new LowRankModule(site, a, b, s.scale(site.path()), s.dropout());
            }
            case GivensSpec s -> {
                int d = site.in();
                Tensor pairs = s.strict() ? source.tensor(p + "givens_hard", i -> 0, d - 1)
                        : source.tensor(p + "givens_soft", i -> i % 4 == 0 || i % 4 == 3 ? 1 : 0, d - 1, 2, 2);
                Tensor scaler = s.strict() && s.scaler() ? source.tensor(p + "givens_scaler", i -> 1, d) : null;
                yield new GivensModule(site, pairs, scaler, s.strict(), s.penalty());
            }
            case BoftSpec s -> {
                int b = s.blockSize(site.path(), site.in());
                Tensor r = source.tensor(p + "boft_R", i -> s.initWeights() ? 0 : 0.1 * random.nextGaussian(),
                        s.factors(), site.in() / b, b, b);
                Tensor scale = source.tensor(p + "boft_s",
                        i -> s.initWeights() ? 1 : 1 + 0.1 * random.nextGaussian(), site.out(), 1);
                yield new BoftModule(site, r, scale, (float) s.dropout());
            }
            case HraSpec s -> {
                Tensor u = source.tensor(p + "hra_u", householder(s, site.in(), random), site.in(), s.r());
                yield new HouseholderModule(site, u, s.gramSchmidt());
            }
            case PsoftSpec s -> {
                if (s.r() > Math.min(site.in(), site.out()))
                    throw new InputException(
                            site.path() + ": psoft rank " + s.r() + " exceeds min(in, out) = "
                                    + Math.min(site.in(), site.out()) + "; choose a smaller r or exclude the module");
                int r = s.r();
                Tensor rot = s.orthogonal()
                        ? source.tensor(p + "psoft_R.weight", i -> s.initWeights() ? 0 : 0.1 * random.nextGaussian(),
                                r * (r - 1) / 2)
                        : source.tensor(p + "psoft_R.weight", i -> (i / r == i % r ? 1 : 0)
                                + (s.initWeights() ? 0 : 0.1 * random.nextGaussian()), r, r);
                Tensor va = s.magnitudeA() ? source.tensor(p + "psoft_R.vector_a", i -> 1, r) : null;
                Tensor vb = s.magnitudeB() ? source.tensor(p + "psoft_R.vector_b", i -> 1, r) : null;
                PrincipalFactors f = factors.of(site, s);
                Orthogonal map = s.orthogonal() ? s.map() : null;
                yield new PsoftModule(site, f.a(), f.b(), r, rot, va, vb, map, s.scale(), s.dropout());
            }
        };
    }

    /// Columns uniform in +-1/sqrt(r/2), each followed by its twin, so that pairs of reflections cancel; an odd last one
    /// has none. Without `initWeights` all columns differ.
    private static Init householder(HraSpec s, int d, Random random) {
        int r = s.r();
        int half = s.initWeights() ? (r + 1) / 2 : r;
        double bound = 1 / Math.sqrt(Math.max(1, r / 2));
        float[] drawn = new float[d * half];
        for (int i = 0; i < drawn.length; i++)
            drawn[i] = (float) ((2 * random.nextDouble() - 1) * bound);
        return i -> drawn[i / r * half + (s.initWeights() ? i % r / 2 : i % r)];
    }
}
