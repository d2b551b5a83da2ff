package dev.gyre.model.token;

import dev.gyre.model.files.Json;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Tokens named by the files that accompany `tokenizer.json`.
final class SpecialTokens {
    private SpecialTokens() {
    }

    /// A token as its text, or as an object with `content`.
    static @Nullable String content(JsonNode node) {
        JsonNode text = node.isObject() ? node.path("content") : node;
        return text.isString() ? text.stringValue() : null;
    }

    private static ObjectNode object(Path file) {
        return Files.exists(file) ? Json.readObject(file) : JsonNodeFactory.instance.objectNode();
    }

    /// The keys that end in `_token`, with their tokens, of tokenizer_config.json; special_tokens_map.json counts more
    /// unless the former has `added_tokens_decoder`, as in transformers.
    static Map<String, String> named(Path directory) {
        Map<String, String> all = new TreeMap<>();
        ObjectNode config = object(directory.resolve("tokenizer_config.json"));
        put(config, all);
        if (!config.has("added_tokens_decoder"))
            put(object(directory.resolve("special_tokens_map.json")), all);
        return all;
    }

    private static void put(ObjectNode json, Map<String, String> into) {
        for (Map.Entry<String, JsonNode> e : json.properties()) {
            String token = e.getKey().endsWith("_token") ? content(e.getValue()) : null;
            if (token != null)
                into.put(e.getKey(), token);
        }
    }

    /// Tokens that transformers adds to those of `tokenizer.json` when it loads a directory.
    static Set<String> added(Path directory) {
        Set<String> all = new TreeSet<>(object(directory.resolve("added_tokens.json")).propertyNames());
        ObjectNode config = object(directory.resolve("tokenizer_config.json"));
        for (String key : new String[] {"added_tokens_decoder", "additional_special_tokens", "extra_special_tokens"})
            for (JsonNode token : config.path(key)) {
                String text = content(token);
                if (text != null)
                    all.add(text);
            }
        return all;
    }
}
