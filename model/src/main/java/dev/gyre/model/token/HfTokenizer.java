package dev.gyre.model.token;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Inputs;
import dev.gyre.model.files.Json;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/// A `tokenizer.json`, run by Hugging Face's own library through DJL's binding.
///
/// The native library is in the binding's jar and is unpacked once, to `DJL_CACHE_DIR` (environment variable or system
/// property) or `~/.djl.ai`. Unless the system property `ai.djl.offline` is true, the binding may use the network:
/// telemetry on Amazon's machines, a build for the GPU at hand. `gyre` sets it; a program of your own is to be started
/// with `-Dai.djl.offline=true`.
public final class HfTokenizer implements Tokenizer {
    public static final String FILE = "tokenizer.json";

    /// Bytes; the largest published file has 33 million.
    private static final long LIMIT = 256 << 20;
    /// Levels of a file; known ones have nine.
    private static final int DEPTH = 24;
    private static final List<String> TYPES = List.of("BPE", "Unigram", "WordPiece", "WordLevel");
    private static final String BERT_PREFIX = "##";
    private static final int LONGEST_WORD = 1000;
    /// A byte that is no character, and a letter.
    private static final List<String> PROBES = List.of("<0xFF>", "a", "i");

    private final Path file;
    private final HuggingFaceTokenizer tokenizer;
    private final int longestRun;
    private final int vocabSize;
    private final int bos;
    private final int eos;
    private final int pad;
    private final int[] probes;

    private HfTokenizer(Path file, HuggingFaceTokenizer tokenizer, int longestRun, int vocabSize, int bos, int eos,
            int pad, int[] probes) {
        this.file = file;
        this.probes = probes;
        this.tokenizer = tokenizer;
        this.longestRun = longestRun;
        this.vocabSize = vocabSize;
        this.bos = bos;
        this.eos = eos;
        this.pad = pad;
    }

    /// What the files of a tokenizer say before the library gets them.
    ///
    /// @param ids of the tokens asked for
    /// @param changed what the library is given in place of the file; null: the file itself
    private record Checked(Map<String, String> named, Map<String, Integer> ids, Components parts, int size,
            @Nullable String changed) {
        static Checked of(Path file) {
            Path directory = file.resolveSibling("");
            Map<String, String> named = SpecialTokens.named(directory);
            Set<String> needed = SpecialTokens.added(directory);
            for (String name : List.of("bos_token", "eos_token"))
                needed.add(named.getOrDefault(name, ""));
            needed.remove("");
            Set<String> wanted = new HashSet<>(needed);
            wanted.addAll(named.values());
            Set<String> added = Set.copyOf(wanted);
            wanted.addAll(PROBES);
            var ids = new HashMap<String, Integer>();
            var parts = new Components();
            int size = readVocabulary(file, wanted, ids, parts);
            for (String token : needed)
                if (!ids.containsKey(token))
                    throw new FormatException(file, "does not have the token '" + token
                            + "', which another tokenizer file names;"
                            + " write it again with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)");
            return new Checked(named, ids, parts, size,
                    AddedTokens.changed(file, Set.copyOf(named.values()), added, ids));
        }
    }

    /// Opens `tokenizer.json`; the special tokens are those that `tokenizer_config.json` in the same folder names.
    public static HfTokenizer open(Path file) {
        Checked c = Checked.of(file);
        int[] special = new int[3];
        String[] names = {"bos_token", "eos_token", "pad_token"};
        for (int i = 0; i < 3; i++)
            special[i] = c.ids.getOrDefault(c.named.getOrDefault(names[i], ""), -1);
        return new HfTokenizer(file, load(file, c.changed), c.parts.longestRun(), c.size, special[0], special[1],
                special[2], PROBES.stream().filter(c.ids::containsKey).mapToInt(c.ids::get).toArray());
    }

    /// `tokenizer.json` as the files beside it change it.
    public static ObjectNode json(Path file) {
        String changed = Checked.of(file).changed;
        return changed == null ? Json.readObject(file) : Json.parseObject(file, changed);
    }

