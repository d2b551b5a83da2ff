package dev.gyre.model.format;

import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.gguf.GgufBlocks;
import dev.gyre.model.gguf.GgufFile;
import dev.gyre.model.gguf.GgufLayout;
import dev.gyre.model.gguf.GgufTensor;
import dev.gyre.model.gguf.GgufType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.function.IntUnaryOperator;

/// The tensors of a GGUF file as transformers names and arranges them. Quantised ones are F32, exactly the values that
/// llama.cpp takes them for.
final class GgufWeights implements WeightFile {
    private static final int PIECE = 1 << 20;

    private record Weight(GgufTensor tensor, TensorInfo info) {
    }

    private final GgufFile file;
    private final GgufLayout layout;
    private final Map<String, Weight> weights = new LinkedHashMap<>();

    GgufWeights(GgufFile file, ModelConfig config) {
        this.file = file;
        this.layout = GgufLayout.of(config);
        layout.names().forEach((ours, theirs) -> {
            GgufTensor t = file.tensors().get(theirs);
            if (t != null) {
                TensorType type = t.dims().size() == 1 || layout.offset(ours) != 0 ? TensorType.F32 : type(t.type());
                long bytes = (long) t.rows() * t.columns() * type.width;
                weights.put(ours, new Weight(t, new TensorInfo(ours, type, t.shape(), 0, bytes)));
            }
        });
    }

    private static TensorType type(GgufType t) {
        return switch (t) {
            case F16 -> TensorType.F16;
            case BF16 -> TensorType.BF16;
            default -> TensorType.F32;
        };
    }

    /// Those that a model of this configuration has and the file holds.
    Iterable<String> names() {
        return weights.keySet();
    }

    private Weight weight(String name) {
        Weight w = weights.get(name);
        if (w == null)
            throw new FormatException(file.file(), "has no tensor '" + name + "'");
        return w;
    }

    @Override
    public Path file() {
        return file.file();
    }

    @Override
    public TensorInfo info(String name) {
        return weight(name).info;
    }

    private int size(String name) {
        TensorInfo t = info(name);
        if (t.size() > Integer.MAX_VALUE - 8)
            throw new FormatException(file.file(), "tensor '" + t.name() + "' " + TensorInfo.text(t.shape())
                    + " has more elements than a Java array holds (2^31)");
        return (int) t.size();
    }

    private IntUnaryOperator place(String name) {
        return layout.isReordered(name) ? layout::here : r -> r;
    }

    /// Heads that are cut off would be put outside the array.
    private void requireHeads(String name) {
        int rows = weight(name).tensor.dims().size() == 1 ? weight(name).tensor.columns() : weight(name).tensor.rows();
        if (layout.isReordered(name) && rows % layout.headDim() != 0)
            throw new FormatException(file.file(), "tensor '" + weight(name).tensor.name() + "' "
                    + TensorInfo.text(info(name).shape()) + " does not have whole heads; get the file again");
    }

    @Override
    public float[] f32(String name, IntFunction<float[]> array) {
        requireHeads(name);
        float[] values = array.apply(size(name));
        GgufTensor t = weight(name).tensor;
        file.read(t, values, t.dims().size() == 1 ? r -> r : place(name));
        if (t.dims().size() == 1 && layout.isReordered(name)) {
            float[] stored = values.clone();
            for (int i = 0; i < stored.length; i++)
                values[layout.here(i)] = stored[i];
        }
        float offset = (float) layout.offset(name);
        for (int i = 0; offset != 0 && i < values.length; i++)
            values[i] -= offset;
        return values;
    }

    @Override
    public short[] bf16(String name, IntFunction<short[]> array) {
        requireHeads(name);
        Weight w = weight(name);
        if (w.info.type() != TensorType.BF16)
            throw new FormatException(file.file(), "tensor '" + name + "' is " + w.info.type() + ", expected BF16");
        short[] bits = array.apply(size(name));
        IntUnaryOperator place = place(name);
        int C = w.tensor.columns();
        try {
            file.rows(w.tensor, (piece, first, n) -> {
                for (int r = 0; r < n; r++) {
                    piece.asShortBuffer().get(bits, place.applyAsInt(first + r) * C, C);
                    piece.position(piece.position() + 2 * C);
                }
            });
        } catch (IOException e) {
            throw FormatException.unreadable(file.file(), e);
        }
        return bits;
    }

    @Override
    public void copyTo(String name, WritableByteChannel out) throws IOException {
        TensorType type = info(name).type();
        float[] values = f32(name, float[]::new);
        GgufType as = switch (type) {
            case F16 -> GgufType.F16;
            case BF16 -> GgufType.BF16;
            default -> GgufType.F32;
        };
        ByteBuffer piece = ByteBuffer.allocate(PIECE).order(ByteOrder.LITTLE_ENDIAN);
        int step = PIECE / type.width;
        for (int from = 0; from < values.length; from += step) {
            GgufBlocks.encode(as, values, from, Math.min(step, values.length - from), piece.clear());
            piece.flip();
            while (piece.hasRemaining())
                out.write(piece);
            if (values.length - from <= step)
                break;
        }
    }

    @Override
    public byte[] bytes(String name) {
        var out = new ByteArrayOutputStream();
        try {
            copyTo(name, Channels.newChannel(out));
        } catch (IOException e) {
            throw FormatException.unreadable(file.file(), e);
        }
        return out.toByteArray();
    }

    @Override
    public void close() {
        file.close();
    }
}
