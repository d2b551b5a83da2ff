package dev.gyre.model.format;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;

/// Reads pieces of one tensor, opening the file for each. The file has to stay as it is meanwhile.
///
/// @param dtype F32 or BF16, to which an F16 tensor, or a BF16 one, is widened
/// @param bytes size of the file when the tensor was found in it
record StoredTensor(Path file, TensorInfo tensor, DType dtype, long bytes, FileTime changed)
        implements HostData.Stored.Source {
    /// Bytes that are read at once where they cannot go straight to where they belong.
    private static final int PIECE = 1 << 20;

    static StoredTensor of(Path file, TensorInfo tensor, DType dtype) {
        try {
            return new StoredTensor(file, tensor, dtype, Files.size(file), Files.getLastModifiedTime(file));
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    @Override
    public void read(long from, int n, MemorySegment to) {
        int width = tensor.type().width;
        long begin = tensor.begin() + from * width;
        boolean same = (tensor.type() == TensorType.BF16) == (dtype == DType.BF16) && tensor.type() != TensorType.F16;
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            if (channel.size() != bytes || !Files.getLastModifiedTime(file).equals(changed))
                throw new FormatException(file, "was changed while it was in use; start again");
            if (same && to.isNative()) {
                SafeTensors.fully(file, channel, to.asSlice(0, (long) n * width).asByteBuffer(), begin);
                return;
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment piece = arena.allocate(Math.min(PIECE, Math.max(8, (long) n * width)), 8);
                ByteBuffer buffer = piece.asByteBuffer();
                for (int done = 0; done < n;) {
                    int k = Math.min(buffer.capacity() / width, n - done);
                    SafeTensors.fully(file, channel, buffer.clear().limit(k * width), begin + (long) done * width);
                    if (same)
                        MemorySegment.copy(piece, 0, to, (long) done * width, (long) k * width);
                    else
                        widen(piece, k, to, done);
                    done += k;
                }
            }
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    private void widen(MemorySegment from, int n, MemorySegment to, int at) {
        for (int i = 0; i < n; i++) {
            short bits = from.get(SafeTensors.I16, 2L * i);
            to.set(SafeTensors.F32, 4L * (at + i),
                    tensor.type() == TensorType.F16 ? Float.float16ToFloat(bits) : HostData.BF16.value(bits));
        }
    }
}
