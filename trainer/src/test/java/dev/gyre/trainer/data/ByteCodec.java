package dev.gyre.trainer.data;

import java.nio.charset.StandardCharsets;
import java.util.List;

/// Bytes as tokens, 256 begins, 257 ends; a conversation reads `<role>content\n` per message.
public final class ByteCodec implements TextCodec {
    @Override
    public int[] encode(String text) {
        byte[] b = text.getBytes(StandardCharsets.UTF_8);
        int[] out = new int[b.length];
        for (int i = 0; i < b.length; i++)
            out[i] = b[i] & 0xff;
        return out;
    }

    @Override
    public Integer bos() {
        return 256;
    }

    @Override
    public Integer eos() {
        return 257;
    }

    @Override
    public String render(List<Example.Message> messages, boolean reply) {
        StringBuilder s = new StringBuilder();
        for (Example.Message m : messages)
            s.append('<').append(m.role()).append('>').append(m.content()).append('\n');
        return s.append(reply ? "<assistant>" : "").toString();
    }

    @Override
    public String decode(int[] tokens) {
        byte[] b = new byte[tokens.length];
        int n = 0;
        for (int t : tokens)
            if (t < 256)
                b[n++] = (byte) t;
        return new String(b, 0, n, StandardCharsets.UTF_8);
    }

    static String text(TokenizedSet set, int example, boolean targetsOnly) {
        StringBuilder s = new StringBuilder();
        for (int j = 0; j < set.length(example); j++)
            if (!targetsOnly || set.isTarget(example, j))
                s.append(switch (set.token(example, j)) {
                    case 256 -> "[";
                    case 257 -> "]";
                    default -> String.valueOf((char) set.token(example, j));
                });
        return s.toString();
    }
}
