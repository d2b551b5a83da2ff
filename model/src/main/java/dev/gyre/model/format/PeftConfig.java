package dev.gyre.model.format;

import dev.gyre.kernels.InputException;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.TargetModules.Selector;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// `adapter_config.json` of a PEFT adapter directory.
///
/// @param method the method's own fields
/// @param targetModules `target_modules`, `exclude_modules`, `layers_to_transform`, `layers_pattern`, `modules_to_save`
/// @param baseModel `base_model_name_or_path`
/// @param bias which biases are trained: "none", "all" or, for example, "oft_only"
/// @param initWeights `init_weights` or `init_lora_weights`
/// @param peftVersion version that wrote the file, null if it does not say
/// @param unknown fields that we do not know, kept as they are
/// @param warnings what a user should hear about this file
public record PeftConfig(PeftMethod method, TargetModules targetModules, @Nullable String baseModel, String bias,
        boolean initWeights, @Nullable String peftVersion, Map<String, JsonNode> unknown, List<String> warnings) {
    public static final String FILE = "adapter_config.json";
    /// The first version with the polynomial that we write; PEFT warns about older ones.
    public static final String WRITTEN_VERSION = "0.18.0";

    /// The last version with the older polynomial, for files that do not say their version.
    private static final String OLDER_VERSION = "0.17.1";

    private static final Set<String> COMMON = Set.of("peft_type", "peft_version", "task_type", "auto_mapping",
            "base_model_name_or_path", "revision", "inference_mode", "target_modules", "exclude_modules",
            "layers_to_transform", "layers_pattern", "modules_to_save");

    public PeftConfig {
        unknown = Map.copyOf(unknown);
        warnings = List.copyOf(warnings);
    }

    /// What Gyre saves: no trained biases.
    public static PeftConfig of(PeftMethod method, TargetModules targets, @Nullable String baseModel,
            boolean initWeights) {
        return new PeftConfig(method, targets, baseModel, "none", initWeights, WRITTEN_VERSION, Map.of(), List.of());
    }

    public PeftConfig withTargets(TargetModules targets) {
        return new PeftConfig(method, targets, baseModel, bias, initWeights, peftVersion, unknown, warnings);
    }

    /// Whether an OFT adapter was trained with the polynomial of PEFT 0.16 and 0.17, `I + 2Q + ... + 2Q^(t-1)`.
    public boolean olderPolynomial() {
        if (!(method instanceof PeftMethod.Oft oft) || !oft.useCayleyNeumann())
            return false;
        if (peftVersion == null)
            return true;
        String[] parts = peftVersion.split("[.@+]", -1);
        try {
            return parts.length < 2 || Integer.parseInt(parts[0]) == 0 && Integer.parseInt(parts[1]) < 18;
        } catch (NumberFormatException e) {
            return true;
        }
    }

    /// Reads `adapter_config.json`, given that file.
    public static PeftConfig read(Path file) {
        return parse(file, Json.readObject(file));
    }

    static PeftConfig parse(Path file, ObjectNode json) {
        var f = new Fields(file, "", json);
        PeftMethod method;
        try {
            method = method(f);
        } catch (IllegalArgumentException | InputException e) {
            throw new FormatException(file, e.getMessage() + "; correct the file", e);
        }
        if (!f.text("task_type", "CAUSAL_LM").equals("CAUSAL_LM"))
            throw f.bad("task_type", "\"CAUSAL_LM\" or null");
        List<String> warnings = new ArrayList<>();
        if (f.bool("fan_in_fan_out", false))
            warnings.add(file + ": fan_in_fan_out is ignored; linear layers of these models are never transposed");
        if (method instanceof PeftMethod.Oft oft && oft.moduleDropout() > 0)
            warnings.add(file + ": module_dropout is ignored, as PEFT does");
        Map<String, JsonNode> unknown = new TreeMap<>();
        Set<String> known = fields(method);
        for (Map.Entry<String, JsonNode> e : json.properties())
            if (!known.contains(e.getKey()))
                unknown.put(e.getKey(), e.getValue());
        if (!unknown.isEmpty())
            warnings.add(file + ": unknown fields are ignored: " + String.join(", ", unknown.keySet()));
        var config = new PeftConfig(method, targets(f), f.textOrNull("base_model_name_or_path"), bias(f, method),
                initWeights(f, method), f.textOrNull("peft_version"), unknown, warnings);
        if (!config.olderPolynomial())
            return config;
        warnings.add(file + ": peft_version " + (config.peftVersion == null ? "is missing" : config.peftVersion)
                + ", so the older Cayley-Neumann polynomial is used, the one this adapter was trained with");
        return new PeftConfig(method, config.targetModules, config.baseModel, config.bias, config.initWeights,
                config.peftVersion, unknown, warnings);
    }

    private static Set<String> fields(PeftMethod method) {
        Set<String> all = new TreeSet<>(COMMON);
        ObjectNode own = Json.MAPPER.createObjectNode();
        putMethod(own, method, true, "none");
        all.addAll(own.propertyNames());
        return all;
    }

    private static boolean initWeights(Fields f, PeftMethod method) {
        if (!(method instanceof PeftMethod.Lora lora))
            return f.bool("init_weights", true);
        return lora.gaussianInit() || f.node("init_lora_weights").isString() || f.bool("init_lora_weights", true);
    }

    private static String bias(Fields f, PeftMethod method) {
        String only = method.type().toLowerCase(java.util.Locale.ROOT) + "_only";
        String bias = f.text("bias", "none");
        if (!List.of("none", "all", only).contains(bias))
            throw f.bad("bias", "none, all or " + only);
        return bias;
    }

    private static PeftMethod method(Fields f) {
        return switch (f.text("peft_type")) {
            case "OFT" -> oft(f);
            case "PSOFT" -> psoft(f);
            case "BOFT" -> boft(f);
            case "HRA" -> new PeftMethod.Hra(positive(f, "r", 8), f.bool("apply_GS", false));
            case "LORA" -> lora(f);
            case "GOFT" -> new PeftMethod.Goft(f.bool("strict_oft", true), f.bool("no_scaling", false));
            default -> throw f.bad("peft_type", "one of OFT, PSOFT, BOFT, HRA, LORA, GOFT");
        };
    }

    private static int positive(Fields f, String key, int fallback) {
        int n = f.integer(key, fallback);
        if (n < 1)
            throw f.bad(key, "a positive number");
        return n;
    }

    private static double rate(Fields f, String key) {
        double p = f.number(key, 0);
        if (!(p >= 0 && p < 1))
            throw f.bad(key, "a number from 0, below 1");
        return p;
    }

    private static PeftMethod oft(Fields f) {
        if (!f.has("oft_block_size"))
            throw f.bad("oft_block_size", "the field; files without it come from PEFT before 0.14, whose tensors mean"
                    + " something else: train the adapter again");
        int r = f.integer("r", 0);
        int b = f.integer("oft_block_size", 32);
        if (r < 0 || b < 0 || (r == 0) == (b == 0))
            throw f.bad("r", "exactly one of r and oft_block_size above 0, the other 0 (oft_block_size is " + b + ")");
        double eps = f.number("eps", 6e-5);
        if (!(eps > 0))
            throw f.bad("eps", "a positive number");
        return new PeftMethod.Oft(r, b, rate(f, "module_dropout"), f.bool("coft", false), eps,
                f.bool("block_share", false), f.bool("use_cayley_neumann", true), terms(f));
    }

    private static int terms(Fields f) {
        int t = f.integer("num_cayley_neumann_terms", 5);
        if (t < 1 || t > 1000)
            throw f.bad("num_cayley_neumann_terms", "a number from 1 to 1000");
        return t;
    }

    private static PeftMethod psoft(Fields f) {
        String init = f.text("ab_svd_init", "psoft_init");
        if (!List.of("psoft_init", "pissa_init").contains(init))
            throw f.bad("ab_svd_init", "psoft_init or pissa_init");
        String svd = f.text("psoft_svd", "full");
        if (!List.of("full", "lowrank").contains(svd))
            throw f.bad("psoft_svd", "full or lowrank");
        double eps = f.number("cayley_neumann_eps", 0);
        if (eps < 0 || eps >= 1 || eps == 0 && f.isSet("cayley_neumann_eps"))
            throw f.bad("cayley_neumann_eps", "null or a number between 0 and 1");
        double alpha = f.number("psoft_alpha", 32);
        if (!(alpha > 0))
            throw f.bad("psoft_alpha", "a positive number");
        int iterations = f.integer("psoft_svd_lowrank_niter", 10);
        if (iterations < 0)
            throw f.bad("psoft_svd_lowrank_niter", "a number from 0");
        return new PeftMethod.Psoft(positive(f, "r", 32), alpha, rate(f, "psoft_dropout"), init, svd, iterations,
                f.integer("random_seed", 0), f.bool("psoft_orth", true),
                f.bool("psoft_mag_a", true), f.bool("psoft_mag_b", true), f.bool("use_cayley_neumann", false), terms(f),
                eps);
    }

    private static PeftMethod boft(Fields f) {
        int size = f.integer("boft_block_size", 4);
        int num = f.integer("boft_block_num", 0);
        if (size < 0 || num < 0 || (size == 0) == (num == 0))
            throw f.bad("boft_block_num", "exactly one of boft_block_size and boft_block_num above 0, the other 0"
                    + " (boft_block_size is " + size + ")");
        return new PeftMethod.Boft(size, num, positive(f, "boft_n_butterfly_factor", 1), rate(f, "boft_dropout"));
    }

    private static PeftMethod lora(Fields f) {
        for (String key : List.of("use_dora", "use_qalora", "use_bdlora"))
            if (f.isSet(key) && !(f.node(key).isBoolean() && !f.bool(key, true)))
                throw f.bad(key, "false; only plain LoRA and rsLoRA are implemented");
        for (String key : List.of("megatron_config", "trainable_token_indices", "corda_config", "lora_ga_config",
                "velora_config", "alora_invocation_tokens", "monteclora_config", "layer_replication",
                "target_parameters", "arrow_config", "kasa_config"))
            if (f.isSet(key) && !(f.node(key).isContainer() && f.node(key).isEmpty()))
                throw f.bad(key, "null; only plain LoRA and rsLoRA are implemented");
        if (f.isSet("loftq_config") && !f.object("loftq_config").isEmpty())
            throw f.bad("loftq_config", "{}; LoftQ changes the base weights");
        JsonNode init = f.node("init_lora_weights");
        boolean gaussian = init.isString() && init.stringValue().equalsIgnoreCase("gaussian");
        if (init.isString() && !gaussian && !List.of("eva", "orthogonal").contains(init.stringValue()))
            throw f.bad("init_lora_weights",
                    "true, false, gaussian, orthogonal or eva; other starts change the base weights, save"
                            + " the adapter converted to plain LoRA (path_initial_model_for_weight_conversion)");
        Map<String, Integer> ranks = new LinkedHashMap<>();
        pattern(f, "rank_pattern").forEach((k, v) -> ranks.put(k, v.intValue()));
        double alpha = f.number("lora_alpha", 8);
        return new PeftMethod.Lora(positive(f, "r", 8), alpha, rate(f, "lora_dropout"), f.bool("use_rslora", false),
                gaussian, ranks, pattern(f, "alpha_pattern"), f.bool("lora_bias", false));
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

    private static TargetModules targets(Fields f) {
        Selector targets = selector(f, "target_modules");
        List<String> pattern = f.node("layers_pattern").isArray() ? f.texts("layers_pattern")
                : f.text("layers_pattern", "").isEmpty() ? List.of() : List.of(f.text("layers_pattern"));
        List<Integer> layers = f.isSet("layers_to_transform") ? f.integers("layers_to_transform") : null;
        if (layers != null && !layers.isEmpty() && targets != null && !(targets instanceof Selector.Names))
            throw f.bad("layers_to_transform", "null, because target_modules is a string");
        if (!pattern.isEmpty() && (layers == null || layers.isEmpty()))
            throw f.bad("layers_pattern", "null, because layers_to_transform is not given");
        return new TargetModules(targets == null ? TargetModules.defaults().targets() : targets,
                selector(f, "exclude_modules"), layers, pattern,
                f.isSet("modules_to_save") ? f.texts("modules_to_save") : List.of());
    }

    private static @Nullable Selector selector(Fields f, String key) {
        if (!f.isSet(key))
            return null;
        if (!f.node(key).isString()) {
            List<String> names = f.texts(key);
            return names.isEmpty() && key.equals("exclude_modules") ? null : new Selector.Names(names);
        }
        String text = f.text(key);
        try {
            return text.equalsIgnoreCase("all-linear") && key.equals("target_modules") ? new Selector.AllLinear()
                    : new Selector.Regex(text);
        } catch (IllegalArgumentException | InputException e) {
            throw f.bad(key, "a list of names or a regular expression (" + e.getMessage() + ")");
        }
    }

    /// The file's content: PEFT's fields for the method, sorted, and the unknown ones that were read.
    public ObjectNode toJson() {
        ObjectNode o = Json.MAPPER.createObjectNode();
        unknown.forEach(o::set);
        String version = peftVersion != null ? peftVersion : olderPolynomial() ? OLDER_VERSION : WRITTEN_VERSION;
        o.put("peft_type", method.type()).put("peft_version", version);
        o.put("task_type", "CAUSAL_LM").putNull("auto_mapping").put("base_model_name_or_path", baseModel);
        o.putNull("revision").put("inference_mode", true);
        put(o, "target_modules", targetModules.targets());
        put(o, "exclude_modules", targetModules.exclude());
        if (targetModules.layers() == null)
            o.putNull("layers_to_transform");
        else
            targetModules.layers().forEach(o.putArray("layers_to_transform")::add);
        switch (targetModules.layersPattern().size()) {
            case 0 -> o.putNull("layers_pattern");
            case 1 -> o.put("layers_pattern", targetModules.layersPattern().getFirst());
            default -> targetModules.layersPattern().forEach(o.putArray("layers_pattern")::add);
        }
        if (targetModules.modulesToSave().isEmpty())
            o.putNull("modules_to_save");
        else
            targetModules.modulesToSave().forEach(o.putArray("modules_to_save")::add);
        putMethod(o, method, initWeights, bias);
        return HfConfig.sorted(o);
    }

    private static void put(ObjectNode o, String key, @Nullable Selector s) {
        switch (s) {
            case null -> o.putNull(key);
            case Selector.Names n -> n.names().stream().sorted().forEach(o.putArray(key)::add);
            case Selector.Regex r -> o.put(key, r.expression());
            case Selector.AllLinear _ -> o.put(key, "all-linear");
        }
    }

    private static void putMethod(ObjectNode o, PeftMethod method, boolean initWeights, String bias) {
        if (!(method instanceof PeftMethod.Hra))
            o.put("fan_in_fan_out", false);
        if (!(method instanceof PeftMethod.Psoft))
            o.put("bias", bias);
        if (!(method instanceof PeftMethod.Lora))
            o.put("init_weights", initWeights);
        switch (method) {
            case PeftMethod.Oft m -> o.put("r", m.r()).put("oft_block_size", m.blockSize())
                    .put("module_dropout", m.moduleDropout()).put("coft", m.coft()).put("eps", m.eps())
                    .put("block_share", m.blockShare()).put("use_cayley_neumann", m.useCayleyNeumann())
                    .put("num_cayley_neumann_terms", m.numCayleyNeumannTerms());
            case PeftMethod.Psoft m -> {
                o.put("r", m.r());
                putNumber(o, "psoft_alpha", m.alpha());
                o.put("psoft_dropout", m.dropout()).put("ab_svd_init", m.abSvdInit()).put("psoft_svd", m.svd())
                        .put("psoft_svd_lowrank_niter", m.svdLowrankNiter()).put("random_seed", m.randomSeed())
                        .put("psoft_orth", m.orth()).put("psoft_mag_a", m.magA()).put("psoft_mag_b", m.magB())
                        .put("use_cayley_neumann", m.useCayleyNeumann())
                        .put("num_cayley_neumann_terms", m.numCayleyNeumannTerms())
                        .put("cayley_neumann_eps", m.cayleyNeumannEps() == 0 ? null : m.cayleyNeumannEps());
            }
            case PeftMethod.Boft m -> o.put("boft_block_size", m.blockSize()).put("boft_block_num", m.blockNum())
                    .put("boft_n_butterfly_factor", m.nButterflyFactor()).put("boft_dropout", m.dropout());
            case PeftMethod.Hra m -> o.put("r", m.r()).put("apply_GS", m.applyGs());
            case PeftMethod.Lora m -> putLora(o, m, initWeights);
            case PeftMethod.Goft m -> o.put("strict_oft", m.strict()).put("no_scaling", m.noScaling());
        }
    }

    private static void putLora(ObjectNode o, PeftMethod.Lora m, boolean initWeights) {
        o.put("r", m.r());
        putNumber(o, "lora_alpha", m.alpha());
        o.put("lora_dropout", m.dropout()).put("use_rslora", m.useRslora()).put("lora_bias", m.loraBias());
        if (m.gaussianInit())
            o.put("init_lora_weights", "gaussian");
        else
            o.put("init_lora_weights", initWeights);
        ObjectNode ranks = o.putObject("rank_pattern");
        m.rankPattern().forEach(ranks::put);
        ObjectNode alphas = o.putObject("alpha_pattern");
        m.alphaPattern().forEach((k, v) -> putNumber(alphas, k, v));
        o.put("use_dora", false).put("use_qalora", false).put("qalora_group_size", 16)
                .put("megatron_core", "megatron.core").put("ensure_weight_tying", false).putObject("loftq_config");
        for (String key : List.of("megatron_config", "trainable_token_indices", "eva_config", "corda_config",
                "lora_ga_config", "velora_config", "alora_invocation_tokens", "monteclora_config", "layer_replication",
                "target_parameters", "use_bdlora", "arrow_config", "kasa_config"))
            o.putNull(key);
    }

    /// A whole number without a fraction, as PEFT's users write alpha.
    private static void putNumber(ObjectNode o, String key, double v) {
        if (v == Math.rint(v) && Math.abs(v) < 1e9)
            o.put(key, (int) v);
        else
            o.put(key, v);
    }
}
