package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.format.PeftConfig;
import dev.gyre.model.format.PeftFile;
import dev.gyre.model.format.PeftMethod;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;

/// Adapters as PEFT directories: which options and tensors of each method mean what.
///
/// Maps that PEFT does not have (Newton-Schulz, and OFT with the exact Cayley map of the paper's sign) are written as the
/// exact Cayley map that PEFT has, with the skew numbers that give the very same rotation; PEFT reads them as they are.
final class PeftDirectory {
    private PeftDirectory() {
    }

    static Adapter read(Path directory, Sites model, Factors recompute) {
        PeftFile file = PeftFile.open(directory);
        PeftConfig config = file.config();
        List<String> warnings = new ArrayList<>(file.warnings());
        AdapterSpec spec = withFactorsOf(file, spec(config), warnings);
        List<Site> sites = spec.targets().on(model);
        // one list for models of several kinds is usual
        List<String> idle = spec.targets().unmatched(model);
        if (!idle.isEmpty())
            warnings.add(file.directory() + ": target_modules " + idle + " match no module of this model");
        Set<String> read = new LinkedHashSet<>();
        Builder.Source source = (name, init, dims) -> {
            read.add(name);
            long[] shape = Arrays.stream(dims).asLongStream().toArray();
            return new Tensor(name, file.tensor(name, shape).values, true, dims);
        };
        Factors factors = file.factors().isEmpty() ? recompute
                : (site, s) -> new PrincipalFactors(factor(file, site.path() + ".psoft_A", s.r(), site.in()),
                        factor(file, site.path() + ".psoft_B", site.out(), s.r()));
        List<ModuleAdapter> modules = new ArrayList<>();
        for (Site site : sites)
            modules.add(
                    Builder.build(withBlocksOf(file, spec, site, model), site, model, source, factors, new Random(0)));
        Builder.Source stored = (name, init, dims) -> {
            String key = fileName(name, sites.stream().map(Site::path).toList());
            read.add(key);
            long[] shape = Arrays.stream(dims).asLongStream().toArray();
            return new Tensor(name, file.tensor(key, shape).values, dims.length == 2, dims);
        };
        List<Tensor> whole = Builder.whole(spec, sites, model, stored);
        for (Site site : sites)
            if (keepsBase(site.path()) && file.tensors().containsKey(site.path() + ".base_layer.weight")) {
                requireSameBase(file, base(model, site.path()));
                read.add(site.path() + ".base_layer.weight");
            }
        file.requireOnly(read);
        return new Adapter(spec, modules, whole, warnings, model);
    }

    /// PEFT loads the file's copy over the model's weight. Gyre keeps the model's, which must therefore be the same, up to
    /// the rounding of a copy in 16 bits.
    private static void requireSameBase(PeftFile file, PeftFile.Tensor model) {
        float[] copy = file.tensor(model.name, model.shape().stream().mapToLong(Long::longValue).toArray()).values;
        for (int i = 0; i < copy.length; i++)
            if (!(Math.abs(copy[i] - model.values[i]) <= 0x1p-8f * Math.abs(model.values[i]) + 0x1p-24f))
                throw new FormatException(file.directory().resolve(PeftFile.WEIGHTS), "tensor 'base_model.model."
                        + model.name + "' differs from the model's own; give the model that the adapter was trained on"
                        + " (with its vocabulary and its embedding), or fold the adapter in with PEFT"
                        + " (merge_and_unload)");
    }

    /// PEFT saves a copy of the weight below an adapted embedding or output head (its `save_embedding_layers`).
    private static boolean keepsBase(String module) {
        return module.endsWith("embed_tokens") || module.equals("lm_head");
    }

    /// The copy, in 32 bits.
    private static PeftFile.Tensor base(Sites model, String module) {
        Site site = Stream.concat(Stream.of(model.embedding()), model.linears().stream())
                .filter(i -> i.path().equals(module)).findFirst().orElseThrow();
        HostData data = model.data(model.weight(site));
        float[] values = data.floats();
        return new PeftFile.Tensor(module + ".base_layer.weight", values, values.length / site.in(), site.in());
    }

