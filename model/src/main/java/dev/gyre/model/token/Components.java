package dev.gyre.model.token;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The parts of a `tokenizer.json` around its vocabulary, looked at before Hugging Face's library gets them. The library is
/// native: where it panics the process ends, and memory that it takes is not the JVM's to limit. Both happen with files that
/// no tool of theirs writes. So a part is accepted when its type is one of the library's, and the values that it takes
/// without looking are in order; everything else the library refuses itself, as an exception.
final class Components {
    /// Characters that one of the text may become in the normalizer, those of Unicode's own forms not counted.
    private static final long GROWTH = 16;
    private static final int PARTS = 64;
    private static final int PIECES = 1000;
    /// Steps of the library's regular expressions at one place of a text, after which it ends the process.
    private static final int STEPS = 9_000_000;

    private static final Set<String> NORMALIZERS =
            Set.of("BertNormalizer", "Strip", "StripAccents", "NFC", "NFD", "NFKC",
                    "NFKD", "Sequence", "Lowercase", "Nmt", "Precompiled", "Replace", "Prepend", "ByteLevel");
    private static final Set<String> PRE_TOKENIZERS = Set.of("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit",
            "Metaspace", "Whitespace", "Sequence", "Split", "Punctuation", "WhitespaceSplit", "Digits",
            "UnicodeScripts",
            "FixedLength");
    private static final Set<String> POST_PROCESSORS =
            Set.of("RobertaProcessing", "BertProcessing", "ByteLevel", "TemplateProcessing", "Sequence");
    private static final Set<String> DECODERS = Set.of("BPEDecoder", "ByteLevel", "WordPiece", "Metaspace", "CTC",
            "Sequence", "Replace", "Fuse", "Strip", "ByteFallback");

    /// What is wrong, in words that follow the name of the file.
    static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;

