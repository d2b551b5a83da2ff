package dev.gyre.trainer.data;

import dev.gyre.model.token.ChatTemplate;

/// A hash of what an example says, the same for any tokenizer and any file that it stands in: by it examples are held out.
/// FNV-1a over UTF-16 units, then mixed.
public final class Content {
    private static final long PRIME = 0x100000001b3L;
    private static final long START = 0xcbf29ce484222325L;

    private Content() {
    }

    static long hash(Example e) {
        return mixed(switch (e) {
            case Example.Text t -> with(START, t.text());
            case Example.Completion c -> with(with(START + 1, c.prompt()), c.completion());
            case Example.Chat c -> {
                long h = START + 2;
                for (ChatTemplate.Message m : c.messages()) {
                    h = with(with(h, m.role()), String.valueOf(m.content()));
                    h = with(h, m.trained() ? "trained" : "not");
                    if (!m.fields().isEmpty())
                        h = with(h, m.fields().toString());
                }
                yield c.variables().isEmpty() ? h : with(h, c.variables().toString());
            }
        });
    }

    /// Of a window of running text.
    static long hash(int[] tokens) {
        long h = START + 3;
        for (int t : tokens)
            h = with(h, t);
        return mixed(h);
    }

    /// A hash that a text is added to.
    public static long with(long h, String s) {
        for (int i = 0; i < s.length(); i++)
            h = (h ^ s.charAt(i)) * PRIME;
        // the end of a text counts, so that "ab" and "c" are not "a" and "bc"
        return (h ^ 0x10000) * PRIME;
    }

    /// A hash that a value is added to.
    public static long with(long h, int value) {
        return (h ^ value) * PRIME;
    }

    /// The finaliser of SplitMix64.
    public static long mixed(long z) {
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
