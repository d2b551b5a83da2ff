package dev.gyre.model.format;

import java.io.IOException;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;
import java.util.function.IntFunction;

/// A file with weights under the names that transformers gives them.
sealed interface WeightFile extends AutoCloseable permits SafeTensors, GgufWeights {
    Path file();

    /// Type and shape of a tensor as it is read.
    TensorInfo info(String name);

    /// An F32 tensor, or an F16 or BF16 one widened, which is exact.
    ///
    /// @param array gives an array of the length asked for
    float[] f32(String name, IntFunction<float[]> array);

    /// The raw bits of a BF16 tensor.
    ///
    /// @param array gives an array of the length asked for
    short[] bf16(String name, IntFunction<short[]> array);

    /// Copies the bytes of a tensor in the type and order in which it is read.
    void copyTo(String name, WritableByteChannel out) throws IOException;

    /// The bytes that [#copyTo] writes.
    byte[] bytes(String name);

    @Override
    void close();
}
