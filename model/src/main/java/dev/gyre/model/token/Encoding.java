package dev.gyre.model.token;

import java.util.Arrays;

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

    /// Whether a token reaches from before character `at` past it.
    public boolean crosses(int at) {
        for (int i = 0; i < ids.length; i++)
            if (from[i] < at && at < to[i])
                return true;
        return false;
    }

    /// Without the first tokens, and the places counted from character `at` on.
    Encoding without(int tokens, int at) {
        return new Encoding(Arrays.copyOfRange(ids, tokens, ids.length), moved(from, tokens, -at),
                moved(to, tokens, -at));
    }

    /// Followed by the tokens of a text that starts at character `at`.
    Encoding plus(Encoding more, int at) {
        return new Encoding(joined(ids, more.ids), joined(from, moved(more.from, 0, at)),
                joined(to, moved(more.to, 0, at)));
    }

    private static int[] moved(int[] places, int first, int by) {
        int[] out = Arrays.copyOfRange(places, first, places.length);
        for (int i = 0; i < out.length; i++)
            out[i] = Math.max(0, out[i] + by);
        return out;
    }

    private static int[] joined(int[] a, int[] b) {
        int[] out = Arrays.copyOf(a, a.length + b.length);
        System.arraycopy(b, 0, out, a.length, b.length);
        return out;
    }
}
