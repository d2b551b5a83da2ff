package dev.gyre.model.fuzz;

import dev.gyre.model.files.Json;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Changes of a JSON document that keep most of its structure.
public final class Mutations {
    private static final JsonNodeFactory F = JsonNodeFactory.instance;
    private static final List<String> TEXTS = List.of("", " ", "a", "aa", "\u2581", "##", "\u0000", "\u001b[2J",
            "\uD83D\uDE42",
            "ﷺ", "(a+)+$",
            "\\s+(?!\\S)", "(", "[", "$A", "B", "A", "Sequence", "Replace", "Strip", "Split", "Metaspace", "ByteLevel",
            "NFKC",
            "Precompiled", "CTC", "WordPiece", "Unigram", "WordLevel", "BPE", "FixedLength", "Prepend",
            "x".repeat(3000));

    private final List<String> texts;

    private Mutations(List<String> texts) {
        this.texts = texts;
    }

    /// With these texts beside those of tokenizers.
    public static Mutations with(String... texts) {
        List<String> all = new ArrayList<>(TEXTS);
        // as likely as all the others together
        while (texts.length > 0 && all.size() < 2 * TEXTS.size())
            all.addAll(List.of(texts));
        return new Mutations(all);
    }

    /// `document` with one to four changes.
    public ObjectNode of(ObjectNode document, SplittableRandom random) {
        ObjectNode root = document.deepCopy();
        for (int n = 1 + random.nextInt(1 + random.nextInt(4)); n > 0; n--) {
            List<JsonNode> inner = new ArrayList<>();
            collect(root, inner);
            JsonNode at = inner.get(random.nextInt(inner.size()));
            JsonNode from = inner.get(random.nextInt(inner.size()));
            change(at, from, random);
        }
        return root;
    }

    private static void collect(JsonNode at, List<JsonNode> into) {
        // a vocabulary is one choice among the parts, not nearly all of them
        if (at.isContainer()) {
            into.add(at);
            int n = 0;
            for (JsonNode child : at)
                if (n++ < 40)
                    collect(child, into);
        }
    }

    private void change(JsonNode at, JsonNode from, SplittableRandom random) {
        switch (at) {
            case ObjectNode o -> {
                List<String> keys = new ArrayList<>(o.propertyNames());
                String key = keys.isEmpty() || random.nextInt(8) == 0 ? texts.get(random.nextInt(texts.size()))
                        : keys.get(random.nextInt(keys.size()));
                if (random.nextInt(5) == 0)
                    o.remove(key);
                else
                    o.set(key, value(o.path(key), from, random));
            }
            case ArrayNode a -> {
                int i = a.isEmpty() ? 0 : random.nextInt(a.size());
                switch (random.nextInt(4)) {
                    case 0 -> a.insert(i, value(F.nullNode(), from, random));
                    case 1 -> a.remove(i);
                    case 2 -> a.add(a.isEmpty() ? F.nullNode() : a.get(i).deepCopy());
                    default -> {
                        if (!a.isEmpty())
                            a.set(i, value(a.get(i), from, random));
                    }
                }
            }
            default -> throw new AssertionError(at);
        }
    }

    private JsonNode value(JsonNode old, JsonNode from, SplittableRandom random) {
        return switch (random.nextInt(9)) {
            case 0 -> F.nullNode();
            case 1 -> F.numberNode(new long[] {-1, 0, 1, 2, 255, 1L << 31, (1L << 32) - 1, 1L << 32,
                Long.MAX_VALUE}[random.nextInt(9)]);
            case 2 -> F.numberNode(new double[] {0.5, -1, 1e308, 1e-300}[random.nextInt(4)]);
            case 3, 4 -> F.stringNode(texts.get(random.nextInt(texts.size())));
            case 5 -> F.booleanNode(random.nextBoolean());
            case 6 -> size(from) > 200 ? F.arrayNode() : from.deepCopy();
            case 7 -> nested(1 + random.nextInt(100));
            default ->
                    old.isString() ? F.stringNode(old.stringValue().repeat(random.nextInt(3)) + "a") : old.deepCopy();
        };
    }

    private static int size(JsonNode n) {
        int s = 1;
        for (JsonNode c : n)
            s += size(c);
        return s;
    }

    private static JsonNode nested(int depth) {
        JsonNode n = F.numberNode(-1);
        for (int i = 0; i < depth; i++)
            n = F.arrayNode().add(n);
        return n;
    }

    /// The document's bytes, now and then with some of them changed.
    public static byte[] bytes(ObjectNode document, SplittableRandom random) {
        return damaged(Json.MAPPER.writeValueAsBytes(document), random);
    }

    /// The same bytes, now and then with some of them changed or the end cut off.
    public static byte[] damaged(byte[] whole, SplittableRandom random) {
        byte[] b = whole.clone();
        if (b.length > 0 && random.nextInt(10) == 0)
            for (int n = random.nextInt(4); n > 0; n--)
                b[random.nextInt(b.length)] = (byte) random.nextInt(256);
        return random.nextInt(40) == 0 ? Arrays.copyOf(b, random.nextInt(b.length + 1)) : b;
    }
}