    /// OFT's block size as the file's tensor shows it: the size that PEFT moved to a divisor is not in the configuration.
    private static AdapterSpec withBlocksOf(PeftFile file, AdapterSpec spec, Site site, Sites model) {
        if (!(spec instanceof OftSpec oft))
            return spec;
        PeftFile.Tensor t = file.tensors().get(site.path() + "." + Builder.oftName(site, model));
        if (t == null || t.shape().size() != 2)
            return spec;
        long m = t.shape().get(1);
        int b = (int) Math.round((1 + Math.sqrt(1 + 8.0 * m)) / 2);
        if ((long) b * (b - 1) / 2 != m || site.in() % b != 0)
            throw new FormatException(file.directory(), "tensor '" + t.name + "' has rows of " + m
                    + " numbers, which is no block size b(b-1)/2 that divides the width " + site.in()
                    + "; the adapter belongs to another model");
        return oft.withBlockSize(b);
    }

    /// Where its kernel cannot be compiled, PEFT makes BOFT with one factor and saves the number that was asked for.
    private static AdapterSpec withFactorsOf(PeftFile file, AdapterSpec spec, List<String> warnings) {
        if (!(spec instanceof BoftSpec boft) || boft.factors() == 1
                || file.tensors().values().stream().filter(t -> t.name.endsWith(".boft_R"))
                        .anyMatch(t -> t.shape().getFirst() != 1))
            return spec;
        warnings.add(file.directory() + ": boft_n_butterfly_factor says " + boft.factors()
                + ", but the weights have one factor, as PEFT makes them without its compiled kernel; one is used");
        return new BoftSpec(boft.targets(), boft.blockSize(), boft.blocks(), 1, boft.dropout(), boft.initWeights());
    }

    private static float[] factor(PeftFile file, String name, int rows, int columns) {
        PeftFile.Tensor t = file.factors().get(name);
        if (t == null || !t.shape().equals(List.of((long) rows, (long) columns)))
            throw new FormatException(file.directory().resolve(PeftFile.PSOFT_FACTORS), "tensor '" + name + "' is "
                    + (t == null ? "missing" : "of shape " + t.shape()) + ", expected (" + rows + ", " + columns
                    + "); the factors belong to another adapter");
        return t.values;
    }

    static void write(Path directory, Adapter adapter, String baseModel) {
        AdapterSpec spec = adapter.spec();
        List<PeftFile.Tensor> tensors = new ArrayList<>();
        List<PeftFile.Tensor> factors = new ArrayList<>();
        List<String> adapted = adapter.modules().stream().map(ModuleAdapter::module).toList();
        for (ModuleAdapter m : adapter.modules()) {
            for (Tensor t : m.portable())
                tensors.add(tensor(t.name(), t));
            if (keepsBase(m.module()))
                tensors.add(base(adapter.model(), m.module()));
            if (m instanceof PsoftModule p) {
                factors.add(new PeftFile.Tensor(p.module() + ".psoft_A", p.factorA(), p.rank(), p.in()));
                factors.add(new PeftFile.Tensor(p.module() + ".psoft_B", p.factorB(), p.out(), p.rank()));
            }
        }
        for (Tensor t : adapter.whole())
            tensors.add(tensor(fileName(t.name(), adapted), t));
        PeftConfig config = PeftConfig.of(method(spec), spec.targets().modules(), baseModel, initWeights(spec));
        String version = older(spec) ? "0.17.1" : config.peftVersion();
        config = new PeftConfig(config.method(), config.targetModules(), baseModel, spec.targets().bias(),
                config.initWeights(), version, config.unknown(), config.warnings());
        PeftFile.write(directory, config, tensors, factors);
    }

    private static PeftFile.Tensor tensor(String name, Tensor t) {
        return new PeftFile.Tensor(name, t.values(), Arrays.stream(t.dims()).asLongStream().toArray());
    }

    /// Biases of adapted modules sit below PEFT's wrapper: `module.base_layer.bias`.
    static String fileName(String weight, List<String> adapted) {
        int dot = weight.lastIndexOf('.');
        String module = weight.substring(0, dot);
        return adapted.contains(module) ? module + ".base_layer" + weight.substring(dot) : weight;
    }

    private static boolean older(AdapterSpec spec) {
        return spec instanceof OftSpec o && o.map().form() == Orthogonal.Form.NEUMANN_LEGACY;
    }

