package dev.gyre.model.token;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// Decodes a generation as it grows: each id gives the text that is certain by now, bytes of an unfinished character are
/// held back. All pieces and the rest together are `decode` of all ids.
///
/// Tokens are decoded behind the ones before them, because some tokenizers write a word differently at the start of a
/// text; and text counts as certain that stays the same whatever [Tokenizer#probes] comes next, because some write a run
/// of bytes or the last word differently when more follows.
public final class StreamDecoder {
    private static final char BROKEN = '\uFFFD';
    /// A character has at most four bytes, so at most three ids can wait for its end.
    private static final int WAITING = 3;

    private final Tokenizer tokenizer;
    private final int[] probes;
    /// Whether bytes with ids of their own are decoded run by run.
    private final boolean runs;
    private int[] ids = new int[16];
    private int size;
    /// Ids `context .. done-1` are those that the next ones are decoded behind; text up to `done` is out.
    private int context;
    private int done;
    /// Characters of the text after those that are out as well.
    private int sent;

    StreamDecoder(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
        this.probes = tokenizer.probes();
        this.runs = IntStream.of(probes).anyMatch(p -> tokenizer.decode(p).equals(String.valueOf(BROKEN)));
    }

    /// Adds an id and returns the text that it completes, maybe none.
    public String add(int id) {
        if (size == ids.length)
            ids = Arrays.copyOf(ids, 2 * size);
        ids[size++] = id;
        String certain = certain();
        if (certain != null)
            return send(certain);
        String all = text(size);
        if (all.isEmpty() || all.charAt(all.length() - 1) != BROKEN)
            return emit(size, all);
        // a run of bytes is no text at all until its last is a character's
        if (runs)
            return "";
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

    /// The beginning of the text that no next token can change; null if that is all of it.
    private @Nullable String certain() {
        String all = text(size);
        int n = all.length();
        for (int probe : probes) {
            if (size == ids.length)
                ids = Arrays.copyOf(ids, 2 * size);
            ids[size] = probe;
            int m = Arrays.mismatch(all.toCharArray(), text(size + 1).toCharArray());
            n = m < 0 ? n : Math.min(n, m);
        }
        if (n == all.length())
            return null;
        while (n > 0 && (all.charAt(n - 1) == BROKEN || Character.isHighSurrogate(all.charAt(n - 1))))
            n--;
        return all.substring(0, n);
    }

    /// Part of the text after `done`.
    private String send(String text) {
        String piece = text.substring(Math.min(sent, text.length()));
        sent += piece.length();
        return piece;
    }

    private String emit(int to, String text) {
        String piece = send(text);
        if (!text.isEmpty()) {
            context = done;
            done = to;
            sent = 0;
        }
        return piece;
    }

    /// What ids `done .. to-1` add to the text.
    private String text(int to) {
        String before = tokenizer.decode(Arrays.copyOfRange(ids, context, done));
        String all = tokenizer.decode(Arrays.copyOfRange(ids, context, to));
        return all.length() <= before.length() ? "" : all.substring(before.length());
    }
}
