package dev.gyre.model.task;

import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// What sentence-transformers says beside a model that embeds texts: `modules.json`, `1_Pooling/config.json` and
/// `sentence_bert_config.json`, each of which may be missing.
///
/// @param pooling null where no file says it
/// @param longest tokens of a text (`max_seq_length`); longer ones are cut
/// @param lowerCase whether texts are put into lower case first
record SentenceFiles(@Nullable Pooling pooling, int longest, boolean lowerCase) {
    /// Nothing said.
    static final SentenceFiles NONE = new SentenceFiles(null, Integer.MAX_VALUE, false);

    static SentenceFiles of(Path directory) {
        modules(directory.resolve("modules.json"));
        Path file = directory.resolve("sentence_bert_config.json");
        JsonNode said = Files.isRegularFile(file) ? Json.readObject(file) : Json.MAPPER.createObjectNode();
        JsonNode most = said.path("max_seq_length");
        if (!most.isMissingNode() && !most.isNull() && !(most.isInt() && most.intValue() > 0))
            throw new FormatException(file, "max_seq_length is " + most + ", expected a positive number");
        return new SentenceFiles(pooling(directory.resolve("1_Pooling").resolve("config.json")),
                most.isInt() ? most.intValue() : Integer.MAX_VALUE, said.path("do_lower_case").asBoolean(false));
    }

    /// A body, pooling and normalisation: vectors that something else changes would be others.
    private static void modules(Path file) {
        if (!Files.isRegularFile(file))
            return;
        JsonNode all;
        try {
            all = Json.MAPPER.readTree(file.toFile());
        } catch (JacksonException e) {
            throw new FormatException(file, "is not JSON: " + e.getOriginalMessage());
        }
        for (JsonNode m : all) {
            String type = m.path("type").asString("");
            String name = type.substring(type.lastIndexOf('.') + 1);
            if (!List.of("Transformer", "Pooling", "Normalize").contains(name))
                throw new FormatException(file, "has a module " + (name.isEmpty() ? m.toString() : name) + " ("
                        + m.path("path").asString("") + "), which Gyre does not read, so embeddings would differ; take"
                        + " a model of Transformer, Pooling and Normalize");
        }
    }

    private static @Nullable Pooling pooling(Path file) {
        if (!Files.isRegularFile(file))
            return null;
        ObjectNode json = Json.readObject(file);
        List<String> modes = new ArrayList<>();
        if (json.path("pooling_mode").isString())
            modes.add(json.path("pooling_mode").stringValue().toLowerCase(Locale.ROOT));
        else
            json.properties().forEach(e -> {
                if (e.getKey().startsWith("pooling_mode_") && e.getValue().asBoolean(false))
                    modes.add(e.getKey().substring("pooling_mode_".length()));
            });
        return switch (String.join(" and ", modes)) {
            case "cls", "cls_token" -> Pooling.FIRST;
            case "lasttoken" -> Pooling.LAST;
            // a sum over the root of its length points where the mean does
            case "", "mean", "mean_tokens", "mean_sqrt_len", "mean_sqrt_len_tokens" -> Pooling.MEAN;
            default -> throw new FormatException(file, "pools by " + String.join(" and ", modes)
                    + "; Gyre reads the first token (cls), the last (lasttoken), or the mean");
        };
    }
}
