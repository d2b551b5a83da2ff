package dev.gyre.model.adapter.adalora;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.PeftFile;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.LoraPeft;
import dev.gyre.model.files.Fields;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's AdaLoRA. Its file has all of LoRA's fields as well, of which only `lora_alpha` and `lora_dropout` count; `r` stays
/// 8. After an allocation `rank_pattern` says which directions are left, and the tensors have only these.
final class AdaLoraPeft implements PeftForm<AdaLora> {
    static final String A = "lora_A";
    static final String B = "lora_B";
    static final String E = "lora_E";

    @Override
    public String type() {
        return "ADALORA";
    }

    @Override
    public List<String> parameters() {
        return List.of(A, B, E);
    }

    @Override
    public AdaLora read(Fields f, Targets targets) {
        if (f.bool("use_dora", false))
            throw f.bad("use_dora", "false; AdaLoRA has no form with it");
        LoraPeft.requirePlain(f);
        if (f.bool("lora_bias", false))
            throw f.bad("lora_bias", "false; fold the adapter in with PEFT (merge_and_unload)");
        double alpha = f.number("lora_alpha", 8);
        if (!(alpha > 0))
            throw f.bad("lora_alpha",
                    "a positive number; without one PEFT scales by the rank, which changes when it saves");
        int steps = f.integer("total_step");
        if (steps < 1)
            throw f.bad("total_step", "a positive number");
        Map<String, List<Boolean>> pattern = new LinkedHashMap<>();
        if (f.isSet("rank_pattern"))
            for (String module : f.object("rank_pattern").names())
                pattern.put(module, flags(f.object("rank_pattern"), module));
        double weight = f.number("orth_reg_weight", 0.5);
        if (!(weight >= 0))
            throw f.bad("orth_reg_weight", "a number from 0");
        int initR = PeftForm.positive(f, "init_r", 12);
        int targetR = PeftForm.positive(f, "target_r", 8);
        return new AdaLora(initR, targetR, alpha, PeftForm.rate(f, "lora_dropout"), f.integer("tinit", 0),
                f.integer("tfinal", 0), PeftForm.positive(f, "deltaT", 1), f.number("beta1", 0.85),
                f.number("beta2", 0.85), weight,
                f.node("init_lora_weights").isString() || f.bool("init_lora_weights", true),
                targets, (long) steps, pattern);
    }

    private static List<Boolean> flags(Fields object, String key) {
        List<Boolean> out = new ArrayList<>();
        for (JsonNode n : object.node(key)) {
            if (!n.isBoolean())
                throw object.bad(key, "a list of true and false");
            out.add(n.booleanValue());
        }
        return out;
    }

    @Override
    public void write(AdaLora o, ObjectNode json) {
        LoraPeft.putPlain(json);
        json.put("fan_in_fan_out", false).put("r", 8).put("use_rslora", false);
        PeftForm.putNumber(json, "lora_alpha", Objects.requireNonNull(o.alpha()));
        json.put("lora_dropout", o.dropout()).put("init_lora_weights", o.initWeights());
        json.putObject("alpha_pattern");
        Long steps = o.steps();
        json.put("init_r", o.initR()).put("target_r", o.targetR()).put("tinit", o.tinit()).put("tfinal", o.tfinal())
                .put("deltaT", o.deltaT()).put("beta1", o.beta1()).put("beta2", o.beta2())
                .put("orth_reg_weight", o.orthogonality())
                // PEFT reads no file without it, nor one whose allocation would never begin
                .put("total_step", steps == null ? o.tinit() + o.tfinal() + 2L : steps);
        if (o.rankPattern().isEmpty())
            json.putNull("rank_pattern");
        else {
            ObjectNode patterns = json.putObject("rank_pattern");
            o.rankPattern().forEach((module, kept) -> {
                ArrayNode flags = patterns.putArray(module);
                kept.forEach(flags::add);
            });
        }
    }

    /// The pattern of the directions that the layers have left.
    @Override
    public AdaLora described(AdaLora o, List<AdapterLayer> layers) {
        Map<String, List<Boolean>> pattern = new TreeMap<>();
        for (AdapterLayer l : layers) {
            List<Boolean> kept = ((AdaLoraLayer) l).kept();
            if (kept != null)
                pattern.put(l.module() + "." + E, kept);
        }
        return o.with(pattern);
    }

    @Override
    public AdaLora corrected(AdaLora o, PeftFile file, List<String> warnings) {
        for (String key : o.rankPattern().keySet())
            if (!file.tensors().containsKey(key))
                throw new InputException(file.directory() + ": rank_pattern names '" + key
                        + "', which is no tensor of the file; the adapter is incomplete");
        return o;
    }
}
