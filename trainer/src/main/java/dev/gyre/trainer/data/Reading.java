package dev.gyre.trainer.data;

import java.util.function.Consumer;

/// Tells how far the reading of a large set is. Library code has nobody to tell unless a caller runs [#within].
public final class Reading {
    private static final ScopedValue<Consumer<String>> TOLD = ScopedValue.newInstance();
    /// Examples between two tellings; a small set is read before the first.
    private static final int EVERY = 1 << 15;

    private Reading() {
    }

    /// Runs `body`, telling `who` of the sets that it reads.
    public static <T, X extends Throwable> T within(Consumer<String> who, ScopedValue.CallableOp<T, X> body) throws X {
        return ScopedValue.where(TOLD, who).call(body);
    }

    static void tell(String set, int examples) {
        if (examples % EVERY == 0 && TOLD.isBound())
            TOLD.get().accept("reading " + set + ": " + String.format(java.util.Locale.ROOT, "%,d", examples)
                    + " examples ...");
    }
}
