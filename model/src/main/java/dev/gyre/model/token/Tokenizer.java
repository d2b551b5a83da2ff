package dev.gyre.model.token;

import java.util.Arrays;

/// Text to token ids and back.
public sealed interface Tokenizer extends AutoCloseable permits ByteTokenizer, HfTokenizer {
    /// Ids of `text`; special tokens spelt out in it become their ids.
    ///
    /// @param addSpecial whether to add what the model expects around a text, such as a token for its beginning
    int[] encode(String text, boolean addSpecial);

    /// The same with the place of each token in the text.
    Encoding encodeWithOffsets(String text, boolean addSpecial);

    /// The tokens of a text that continues another, whatever that ends in. Some tokenizers write a space before the first
    /// word of a text; a line break before it, whose tokens are taken away again, keeps that from this one.
    default Encoding encodeMore(String text) {
        Encoding alone = encodeWithOffsets("\n", false);
        Encoding behind = encodeWithOffsets("\n" + text, false);
        int n = alone.size();
        int same = Arrays.mismatch(alone.ids(), behind.ids());
        // a line break that the text's own start is joined with, or that the tokenizer drops, is no help
        return n == 0 || same >= 0 && same < n || behind.crosses(1) ? encodeWithOffsets(text, false)
                : behind.without(n, 1);
    }

    /// Text of `ids`, special tokens left out. Bytes that are no UTF-8 become U+FFFD.
    String decode(int... ids);

    /// Text of `ids` with special tokens spelt out.
    String decodeWithSpecial(int... ids);

    /// Number of ids, special tokens included: the highest id plus one.
    int vocabSize();

    /// Id of the token that begins a sequence, or -1.
    int bosId();

    /// Id of the token that ends a sequence or an answer, or -1.
    int eosId();

    /// Id of the padding token, or -1.
    int padId();

    /// Ids that show, put behind others, which of their text the next id can still change; none where only the bytes of an
    /// unfinished character can change.
    default int[] probes() {
        return new int[0];
    }

    /// Turns ids into text one by one.
    default StreamDecoder stream() {
        return new StreamDecoder(this);
    }

    @Override
    void close();
}
