package dev.gyre.bench;

import dev.gyre.model.family.ModelConfig;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/// Shapes of the models that are measured. 7B4 and 7B are the shapes of Llama-2-7B, 4 layers of it and all 32.
public enum Size {
    XS("XS", 64, 2, 160, 4, 2, 128, 2, 32), S("S", 256, 4, 688, 4, 2, 4096, 8, 128),
    M("M", 768, 12, 2048, 12, 4, 32000, 4, 256), L("L", 2048, 4, 5632, 32, 8, 32000, 2, 256),
    B7_4("7B4", 4096, 4, 11008, 32, 32, 32000, 8, 512), B7("7B", 4096, 32, 11008, 32, 32, 32000, 4, 2048);

    final String label;
    final int hidden;
    final int layers;
    final int ffn;
    final int heads;
    final int kvHeads;
    final int vocab;
    /// Rows and tokens a row of a step.
    final int batch;
    final int seq;

    Size(String label, int hidden, int layers, int ffn, int heads, int kvHeads, int vocab, int batch, int seq) {
        this.label = label;
        this.hidden = hidden;
        this.layers = layers;
        this.ffn = ffn;
        this.heads = heads;
        this.kvHeads = kvHeads;
        this.vocab = vocab;
        this.batch = batch;
        this.seq = seq;
    }

    static final String NAMES = Arrays.stream(values()).map(s -> s.label).collect(Collectors.joining(", "));

    /// By the name that a user types, in any case.
    static Size of(String name) {
        for (Size s : values())
            if (s.label.equalsIgnoreCase(name))
                return s;
        throw new IllegalArgumentException("--size " + name + ": unknown; use one of " + NAMES);
    }

    ModelConfig config(int T) {
        return ModelConfig.llama(vocab, hidden, ffn, layers, heads, kvHeads, T, false, null, List.of(), null);
    }
}
