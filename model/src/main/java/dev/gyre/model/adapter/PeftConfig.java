package dev.gyre.model.adapter;

import dev.gyre.kernels.InputException;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.options.Names;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// `adapter_config.json` of a PEFT adapter directory: the fields that all methods share; the others are [PeftForm]'s.
///
/// @param options the method's options and the targets
/// @param baseModel `base_model_name_or_path`
/// @param peftVersion version that wrote the file, null if it does not say
/// @param taskType `task_type`, what the model does; null if the file does not say
/// @param unknown fields that we do not know, kept as they are
/// @param warnings about this file
public record PeftConfig(AdapterOptions options, @Nullable String baseModel, @Nullable String peftVersion,
        @Nullable String taskType, Map<String, JsonNode> unknown, List<String> warnings) {
    public static final String FILE = "adapter_config.json";
    /// The first version with the polynomial that we write; PEFT warns about older ones.
    public static final String WRITTEN_VERSION = "0.18.0";

    private static final List<String> TASKS = List.of("CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION");

    private static final String TOKENS = "trainable_token_indices";

    private static final Set<String> COMMON = Set.of("peft_type", "peft_version", "task_type", "auto_mapping",
            "base_model_name_or_path", "revision", "inference_mode", "target_modules", "exclude_modules",
            "layers_to_transform", "layers_pattern", "modules_to_save");

    public PeftConfig {
        unknown = Map.copyOf(unknown);
        warnings = List.copyOf(warnings);
    }

    /// What Gyre saves.
    public static PeftConfig of(AdapterOptions options, @Nullable String baseModel) {
        return new PeftConfig(options, baseModel, Methods.of(options).peft().version(options), "CAUSAL_LM", Map.of(),
                List.of());
    }

    PeftForm<AdapterOptions> form() {
        return Methods.of(options).peft();
    }

    PeftConfig with(Targets targets) {
        return new PeftConfig(options.with(targets), baseModel, peftVersion, taskType, unknown, warnings);
    }

    /// The same for another kind of model.
    PeftConfig task(String type) {
        return new PeftConfig(options, baseModel, peftVersion, type, unknown, warnings);
    }

    /// @throws FormatException when the adapter, in `directory`, was made for a model that does something else
    void requireTask(Path directory, String type) {
        if (taskType != null && !taskType.equals(type) && (taskType.equals("CAUSAL_LM") || type.equals("CAUSAL_LM")))
            throw new FormatException(directory.resolve(FILE), "task_type is " + taskType + ", and the model is for "
                    + type + "; give the model that the adapter was made for");
    }

    /// Reads `adapter_config.json`, given that file.
    public static PeftConfig read(Path file) {
        return parse(file, Json.readObject(file));
    }

    static PeftConfig parse(Path file, ObjectNode json) {
        var f = new Fields(file, "", json);
        PeftForm<?> form = Methods.wrote(f).peft();
        AdapterOptions options;
        try {
            options = form.read(f, targets(f, form.type()));
        } catch (IllegalArgumentException | InputException e) {
            throw new FormatException(file, e.getMessage() + "; correct the file", e);
        }
        if (f.isSet("task_type") && !TASKS.contains(f.text("task_type")))
            throw f.bad("task_type", String.join(", ", TASKS) + " or null");
        List<String> warnings = new ArrayList<>();
        if (f.bool("fan_in_fan_out", false))
            warnings.add(file + ": fan_in_fan_out is ignored; linear layers of these models are never transposed");
        Map<String, JsonNode> unknown = new TreeMap<>();
        Set<String> known = fields(options);
        for (Map.Entry<String, JsonNode> e : json.properties())
            if (!known.contains(e.getKey()))
                unknown.put(e.getKey(), e.getValue());
        if (!unknown.isEmpty())
            warnings.add(file + ": unknown fields are ignored: " + String.join(", ", unknown.keySet()));
        for (String w : Methods.of(options).peft().warnings(f, options))
            warnings.add(file + ": " + w);
        return new PeftConfig(options, f.textOrNull("base_model_name_or_path"), f.textOrNull("peft_version"),
                f.textOrNull("task_type"), unknown, warnings);
    }

    private static Set<String> fields(AdapterOptions options) {
        Set<String> all = new TreeSet<>(COMMON);
        ObjectNode own = Json.MAPPER.createObjectNode();
        putMethod(own, options);
        all.addAll(own.propertyNames());
        return all;
    }

    private static void putMethod(ObjectNode o, AdapterOptions options) {
        PeftForm<AdapterOptions> form = Methods.of(options).peft();
        if (form.trainsBiases())
            o.put("bias", switch (options.targets().bias()) {
                case NONE -> "none";
                case ALL -> "all";
                case ADAPTED -> only(form.type());
            });
        form.write(options, o);
    }

    /// PEFT's word for the biases of adapted modules.
    private static String only(String type) {
        return type.toLowerCase(Locale.ROOT) + "_only";
    }

    private static Targets targets(Fields f, String type) {
        Names targets = names(f, "target_modules");
        List<String> pattern = f.node("layers_pattern").isArray() ? f.texts("layers_pattern")
                : f.text("layers_pattern", "").isEmpty() ? List.of() : List.of(f.text("layers_pattern"));
        List<Integer> layers = f.integers("layers_to_transform");
        if (!layers.isEmpty() && targets != null && targets.pattern() != null)
            throw f.bad("layers_to_transform", "null, because target_modules is a string");
        if (!pattern.isEmpty() && layers.isEmpty())
            throw f.bad("layers_pattern", "null, because layers_to_transform is not given");
        return new Targets(targets == null ? Targets.defaults().targets() : targets, names(f, "exclude_modules"),
                bias(f, only(type)), layers, pattern,
                f.isSet("modules_to_save") ? f.texts("modules_to_save") : List.of())
                .with(tokens(f), f.bool("ensure_weight_tying", false));
    }

    /// `trainable_token_indices`: a list, of the embedding, or lists by module.
    private static Map<String, List<Integer>> tokens(Fields f) {
        if (!f.isSet(TOKENS))
            return Map.of();
        if (f.node(TOKENS).isArray())
            return f.node(TOKENS).isEmpty() ? Map.of() : Map.of("embed_tokens", f.integers(TOKENS));
        Map<String, List<Integer>> out = new TreeMap<>();
        Fields modules = f.object(TOKENS);
        for (String module : modules.names())
            out.put(module, modules.integers(module));
        return out;
    }

    private static Targets.Bias bias(Fields f, String only) {
        String bias = f.text("bias", "none");
        if (bias.equals(only))
            return Targets.Bias.ADAPTED;
        return switch (bias) {
            case "none" -> Targets.Bias.NONE;
            case "all" -> Targets.Bias.ALL;
            default -> throw f.bad("bias", "none, all or " + only);
        };
    }

    private static @Nullable Names names(Fields f, String key) {
        if (!f.isSet(key))
            return null;
        if (!f.node(key).isString()) {
            List<String> names = f.texts(key);
            return names.isEmpty() && key.equals("exclude_modules") ? null : new Names(names, null);
        }
        String text = f.text(key);
        try {
            return text.equalsIgnoreCase("all-linear") && key.equals("target_modules") ? Names.allLinear()
                    : Names.matching(text);
        } catch (IllegalArgumentException | InputException e) {
            throw f.bad(key, "a list of names or a regular expression (" + e.getMessage() + ")");
        }
    }

    /// The file's content: PEFT's fields for the method, sorted, and the unknown ones that were read.
    public ObjectNode toJson() {
        ObjectNode o = Json.MAPPER.createObjectNode();
        unknown.forEach(o::set);
        o.put("peft_type", form().type());
        o.put("peft_version", peftVersion != null ? peftVersion : form().version(options));
        o.put("task_type", taskType == null ? "CAUSAL_LM" : taskType).putNull("auto_mapping")
                .put("base_model_name_or_path", baseModel);
        o.putNull("revision").put("inference_mode", true);
        Targets t = options.targets();
        put(o, "target_modules", t.targets());
        put(o, "exclude_modules", t.exclude());
        if (t.layers().isEmpty())
            o.putNull("layers_to_transform");
        else
            t.layers().forEach(o.putArray("layers_to_transform")::add);
        switch (t.layersPattern().size()) {
            case 0 -> o.putNull("layers_pattern");
            case 1 -> o.put("layers_pattern", t.layersPattern().getFirst());
            default -> t.layersPattern().forEach(o.putArray("layers_pattern")::add);
        }
        if (t.modulesToSave().isEmpty())
            o.putNull("modules_to_save");
        else
            t.modulesToSave().forEach(o.putArray("modules_to_save")::add);
        putMethod(o, options);
        if (t.tied())
            o.put("ensure_weight_tying", true);
        if (t.tokens().size() == 1 && t.tokens().containsKey("embed_tokens"))
            t.tokens().values().forEach(ids -> ids.forEach(o.putArray(TOKENS)::add));
        else
            if (!t.tokens().isEmpty()) {
                ObjectNode modules = o.putObject(TOKENS);
                new TreeMap<>(t.tokens()).forEach((m, ids) -> ids.forEach(modules.putArray(m)::add));
            }
        return HfConfig.sorted(o);
    }

    private static void put(ObjectNode o, String key, @Nullable Names n) {
        if (n == null)
            o.putNull(key);
        else
            if (n.pattern() != null)
                o.put(key, n.pattern());
            else
                n.list().stream().sorted().forEach(o.putArray(key)::add);
    }
}
