package dev.gyre.model.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StoredTensorTest {
    private static final int N = (1 << 20) + 37;

    @TempDir
    Path dir;

    /// One tensor `x` of random finite values behind one of 6 bytes, so that it begins at an odd place.
    private Path file(TensorType type) throws IOException {
        SplittableRandom random = new SplittableRandom(1);
        String header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[0,6]},\"x\":{\"dtype\":\"" + type
                + "\",\"shape\":[1," + N + "],\"data_offsets\":[6," + (6 + (long) N * type.width) + "]}}";
        byte[] h = header.getBytes(StandardCharsets.UTF_8);
        ByteBuffer b = ByteBuffer.allocate(8 + h.length + 6 + N * type.width).order(ByteOrder.LITTLE_ENDIAN);
        b.putLong(h.length).put(h).put(new byte[6]);
        for (int i = 0; i < N; i++) {
            float v = random.nextFloat() * 8 - 4;
            switch (type) {
                case F32 -> b.putFloat(v);
                case F16 -> b.putShort(Float.floatToFloat16(v));
                default -> b.putShort(HostData.BF16.bits(v));
            }
        }
        return Files.write(dir.resolve("x.safetensors"), b.array());
    }

    @ParameterizedTest
    @CsvSource({"F32, F32", "F16, F32", "BF16, F32", "BF16, BF16"})
    void piecesAreThoseOfTheWholeTensor(TensorType type, DType dtype) throws IOException {
        HostData.Stored stored;
        HostData whole;
        try (SafeTensors f = SafeTensors.open(file(type))) {
            stored = f.stored("x", dtype);
            whole = dtype == DType.BF16 ? new HostData.BF16(f.bf16("x")) : new HostData.F32(f.f32("x"));
        }
        assertThat(stored.dtype()).isEqualTo(dtype);
        assertThat(stored.size()).isEqualTo(N);
        assertThat(stored.bytes()).isEqualTo(whole.bytes());
        assertThat(stored.decode(0, N)).isEqualTo(whole.decode(0, N));
        assertThat(stored.decode(12345, 70001)).isEqualTo(whole.decode(12345, 70001));
        assertThat(stored.floats()).isEqualTo(whole.floats());
        long width = dtype.bytes(1);
        try (Arena arena = Arena.ofConfined()) {
            // as a device's arrays are: native, and behind a header
            MemorySegment to = arena.allocate(16 + 1001 * width).asSlice(16);
            stored.read(N - 1001, 1001, to);
            for (int i = 0; i < 1001; i++)
                assertThat(dtype == DType.F32 ? to.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i)
                        : HostData.BF16.value(to.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2L * i)))
                        .isEqualTo(whole.decode(N - 1001 + i, 1)[0]);
        }
        assertThatThrownBy(() -> stored.decode(N - 2, 3)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void sessionsThatNeedItInMemoryShareOneCopy() throws IOException {
        try (SafeTensors f = SafeTensors.open(file(TensorType.BF16))) {
            HostData.Stored stored = f.stored("x", DType.BF16);
            HostData first = stored.inMemory();
            assertThat(first).isInstanceOf(HostData.BF16.class).isSameAs(stored.inMemory()).isSameAs(first.inMemory());
        }
    }

    @Test
    void aFileThatIsChangedMeanwhileIsRefused() throws IOException {
        Path file = file(TensorType.F32);
        HostData stored;
        try (SafeTensors f = SafeTensors.open(file)) {
            stored = f.stored("x", DType.F32);
        }
        Files.write(file, new byte[(int) Files.size(file) + 1]);
        assertThatThrownBy(() -> stored.decode(0, 1)).isInstanceOf(FormatException.class)
                .hasMessageContaining("x.safetensors").hasMessageContaining("was changed while it was in use");
    }
}
