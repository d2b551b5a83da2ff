package dev.gyre.model.token;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// The built-in tokenizer: ids 0..255 are the bytes of the text in UTF-8, the special tokens follow.
///
/// A model directory names it in `gyre_tokenizer.json`. [#save] also writes `tokenizer.json` and
/// `tokenizer_config.json` that say the same to transformers (a byte-level vocabulary without merges), so
/// `AutoTokenizer.from_pretrained` gives the same ids; so does `list(text.encode())` without any tokenizer.
public final class ByteTokenizer implements Tokenizer {
    public static final String FILE = "gyre_tokenizer.json";
    public static final String BOS = "<|bos|>";
    public static final String EOS = "<|eos|>";
    public static final String PAD = "<|pad|>";
    private static final JsonMapper MAPPER = JsonMapper.builder().build();

    private final List<String> specials;
    /// Indexes into `specials`, longest first, so that no token hides a longer one.
    private final int[] longestFirst;
    private final @Nullable String chatTemplate;

    /// Bytes and the tokens for beginning (256), end (257) and padding (258).
    public ByteTokenizer() {
        this(List.of(), null);
    }

    /// @param more special tokens that follow the three standard ones, from id 259
    /// @param chatTemplate Jinja source saved with the tokenizer, or null
    public ByteTokenizer(List<String> more, @Nullable String chatTemplate) {
        List<String> all = new ArrayList<>(List.of(BOS, EOS, PAD));
        all.addAll(more);
        if (all.stream().distinct().count() != all.size() || all.stream().anyMatch(String::isEmpty))
            throw new IllegalArgumentException("special tokens must be different and not empty: " + all);
        this.specials = List.copyOf(all);
        this.chatTemplate = chatTemplate;
        this.longestFirst = IntStream.range(0, all.size()).boxed()
                .sorted(Comparator.comparingInt((Integer i) -> -all.get(i).length())).mapToInt(i -> i).toArray();
    }

    static ByteTokenizer load(Path file) {
        ObjectNode json = Json.readObject(file);
        if (!json.path("type").asString("").equals("byte") || json.path("version").asInt(0) != 1)
            throw new FormatException(file, "type or version is not supported; expected {\"type\": \"byte\","
                    + " \"version\": 1}");
        List<String> tokens = new ArrayList<>();
        for (JsonNode n : json.path("special_tokens"))
            tokens.add(n.asString(""));
        JsonNode template = json.path("chat_template");
        if (tokens.size() < 3 || !tokens.subList(0, 3).equals(List.of(BOS, EOS, PAD)))
            throw new FormatException(file, "special_tokens must start with " + BOS + ", " + EOS + ", " + PAD);
        try {
            return new ByteTokenizer(tokens.subList(3, tokens.size()),
                    template.isString() ? template.stringValue() : null);
        } catch (IllegalArgumentException e) {
            throw new FormatException(file, e.getMessage() + "; correct the file", e);
        }
    }

    /// Writes the files into a model directory that is there.
    public void save(Path directory) {
        files().forEach((name, text) -> AtomicFiles.write(directory.resolve(name), text));
    }

    /// The files of [#save] by their names.
    public java.util.Map<String, String> files() {
        return java.util.Map.of(FILE, Json.pretty(own()), "tokenizer.json", Json.pretty(forTransformers()),
                "tokenizer_config.json", Json.pretty(config()));
    }

    private ObjectNode own() {
        ObjectNode o = MAPPER.createObjectNode();
        o.put("type", "byte").put("version", 1);
        o.put("note", "ids 0-255 are the bytes of the text in UTF-8, the special tokens follow from 256");
        specials.forEach(o.putArray("special_tokens")::add);
        o.put("chat_template", chatTemplate);
        return o;
    }

