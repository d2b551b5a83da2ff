package dev.gyre.model.gguf;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// A `tokenizer.json` as the metadata of a GGUF file, and back. Two kinds are the same in both: merges over bytes (`gpt2`), and
/// SentencePiece's merges with bytes for what has no token (`llama`), where the order of the merges is that of the scores.
public final class GgufTokenizer {
    private static final int NORMAL = 1;
    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int USER = 4;
    private static final int UNUSED = 5;
    private static final int BYTE = 6;
    private static final String SPACE = "\u2581";
    private static final String PREFIX = "tokenizer.ggml.";
    /// Steps in which merges are found from scores: the sum of the squares of the tokens' lengths.
    private static final long STEPS = 2_000_000_000L;

    private GgufTokenizer() {
    }

    /// The special tokens of a model, -1 for none, and what goes around a text.
    ///
    /// @param turn ends a turn of a conversation where that is another than `eos`; -1 if not
    public record Special(int bos, int eos, int turn, int pad, boolean addBos, boolean addEos) {
    }

    /// A model without a tokenizer.
    public static void none(GgufWriter out) {
        out.text(PREFIX + "model", "none");
    }

    /// @param file named in messages
    /// @param tokenizer a `tokenizer.json`
    /// @param rows of the embedding, at least as many as there are tokens
    /// @param template of conversations; null for none
    /// @return remarks for the user
    /// @throws InputException for a tokenizer that llama.cpp has no form for
    public static List<String> write(Path file, ObjectNode tokenizer, Special special, int rows,
            @Nullable String template, GgufWriter out) {
        JsonNode model = tokenizer.path("model");
        if (!model.path("type").asString("").equals("BPE"))
            throw none(file, "tokenizers of the type " + model.path("type").asString("?"));
        for (String key : new String[] {"continuing_subword_prefix", "end_of_word_suffix"})
            if (!model.path(key).asString("").isEmpty())
                throw none(file, "a tokenizer with " + key);
        List<String> notes = new ArrayList<>();
        List<String[]> merges = merges(file, model);
        boolean pieces = model.path("byte_fallback").asBoolean(false);
        Vocabulary v = vocabulary(file, tokenizer, rows, pieces);
        if (pieces) {
            out.text(PREFIX + "model", "llama").text(PREFIX + "pre", "default");
            out.texts(PREFIX + "tokens", Arrays.asList(v.texts)).f32s(PREFIX + "scores", scores(v, merges));
            out.i32s(PREFIX + "token_type", v.types);
            out.flag(PREFIX + "add_space_prefix", spaceBefore(file, tokenizer));
        } else {
            GgufPre pre = GgufPre.of(tokenizer.path("pre_tokenizer"), model.path("ignore_merges").asBoolean(false));
            // without merges it does not matter where a text is split
            if (pre == null && merges.isEmpty()
                    && tokenizer.path("pre_tokenizer").path("type").asString("").equals("ByteLevel"))
                pre = GgufPre.GPT2;
            if (pre == null)
                throw none(file, "this pre_tokenizer");
            JsonNode normalizer = tokenizer.path("normalizer");
            if (normalizer.path("type").asString("").equals("NFC"))
                notes.add("llama.cpp does not compose characters (NFC) as this tokenizer does; texts that are not"
                        + " composed get other tokens");
            else
                if (!normalizer.isNull() && !normalizer.isMissingNode())
                    throw none(file, "the normalizer " + normalizer.path("type").asString("?"));
            out.text(PREFIX + "model", "gpt2").text(PREFIX + "pre", pre.name);
            out.texts(PREFIX + "tokens", Arrays.asList(v.texts)).i32s(PREFIX + "token_type", v.types);
            out.texts(PREFIX + "merges", merges.stream().map(m -> m[0] + " " + m[1]).toList());
            out.flag(PREFIX + "add_space_prefix", false);
        }
        id(out, "bos_token_id", special.bos);
        id(out, "eos_token_id", special.eos);
        id(out, "eot_token_id", special.turn);
        id(out, "padding_token_id", special.pad);
        Integer unknown = v.ids.get(model.path("unk_token").asString(""));
        if (unknown != null)
            out.u32(PREFIX + "unknown_token_id", unknown);
        out.flag(PREFIX + "add_bos_token", special.addBos).flag(PREFIX + "add_eos_token", special.addEos);
        if (template != null)
            out.text("tokenizer.chat_template", template);
        return notes;
    }

    private static void id(GgufWriter out, String key, int id) {
        if (id >= 0)
            out.u32(PREFIX + key, id);
    }

    private static InputException none(Path file, String what) {
        return new InputException(file + ": llama.cpp has no form for " + what
                + "; merge the model to a directory instead (gyre merge)");
    }

