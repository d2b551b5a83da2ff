package dev.gyre.trainer.data;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// What turning examples into tokens needs of a model's tokenizer.
public interface TextCodec {
    /// Tokens of `text`, without any that mark its beginning or end.
    int[] encode(String text);

    /// Token that starts every sequence of this model, or null.
    @Nullable
    Integer bos();

    /// Token that ends an answer, or null.
    @Nullable
    Integer eos();

    /// The conversation as one text, special tokens included; with `reply`, up to where the assistant begins to speak.
    String render(List<Example.Message> messages, boolean reply);
}
