package dev.gyre.model.token;

import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// How tokenizer_config.json writes a special token: as its text, or as an object with `content`.
final class SpecialTokens {
    private SpecialTokens() {
    }

    static @Nullable String content(JsonNode node) {
        JsonNode text = node.isObject() ? node.path("content") : node;
        return text.isString() ? text.stringValue() : null;
    }
}
