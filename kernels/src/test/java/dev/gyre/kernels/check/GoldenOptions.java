package dev.gyre.kernels.check;

import java.util.Set;
import java.util.TreeSet;
import tools.jackson.databind.JsonNode;

/// The options that a golden layer was made with. A test must read all of them: an option that it passes over could change
/// the layer without anything failing.
public final class GoldenOptions {
    private final String where;
    private final JsonNode json;
    private final Set<String> unread;

    /// @param where names the case in messages
    public GoldenOptions(String where, JsonNode json) {
        this.where = where;
        this.json = json;
        this.unread = new TreeSet<>(json.propertyNames());
    }

    /// @throws AssertionError when the case has no such option
    public JsonNode get(String name) {
        JsonNode value = path(name);
        if (value.isMissingNode())
            throw new AssertionError(where + ": no option " + name);
        return value;
    }

    /// A missing node where the case has no such option.
    public JsonNode path(String name) {
        unread.remove(name);
        return json.path(name);
    }

    /// Holds an option to what the programs of this test compute.
    ///
    /// @throws AssertionError when the option has another value
    public void expect(String name, Object value) {
        String text = get(name).asString();
        if (!text.equals(String.valueOf(value)))
            throw new AssertionError(where + ": option " + name + " is " + text + ", this test computes " + value);
    }

    /// @throws AssertionError when an option was not read
    public void expectAllRead() {
        if (!unread.isEmpty())
            throw new AssertionError(where + ": the test reads no option " + String.join(", ", unread));
    }
}
