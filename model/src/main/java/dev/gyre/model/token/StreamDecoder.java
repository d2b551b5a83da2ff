package dev.gyre.model.token;

import java.util.Arrays;

/// Decodes a generation as it grows: each id gives the text that is certain by now, bytes of an unfinished character are
/// held back. All pieces and the rest together are `decode` of all ids.
///
/// Tokens are decoded behind the ones before them, because some tokenizers write a word differently at the start of a
/// text.
public final class StreamDecoder {
    private static final char BROKEN = '\uFFFD';
    /// A character has at most four bytes, so at most three ids can wait for its end.
    private static final int WAITING = 3;

    private final Tokenizer tokenizer;
    private int[] ids = new int[16];
    private int size;
    /// Ids `context .. done-1` are those that the next ones are decoded behind; text up to `done` is out.
    private int context;
    private int done;

    StreamDecoder(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /// Adds an id and returns the text that it completes, maybe none.
    public String add(int id) {
        if (size == ids.length)
            ids = Arrays.copyOf(ids, 2 * size);
        ids[size++] = id;
        String all = text(size);
        if (all.isEmpty() || all.charAt(all.length() - 1) != BROKEN)
            return emit(size, all);
        // bytes that can no longer become a character go out, the ones that may still do wait
        for (int waiting = WAITING; size - done > WAITING && waiting > 0; waiting--) {
            String head = text(size - waiting);
            String tail = tokenizer.decode(Arrays.copyOfRange(ids, size - waiting, size));
            if (tail.chars().allMatch(c -> c == BROKEN) && all.equals(head + tail))
                return emit(size - waiting, head);
        }
        return "";
    }

    /// The text still held back.
    public String finish() {
        return emit(size, text(size));
    }

    private String emit(int to, String text) {
        if (!text.isEmpty()) {
            context = done;
            done = to;
        }
        return text;
    }

    /// What ids `done .. to-1` add to the text.
    private String text(int to) {
        String before = tokenizer.decode(Arrays.copyOfRange(ids, context, done));
        String all = tokenizer.decode(Arrays.copyOfRange(ids, context, to));
        return all.length() <= before.length() ? "" : all.substring(before.length());
    }
}
