package dev.gyre.model.gguf;

import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// How a text is split before the merges of a byte-level vocabulary, which llama.cpp knows by names.
enum GgufPre {
    /// In words, numbers and signs, as GPT-2's.
    GPT2(null, false, "gpt-2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe", "gigachat", "jina-es", "jina-de",
            "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code"),
    /// With each digit apart.
    DIGITS(null, false, "smollm", "refact", "starcoder", "command-r", "codeshell", "exaone", "minerva-7b"),
    LLAMA3("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
            + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", true, "llama-bpe", "llama3", "llama-v3", "falcon3"),
    /// The same where tokens are made by merges only.
    CL100K(LLAMA3.regex, false, "dbrx", "smaug-bpe", "chatglm-bpe"),
    QWEN2("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
            + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", false, "qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"),
    TEKKEN("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
            + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
            + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", true, "tekken"),
    GPT4O("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
            + "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
            + "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}"
            + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", false, "gpt-4o");

    private final @Nullable String regex;
    /// Whether a whole piece that is a token is taken as it is, whatever the merges say.
    final boolean whole;
    private final Set<String> names;
    /// The name that is written.
    final String name;

    GgufPre(@Nullable String regex, boolean whole, String... names) {
        this.regex = regex;
        this.whole = whole;
        this.names = Set.of(names);
        this.name = names[0];
    }

    static @Nullable GgufPre named(String name) {
        for (GgufPre p : values())
            if (p.names.contains(name))
                return p;
        return null;
    }

    private static ObjectNode byteLevel(boolean regex) {
        return JsonNodeFactory.instance.objectNode().put("type", "ByteLevel").put("add_prefix_space", false)
                .put("trim_offsets", false).put("use_regex", regex);
    }

    /// The `pre_tokenizer` of a `tokenizer.json`.
    ObjectNode json() {
        if (this == GPT2)
            return byteLevel(true);
        ObjectNode all = JsonNodeFactory.instance.objectNode().put("type", "Sequence");
        ArrayNode list = all.putArray("pretokenizers");
        if (this == DIGITS) {
            list.addObject().put("type", "Digits").put("individual_digits", true);
        } else {
            ObjectNode split = list.addObject().put("type", "Split");
            split.putObject("pattern").put("Regex", regex);
            split.put("behavior", "Isolated").put("invert", false);
        }
        list.add(byteLevel(this == DIGITS));
        return all;
    }

    /// The one that a `pre_tokenizer` is; null for one that llama.cpp has no name for.
    ///
    /// @param ignoreMerges what the model says of whole pieces
    static @Nullable GgufPre of(JsonNode pre, boolean ignoreMerges) {
        List<JsonNode> parts = pre.path("type").asString("").equals("Sequence")
                ? pre.path("pretokenizers").valueStream().toList() : List.of(pre);
        JsonNode last = parts.isEmpty() ? pre : parts.getLast();
        if (!last.path("type").asString("").equals("ByteLevel") || last.path("add_prefix_space").asBoolean(true))
            return null;
        boolean split = last.path("use_regex").asBoolean(true);
        if (parts.size() == 1)
            return split ? GPT2 : null;
        JsonNode first = parts.getFirst();
        if (parts.size() != 2)
            return null;
        if (first.path("type").asString("").equals("Digits"))
            return split && first.path("individual_digits").asBoolean(false) ? DIGITS : null;
        if (split || !first.path("type").asString("").equals("Split")
                || !first.path("behavior").asString("").equals("Isolated") || first.path("invert").asBoolean(false))
            return null;
        String regex = first.path("pattern").path("Regex").asString("");
        if (regex.equals(LLAMA3.regex))
            return ignoreMerges ? LLAMA3 : CL100K;
        for (GgufPre p : values())
            if (regex.equals(p.regex))
                return p;
        return null;
    }
}
