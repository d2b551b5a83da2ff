package dev.gyre.model.gguf;

import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.databind.node.ObjectNode;

/// The files of a model directory that say the same as the metadata of a GGUF file.
public final class GgufModel {
    private GgufModel() {
    }

    /// `config.json`.
    public static ObjectNode config(GgufFile f) {
        return GgufConfig.of(f);
    }

    /// All of them by their names.
    public static Map<String, ObjectNode> files(GgufFile f) {
        Map<String, ObjectNode> all = new LinkedHashMap<>();
        all.put("config.json", config(f));
        all.putAll(GgufTokenizer.read(f));
        return all;
    }
}
