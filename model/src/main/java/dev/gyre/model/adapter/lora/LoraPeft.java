package dev.gyre.model.adapter.lora;

import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.files.Fields;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's LoRA, of whose variants the plain one and rsLoRA are read, with its biases and its PiSSA and OLoRA starts.
public final class LoraPeft implements PeftForm<Lora> {
    static final String A = "lora_A.weight";
    static final String B = "lora_B.weight";
    static final String BIAS = "lora_B.bias";

    /// Fields of variants, null where they are not used.
    private static final List<String> VARIANTS = List.of("megatron_config", "corda_config",
            "lora_ga_config", "velora_config", "alora_invocation_tokens", "monteclora_config", "layer_replication",
            "target_parameters", "arrow_config", "kasa_config");

    @Override
    public String type() {
        return "LORA";
    }

    /// A file with `use_dora` is DoRA's.
    @Override
    public boolean reads(Fields f) {
        return !f.bool("use_dora", false);
    }

    @Override
    public List<String> parameters() {
        return List.of(A, B, BIAS);
    }

    @Override
    public Lora read(Fields f, Targets targets) {
        requirePlain(f);
        JsonNode init = f.node("init_lora_weights");
        boolean gaussian = init.isString() && init.stringValue().equalsIgnoreCase("gaussian");
        Lora.Start start = !init.isString() ? Lora.Start.NONE
                : init.stringValue().equals("pissa") ? Lora.Start.PISSA
                : init.stringValue().equalsIgnoreCase("olora") ? Lora.Start.OLORA : Lora.Start.NONE;
        if (init.isString() && !gaussian && start == Lora.Start.NONE
                && !List.of("eva", "orthogonal").contains(init.stringValue()))
            throw f.bad("init_lora_weights",
                    "true, false, gaussian, orthogonal, eva, pissa or olora; other starts change the base weights in ways"
                            + " that differ from run to run or need data, save the adapter converted to plain LoRA"
                            + " (save_pretrained with path_initial_model_for_weight_conversion)");
        Map<String, Integer> ranks = new LinkedHashMap<>();
        pattern(f, "rank_pattern").forEach((k, v) -> ranks.put(k, v.intValue()));
        return new Lora(PeftForm.positive(f, "r", 8), f.number("lora_alpha", 8), PeftForm.rate(f, "lora_dropout"),
                f.bool("use_rslora", false), gaussian, init.isString() || f.bool("init_lora_weights", true), ranks,
                pattern(f, "alpha_pattern"), targets, f.bool("lora_bias", false), start);
    }

    /// Refuses the variants of LoRA that are no methods of ours.
    public static void requirePlain(Fields f) {
        for (String key : List.of("use_qalora", "use_bdlora"))
            if (f.isSet(key) && !(f.node(key).isBoolean() && !f.bool(key, true)))
                throw f.bad(key, "false; only LoRA, rsLoRA, DoRA and AdaLoRA are implemented");
        for (String key : VARIANTS)
            if (f.isSet(key) && !(f.node(key).isContainer() && f.node(key).isEmpty()))
                throw f.bad(key, "null; only LoRA, rsLoRA, DoRA and AdaLoRA are implemented");
        if (f.isSet("loftq_config") && !f.object("loftq_config").isEmpty())
            throw f.bad("loftq_config", "{}; LoftQ changes the base weights");
    }

    /// Writes that no such variant is used.
    public static void putPlain(ObjectNode json) {
        json.putNull("trainable_token_indices").put("lora_bias", false).put("use_dora", false).put("use_qalora", false)
                .put("qalora_group_size", 16)
                .put("megatron_core", "megatron.core").put("ensure_weight_tying", false).putObject("loftq_config");
        VARIANTS.forEach(json::putNull);
        json.putNull("eva_config").putNull("use_bdlora");
    }

    private static Map<String, Double> pattern(Fields f, String key) {
        Map<String, Double> all = new LinkedHashMap<>();
        if (!f.isSet(key))
            return all;
        Fields object = f.object(key);
        for (String name : object.names()) {
            double v = object.number(name);
            if (!(v > 0) || key.equals("rank_pattern") && (v != Math.rint(v) || v > 1e6))
                throw object.bad(name, "a positive " + (key.equals("rank_pattern") ? "whole number" : "number"));
            all.put(name, v);
        }
        return all;
    }

    @Override
    public void write(Lora o, ObjectNode json) {
        json.put("fan_in_fan_out", false).put("r", o.r());
        PeftForm.putNumber(json, "lora_alpha", Objects.requireNonNull(o.alpha()));
        json.put("lora_dropout", o.dropout()).put("use_rslora", o.rslora());
        if (o.gaussian())
            json.put("init_lora_weights", "gaussian");
        else
            if (o.start() != Lora.Start.NONE)
                json.put("init_lora_weights", o.start().name().toLowerCase(Locale.ROOT));
            else
                json.put("init_lora_weights", o.initWeights());
        ObjectNode ranks = json.putObject("rank_pattern");
        o.rankPattern().forEach(ranks::put);
        ObjectNode alphas = json.putObject("alpha_pattern");
        o.alphaPattern().forEach((k, v) -> PeftForm.putNumber(alphas, k, v));
        putPlain(json);
        json.put("lora_bias", o.bias());
    }
}
