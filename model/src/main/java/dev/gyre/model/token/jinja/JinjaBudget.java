package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Problem;

/// What one rendering may use. Templates come from strangers: whatever they say, rendering ends within about two seconds
/// and 256 MB.
final class JinjaBudget {
    /// Evaluated expressions and statements; templates in use need some hundreds for a message.
    static final long STEPS = 1_000_000;
    /// Characters read or written by all operations together.
    static final long CHARACTERS = 30_000_000;
    /// An element of a list weighs as much as so many characters.
    private static final long ELEMENT = 32;
    /// Expressions, statements and macros inside each other, and values inside each other.
    static final int DEPTH = 600;

    private long steps;
    private long characters;
    private int depth;

    void step() {
        if (++steps > STEPS)
            throw new Problem("the template takes more than " + STEPS
                    + " steps; shorten its loops and macros, or the conversation");
    }

    /// @return n, to allocate
    int characters(long n) {
        if (n >= 0 && n <= CHARACTERS)
            characters += n;
        if (n < 0 || n > CHARACTERS || characters > CHARACTERS)
            throw new Problem("the template reads and writes more than " + CHARACTERS
                    + " characters; shorten its texts and lists, or the conversation");
        return (int) n;
    }

    /// @return n, to allocate
    int elements(long n) {
        characters(n > CHARACTERS ? n : n * ELEMENT);
        return (int) n;
    }

    void enter() {
        if (++depth > DEPTH)
            throw new Problem("more than " + DEPTH + " expressions, macros or values inside each other"
                    + " (macros that call each other without end?)");
    }

    void leave() {
        depth--;
    }
}