    private static List<String[]> merges(Path file, JsonNode model) {
        List<String[]> all = new ArrayList<>();
        for (JsonNode m : model.path("merges")) {
            String[] pair = m.isArray() ? m.valueStream().map(x -> x.asString("")).toArray(String[]::new)
                    : m.asString("").split(" ", -1);
            if (pair.length != 2)
                throw none(file, "a merge of other than two parts");
            all.add(pair);
        }
        return all;
    }

    private static final class Vocabulary {
        final String[] texts;
        final int[] types;
        final Map<String, Integer> ids = new HashMap<>();

        Vocabulary(int n) {
            texts = new String[n];
            types = new int[n];
        }
    }

    private static Vocabulary vocabulary(Path file, ObjectNode tokenizer, int rows, boolean pieces) {
        var v = new Vocabulary(rows);
        JsonNode model = tokenizer.path("model");
        for (Map.Entry<String, JsonNode> e : model.path("vocab").properties()) {
            int type = !pieces ? NORMAL : e.getKey().matches("<0x[0-9A-F]{2}>") ? BYTE
                    : e.getKey().equals(model.path("unk_token").asString("")) ? UNKNOWN : NORMAL;
            put(file, v, e.getValue().asInt(-1), e.getKey(), type);
        }
        for (JsonNode t : tokenizer.path("added_tokens")) {
            String text = t.path("content").asString("");
            int id = t.path("id").asInt(-1);
            boolean unknown = pieces && id >= 0 && id < rows && v.types[id] == UNKNOWN;
            boolean special = t.path("special").asBoolean(false);
            put(file, v, id, special || !pieces ? text : text.replace(SPACE, " "),
                    unknown ? UNKNOWN : special ? CONTROL : USER);
        }
        for (int i = 0; i < rows; i++)
            if (v.texts[i] == null) {
                v.texts[i] = "[PAD" + i + "]";
                v.types[i] = UNUSED;
            }
        if (new HashSet<>(Arrays.asList(v.texts)).size() != rows)
            throw none(file, "two tokens of one text");
        return v;
    }

    private static void put(Path file, Vocabulary v, int id, String text, int type) {
        if (id < 0 || id >= v.texts.length)
            throw new FormatException(file, "the token '" + text + "' has the id " + id + ", and the model has "
                    + v.texts.length + " rows of embeddings; use the tokenizer that belongs to the model");
        v.texts[id] = text;
        v.types[id] = type;
        v.ids.put(text, id);
    }

    /// The order of the merges as scores: the earlier, the higher.
    private static float[] scores(Vocabulary v, List<String[]> merges) {
        float[] all = new float[v.texts.length];
        boolean[] made = new boolean[all.length];
        for (int rank = 0; rank < merges.size(); rank++) {
            String[] m = merges.get(rank);
            Integer id = v.ids.get(m[0] + m[1]);
            if (id != null && !made[id]) {
                made[id] = true;
                all[id] = -rank;
            }
        }
        // what no merge makes comes last, as single characters do in SentencePiece's own files
        int last = merges.size();
        for (int i = 0; i < all.length; i++)
            if (!made[i] && v.types[i] == NORMAL)
                all[i] = -last++;
        return all;
    }

    /// Whether a space is put before a text.
    private static boolean spaceBefore(Path file, ObjectNode tokenizer) {
        boolean before = false;
        boolean replaced = false;
        JsonNode normalizer = tokenizer.path("normalizer");
        List<JsonNode> parts = normalizer.path("type").asString("").equals("Sequence")
                ? normalizer.path("normalizers").valueStream().toList()
                : normalizer.isObject() ? List.of(normalizer) : List.of();
        for (JsonNode p : parts)
            switch (p.path("type").asString("")) {
            case "Prepend" -> before = true;
            case "Replace" -> {
                if (!p.path("pattern").path("String").asString("").equals(" ")
                        || !p.path("content").asString("").equals(SPACE))
                    throw none(file, "a normalizer that replaces other than spaces");
                replaced = true;
            }
            default -> throw none(file, "the normalizer " + p.path("type").asString("?"));
            }
        JsonNode pre = tokenizer.path("pre_tokenizer");
        switch (pre.path("type").asString("")) {
            case "Metaspace" -> {
                replaced = true;
                before |= pre.has("prepend_scheme") ? !pre.path("prepend_scheme").asString("").equals("never")
                        : pre.path("add_prefix_space").asBoolean(true);
            }
            // Gemma's: words with the space before them, between which no merge is
            case "", "Split" -> {
            }
            default -> throw none(file, "the pre_tokenizer " + pre.path("type").asString("?"));
        }
        if (!replaced)
            throw none(file, "pieces without a sign for spaces");
        return before;
    }

