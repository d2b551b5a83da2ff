package dev.gyre.model.token;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// The `added_tokens` of a `tokenizer.json` as transformers changes them when it loads a directory: the flags that
/// `added_tokens_decoder` of `tokenizer_config.json` gives to a token win, and a token that the other files name is added
/// where it is in the vocabulary only.
final class AddedTokens {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final String KEY = "added_tokens";

    private AddedTokens() {
    }

    /// The text of `tokenizer.json` with the list changed; null if the file is right as it is.
    ///
    /// @param named tokens with a role, such as the one that ends a text: they are special, whatever the files say
    /// @param added tokens that are to be added
    /// @param ids of these in the file
    static @Nullable String changed(Path file, Set<String> named, Set<String> added, Map<String, Integer> ids) {
        Map<String, ObjectNode> flags = flags(file.resolveSibling("tokenizer_config.json"));
        String text;
        try {
            text = Files.readString(file);
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        Map<String, ObjectNode> list = new LinkedHashMap<>();
        int from = -1;
        int to = -1;
        try (JsonParser p = JSON.createParser(text)) {
            p.nextToken();
            while (p.nextToken() == JsonToken.PROPERTY_NAME) {
                boolean here = p.currentName().equals(KEY);
                if (p.nextToken() != JsonToken.START_ARRAY || !here) {
                    p.skipChildren();
                    continue;
                }
                from = Math.toIntExact(p.currentTokenLocation().getCharOffset());
                while (p.nextToken() == JsonToken.START_OBJECT) {
                    ObjectNode token = p.readValueAsTree();
                    list.put(token.path("content").asString(""), token);
                }
                to = Math.toIntExact(p.currentTokenLocation().getCharOffset()) + 1;
            }
        } catch (JacksonException e) {
            throw new FormatException(file, "not valid JSON: " + Json.reason(e), e);
        }
        boolean same = true;
        for (Map.Entry<String, ObjectNode> e : flags.entrySet()) {
            ObjectNode token = list.get(e.getKey());
            if (token != null)
                same &= !put(token, e.getValue(), named.contains(e.getKey()));
        }
        Map<Integer, ObjectNode> missing = new TreeMap<>();
        for (String content : added) {
            Integer id = ids.get(content);
            if (id == null || list.containsKey(content))
                continue;
            ObjectNode token = JSON.createObjectNode().put("id", id).put("content", content);
            put(token, flags.getOrDefault(content, JSON.createObjectNode().put("special", true)),
                    named.contains(content));
            missing.put(id, token);
        }
        if (same && missing.isEmpty())
            return null;
        var all = JSON.createArrayNode();
        list.values().forEach(all::add);
        missing.values().forEach(all::add);
        if (from >= 0)
            return text.substring(0, from) + all + text.substring(to);
        int begin = text.indexOf('{') + 1;
        return text.substring(0, begin) + "\"" + KEY + "\": " + all + ", " + text.substring(begin);
    }

    private static Map<String, ObjectNode> flags(Path config) {
        Map<String, ObjectNode> all = new LinkedHashMap<>();
        if (Files.exists(config))
            for (JsonNode token : Json.readObject(config).path("added_tokens_decoder"))
                if (token instanceof ObjectNode o && o.path("content").isString())
                    all.put(o.path("content").stringValue(), o);
        return all;
    }

    /// Gives a token the flags of another, absent ones as transformers' AddedToken has them; whether that changed it.
    private static boolean put(ObjectNode token, ObjectNode flags, boolean named) {
        ObjectNode before = token.deepCopy();
        boolean special = flags.path("special").asBoolean(false);
        token.put("single_word", flags.path("single_word").asBoolean(false));
        token.put("lstrip", flags.path("lstrip").asBoolean(false));
        token.put("rstrip", flags.path("rstrip").asBoolean(false));
        token.put("normalized", flags.path("normalized").asBoolean(!special));
        token.put("special", special || named);
        return !token.equals(before);
    }
}
