package dev.gyre.model.gguf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.SafeTensors;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/// Against `types.gguf`, which llama.cpp's Python package `gguf` 0.19.0 wrote, and the values that it reads there.
class GgufFileTest {
    @TempDir
    Path dir;

    @Test
    void readsMetadataOfEveryType() {
        try (GgufFile f = GgufFile.open(Golden.path("gguf/types.gguf"))) {
            assertThat(f.text("general.architecture")).isEqualTo("test");
            assertThat(f.integer("k.u8")).isEqualTo(200);
            assertThat(f.integer("k.i8")).isEqualTo(-3);
            assertThat(f.integer("k.u16")).isEqualTo(60000);
            assertThat(f.integer("k.i16")).isEqualTo(-300);
            assertThat(f.integer("k.u32")).isEqualTo(4000000000L);
            assertThat(f.integer("k.i32")).isEqualTo(-7);
            assertThat(f.integer("k.u64")).isEqualTo(1L << 40);
            assertThat(f.integer("k.i64")).isEqualTo(-(1L << 40));
            assertThat(f.number("k.f32")).as("as it was written, not as the nearest float").isEqualTo(1e-5);
            assertThat(f.number("k.f64")).isEqualTo(0.1);
            assertThat(f.flag("k.bool", false)).isTrue();
            assertThat(f.text("k.text")).isEqualTo("grün");
            assertThat(f.texts("k.texts")).containsExactly("a", "", "ß");
            assertThat(f.numbers("k.numbers")).containsExactly(1, -2, 3);
            assertThat(f.numbers("k.floats")).containsExactly(0.5, 1.5);
        }
    }

    @ParameterizedTest
    @EnumSource
    void readsEveryTypeBitForBit(GgufType type) {
        try (GgufFile f = GgufFile.open(Golden.path("gguf/types.gguf"));
                SafeTensors expected = SafeTensors.open(Golden.path("gguf/types.safetensors"))) {
            GgufTensor t = f.tensors().get(type.name());
            assertThat(t.type()).isEqualTo(type);
            assertThat(t.shape()).containsExactly(3L, 256L);
            float[] values = new float[3 * 256];
            f.read(t, values, r -> r);
            assertThat(values).containsExactly(expected.f32(type.name()));
        }
    }

    /// ggml's quantisers, byte for byte.
    @Test
    void writesTheBytesOfTheReference() throws IOException {
        float[] x;
        try (SafeTensors source = SafeTensors.open(Golden.path("gguf/types.safetensors"))) {
            x = source.f32("F32");
        }
        var w = new GgufWriter().text("general.architecture", "test");
        for (GgufType t : GgufType.WRITTEN)
            w.tensor(t.name(), t, () -> x, 3, 256);
        Path file = dir.resolve("a.gguf");
        assertThat(w.write(file)).isEqualTo(Files.size(file));
        try (GgufFile ours = GgufFile.open(file); GgufFile theirs = GgufFile.open(Golden.path("gguf/types.gguf"))) {
            for (GgufType t : GgufType.WRITTEN)
                assertThat(bytes(ours, t)).as(t.name()).isEqualTo(bytes(theirs, t));
        }
    }

    private static byte[] bytes(GgufFile f, GgufType t) throws IOException {
        var out = new ByteArrayOutputStream();
        f.rows(f.tensors().get(t.name()), (piece, _, _) -> {
            byte[] b = new byte[piece.remaining()];
            piece.get(b);
            out.write(b);
        });
        return out.toByteArray();
    }

    @Test
    void metadataThatAreWrittenAreRead() {
        Path file = dir.resolve("a.gguf");
        new GgufWriter().u32("u", 0xFFFFFFFFL).f32("f", 1e-6).flag("b", true).text("t", "x")
                .texts("l", List.of("", "é"))
                .f32s("fs", new float[] {0.25f}).i32s("is", new int[] {-1}).write(file);
        try (GgufFile f = GgufFile.open(file)) {
            assertThat(f.keys()).containsExactly("u", "f", "b", "t", "l", "fs", "is");
            assertThat(f.integer("u")).isEqualTo(0xFFFFFFFFL);
            assertThat(f.number("f")).isEqualTo(1e-6);
            assertThat(f.flag("b", false)).isTrue();
            assertThat(f.texts("l")).containsExactly("", "é");
            assertThat(f.numbers("fs")).containsExactly(0.25);
            assertThat(f.numbers("is")).containsExactly(-1);
            assertThat(f.tensors()).isEmpty();
        }
    }

    /// Little-endian bytes of a file, piece by piece.
    private static final class Bytes {
        private final ByteBuffer b = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);

        static Bytes head(int version, long tensors, long keys) {
            var out = new Bytes();
            out.b.put("GGUF".getBytes(StandardCharsets.US_ASCII)).putInt(version).putLong(tensors).putLong(keys);
            return out;
        }

