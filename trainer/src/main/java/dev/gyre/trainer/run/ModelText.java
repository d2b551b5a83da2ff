package dev.gyre.trainer.run;

import dev.gyre.model.config.LlamaConfig;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.TextCodec;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// INTERIM: bytes only, until the tokenizers are in.
public final class ModelText implements TextCodec {
    public static ModelText of(Path modelDirectory) {
        if (java.nio.file.Files.exists(modelDirectory.resolve("tokenizer.json")))
            throw new dev.gyre.model.format.FormatException(modelDirectory,
                    "tokenizer.json is not read by this build yet; it knows byte tokens only");
        return new ModelText();
    }

    public static ModelText named(String tokenizer) {
        return new ModelText();
    }

    public LlamaConfig shape(PretrainConfig.Model m) {
        return LlamaConfig.llama(260, Objects.requireNonNull(m.hiddenSize()),
                Objects.requireNonNull(m.intermediateSize()),
                Objects.requireNonNull(m.layers()), Objects.requireNonNull(m.heads()),
                Objects.requireNonNull(m.kvHeads()),
                Objects.requireNonNull(m.context()), m.tieEmbeddings(), 256, List.of(257), null);
    }

    public List<Path> files() {
        return List.of();
    }

    public void addTo(ModelDirWriter w) {
    }

    @Override
    public int[] encode(String text) {
        byte[] b = text.getBytes(StandardCharsets.UTF_8);
        int[] out = new int[b.length];
        for (int i = 0; i < b.length; i++)
            out[i] = b[i] & 0xff;
        return out;
    }

    @Override
    public @Nullable Integer bos() {
        return 256;
    }

    @Override
    public @Nullable Integer eos() {
        return 257;
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

    @Override
    public String render(List<Example.Message> messages, boolean reply) {
        throw new UnsupportedOperationException("chat");
    }
}