    /// The files of a model directory that say the same as a file's metadata, by their names; none for a model without a
    /// tokenizer.
    ///
    /// @throws FormatException for a tokenizer that Gyre does not read
    public static Map<String, ObjectNode> read(GgufFile f) {
        String kind = f.text(PREFIX + "model", "none");
        Map<String, ObjectNode> files = new LinkedHashMap<>();
        if (kind.equals("none") || kind.equals("no_vocab"))
            return files;
        if (!kind.equals("gpt2") && !kind.equals("llama"))
            throw new FormatException(f.file(),
                    "has a tokenizer of the kind '" + kind + "'; Gyre reads gpt2 and llama");
        List<String> texts = f.texts(PREFIX + "tokens");
        int[] types = new int[texts.size()];
        Arrays.fill(types, NORMAL);
        if (f.has(PREFIX + "token_type")) {
            double[] given = f.numbers(PREFIX + "token_type");
            if (given.length != types.length)
                throw new FormatException(f.file(), "has " + given.length + " token types for " + types.length
                        + " tokens; get the file again");
            for (int i = 0; i < types.length; i++)
                types[i] = (int) given[i];
        }
        Set<String> seen = new HashSet<>();
        for (String t : texts)
            if (!seen.add(t))
                throw new FormatException(f.file(), "has the token '" + t + "' twice; get the file again");
        files.put("tokenizer.json", tokenizer(f, kind.equals("llama"), texts, types));
        files.put("tokenizer_config.json", config(f, texts));
        return files;
    }

    private static @Nullable String token(GgufFile f, List<String> texts, String key, int absent) {
        long id = f.integer(PREFIX + key, absent);
        if (id < 0 || id >= texts.size()) {
            if (f.has(PREFIX + key) && id != 0xFFFFFFFFL)
                throw new FormatException(f.file(), "metadata '" + PREFIX + key + "': " + id + " is none of the "
                        + texts.size() + " tokens; get the file again");
            return null;
        }
        return texts.get((int) id);
    }

