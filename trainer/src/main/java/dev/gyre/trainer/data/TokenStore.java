package dev.gyre.trainer.data;

import java.util.function.LongConsumer;

/// The tokens of a set's examples with what is known of each, on the heap or in a file. A token is a code, `2 id + 1` where
/// the loss counts it and `2 id` elsewhere.
interface TokenStore {
    /// Number of examples.
    int size();

    /// Tokens of example i.
    int length(int i);

    /// Copies the codes of example i to the beginning of `to`.
    void read(int i, int[] to);

    Place place(int i);

    /// Hands on the hash of each example's content, in order.
    void hashes(LongConsumer to);

    /// Bytes of the heap that it takes.
    long heapBytes();

    /// Where an example is from, and what became of it.
    ///
    /// @param file number of the file in the set
    /// @param task whether it asks for an answer
    record Place(int file, int line, boolean truncated, boolean task) {
        static final int BITS = 2;

        int packed() {
            return file << BITS | (truncated ? 1 : 0) | (task ? 2 : 0);
        }

        static Place of(int packed, int line) {
            return new Place(packed >>> BITS, line, (packed & 1) != 0, (packed & 2) != 0);
        }
    }
}
