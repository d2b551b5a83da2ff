package dev.gyre.model.transformer;

import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.ModelConfig;
import java.util.List;
import java.util.Map;

/// A decoder without its output head, for another head to read its rows: embedding, layers and final norm of one program.
public final class DecoderBody {
    private final TransformerProgram program;
    private final TransformerProgram.Rows rows;

    /// @param positions (B*T) I32, and `start` as in [Batch]
    /// @param checkpointing whether layers keep nothing but their input and run forward again before they run backward
    public DecoderBody(ModelConfig c, Buffers store, Map<String, List<AdapterLayer>> adapters, BatchShape shape,
            Buf ids, Buf positions, Buf start, boolean checkpointing) {
        this.program = new TransformerProgram(c, store, adapters, shape.T());
        this.rows = program.rows(shape, ids, positions, start, checkpointing);
    }

    /// Emits it; returns the normalised rows (B*T, C).
    public Buf forward(Emitter e) {
        return rows.forward(e);
    }

    /// Emits gradients as far down as something is trained.
    ///
    /// @param g gradient of the rows
    public void backward(Emitter e, Buf g) {
        rows.backward(e, g);
    }

    public boolean trains() {
        return rows.trains();
    }
}
