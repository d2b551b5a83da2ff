package dev.gyre.model.adapter.adalora;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Inline;
import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;
import dev.gyre.model.options.Unlisted;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Options of AdaLoRA: LoRA as a singular value decomposition whose directions compete for a budget.
///
/// @param initR directions of each module at the start
/// @param targetR directions of a module in the end, on average
/// @param alpha the scale is alpha / initR; null makes 2 initR
/// @param tinit steps before the first direction is masked
/// @param tfinal steps at the end in which the choice is final
/// @param deltaT steps between two choices
/// @param beta1 decay of the averaged importance
/// @param beta2 decay of its averaged uncertainty
/// @param orthogonality weight of the regulariser `||A A^T - I|| + ||B^T B - I||`
/// @param steps `total_step`, the optimiser steps of the run; null where nothing is allocated
/// @param rankPattern per module, named `<module>.lora_E`, which of its initR directions its tensors still have
@OneOf.Case(value = "adalora", doc = "AdaLoRA: LoRA whose ranks are allotted to the modules while it trains")
public record AdaLora(
        @Key(doc = "rank of every module at the start (PEFT: init_r)", def = "12", min = 1) int initR,
        @Key(doc = "mean rank in the end (PEFT: target_r)", def = "8", min = 1) int targetR,
        @Key(doc = "scale is alpha / init_r (PEFT: lora_alpha); 2 init_r when absent", def = "null",
                min = 1e-30) @Nullable Double alpha,
        @Key(doc = "dropout of the adapter's input (PEFT: lora_dropout)", def = "0", min = 0,
                max = 0.999) double dropout,
        @Key(doc = "steps with all ranks at the start", def = "0", min = 0) int tinit,
        @Key(doc = "steps with the final ranks at the end", def = "0", min = 0) int tfinal,
        @Key(doc = "steps between two allocations (PEFT: deltaT)", def = "1", min = 1) int deltaT,
        @Key(doc = "decay of the averaged importance", def = "0.85", min = 1e-9, max = 0.999999999) double beta1,
        @Key(doc = "decay of the importance's averaged uncertainty", def = "0.85", min = 1e-9,
                max = 0.999999999) double beta2,
        @Key(doc = "weight of the orthogonality regulariser (PEFT: orth_reg_weight)", def = "0.5",
                min = 0) double orthogonality,
        @Key(doc = "start as the unchanged model; false: at random", def = "true") boolean initWeights,
        @Inline Targets targets, @Unlisted @Nullable Long steps,
        @Unlisted(def = "{}") Map<String, List<Boolean>> rankPattern) implements AdapterOptions {

    public AdaLora {
        if (initR < 1 || targetR < 1)
            throw new Conflict("init_r", "adalora: ranks " + initR + " and " + targetR + " must be at least 1");
        if (targetR > initR)
            throw new Conflict("target_r", "target_r " + targetR + " is above init_r " + initR);
        if (!(dropout >= 0 && dropout < 1))
            throw new Conflict("dropout", "adalora: dropout " + dropout + " is outside 0 .. 1");
        if (!(beta1 > 0 && beta1 < 1 && beta2 > 0 && beta2 < 1))
            throw new Conflict("beta1", "adalora: beta1 and beta2 must lie between 0 and 1");
        if (steps != null && (tinit >= steps - tfinal || steps - tfinal < 2))
            throw new Conflict("tinit", "adalora: a run of " + steps + " steps has no room between tinit " + tinit
                    + " and tfinal " + tfinal + " to allot ranks in; shorten them");
        if (alpha == null)
            alpha = 2.0 * initR;
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
    }

    /// From rank `initR` to a mean rank `targetR`, with PEFT's other defaults.
    ///
    /// @param steps of the run that allots the ranks; null: all keep theirs
    public static AdaLora of(Targets targets, int initR, int targetR, @Nullable Long steps) {
        return new AdaLora(initR, targetR, null, 0, 0, 0, 1, 0.85, 0.85, 0.5, true, targets, steps, Map.of());
    }

    @Override
    public AdaLora with(Targets t) {
        return new AdaLora(initR, targetR, alpha, dropout, tinit, tfinal, deltaT, beta1, beta2, orthogonality,
                initWeights, t, steps, rankPattern);
    }

    @Override
    public AdaLora inRun(long seed, long ofSteps) {
        return new AdaLora(initR, targetR, alpha, dropout, tinit, tfinal, deltaT, beta1, beta2, orthogonality,
                initWeights, targets, ofSteps, rankPattern);
    }

    /// The same with the directions that are left.
    AdaLora with(Map<String, List<Boolean>> pattern) {
        return new AdaLora(initR, targetR, alpha, dropout, tinit, tfinal, deltaT, beta1, beta2, orthogonality,
                initWeights, targets, steps, pattern);
    }

    @Override
    public String variant() {
        return "r=" + initR + " to " + targetR;
    }

    /// Factor of the update, whatever is masked.
    double scale() {
        return Objects.requireNonNull(alpha) / (initR + 1e-5);
    }
}
