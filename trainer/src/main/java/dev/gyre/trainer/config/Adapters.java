package dev.gyre.trainer.config;

import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.adapter.BoftSpec;
import dev.gyre.model.adapter.GivensSpec;
import dev.gyre.model.adapter.HraSpec;
import dev.gyre.model.adapter.LoraSpec;
import dev.gyre.model.adapter.OftSpec;
import dev.gyre.model.adapter.PsoftSpec;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.format.TargetModules;
import dev.gyre.model.format.TargetModules.Selector;
import dev.gyre.trainer.config.AdapterConfig.Cayley;
import java.util.List;
import java.util.Objects;

/// From the configuration's section `adapter` to the model's specification.
public final class Adapters {
    private Adapters() {
    }

    public static AdapterSpec spec(AdapterConfig.OnModules c, long seed) {
        Targets t = targets(c);
        return switch (c) {
            case AdapterConfig.Oft o -> new OftSpec(t, o.blocks() == null ? 0 : o.blocks(),
                    o.blockSize() == null ? 0 : o.blockSize(),
                    map(o.cayley(), o.terms(), Orthogonal.Form.CAYLEY_MINUS, 0),
                    o.blockShare(), o.coft(), o.eps(), o.dropout(), o.initWeights(), switch (o.form()) {
                        case INPUT -> OftSpec.Form.INPUT;
                        case WEIGHT_BLOCK -> OftSpec.Form.WEIGHT_BLOCK;
                        case WEIGHT_DENSE -> OftSpec.Form.WEIGHT_DENSE;
                    });
            case AdapterConfig.Psoft p -> new PsoftSpec(t, p.r(), Objects.requireNonNull(p.alpha()), p.dropout(),
                    switch (p.factors()) {
                        case PSOFT -> PsoftSpec.Init.PSOFT;
                        case PISSA -> PsoftSpec.Init.PISSA;
                    }, switch (p.svd()) {
                        case FULL -> PsoftSpec.Svd.FULL;
                        case LOWRANK -> PsoftSpec.Svd.LOWRANK;
                    }, p.svdIterations(), seed, p.orthogonal(), p.magnitudeA(), p.magnitudeB(),
                    map(p.cayley(), p.terms(), Orthogonal.Form.CAYLEY_PLUS, p.maxNorm() == null ? 0 : p.maxNorm()),
                    p.initWeights());
            case AdapterConfig.Goft g -> new GivensSpec(t, true, g.scaler(), 0);
            case AdapterConfig.Qgoft g -> new GivensSpec(t, false, false, g.penalty());
            case AdapterConfig.Lora l ->
                    new LoraSpec(t, l.r(), Objects.requireNonNull(l.alpha()), l.dropout(), l.rslora(),
                            l.gaussian(), l.initWeights(), l.rankPattern(), l.alphaPattern());
            case AdapterConfig.Boft b -> new BoftSpec(t, b.blockSize() == null ? 0 : b.blockSize(),
                    b.blocks() == null ? 0 : b.blocks(), b.factors(), b.dropout(), b.initWeights());
            case AdapterConfig.Hra h -> new HraSpec(t, h.r(), h.gramSchmidt(), h.initWeights());
        };
    }

    /// PEFT's two exact forms turn opposite ways: OFT's is `exact = CAYLEY_MINUS`, PSOFT's `CAYLEY_PLUS`.
    private static Orthogonal map(Cayley cayley, int terms, Orthogonal.Form exact, double maxNorm) {
        return switch (cayley) {
            case NEUMANN -> new Orthogonal(Orthogonal.Form.NEUMANN, terms, maxNorm, Orthogonal.Skew.PACKED);
            case EXACT -> Orthogonal.of(exact, 0);
            case NEWTON_SCHULZ -> Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, terms);
        };
    }

    private static Targets targets(AdapterConfig.OnModules c) {
        Names exclude = c.exclude();
        TargetModules modules = new TargetModules(selector(c.targets()), exclude == null ? null : selector(exclude),
                c.layers().isEmpty() ? null : c.layers(), List.of(), List.of());
        return new Targets(modules, switch (c.bias()) {
            case NONE -> "none";
            case ADAPTED -> method(c) + "_only";
            case ALL -> "all";
        });
    }

    private static Selector selector(Names n) {
        String pattern = n.pattern();
        return pattern == null ? new Selector.Names(n.list())
                : pattern.equals("all-linear") ? new Selector.AllLinear() : new Selector.Regex(pattern);
    }

    /// The word before `_only`; PSOFT and the Givens methods have no such option.
    private static String method(AdapterConfig.OnModules c) {
        return switch (c) {
            case AdapterConfig.Oft _ -> "oft";
            case AdapterConfig.Lora _ -> "lora";
            case AdapterConfig.Boft _ -> "boft";
            case AdapterConfig.Hra _ -> "hra";
            case AdapterConfig.Psoft _,AdapterConfig.Goft _,AdapterConfig.Qgoft _ -> "adapter";
        };
    }
}