    /// @param changed what the library is given in place of the file
    private static HuggingFaceTokenizer load(Path file, @Nullable String changed) {
        try {
            if (changed != null)
                return HuggingFaceTokenizer.newInstance(
                        new ByteArrayInputStream(changed.getBytes(StandardCharsets.UTF_8)),
                        Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
            return HuggingFaceTokenizer.builder().optTokenizerPath(file).optAddSpecialTokens(false).optTruncation(false)
                    .optPadding(false).build();
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        } catch (UnsatisfiedLinkError | NoClassDefFoundError | ExceptionInInitializerError e) {
            throw new IllegalStateException("the native tokenizer library does not load on this machine ("
                    + root(e).getMessage() + "); it needs Linux with glibc 2.34 or later, macOS on ARM, or Windows,"
                    + " and a folder it can be unpacked to: set DJL_CACHE_DIR to one", e);
        } catch (RuntimeException e) {
            throw new FormatException(file,
                    "not a tokenizer that Hugging Face's library accepts: " + root(e).getMessage()
                            + "; save it again with a current transformers",
                    e);
        }
    }

    private static Throwable root(Throwable e) {
        Throwable at = e;
        while (at.getCause() != null)
            at = at.getCause();
        return at;
    }

    /// Whether a token can have the number.
    static boolean isId(long n) {
        return n >= 0 && n < Integer.MAX_VALUE;
    }

    private static JsonParser parser(Path file) {
        Inputs.requireFile(file);
        try {
            if (Files.exists(file) && Files.size(file) > LIMIT)
                throw new FormatException(file, "larger than " + LIMIT + " bytes, no tokenizer");
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        return JsonMapper
                .builder(JsonFactory.builder().streamReadConstraints(
                        StreamReadConstraints.builder().maxNestingDepth(DEPTH).build()).build())
                .build().createParser(file.toFile());
    }

    /// Streams through the file: notes the ids of the tokens wanted, checks all parts, and returns the highest id plus one. A
    /// tree of a vocabulary of 150 000 would take a hundred megabytes.
    private static int readVocabulary(Path file, Set<String> wanted, Map<String, Integer> ids, Components parts) {
        int highest = -1;
        try (JsonParser p = parser(file)) {
            if (p.nextToken() != JsonToken.START_OBJECT)
                throw new FormatException(file, "not a JSON object");
            while (p.nextToken() == JsonToken.PROPERTY_NAME) {
                String key = p.currentName();
                JsonToken value = p.nextToken();
                if (Components.isPart(key))
                    parts.check(key, value(p, key));
                else
                    if (key.equals("added_tokens") && value == JsonToken.START_ARRAY)
                        highest = Math.max(highest, readAdded(p, wanted, ids));
                    else
                        if (key.equals("model") && value == JsonToken.START_OBJECT)
                            highest = Math.max(highest, readModel(p, wanted, ids));
                        else
                            p.skipChildren();
            }
        } catch (Components.Refused e) {
            throw new FormatException(file,
                    e.getMessage() + "; take the file from the model's source, or save it again with"
                            + " a current transformers",
                    e);
        } catch (JacksonException e) {
            throw new FormatException(file, Files.exists(file) ? "not valid JSON: " + Json.reason(e)
                    : "no such file", e);
        }
        if (highest < 0)
            throw new FormatException(file, "has no vocabulary; copy the file again from the model's source");
        return highest + 1;
    }

    /// The value at which the parser is: a map, a list, a text, a number, a boolean or null.
    private static @Nullable Object value(JsonParser p, String place) {
        return switch (p.currentToken()) {
            case START_OBJECT -> {
                Map<String, @Nullable Object> m = new LinkedHashMap<>();
                while (p.nextToken() == JsonToken.PROPERTY_NAME) {
                    String key = p.currentName();
                    p.nextToken();
                    // readers differ in which of two counts
                    if (m.containsKey(key))
                        throw new Components.Refused(place, "'" + key + "' is given twice");
                    m.put(key, value(p, place));
                }
                yield m;
            }
            case START_ARRAY -> {
                List<@Nullable Object> l = new ArrayList<>();
                while (p.nextToken() != JsonToken.END_ARRAY)
                    l.add(value(p, place));
                yield l;
            }
            case VALUE_STRING -> p.getString();
            case VALUE_NUMBER_INT ->
                    p.getNumberType() == JsonParser.NumberType.BIG_INTEGER ? (Object) p.getDoubleValue()
                            : (Object) p.getLongValue();
            case VALUE_NUMBER_FLOAT -> p.getDoubleValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case null, default -> null;
        };
    }

    private static int id(JsonParser p, String token) {
        if (p.currentToken() != JsonToken.VALUE_NUMBER_INT || p.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                || !isId(p.getLongValue()))
            throw new Components.Refused("token '" + token + "'",
                    "its id " + p.getString() + " is not a whole number from 0 to " + (Integer.MAX_VALUE - 1));
        return (int) p.getLongValue();
    }

    private static int readAdded(JsonParser p, Set<String> wanted, Map<String, Integer> ids) {
        int highest = -1;
        while (p.nextToken() == JsonToken.START_OBJECT) {
            int id = -1;
            String content = null;
            while (p.nextToken() == JsonToken.PROPERTY_NAME) {
                String key = p.currentName();
                JsonToken value = p.nextToken();
                if (key.equals("id") && value == JsonToken.VALUE_NUMBER_INT)
                    id = id(p, String.valueOf(content));
                else
                    if (key.equals("content") && value == JsonToken.VALUE_STRING)
                        content = p.getString();
                    else
                        p.skipChildren();
            }
            highest = Math.max(highest, id);
            if (content != null && wanted.contains(content))
                ids.put(content, id);
        }
        return highest;
    }

    /// `vocab` is an object of ids (BPE, WordPiece) or a list of pairs in id order (Unigram). Special tokens may stand
    /// there without being added.
    private static int readModel(JsonParser p, Set<String> wanted, Map<String, Integer> ids) {
        int highest = -1;
        String type = "";
        String prefix = "";
        boolean unprefixed = false;
        while (p.nextToken() == JsonToken.PROPERTY_NAME) {
            String key = p.currentName();
            boolean vocab = key.equals("vocab");
            JsonToken value = p.nextToken();
            if (key.equals("type") && value == JsonToken.VALUE_STRING)
                type = p.getString();
            if (key.equals("continuing_subword_prefix") && value == JsonToken.VALUE_STRING)
                prefix = p.getString();
            // a search of the longest token in a word takes the square of its length
            if (key.equals("max_input_chars_per_word") && (value != JsonToken.VALUE_NUMBER_INT || p.getBigIntegerValue()
                    .compareTo(BigInteger.valueOf(LONGEST_WORD)) > 0))
                throw new Components.Refused("model", key + " is above " + LONGEST_WORD);
            if (key.equals("merges") && value == JsonToken.START_ARRAY)
                unprefixed = !readMerges(p);
            else
                if (vocab && value == JsonToken.START_OBJECT) {
                    while (p.nextToken() == JsonToken.PROPERTY_NAME) {
                        String token = p.currentName();
                        p.nextToken();
                        int id = id(p, token);
                        highest = Math.max(highest, id);
                        if (wanted.contains(token))
                            ids.putIfAbsent(token, id);
                    }
                } else if (vocab && value == JsonToken.START_ARRAY) {
                    while (p.nextToken() == JsonToken.START_ARRAY) {
                        p.nextToken();
                        String token = p.currentToken() == JsonToken.VALUE_STRING ? p.getString() : "";
                        if (token.isEmpty())
                            throw new Components.Refused("model", "vocab has an entry without a text");
                        highest++;
                        if (wanted.contains(token))
                            ids.putIfAbsent(token, highest);
                        while (p.nextToken() != JsonToken.END_ARRAY)
                            if (p.currentToken() == JsonToken.VALUE_NUMBER_FLOAT
                                    && !(Math.abs(p.getDoubleValue()) < 1e9))
                                throw new Components.Refused("model",
                                        "the score of '" + token + "' is not a number that counts");
                        else
                                p.skipChildren();
                    }
                } else {
                    p.skipChildren();
                }
        }
        if (!TYPES.contains(type))
            throw new Components.Refused("model", "type '" + type + "' is not one of " + TYPES);
        // the library cuts so many bytes off the second part of each merge, whatever they are
        if (type.equals("BPE") && !prefix.isEmpty()
                && (unprefixed || !prefix.equals(BERT_PREFIX)))
            throw new Components.Refused("model",
                    "continuing_subword_prefix '" + prefix + "' does not begin the second part"
                            + " of every merge");
        return highest;
    }

    /// Whether the second part of every merge begins with the one prefix that is in use.
    private static boolean readMerges(JsonParser p) {
        boolean all = true;
        while (p.nextToken() != JsonToken.END_ARRAY) {
            String second = "";
            if (p.currentToken() == JsonToken.VALUE_STRING) {
                String merge = p.getString();
                second = merge.substring(merge.indexOf(' ') + 1);
            } else if (p.currentToken() == JsonToken.START_ARRAY) {
                while (p.nextToken() != JsonToken.END_ARRAY)
                    if (p.currentToken() == JsonToken.VALUE_STRING)
                        second = p.getString();
                else
                        throw new Components.Refused("model", "merges has an entry that is not a pair of texts");
            } else {
                throw new Components.Refused("model", "merges has an entry that is not a pair of texts");
            }
            all &= second.startsWith(BERT_PREFIX);
        }
        return all;
    }

    @Override
    public int[] encode(String text, boolean addSpecial) {
        requireShortRuns(text);
        return ints(called(() -> tokenizer.encode(whole(text), addSpecial, false)).getIds());
    }

    /// Token ids of a text, or of two, with the tokens that the tokenizer puts around and between them, and the number of the
    /// text that each belongs to.
    ///
    /// @param second null for one text
    public int[][] encodeForTask(String first, @Nullable String second) {
        requireShortRuns(first);
        if (second != null)
            requireShortRuns(second);
        var e = called(() -> second == null ? tokenizer.encode(whole(first), true, false)
                : tokenizer.encode(whole(first), whole(second), true, false));
        return new int[][] {ints(e.getIds()), ints(e.getTypeIds())};
    }

    /// What the library throws is about the file: a token for unknown text that is not there, for instance.
    private <T> T called(Supplier<T> call) {
        try {
            return call.get();
        } catch (RuntimeException e) {
            throw new FormatException(file, "Hugging Face's library fails with it: " + root(e).getMessage()
                    + "; save it again with a current transformers", e);
        }
    }

    /// The expressions that split a text take steps with its length where nothing changes, and the library ends the process
    /// after ten million: megabytes of spaces would do.
    private void requireShortRuns(String text) {
        if (text.length() <= longestRun)
            return;
        int from = 0;
        for (int i = 1; i < text.length(); i++) {
            if (Character.isWhitespace(text.charAt(i)) != Character.isWhitespace(text.charAt(i - 1)))
                from = i;
            if (i - from >= longestRun)
                throw new InputException("a text has " + longestRun + " characters in a row without"
                        + " a change between white space and words, more than the tokenizer can split; break it up");
        }
    }

    /// An unpaired surrogate has no UTF-8. The library is handed three characters for one, which would shift the offsets of
    /// all that follows, and with them what is trained on; so it becomes one here.
    private static String whole(String text) {
        StringBuilder s = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (!Character.isSurrogate(c))
                continue;
            if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
                continue;
            }
            if (s == null)
                s = new StringBuilder(text);
            s.setCharAt(i, '\uFFFD');
        }
        return s == null ? text : s.toString();
    }