    private ObjectNode forTransformers() {
        ObjectNode o = MAPPER.createObjectNode();
        o.put("version", "1.0").putNull("truncation").putNull("padding");
        ArrayNode added = o.putArray("added_tokens");
        for (int i = 0; i < specials.size(); i++)
            added.addObject().put("id", 256 + i).put("content", specials.get(i)).put("single_word", false)
                    .put("lstrip", false).put("rstrip", false).put("normalized", false).put("special", true);
        o.putNull("normalizer");
        o.putObject("pre_tokenizer").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", false)
                .put("use_regex", false);
        ObjectNode post = o.putObject("post_processor").put("type", "TemplateProcessing");
        ArrayNode single = post.putArray("single");
        single.addObject().putObject("SpecialToken").put("id", BOS).put("type_id", 0);
        single.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        ArrayNode pair = post.putArray("pair");
        pair.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        pair.addObject().putObject("Sequence").put("id", "B").put("type_id", 0);
        ObjectNode bos = post.putObject("special_tokens").putObject(BOS).put("id", BOS);
        bos.putArray("ids").add(bosId());
        bos.putArray("tokens").add(BOS);
        o.putObject("decoder").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", false)
                .put("use_regex", false);
        ObjectNode model = o.putObject("model").put("type", "BPE");
        model.putNull("dropout").putNull("unk_token").putNull("continuing_subword_prefix")
                .putNull("end_of_word_suffix").put("fuse_unk", false).put("byte_fallback", false);
        ObjectNode vocab = model.putObject("vocab");
        for (int b = 0; b < 256; b++)
            vocab.put(Character.toString(byteLevelSymbol(b)), b);
        model.putArray("merges");
        return o;
    }

    /// The printable character that byte-level vocabularies write for a byte: itself where it is printable, else the next
    /// free one from U+0100.
    static int byteLevelSymbol(int b) {
        int hidden = 0;
        for (int i = 0; i <= b; i++) {
            boolean printable = i > 32 && i < 127 || i > 160 && i < 173 || i > 173;
            if (i == b)
                return printable ? b : 256 + hidden;
            hidden += printable ? 0 : 1;
        }
        throw new IllegalArgumentException("no byte: " + b);
    }

    private ObjectNode config() {
        ObjectNode o = MAPPER.createObjectNode();
        o.put("bos_token", BOS);
        if (chatTemplate != null)
            o.put("chat_template", chatTemplate);
        o.put("clean_up_tokenization_spaces", false).put("eos_token", EOS).put("pad_token", PAD)
                .put("tokenizer_class", "PreTrainedTokenizerFast");
        return o;
    }

    /// Id of a special token.
    ///
    /// @throws IllegalArgumentException when there is none of that spelling
    public int special(String token) {
        int i = specials.indexOf(token);
        if (i < 0)
            throw new IllegalArgumentException("no special token " + token + " among " + specials);
        return 256 + i;
    }

    @Override
    public int[] encode(String text, boolean addSpecial) {
        return encodeWithOffsets(text, addSpecial).ids();
    }

    @Override
    public Encoding encodeWithOffsets(String text, boolean addSpecial) {
        int most = 3 * text.length() + 1;
        int[] ids = new int[most];
        int[] from = new int[most];
        int[] to = new int[most];
        int n = 0;
        if (addSpecial)
            ids[n++] = bosId();
        for (int at = 0; at < text.length();) {
            int special = specialAt(text, at);
            if (special >= 0) {
                ids[n] = 256 + special;
                from[n] = at;
                at += specials.get(special).length();
                to[n++] = at;
                continue;
            }
            if (text.charAt(at) < 0x80) {
                ids[n] = text.charAt(at);
                from[n] = at++;
                to[n++] = at;
                continue;
            }
            int chars = Character.charCount(text.codePointAt(at));
            // an unpaired surrogate has no UTF-8; it becomes '?', as everywhere in Java
            for (byte b : text.substring(at, at + chars).getBytes(StandardCharsets.UTF_8)) {
                ids[n] = b & 0xff;
                from[n] = at;
                to[n++] = at + chars;
            }
            at += chars;
        }
        return new Encoding(Arrays.copyOf(ids, n), Arrays.copyOf(from, n), Arrays.copyOf(to, n));
    }

    private int specialAt(String text, int at) {
        for (int i : longestFirst)
            if (text.startsWith(specials.get(i), at))
                return i;
        return -1;
    }

    @Override
    public String decode(int... ids) {
        return decode(ids, false);
    }

    @Override
    public String decodeWithSpecial(int... ids) {
        return decode(ids, true);
    }

    private String decode(int[] ids, boolean special) {
        var bytes = new ByteArrayOutputStream(ids.length);
        for (int id : ids) {
            if (id < 0 || id >= vocabSize())
                throw new IllegalArgumentException("token id " + id + " is outside 0.." + (vocabSize() - 1));
            if (id < 256)
                bytes.write(id);
            else
                if (special)
                    bytes.writeBytes(specials.get(id - 256).getBytes(StandardCharsets.UTF_8));
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Override
    public int vocabSize() {
        return 256 + specials.size();
    }

    @Override
    public int bosId() {
        return 256;
    }

    @Override
    public int eosId() {
        return 257;
    }

    @Override
    public int padId() {
        return 258;
    }

    @Override
    public void close() {
    }
}
