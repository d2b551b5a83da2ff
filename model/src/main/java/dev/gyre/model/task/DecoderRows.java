package dev.gyre.model.task;

import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.DecoderBody;
import java.util.List;
import java.util.Map;

/// A decoder under a head.
final class DecoderRows implements Body {
    private final DecoderBody body;

    DecoderRows(ModelConfig c, Buffers store, Map<String, List<AdapterLayer>> adapters, TaskIo io,
            boolean checkpointing) {
        this.body = new DecoderBody(c, store, adapters, new BatchShape(io.shape().B(), io.shape().T()), io.ids(),
                io.positions(), io.start(), checkpointing);
    }

    @Override
    public Buf forward(Emitter e) {
        return body.forward(e);
    }

    @Override
    public void backward(Emitter e, Buf g) {
        body.backward(e, g);
    }

    @Override
    public boolean trains() {
        return body.trains();
    }
}
