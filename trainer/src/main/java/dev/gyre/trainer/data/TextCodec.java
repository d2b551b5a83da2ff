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

    /// Tokens that end an answer when the model says them.
    default List<Integer> stops() {
        Integer eos = eos();
        return eos == null ? List.of() : List.of(eos);
    }

    String decode(int[] tokens);

    /// `text` with the token that starts a sequence, and with `end` the one that ends it, where the model has them.
    default int[] framed(String text, boolean end) {
        int[] body = encode(text);
        Integer first = bos();
        Integer last = end ? eos() : null;
        int head = first == null ? 0 : 1;
        int[] out = new int[head + body.length + (last == null ? 0 : 1)];
        if (first != null)
            out[0] = first;
        System.arraycopy(body, 0, out, head, body.length);
        if (last != null)
            out[out.length - 1] = last;
        return out;
    }

    /// The conversation as one text, special tokens included; with `reply`, up to where the assistant begins to speak.
    String render(List<Example.Message> messages, boolean reply);
}
