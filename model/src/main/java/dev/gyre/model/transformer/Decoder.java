package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.family.ModelConfig;
import java.util.Arrays;
import java.util.List;

/// Continues one sequence: keys and values of what was fed are cached, each token costs one pass over the weights. A
/// [BatchDecoder] of one slot.
public final class Decoder implements AutoCloseable {
    private final BatchDecoder batch;
    private final float[][] logits;

    /// @param maxPositions longest sequence, prompt and continuation together
    public Decoder(Transformer model, Backend backend, int maxPositions) {
        this.batch = new BatchDecoder(List.of(model), backend, 1, maxPositions);
        this.logits = new float[1][model.config().vocabSize()];
    }

    /// Reads the adapters' tensors again and forgets the sequence. The weights are not read again.
    public void reload() {
        batch.reload();
    }

    /// Bytes of a decoder without the weights, which it shares.
    public static long bytes(Transformer model, int maxPositions) {
        return BatchDecoder.bytes(List.of(model), 1, maxPositions);
    }

    static BatchDecoder.Emitted emit(ModelConfig config, Buffers.Source source, List<Adapter> adapters,
            int maxPositions) {
        return BatchDecoder.emit(config, List.of(new BatchDecoder.Variant(source, adapters)), 1, maxPositions);
    }

    /// Forgets the sequence.
    public void reset() {
        rewind(0);
    }

    /// Forgets all but the first `positions` tokens: what is fed next continues from there.
    public void rewind(int positions) {
        batch.rewind(0, positions);
    }

    /// Tokens fed so far.
    public int position() {
        return batch.position(0);
    }

    /// Feeds tokens and returns the logits (V) after the last one.
    public float[] next(int... tokens) {
        if (tokens.length == 0)
            throw new InputException("a decoder needs at least one token");
        batch.extend(0, tokens.length);
        int last = tokens.length - 1;
        batch.feed(0, Arrays.copyOf(tokens, last));
        batch.next(new int[] {0}, new int[] {tokens[last]}, logits);
        return logits[0].clone();
    }

    @Override
    public void close() {
        batch.close();
    }
}