    private static int[] ints(long[] ids) {
        int[] out = new int[ids.length];
        for (int i = 0; i < ids.length; i++)
            out[i] = Math.toIntExact(ids[i]);
        return out;
    }

    @Override
    public Encoding encodeWithOffsets(String text, boolean addSpecial) {
        requireShortRuns(text);
        var e = called(() -> tokenizer.encode(whole(text), addSpecial, false));
        int[] ids = ints(e.getIds());
        int[] from = new int[ids.length];
        int[] to = new int[ids.length];
        @Nullable CharSpan[] spans = e.getCharTokenSpans();
        // the library counts code points, Java counts UTF-16 units
        boolean plain = text.codePointCount(0, text.length()) == text.length();
        int units = 0;
        int points = 0;
        int before = 0;
        for (int i = 0; i < ids.length; i++) {
            CharSpan s = spans[i];
            if (s == null) {
                from[i] = to[i] = before;
                continue;
            }
            if (plain) {
                from[i] = s.getStart();
                to[i] = s.getEnd();
            } else {
                if (s.getStart() < points) {
                    points = 0;
                    units = 0;
                }
                units = text.offsetByCodePoints(units, s.getStart() - points);
                points = s.getStart();
                from[i] = units;
                to[i] = text.offsetByCodePoints(units, s.getEnd() - s.getStart());
            }
            before = to[i];
        }
        return new Encoding(ids, from, to);
    }

    @Override
    public String decode(int... ids) {
        return decode(ids, true);
    }

    @Override
    public String decodeWithSpecial(int... ids) {
        return decode(ids, false);
    }

    private String decode(int[] ids, boolean skipSpecial) {
        long[] wide = new long[ids.length];
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0)
                throw new IllegalArgumentException("token id " + ids[i] + " is negative");
            wide[i] = ids[i];
        }
        return called(() -> tokenizer.decode(wide, skipSpecial));
    }

    @Override
    public int[] probes() {
        return probes.clone();
    }

    @Override
    public int vocabSize() {
        return vocabSize;
    }

    @Override
    public int bosId() {
        return bos;
    }

    @Override
    public int eosId() {
        return eos;
    }

    @Override
    public int padId() {
        return pad;
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