    private static boolean initWeights(AdapterSpec spec) {
        return switch (spec) {
            case OftSpec s -> s.initWeights();
            case LoraSpec s -> s.initWeights();
            case PsoftSpec s -> s.initWeights();
            case BoftSpec s -> s.initWeights();
            case HraSpec s -> s.initWeights();
            case GivensSpec _ -> true;
        };
    }

    private static PeftMethod method(AdapterSpec spec) {
        return switch (spec) {
            case OftSpec s -> new PeftMethod.Oft(s.blocks(), s.blockSize(), 0, s.coft(), s.eps(), s.blockShare(),
                    polynomial(s.map()), polynomial(s.map()) ? s.map().terms() : 5);
            case PsoftSpec s -> new PeftMethod.Psoft(s.r(), s.alpha(), s.dropout(),
                    s.init() == PsoftSpec.Init.PSOFT ? "psoft_init" : "pissa_init",
                    s.svd() == PsoftSpec.Svd.FULL ? "full" : "lowrank", s.lowrankIterations(), s.seed(), s.orthogonal(),
                    s.magnitudeA(), s.magnitudeB(), polynomial(s.map()), polynomial(s.map()) ? s.map().terms() : 5,
                    s.map().maxNorm());
            case BoftSpec s -> new PeftMethod.Boft(s.blockSize(), s.blocks(), s.factors(), s.dropout());
            case HraSpec s -> new PeftMethod.Hra(s.r(), s.gramSchmidt());
            case LoraSpec s -> new PeftMethod.Lora(s.r(), s.alpha(), s.dropout(), s.rsLora(), s.gaussianInit(),
                    s.rankPattern(), s.alphaPattern(), false);
            case GivensSpec s -> new PeftMethod.Goft(s.strict(), !s.scaler());
        };
    }

    private static boolean polynomial(Orthogonal map) {
        return map.form() == Orthogonal.Form.NEUMANN || map.form() == Orthogonal.Form.NEUMANN_LEGACY;
    }

    private static AdapterSpec spec(PeftConfig c) {
        Targets t = new Targets(c.targetModules(), c.bias());
        boolean init = c.initWeights();
        return switch (c.method()) {
            case PeftMethod.Oft m -> new OftSpec(t, m.r(), m.blockSize(), !m.useCayleyNeumann()
                    ? Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0)
                    : Orthogonal.of(c.olderPolynomial() ? Orthogonal.Form.NEUMANN_LEGACY : Orthogonal.Form.NEUMANN,
                            m.numCayleyNeumannTerms()),
                    m.blockShare(), m.coft(), m.eps(), 0, init, OftSpec.Form.INPUT);
            case PeftMethod.Psoft m -> new PsoftSpec(t, m.r(), m.alpha(), m.dropout(),
                    m.abSvdInit().equals("pissa_init") ? PsoftSpec.Init.PISSA : PsoftSpec.Init.PSOFT,
                    m.svd().equals("lowrank") ? PsoftSpec.Svd.LOWRANK : PsoftSpec.Svd.FULL, m.svdLowrankNiter(),
                    m.randomSeed(), m.orth(), m.magA(), m.magB(),
                    m.useCayleyNeumann()
                            ? new Orthogonal(Orthogonal.Form.NEUMANN, m.numCayleyNeumannTerms(),
                                    m.cayleyNeumannEps(), Orthogonal.Skew.PACKED)
                            : Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0),
                    init);
            case PeftMethod.Boft m -> new BoftSpec(t, m.blockSize(), m.blockNum(), m.nButterflyFactor(), m.dropout(),
                    init);
            case PeftMethod.Hra m -> new HraSpec(t, m.r(), m.applyGs(), init);
            case PeftMethod.Lora m -> {
                if (m.loraBias())
                    throw new InputException(PeftConfig.FILE + ": lora_bias true is not supported; train the"
                            + " adapter without it, or fold it in with PEFT (merge_and_unload)");
                yield new LoraSpec(t, m.r(), m.alpha(), m.dropout(), m.useRslora(), m.gaussianInit(), init,
                        m.rankPattern(), m.alphaPattern());
            }
            case PeftMethod.Goft m -> new GivensSpec(t, m.strict(), !m.noScaling(), 0);
        };
    }
}