        Bytes text(String s) {
            byte[] u = s.getBytes(StandardCharsets.UTF_8);
            b.putLong(u.length).put(u);
            return this;
        }

        Bytes i32(int v) {
            b.putInt(v);
            return this;
        }

        Bytes i64(long v) {
            b.putLong(v);
            return this;
        }

        Bytes tensor(String name, long offset, int type, long... dims) {
            text(name).i32(dims.length);
            for (long d : dims)
                i64(d);
            return i32(type).i64(offset);
        }

        Bytes data(int bytes) {
            b.position((b.position() + 31) / 32 * 32 + bytes);
            return this;
        }

        byte[] done() {
            byte[] all = new byte[b.position()];
            b.flip().get(all);
            return all;
        }
    }

    private void refused(Bytes bytes, String why) throws IOException {
        Path file = dir.resolve("bad.gguf");
        Files.write(file, bytes.done());
        assertThatThrownBy(() -> GgufFile.open(file).close()).isInstanceOf(FormatException.class)
                .hasMessageContaining(why).hasMessageContaining("bad.gguf").message().hasLineCount(1);
    }

    /// Lengths, counts, places and sizes that no memory could hold are refused by what the file has.
    @Test
    void hostileFilesAreRefused() throws IOException {
        refused(Bytes.head(3, 1L << 60, 0), "1152921504606846976 tensors do not fit");
        refused(Bytes.head(3, -1, 0), "18446744073709551615 tensors do not fit");
        refused(Bytes.head(3, 0, 1L << 60), "metadata keys do not fit");
        refused(Bytes.head(3, 0, 1).i64(1L << 60).i64(0), "bytes of a metadata key do not fit");
        refused(Bytes.head(3, 0, 1).text("k").i32(8).i64(1L << 60), "bytes of 'k' do not fit");
        refused(Bytes.head(3, 0, 1).text("k").i32(9).i32(8).i64(1L << 60), "entries of 'k' do not fit");
        refused(Bytes.head(3, 0, 1).text("k").i32(9).i32(9).i64(1).i64(0), "list of type 9");
        refused(Bytes.head(3, 0, 1).text("k").i32(77).i64(0), "of type 77");
        refused(Bytes.head(3, 0, 2).text("k").i32(4).i32(1).text("k").i32(4).i32(1), "given twice");
        refused(Bytes.head(4, 0, 0), "version 4");
        refused(Bytes.head(0x03000000, 0, 0), "big-endian");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 0, 1L << 40, 1L << 40), "larger than any file");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 0, 1L << 31), "more rows or columns");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 0, 0), "dimension of 0");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 0, 1, 1, 1, 1, 1), "5 dimensions");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 8, 33), "no multiple of the 32");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 16, 256), "IQ2_XXS");
        refused(Bytes.head(3, 1, 0).tensor("t", 0, 1000, 256), "type 1000");
        refused(Bytes.head(3, 1, 0).tensor("t", 8, 0, 8).data(64), "no multiple of the alignment");
        refused(Bytes.head(3, 1, 0).tensor("t", -32, 0, 8).data(64), "no multiple of the alignment");
        refused(Bytes.head(3, 1, 0).tensor("t", 64, 0, 8).data(64), "leave the 64 data bytes");
        refused(Bytes.head(3, 1, 0).tensor("t", Long.MAX_VALUE - 31, 0, 8).data(64), "leave the 64 data bytes");
        refused(Bytes.head(3, 2, 0).tensor("t", 0, 0, 16).tensor("u", 32, 0, 8).data(64), "overlaps tensor 't'");
        refused(Bytes.head(3, 2, 0).tensor("t", 0, 0, 8).tensor("t", 32, 0, 8).data(64), "given twice");
        refused(Bytes.head(3, 0, 1).text("general.alignment").i32(4).i32(0), "not a power of two");
        refused(Bytes.head(3, 0, 1).text("general.alignment").i32(4).i32(48), "not a power of two");
        Files.write(dir.resolve("bad.gguf"), new byte[] {'G', 'G', 'U', 'F'});
        assertThatThrownBy(() -> GgufFile.open(dir.resolve("bad.gguf")).close()).hasMessageContaining("too short");
        Files.write(dir.resolve("bad.gguf"), new byte[64]);
        assertThatThrownBy(() -> GgufFile.open(dir.resolve("bad.gguf")).close()).hasMessageContaining("spell GGUF");
    }

    @ParameterizedTest
    @CsvSource({"qwen2, QWEN2", "llama-bpe, LLAMA3", "smaug-bpe, CL100K", "refact, DIGITS", "gpt-2, GPT2",
        "tekken, TEKKEN", "gpt-4o, GPT4O"})
    void waysToSplitAreTheSameThereAndBack(String name, GgufPre pre) {
        assertThat(GgufPre.named(name)).isEqualTo(pre);
        assertThat(GgufPre.of(pre.json(), pre.whole)).isEqualTo(pre);
        assertThat(GgufPre.named(pre.name)).isEqualTo(pre);
    }
}
