package dev.gyre.model.files;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// Typed, checked access to the keys of one JSON object inside a file. A key that is absent or null gives the
/// default; a value of the wrong type is a [FormatException] that names file, key and value.
public final class Fields {
    final Path file;
    private final String prefix;
    private final JsonNode node;

    /// @param prefix path of the object in the file, "" for the root, else ending in "."
    public Fields(Path file, String prefix, JsonNode node) {
        this.file = file;
        this.prefix = prefix;
        this.node = node;
    }

    public FormatException bad(String key, String expected) {
        JsonNode value = node.get(key);
        String problem = value == null ? "is missing" : value + " is not supported";
        return new FormatException(file, prefix + key + ": " + problem + "; expected " + expected);
    }

    public boolean has(String key) {
        return node.has(key);
    }

    public boolean isEmpty() {
        return node.isEmpty();
    }

    public Iterable<String> names() {
        return node.propertyNames();
    }

    /// Whether the key is there with a value other than null.
    public boolean isSet(String key) {
        return node.hasNonNull(key);
    }

    public JsonNode node(String key) {
        return node.path(key);
    }

    public int integer(String key) {
        JsonNode v = node.get(key);
        if (v == null || !v.isIntegralNumber() || !v.canConvertToInt())
            throw bad(key, "a whole number");
        return v.intValue();
    }

    public int integer(String key, int fallback) {
        return isSet(key) ? integer(key) : fallback;
    }

    public @Nullable Integer integerOrNull(String key) {
        return isSet(key) ? integer(key) : null;
    }

    public double number(String key) {
        JsonNode v = node.get(key);
        if (v == null || !v.isNumber() || !Double.isFinite(v.doubleValue()))
            throw bad(key, "a number");
        return v.doubleValue();
    }

    public double number(String key, double fallback) {
        return isSet(key) ? number(key) : fallback;
    }

    public @Nullable Double numberOrNull(String key) {
        return isSet(key) ? number(key) : null;
    }

    public boolean bool(String key, boolean fallback) {
        if (!isSet(key))
            return fallback;
        JsonNode v = node.path(key);
        if (!v.isBoolean())
            throw bad(key, "true or false");
        return v.booleanValue();
    }

    public String text(String key) {
        JsonNode v = node.get(key);
        if (v == null || !v.isString())
            throw bad(key, "a string");
        return v.stringValue();
    }

    public @Nullable String textOrNull(String key) {
        return isSet(key) ? text(key) : null;
    }

    public String text(String key, String fallback) {
        return isSet(key) ? text(key) : fallback;
    }

    /// A list of strings.
    public List<String> texts(String key) {
        List<String> all = new ArrayList<>();
        if (!node.path(key).isArray())
            throw bad(key, "a list of strings");
        for (JsonNode e : node.path(key)) {
            if (!e.isString())
                throw bad(key, "a list of strings");
            all.add(e.stringValue());
        }
        return all;
    }

    /// A list of positive numbers.
    public List<Double> positiveNumbers(String key) {
        List<Double> all = new ArrayList<>();
        if (!node.path(key).isArray())
            throw bad(key, "a list of positive numbers");
        for (JsonNode e : node.path(key)) {
            if (!e.isNumber() || !Double.isFinite(e.doubleValue()) || e.doubleValue() <= 0)
                throw bad(key, "a list of positive numbers");
            all.add(e.doubleValue());
        }
        return all;
    }

    /// A whole number or a list of them; empty when absent.
    public List<Integer> integers(String key) {
        if (!isSet(key))
            return List.of();
        JsonNode v = node.path(key);
        if (!v.isArray())
            return List.of(integer(key));
        List<Integer> all = new ArrayList<>();
        for (JsonNode e : v) {
            if (!e.isIntegralNumber() || !e.canConvertToInt())
                throw bad(key, "a whole number or a list of them");
            all.add(e.intValue());
        }
        return all;
    }

    /// The object under `key`.
    public Fields object(String key) {
        if (!node.path(key).isObject())
            throw bad(key, "an object");
        return new Fields(file, prefix + key + ".", node.path(key));
    }
}