        Refused(String place, String problem) {
            super(place + ": " + problem, null, false, false);
        }
    }

    private int parts;
    private int ways;
    /// Whether a normalizer so far puts in text where there was none.
    private boolean inserts;

    /// The longest stretch of white space, or of anything else, that the expressions accepted so far can take.
    int longestRun() {
        return ways == 0 ? Integer.MAX_VALUE : STEPS / ways;
    }

    /// Whether `key` of the file is one of the parts.
    static boolean isPart(String key) {
        return Set.of("normalizer", "pre_tokenizer", "post_processor", "decoder").contains(key);
    }

    /// @param value maps, lists, texts, numbers, booleans and null
    void check(String key, @Nullable Object value) {
        inserts = false;
        switch (key) {
            case "normalizer" -> growth(key, value, NORMALIZERS, "normalizers");
            case "pre_tokenizer" -> preTokenizer(key, value);
            case "post_processor" -> postProcessor(key, value);
            case "decoder" -> growth(key, value, DECODERS, "decoders");
            default -> throw new IllegalArgumentException(key);
        }
    }

    /// The part as an object of a known type; null where there is none.
    private @Nullable Map<?, ?> part(String place, @Nullable Object value, Set<String> types) {
        if (value == null)
            return null;
        if (!(value instanceof Map<?, ?> m) || !(m.get("type") instanceof String type))
            throw new Refused(place, "not an object with a type");
        if (!types.contains(type))
            throw new Refused(place, "type '" + type + "' is not known");
        if (++parts > PARTS)
            throw new Refused(place, "more than " + PARTS + " parts");
        return m;
    }

    private static List<?> list(String place, Map<?, ?> m, String key) {
        if (!(m.get(key) instanceof List<?> l))
            throw new Refused(place, key + " is not a list");
        return l;
    }

    private static String text(String place, Map<?, ?> m, String key) {
        if (!(m.get(key) instanceof String s))
            throw new Refused(place, key + " is not a text");
        return s;
    }

    private static long number(String place, Map<?, ?> m, String key, long least, long most) {
        if (!(m.get(key) instanceof Long n) || n < least || n > most)
            throw new Refused(place, key + " is not a whole number from " + least + " to " + most);
        return n;
    }

    /// How many characters one may become; normalizers and decoders follow one another.
    private long growth(String place, @Nullable Object value, Set<String> types, String inner) {
        Map<?, ?> m = part(place, value, types);
        if (m == null)
            return 1;
        long growth = 1;
        switch (text(place, m, "type")) {
            case "Sequence" -> {
                for (Object o : list(place, m, inner)) {
                    growth *= growth(place, o, types, inner);
                    requireSmall(place, growth);
                }
            }
            case "Replace" -> growth = replaced(place, m);
            case "Prepend" -> {
                if (text(place, m, "prepend").length() > 64)
                    throw new Refused(place, "prepend has more than 64 characters");
            }
            case "Precompiled" -> new CharsMap(place, m.get("precompiled_charsmap")).check();
            case "Strip" -> {
                // the decoder's cut from the end runs over the beginning of a token that consists of what is cut
                if (inner.equals("decoders"))
                    number(place, m, "stop", 0, 0);
                else
                    if (inserts) // the library then looks for the place of what is cut beyond the end
                        throw new Refused(place, "Strip comes after a Replace whose pattern matches nothing");
            }
            default -> {
            }
        }
        requireSmall(place, growth);
        return growth;
    }

    private static void requireSmall(String place, long growth) {
        if (growth > GROWTH)
            throw new Refused(place, "makes more than " + GROWTH + " characters of one");
    }

    private long replaced(String place, Map<?, ?> m) {
        int content = text(place, m, "content").length();
        if (pattern(place, m)) {
            inserts = true;
            return content + 1L;
        }
        int least = m.get("pattern") instanceof Map<?, ?> p && p.get("String") instanceof String s ? s.length() : 1;
        return Math.max(1, Math.ceilDiv(content, least));
    }

    /// Checks a pattern and says whether it matches nothing.
    private boolean pattern(String place, Map<?, ?> m) {
        if (!(m.get("pattern") instanceof Map<?, ?> p) || p.size() != 1)
            throw new Refused(place, "pattern is neither a String nor a Regex");
        if (p.get("String") instanceof String s)
            return s.isEmpty();
        if (!(p.get("Regex") instanceof String regex))
            throw new Refused(place, "pattern is neither a String nor a Regex");
        try {
            BoundedPattern.Bound bound = BoundedPattern.check(regex);
            ways = Math.max(ways, bound.ways());
            return bound.empty();
        } catch (BoundedPattern.Refused e) {
            throw new Refused(place, "the regular expression '" + (regex.length() > 80 ? regex.substring(0, 77) + "..."
                    : regex) + "' " + e.getMessage() + ", and could run without end");
        }
    }

    private void preTokenizer(String place, @Nullable Object value) {
        Map<?, ?> m = part(place, value, PRE_TOKENIZERS);
        if (m == null)
            return;
        switch (text(place, m, "type")) {
            case "Sequence" -> list(place, m, "pretokenizers").forEach(o -> preTokenizer(place, o));
            case "Split" -> pattern(place, m);
            case "FixedLength" -> number(place, m, "length", 1, Integer.MAX_VALUE);
            // its own expression: one way, with a repetition before what can fail
            case "ByteLevel" -> ways = Math.max(ways, 2);
            default -> {
            }
        }
    }

    private void postProcessor(String place, @Nullable Object value) {
        Map<?, ?> m = part(place, value, POST_PROCESSORS);
        if (m == null)
            return;
        switch (text(place, m, "type")) {
            case "Sequence" -> list(place, m, "processors").forEach(o -> postProcessor(place, o));
            case "TemplateProcessing" -> {
                if (!(m.get("special_tokens") instanceof Map<?, ?> tokens))
                    throw new Refused(place, "special_tokens is not an object");
                tokens.forEach((name, t) -> specialToken(place, String.valueOf(name), t));
                template(place, "single", list(place, m, "single"), tokens, Set.of("A"));
                template(place, "pair", list(place, m, "pair"), tokens, Set.of("A", "B"));
            }
            case "BertProcessing", "RobertaProcessing" -> {
                for (String key : new String[] {"sep", "cls"})
                    if (!(m.get(key) instanceof List<?> pair) || pair.size() != 2
                            || !(pair.getFirst() instanceof String)
                            || !(pair.getLast() instanceof Long id) || !HfTokenizer.isId(id))
                        throw new Refused(place, key + " is not a token with its id");
            }
            default -> {
            }
        }
    }

    private static void specialToken(String place, String name, @Nullable Object token) {
        if (!(token instanceof Map<?, ?> t) || !(t.get("ids") instanceof List<?> ids)
                || !(t.get("tokens") instanceof List<?> tokens) || ids.size() != tokens.size() || ids.size() > PIECES
                || !ids.stream().allMatch(i -> i instanceof Long id && HfTokenizer.isId(id)))
            throw new Refused(place, "special token '" + name + "' needs ids and tokens, as many of each");
    }

    private static void template(String place, String key, List<?> pieces, Map<?, ?> tokens, Set<String> sequences) {
        if (pieces.size() > PIECES)
            throw new Refused(place, key + " has more than " + PIECES + " pieces");
        for (Object piece : pieces) {
            Map<?, ?> p = piece instanceof Map<?, ?> x && x.size() == 1 ? x : Map.of();
            boolean known = p.get("SpecialToken") instanceof Map<?, ?> s && s.get("id") instanceof String id
                    && tokens.containsKey(id)
                    || p.get("Sequence") instanceof Map<?, ?> q && q.get("id") instanceof String which
                            && sequences.contains(which);
            if (!known)
                throw new Refused(place,
                        key + " has the piece " + piece + ", which is neither one of special_tokens nor"
                                + " a sequence of " + sequences);
        }
    }

    /// SentencePiece's table of replacements: a double array trie (Darts) of what is replaced, and the texts to put there. The
    /// library follows the trie without looking where it leads.
    private record CharsMap(String place, @Nullable Object encoded) {
        private static final int LIMIT = 16 << 20;
        private static final int LONGEST = 64;

        private Refused bad() {
            return new Refused(place, "precompiled_charsmap is damaged");
        }

        void check() {
            if (!(encoded instanceof String s) || s.length() > LIMIT)
                throw bad();
            ByteBuffer bytes;
            try {
                bytes = ByteBuffer.wrap(Base64.getDecoder().decode(s)).order(ByteOrder.LITTLE_ENDIAN);
            } catch (IllegalArgumentException e) {
                throw bad();
            }
            if (bytes.remaining() < 8)
                throw bad();
            int size = bytes.getInt();
            if (size < 4 || size > bytes.remaining())
                throw bad();
            int[] units = new int[size / 4];
            bytes.asIntBuffer().get(units);
            byte[] texts = new byte[bytes.remaining() - units.length * 4];
            bytes.get(4 + units.length * 4, texts);
            try {
                StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(texts));
            } catch (CharacterCodingException e) {
                throw bad();
            }
            follow(units, texts);
        }

        private void follow(int[] units, byte[] texts) {
            BitSet seen = new BitSet(units.length);
            ArrayDeque<Integer> open = new ArrayDeque<>();
            visit(offset(units[0]), units.length, seen, open);
            while (!open.isEmpty()) {
                int node = open.remove();
                for (int c = 1; c < 256; c++) {
                    int at = node ^ c;
                    if (at >= units.length)
                        throw bad();
                    int unit = units[at];
                    if ((unit & 0x800000FF) != c)
                        continue;
                    int below = at ^ offset(unit);
                    if ((unit & 0x100) != 0)
                        piece(below < 0 || below >= units.length ? -1 : units[below] & 0x7FFFFFFF, texts);
                    visit(below, units.length, seen, open);
                }
            }
        }

        private static int offset(int unit) {
            return unit >>> 10 << ((unit & 0x200) >>> 6);
        }

        private void visit(int node, int size, BitSet seen, ArrayDeque<Integer> open) {
            if (node < 0 || node >= size)
                throw bad();
            if (!seen.get(node)) {
                seen.set(node);
                open.add(node);
            }
        }

        private void piece(int from, byte[] texts) {
            if (from < 0 || from > texts.length || from < texts.length && (texts[from] & 0xC0) == 0x80)
                throw bad();
            int to = from;
            while (to < texts.length && texts[to] != 0)
                if (++to - from > LONGEST)
                    throw bad();
        }
    }
}
