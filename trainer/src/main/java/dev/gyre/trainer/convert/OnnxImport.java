package dev.gyre.trainer.convert;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.onnx.OnnxBert;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.token.HfTokenizer;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Makes a model directory of an embedding model in an `.onnx` file and its tokenizer, as sentence-transformers writes
/// them: weights, `config.json`, tokenizer, and how its vectors are pooled.
public final class OnnxImport {
    private OnnxImport() {
    }

    /// How the vectors of tokens become one of the text; a graph that ends before does not say.
    public enum Pooling {
        /// Their mean, without padding.
        MEAN,
        /// That of the first token.
        CLS
    }

    /// What was written.
    ///
    /// @param parameters number of weights
    /// @param unread initializers that are no part of the model, such as a head's
    public record Result(ObjectNode config, long parameters, List<String> unread) {
    }

    /// @param tokenizer `tokenizer.json`; null for the one beside the model, called `tokenizer.json` or after the model
    /// @param out model directory to write; must not exist or be empty
    public static Result run(Path onnx, @Nullable Path tokenizer, Pooling pooling, Path out) {
        AtomicFiles.requireNewDirectory(out);
        OnnxBert bert = OnnxBert.read(onnx);
        Path tokens = tokenizer != null ? tokenizer : beside(onnx);
        ObjectNode said = Json.readObject(tokens);
        ObjectNode config = bert.config();
        Map<String, String> special = special(said);
        int vocabulary = config.path("vocab_size").asInt();
        int pad = id(said, special.getOrDefault("pad_token", "[PAD]"));
        if (pad >= 0)
            config.put("pad_token_id", pad);
        int longest = config.path("max_position_embeddings").asInt();
        ModelDirWriter w = ModelDirWriter.of(config);
        long parameters = 0;
        for (String t : bert.tensors()) {
            long[] shape = Arrays.stream(bert.shape(t)).asLongStream().toArray();
            parameters += Arrays.stream(shape).reduce(1, (a, b) -> a * b);
            w.tensor(t, TensorType.F32, () -> bert.values(t), shape);
        }
        int cut = said.path("truncation").path("max_length").asInt(longest);
        w.file("tokenizer_config.json", Json.pretty(tokenizerConfig(special, longest)));
        w.file("modules.json", modules());
        w.file("sentence_bert_config.json",
                Json.pretty(Json.MAPPER.createObjectNode().put("max_seq_length", Math.clamp(cut, 1, longest))
                        .put("do_lower_case", false)));
        w.file("1_Pooling/config.json", Json.pretty(pooling(pooling, config.path("hidden_size").asInt())));
        AtomicFiles.createDirectory(out, aside -> {
            w.write(aside);
            Files.copy(tokens, aside.resolve(HfTokenizer.FILE));
            // what was written must be what Gyre reads
            TaskDir.open(aside).close();
            try (Tokenizer t = Tokenizers.load(aside)) {
                if (t.vocabSize() > vocabulary)
                    throw new FormatException(tokens, "has " + t.vocabSize() + " tokens, and the model in " + onnx
                            + " " + vocabulary + "; give the tokenizer that belongs to it (--tokenizer)");
            }
        });
        return new Result(config, parameters, bert.unread());
    }

    /// LangChain4j calls the files NAME.onnx and NAME-tokenizer.json.
    private static Path beside(Path onnx) {
        Path named = onnx.resolveSibling(
                String.valueOf(onnx.getFileName()).replaceFirst("\\.onnx$", "") + "-tokenizer.json");
        Path usual = onnx.resolveSibling(HfTokenizer.FILE);
        Path above = onnx.toAbsolutePath().normalize().resolveSibling("..").resolve(HfTokenizer.FILE).normalize();
        for (Path p : List.of(named, usual, above))
            if (Files.isRegularFile(p))
                return p;
        throw new FormatException(onnx, "has no tokenizer beside it (" + named.getFileName() + " or " + HfTokenizer.FILE
                + "); name it with --tokenizer FILE");
    }

    /// The names that transformers gives to special tokens.
    private static Map<String, String> special(ObjectNode tokenizer) {
        Map<String, String> out = new TreeMap<>();
        Map<String, String> known = Map.of("[CLS]", "cls_token", "[SEP]", "sep_token", "[PAD]", "pad_token",
                "[MASK]", "mask_token", "[UNK]", "unk_token");
        for (JsonNode t : tokenizer.path("added_tokens")) {
            String content = t.path("content").asString("");
            String name = known.get(content);
            if (name != null)
                out.put(name, content);
        }
        String unknown = tokenizer.path("model").path("unk_token").asString("");
        if (!unknown.isEmpty())
            out.put("unk_token", unknown);
        String pad = tokenizer.path("padding").path("pad_token").asString("");
        if (!pad.isEmpty())
            out.put("pad_token", pad);
        return out;
    }

    private static int id(ObjectNode tokenizer, String token) {
        for (JsonNode t : tokenizer.path("added_tokens"))
            if (t.path("content").asString("").equals(token))
                return t.path("id").asInt(-1);
        return tokenizer.path("model").path("vocab").path(token).asInt(-1);
    }

    private static ObjectNode tokenizerConfig(Map<String, String> special, int longest) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("tokenizer_class", "PreTrainedTokenizerFast");
        o.put("model_max_length", longest);
        special.forEach(o::put);
        return o;
    }

    private static String modules() {
        ArrayNode list = Json.MAPPER.createArrayNode();
        String[][] all = {{"", "Transformer"}, {"1_Pooling", "Pooling"}, {"2_Normalize", "Normalize"}};
        for (int i = 0; i < all.length; i++)
            list.addObject().put("idx", i).put("name", Integer.toString(i)).put("path", all[i][0]).put("type",
                    "sentence_transformers.models." + all[i][1]);
        return list.toPrettyString() + "\n";
    }

    private static ObjectNode pooling(Pooling p, int width) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("word_embedding_dimension", width);
        o.put("pooling_mode_cls_token", p == Pooling.CLS);
        o.put("pooling_mode_mean_tokens", p == Pooling.MEAN);
        for (String other : List.of("max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"))
            o.put("pooling_mode_" + other, false);
        o.put("include_prompt", true);
        return o;
    }
}
