package dev.gyre.model.token;

/// Token ids of a text and the span of each token in it.
public final class Encoding {
    private final int[] ids;
    private final int[] from;
    private final int[] to;

    /// @param from first character of each token, in UTF-16 units of the text
    /// @param to end (exclusive); equal to `from` for tokens without text of their own
    Encoding(int[] ids, int[] from, int[] to) {
        this.ids = ids;
        this.from = from;
        this.to = to;
    }

    public int size() {
        return ids.length;
    }

    /// The ids, a copy.
    public int[] ids() {
        return ids.clone();
    }

    public int id(int i) {
        return ids[i];
    }

    public int from(int i) {
        return from[i];
    }

    public int to(int i) {
        return to[i];
    }
}