    private static ObjectNode config(GgufFile f, List<String> texts) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        boolean pieces = f.text(PREFIX + "model").equals("llama");
        String[][] names = {{"bos_token", "bos_token_id"}, {"eos_token", "eos_token_id"},
            {"pad_token", "padding_token_id"}, {"unk_token", "unknown_token_id"}};
        int[] absent = pieces ? new int[] {1, 2, -1, 0} : new int[] {-1, -1, -1, -1};
        for (int i = 0; i < names.length; i++) {
            String token = token(f, texts, names[i][1], absent[i]);
            if (token != null)
                o.put(names[i][0], token);
        }
        o.put("clean_up_tokenization_spaces", false).put("tokenizer_class", "PreTrainedTokenizerFast");
        if (f.has("tokenizer.chat_template"))
            o.put("chat_template", f.text("tokenizer.chat_template"));
        return o;
    }

    private static ObjectNode tokenizer(GgufFile f, boolean pieces, List<String> texts, int[] types) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.put("version", "1.0").putNull("truncation").putNull("padding");
        ArrayNode added = o.putArray("added_tokens");
        for (int i = 0; i < types.length; i++)
            if (types[i] == CONTROL || types[i] == USER || types[i] == UNKNOWN)
                added.addObject().put("id", i).put("content", shown(texts.get(i), pieces, types[i]))
                        .put("single_word", false).put("lstrip", false).put("rstrip", false).put("normalized", false)
                        .put("special", types[i] != USER);
        ObjectNode model;
        if (pieces) {
            pieces(f, o);
            model = o.putObject("model").put("type", "BPE").put("fuse_unk", true).put("byte_fallback", true);
            String unknown = token(f, texts, "unknown_token_id", 0);
            model.put("unk_token", unknown);
        } else {
            GgufPre pre = GgufPre.named(f.text(PREFIX + "pre", "default"));
            if (pre == null)
                throw new FormatException(f.file(), "splits texts as '" + f.text(PREFIX + "pre", "default")
                        + "', which Gyre does not know; look for the model's directory with safetensors");
            if (pre == GgufPre.QWEN2)
                o.putObject("normalizer").put("type", "NFC");
            else
                o.putNull("normalizer");
            o.set("pre_tokenizer", pre.json());
            o.set("post_processor", around(f, texts, pre == GgufPre.LLAMA3 || pre == GgufPre.TEKKEN));
            o.putObject("decoder").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", false)
                    .put("use_regex", false);
            model = o.putObject("model").put("type", "BPE").put("fuse_unk", false).put("byte_fallback", false)
                    .put("ignore_merges", pre.whole).putNull("unk_token");
        }
        model.putNull("dropout").putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
        ObjectNode vocab = model.putObject("vocab");
        // all of them: an added token that is not here would get the next free id
        for (int i = 0; i < types.length; i++)
            vocab.put(shown(texts.get(i), pieces, types[i]), i);
        ArrayNode merges = model.putArray("merges");
        if (pieces)
            fromScores(f, texts, types, merges);
        else
            for (String m : f.texts(PREFIX + "merges")) {
                int at = m.indexOf(' ', 1);
                if (at < 0 || at + 1 >= m.length())
                    throw new FormatException(f.file(), "has the merge '" + m + "', no pair; get the file again");
                merges.addArray().add(m.substring(0, at)).add(m.substring(at + 1));
            }
        return o;
    }

    /// llama.cpp keeps spaces in tokens that are looked for in the text itself.
    private static String shown(String text, boolean pieces, int type) {
        return pieces && type == USER ? text.replace(" ", SPACE) : text;
    }

    private static void pieces(GgufFile f, ObjectNode o) {
        boolean before = f.flag(PREFIX + "add_space_prefix", true);
        ObjectNode normalizer = o.putObject("normalizer").put("type", "Sequence");
        ArrayNode parts = normalizer.putArray("normalizers");
        if (before)
            parts.addObject().put("type", "Prepend").put("prepend", SPACE);
        ObjectNode replace = parts.addObject().put("type", "Replace");
        replace.putObject("pattern").put("String", " ");
        replace.put("content", SPACE);
        o.putNull("pre_tokenizer");
        o.set("post_processor", around(f, f.texts(PREFIX + "tokens"), true));
        ArrayNode decoders = o.putObject("decoder").put("type", "Sequence").putArray("decoders");
        ObjectNode back = decoders.addObject().put("type", "Replace");
        back.putObject("pattern").put("String", SPACE);
        back.put("content", " ");
        decoders.addObject().put("type", "ByteFallback");
        decoders.addObject().put("type", "Fuse");
        if (before)
            decoders.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);
    }

    /// What goes before and after a text.
    private static JsonNode around(GgufFile f, List<String> texts, boolean begins) {
        boolean pieces = f.text(PREFIX + "model").equals("llama");
        String bos = f.flag(PREFIX + "add_bos_token", begins) ? token(f, texts, "bos_token_id", pieces ? 1 : -1) : null;
        String eos = f.flag(PREFIX + "add_eos_token", false) ? token(f, texts, "eos_token_id", pieces ? 2 : -1) : null;
        if (bos == null && eos == null)
            return JsonNodeFactory.instance.nullNode();
        ObjectNode o = Json.MAPPER.createObjectNode().put("type", "TemplateProcessing");
        for (String key : new String[] {"single", "pair"}) {
            ArrayNode list = o.putArray(key);
            if (bos != null)
                list.addObject().putObject("SpecialToken").put("id", bos).put("type_id", 0);
            list.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
            if (key.equals("pair"))
                list.addObject().putObject("Sequence").put("id", "B").put("type_id", 0);
            if (eos != null)
                list.addObject().putObject("SpecialToken").put("id", eos).put("type_id", 0);
        }
        ObjectNode tokens = o.putObject("special_tokens");
        for (String t : new String[] {bos, eos})
            if (t != null) {
                ObjectNode token = tokens.putObject(t).put("id", t);
                token.putArray("ids").add(texts.indexOf(t));
                token.putArray("tokens").add(t);
            }
        return o;
    }

    private record Merge(String left, String right, float score, int first, int second) {
    }

    /// Every way to make a token of two others, the highest score first, as transformers finds them.
    private static void fromScores(GgufFile f, List<String> texts, int[] types, ArrayNode merges) {
        double[] scores = f.numbers(PREFIX + "scores");
        if (scores.length != types.length)
            throw new FormatException(f.file(), "has " + scores.length + " scores for " + types.length
                    + " tokens; get the file again");
        Map<String, Integer> ids = new HashMap<>();
        long steps = 0;
        for (int i = 0; i < types.length; i++) {
            if (types[i] != NORMAL && types[i] != USER)
                continue;
            String t = shown(texts.get(i), true, types[i]);
            ids.put(t, i);
            steps += (long) t.length() * t.length();
            if (steps > STEPS)
                throw new FormatException(f.file(), "has tokens that are longer than any tokenizer's; get the file"
                        + " again");
            if (Double.isNaN(scores[i]))
                throw new FormatException(f.file(), "has a token without a score; get the file again");
        }
        List<Merge> all = new ArrayList<>();
        ids.forEach((text, id) -> {
            for (int i = 1; i < text.length(); i++) {
                Integer left = ids.get(text.substring(0, i));
                Integer right = left == null ? null : ids.get(text.substring(i));
                if (left != null && right != null)
                    all.add(new Merge(text.substring(0, i), text.substring(i), (float) scores[id], left, right));
            }
        });
        all.sort(Comparator.comparingDouble((Merge m) -> -m.score).thenComparingInt(Merge::first)
                .thenComparingInt(Merge::second));
        for (Merge m : all)
            merges.addArray().add(m.left).add(m.right);
    }
}
