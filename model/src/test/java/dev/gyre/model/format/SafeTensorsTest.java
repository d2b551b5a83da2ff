package dev.gyre.model.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafeTensorsTest {
    @TempDir
    Path dir;

    /// 8-byte length, header, then `data` zero bytes.
    private Path file(String header, int data) throws IOException {
        byte[] h = header.getBytes(StandardCharsets.UTF_8);
        return file(h.length, h, data);
    }

    private Path file(long length, byte[] header, int data) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(8 + header.length + data).order(ByteOrder.LITTLE_ENDIAN);
        b.putLong(length).put(header);
        return Files.write(dir.resolve("broken.safetensors"), b.array());
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-llama/model.safetensors", "tiny-llama/reference_oft.safetensors",
        "tiny-llama/adapter_oft/adapter_model.safetensors", "tiny-llama-nf4/model.safetensors",
        "tiny-llama-nf4/reference_oft.safetensors", "rope.safetensors"})
    void copyingAFileOfTheReferenceLibraryGivesItsBytes(String name) throws IOException {
        Path copy = dir.resolve("copy.safetensors");
        try (SafeTensors source = SafeTensors.open(Golden.path(name))) {
            var writer = new SafeTensorsWriter();
            source.names().forEach(n -> writer.copy(source, n));
            writer.write(copy);
        }
        assertThat(Files.readAllBytes(copy)).isEqualTo(Files.readAllBytes(Golden.path(name)));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3, 255, 1 << 18, (1 << 18) + 1, 3 * (1 << 19) + 7})
    void everyTypeComesBackBitForBit(int n) {
        var random = new SplittableRandom(n);
        float[] f32 = new float[n];
        double[] f64 = new double[n];
        short[] bf16 = new short[n];
        int[] i32 = new int[n];
        long[] i64 = new long[n];
        byte[] u8 = new byte[n];
        for (int i = 0; i < n; i++) {
            f32[i] = Float.intBitsToFloat(random.nextInt());
            f64[i] = Double.longBitsToDouble(random.nextLong());
            bf16[i] = (short) random.nextInt();
            i32[i] = random.nextInt();
            i64[i] = random.nextLong();
            u8[i] = (byte) random.nextInt();
        }
        Path file = dir.resolve("all.safetensors");
        new SafeTensorsWriter().f32("f32", f32, n).f64("f64", f64, 1, n).bf16("bf16", () -> bf16, n, 1)
                .i32("i32", i32, n).i64("i64", i64, n).u8("u8", u8, n).metadata("note", "ä\n").write(file);
        try (SafeTensors s = SafeTensors.open(file)) {
            assertThat(s.names()).containsExactly("bf16", "f32", "f64", "i32", "i64", "u8");
            assertThat(s.metadata()).containsEntry("format", "pt").containsEntry("note", "ä\n").hasSize(2);
            assertThat(bits(s.f32("f32"))).isEqualTo(bits(f32));
            assertThat(Arrays.stream(s.f64("f64")).mapToLong(Double::doubleToRawLongBits).toArray())
                    .isEqualTo(Arrays.stream(f64).mapToLong(Double::doubleToRawLongBits).toArray());
            assertThat(s.bf16("bf16")).isEqualTo(bf16);
            assertThat(s.i32("i32")).isEqualTo(i32);
            assertThat(s.i64("i64")).isEqualTo(i64);
            assertThat(s.u8("u8")).isEqualTo(u8);
            assertThat(s.bytes("u8")).isEqualTo(u8);
            assertThat(s.info("f64").shape()).containsExactly(1L, (long) n);
            int[] upper = new int[n];
            Arrays.setAll(upper, i -> bf16[i] << 16);
            assertThat(bits(s.f32("bf16"))).isEqualTo(upper);
            assertThat(s.info("i64").begin() % 8).isZero();
        }
    }

    private static int[] bits(float[] x) {
        int[] bits = new int[x.length];
        for (int i = 0; i < x.length; i++)
            bits[i] = Float.floatToRawIntBits(x[i]);
        return bits;
    }

    @Test
    void aScalarHasAnEmptyShapeAndOneElement() {
        Path file = dir.resolve("s.safetensors");
        new SafeTensorsWriter().f32("loss", new float[] {1.5f}).write(file);
        try (SafeTensors s = SafeTensors.open(file)) {
            assertThat(s.info("loss").shape()).isEmpty();
            assertThat(s.f32("loss")).containsExactly(1.5f);
        }
    }

    @Test
    void floatsAreRoundedToTheStoredTypeToNearestEven() {
        float[] values = {1, 1 + 0x1p-8f, 1 + 0x3p-8f, 1 + 0x1p-8f + 0x1p-20f, -0f, Float.NaN, Float.MAX_VALUE,
            Float.NEGATIVE_INFINITY, 65520f, 0x1p-24f, Float.intBitsToFloat(0x7f800001)};
        Path file = dir.resolve("r.safetensors");
        new SafeTensorsWriter().floats("b", TensorType.BF16, () -> values, values.length)
                .floats("h", TensorType.F16, () -> values, values.length).write(file);
        try (SafeTensors s = SafeTensors.open(file)) {
            assertThat(s.bf16("b")).containsExactly(0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x8000, 0x7fc0, 0x7f80, 0xff80,
                    0x4780, 0x3380, 0x7fc0);
            float[] h = s.f32("h");
            assertThat(h[1]).isEqualTo(1 + 0x1p-8f);
            assertThat(h[8]).isEqualTo(Float.POSITIVE_INFINITY);
            assertThat(h[9]).isEqualTo(0x1p-24f);
            assertThat(h[5]).isNaN();
        }
    }

    static Stream<Arguments> corruptions() {
        String a = "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}";
        return Stream.of(
                Arguments.of("{" + a + "}", 23, "tensor 'a'", "truncated"),
                Arguments.of("{" + a + "}", 25, "byte", "1 bytes follow the last tensor"),
                Arguments.of("{" + a, 24, "header", "not valid JSON"),
                Arguments.of("{" + a + "}}", 24, "header", "not valid JSON"),
                Arguments.of("[1]", 24, "byte 8", "does not begin with {"),
                Arguments.of("{" + a + "," + a + "}", 24, "header", "Duplicate"),
                Arguments.of("{\"a\":{\"dtype\":\"F4\",\"shape\":[24],\"data_offsets\":[0,24]}}", 24, "tensor 'a'",
                        "dtype F4 is not known"),
                Arguments.of("{\"a\":{\"shape\":[24],\"data_offsets\":[0,24]}}", 24, "tensor 'a'", "dtype is missing"),
                Arguments.of("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,24]}}", 24, "tensor 'a'",
                        "shape is missing"),
                Arguments.of("{\"a\":{\"dtype\":\"U8\",\"shape\":[24]}}", 24, "tensor 'a'", "data_offsets is missing"),
                Arguments.of("{\"a\":7}", 24, "tensor 'a'", "not an object"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,24]}}", 24, "tensor 'a'",
                        "span 24 bytes, but F32 (2, 2) takes 16"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[24,0]}}", 24, "tensor 'a'",
                        "run backwards"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[-8,16]}}", 24, "tensor 'a'",
                        "not a whole number"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0.0,24]}}", 24, "tensor 'a'",
                        "not a whole number"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[-6],\"data_offsets\":[0,24]}}", 24, "tensor 'a'",
                        "not a whole number"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,9223372036854775807]}}", 24,
                        "tensor 'a'", "truncated"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,24]}}",
                        24, "tensor 'a'", "not a whole number"),
                Arguments.of("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,24]}}",
                        24, "tensor 'a'", "larger than any file"),
                Arguments.of("{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,24]}}", 24,
                        "tensor 'a'", "larger than any file"),
                Arguments.of("{" + a + ",\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[16,24]}}", 24,
                        "tensor 'b'", "overlaps tensor 'a'"),
                Arguments.of("{" + a + ",\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[32,40]}}", 40,
                        "tensor 'b'", "starts 8 bytes after the end of tensor 'a'"),
                Arguments.of("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[16,24]}}", 24, "tensor 'a'",
                        "starts 16 bytes after the end of the header"),
                Arguments.of("{\"__metadata__\":[]}", 0, "__metadata__", "not an object"),
                Arguments.of("{\"__metadata__\":{\"n\":1}}", 0, "__metadata__.n", "not a string"),
                Arguments.of("{\"a\":" + "[".repeat(100_000), 0, "header", "not valid JSON"));
    }

    @ParameterizedTest
    @MethodSource("corruptions")
    void aDamagedFileIsRefusedWithFileAndPlace(String header, int data, String place, String problem)
            throws IOException {
        assertRefused(file(header, data), place, problem);
    }

    private static void assertRefused(Path file, String place, String problem) {
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        assertThatThrownBy(() -> SafeTensors.open(file).close()).isInstanceOf(FormatException.class)
                .hasMessageContaining(file.toString()).hasMessageContaining(place).hasMessageContaining(problem)
                .message().doesNotContain("\n");
        assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(32 << 20);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, -1, Long.MIN_VALUE, 1L << 62, 100_000_001, 99_999_999, 3})
    void anAbsurdHeaderLengthIsRefusedBeforeAnythingIsAllocated(long length) throws IOException {
        assertRefused(file(length, "{}".getBytes(StandardCharsets.UTF_8), 0), "bytes 0-7", "header");
    }

    @Test
    void truncationAtAnyByteIsRefused() throws IOException {
        byte[] whole = Files.readAllBytes(Golden.path("rope.safetensors"));
        Path file = dir.resolve("broken.safetensors");
        for (int n = 0; n < whole.length; n++) {
            Files.write(file, Arrays.copyOf(whole, n));
            assertThatThrownBy(() -> SafeTensors.open(file).close()).as("first %d bytes", n)
                    .isInstanceOf(FormatException.class).hasMessageContaining("broken.safetensors");
        }
    }

    @Test
    void aFileWithRandomDamageIsReadOrRefusedButNothingElseHappens() throws IOException {
        byte[] whole = Files.readAllBytes(Golden.path("rope.safetensors"));
        Path file = dir.resolve("broken.safetensors");
        var random = new SplittableRandom(7);
        int refused = 0;
        for (int run = 0; run < 3000; run++) {
            byte[] b = whole.clone();
            for (int k = random.nextInt(1, 4); k > 0; k--)
                b[random.nextInt(176)] = (byte) random.nextInt(256);
            Files.write(file, b);
            try (SafeTensors s = SafeTensors.open(file)) {
                s.names().forEach(s::bytes);
            } catch (FormatException e) {
                refused++;
                assertThat(e).hasMessageContaining("broken.safetensors");
            }
        }
        assertThat(refused).isGreaterThan(2000);
    }

    @Test
    void missingFilesDirectoriesAndTensorsAreNamed() {
        assertThatThrownBy(() -> SafeTensors.open(dir.resolve("none.safetensors"))).isInstanceOf(FormatException.class)
                .hasMessageContaining("none.safetensors").hasMessageContaining("no such file");
        assertThatThrownBy(() -> SafeTensors.open(dir)).isInstanceOf(FormatException.class)
                .hasMessageContaining("is a directory");
        try (SafeTensors s = SafeTensors.open(Golden.path("rope.safetensors"))) {
            assertThatThrownBy(() -> s.f32("yarn")).isInstanceOf(FormatException.class)
                    .hasMessageContaining("no tensor 'yarn'");
            assertThatThrownBy(() -> s.i64("linear2")).isInstanceOf(FormatException.class)
                    .hasMessageContaining("'linear2' is F32, expected I64");
        }
    }

    @Test
    void aFailedWriteLeavesTheOldFileAndNothingElse() throws IOException {
        Path file = dir.resolve("x.safetensors");
        new SafeTensorsWriter().f32("a", new float[] {1}, 1).write(file);
        byte[] old = Files.readAllBytes(file);
        var failing = new SafeTensorsWriter().floats("a", TensorType.F32, () -> new float[3], 4);
        assertThatThrownBy(() -> failing.write(file)).isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("a: 3 values");
        assertThat(Files.readAllBytes(file)).isEqualTo(old);
        try (var files = Files.list(dir)) {
            assertThat(files).containsExactly(file);
        }
    }

    @Test
    void aHeaderIsUtf8WithoutAMarkAndMayHoldKeysOfLaterVersions() throws IOException {
        String json = "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"later\":[1]}}";
        Path file = dir.resolve("t.safetensors");
        Files.write(file, withHeader(json.getBytes(StandardCharsets.UTF_8)));
        try (SafeTensors s = SafeTensors.open(file)) {
            assertThat(s.u8("t")).containsExactly(7);
        }
        for (byte[] header : new byte[][] {("\uFEFF" + json).getBytes(StandardCharsets.UTF_8),
            json.getBytes(StandardCharsets.UTF_16LE), json.getBytes(StandardCharsets.UTF_16),
            json.getBytes(java.nio.charset.Charset.forName("UTF-32LE")),
            (" " + json).getBytes(StandardCharsets.UTF_8)}) {
            Files.write(file, withHeader(header));
            assertThatThrownBy(() -> SafeTensors.open(file).close()).isInstanceOf(FormatException.class)
                    .hasMessageContaining("the header does not begin with { in UTF-8");
        }
    }

    private static byte[] withHeader(byte[] header) {
        return java.nio.ByteBuffer.allocate(8 + header.length + 1).order(java.nio.ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length).put(header).put((byte) 7).array();
    }
}
