package dev.gyre.model.adapter.psoft;

import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.psoft.Psoft.Cayley;
import dev.gyre.model.files.Fields;
import java.util.List;
import java.util.Objects;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's PSOFT.
///
/// PEFT stores no factors: it computes them from the weight again, by an SVD whose signs differ between machines. Gyre
/// writes them into a second file, `<module>.psoft_A` and `<module>.psoft_B`. Newton-Schulz, which PEFT does not have, is
/// written as the exact Cayley map with the skew parameters that give the very same rotation.
final class PsoftPeft implements PeftForm<Psoft> {
    static final String ROTATION = "psoft_R.weight";
    static final String VECTOR_A = "psoft_R.vector_a";
    static final String VECTOR_B = "psoft_R.vector_b";
    static final String FACTOR_A = "psoft_A";
    static final String FACTOR_B = "psoft_B";
    static final String FACTORS = "psoft_factors.safetensors";

    @Override
    public String type() {
        return "PSOFT";
    }

    @Override
    public List<String> parameters() {
        return List.of(ROTATION, VECTOR_A, VECTOR_B);
    }

    @Override
    public String frozenFile() {
        return FACTORS;
    }

    @Override
    public boolean trainsBiases() {
        return false;
    }

    @Override
    public Psoft read(Fields f, Targets targets) {
        String init = f.text("ab_svd_init", "psoft_init");
        if (!List.of("psoft_init", "pissa_init").contains(init))
            throw f.bad("ab_svd_init", "psoft_init or pissa_init");
        String svd = f.text("psoft_svd", "full");
        if (!List.of("full", "lowrank").contains(svd))
            throw f.bad("psoft_svd", "full or lowrank");
        double norm = f.number("cayley_neumann_eps", 0);
        if (norm < 0 || norm >= 1 || norm == 0 && f.isSet("cayley_neumann_eps"))
            throw f.bad("cayley_neumann_eps", "null or a number between 0 and 1");
        double alpha = f.number("psoft_alpha", 32);
        if (!(alpha > 0))
            throw f.bad("psoft_alpha", "a positive number");
        int iterations = f.integer("psoft_svd_lowrank_niter", 10);
        if (iterations < 0)
            throw f.bad("psoft_svd_lowrank_niter", "a number from 0");
        int terms = PeftForm.terms(f);
        boolean polynomial = f.bool("use_cayley_neumann", false);
        return new Psoft(PeftForm.positive(f, "r", 32), alpha, PeftForm.rate(f, "psoft_dropout"),
                init.equals("pissa_init") ? Psoft.Factors.PISSA : Psoft.Factors.PSOFT,
                svd.equals("lowrank") ? Psoft.Svd.LOWRANK : Psoft.Svd.FULL, iterations, f.bool("psoft_orth", true),
                f.bool("psoft_mag_a", true), f.bool("psoft_mag_b", true),
                polynomial ? Cayley.NEUMANN : Cayley.EXACT, polynomial ? terms : 5,
                polynomial && norm > 0 ? norm : null, f.bool("init_weights", true), targets,
                f.integer("random_seed", 0));
    }

    @Override
    public void write(Psoft o, ObjectNode json) {
        boolean polynomial = o.cayley() == Cayley.NEUMANN;
        // as the rotation is computed with it
        double norm = o.map().maxNorm();
        json.put("fan_in_fan_out", false).put("init_weights", o.initWeights()).put("r", o.r());
        PeftForm.putNumber(json, "psoft_alpha", Objects.requireNonNull(o.alpha()));
        json.put("psoft_dropout", o.dropout())
                .put("ab_svd_init", o.factors() == Psoft.Factors.PSOFT ? "psoft_init" : "pissa_init")
                .put("psoft_svd", o.svd() == Psoft.Svd.FULL ? "full" : "lowrank")
                .put("psoft_svd_lowrank_niter", o.svdIterations()).put("random_seed", o.seed())
                .put("psoft_orth", o.orthogonal()).put("psoft_mag_a", o.magnitudeA())
                .put("psoft_mag_b", o.magnitudeB()).put("use_cayley_neumann", polynomial)
                .put("num_cayley_neumann_terms", polynomial ? o.terms() : 5)
                .put("cayley_neumann_eps", norm == 0 ? null : (Double) norm);
    }
}
