package dev.gyre.model.token;

/// Text to token ids and back.
public sealed interface Tokenizer extends AutoCloseable permits ByteTokenizer, HfTokenizer {
    /// Ids of `text`; special tokens spelt out in it become their ids.
    ///
    /// @param addSpecial whether to add what the model expects around a text, such as a token for its beginning
    int[] encode(String text, boolean addSpecial);

    /// The same with the place of each token in the text.
    Encoding encodeWithOffsets(String text, boolean addSpecial);

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

    /// Turns ids into text one by one.
    default StreamDecoder stream() {
        return new StreamDecoder(this);
    }

    @Override
    void close();
}
