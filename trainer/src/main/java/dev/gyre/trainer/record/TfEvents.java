package dev.gyre.trainer.record;

import dev.gyre.trainer.loop.TrainListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// TensorBoard event files: one file per start of the run, each number a scalar summary.
///
/// A file is a row of records: `length (8) | masked CRC-32C of length (4) | data | masked CRC-32C of data (4)`, numbers
/// little-endian, `masked = rotr(crc, 15) + 0xa282ead8`. The data is a protocol buffer `Event`: wall_time = 1 (double),
/// step = 2, file_version = 3, summary = 5 {value = 1 {tag = 1, simple_value = 2 (float)}}, session_log = 7 {status = 1}.
public final class TfEvents implements TrainListener {
    private static final int START = 1;

    private final Path file;
    private final OutputStream out;

    /// @param from step that the run goes on from; what earlier files hold beyond it, written before a crash, is void
    public TfEvents(Path folder, long from) {
        long second = System.currentTimeMillis() / 1000;
        Path free;
        do free = folder.resolve("events.out.tfevents." + second++ + ".gyre");
        while (Files.exists(free));
        file = free;
        try {
            Files.createDirectories(folder);
            out = Files.newOutputStream(file, StandardOpenOption.CREATE_NEW);
            write(new Message().fixed64(1, now()).text(3, "brain.Event:2"));
            if (from > 0)
                write(new Message().fixed64(1, now()).varint(2, from + 1)
                        .message(7, new Message().varint(1, START)));
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private UncheckedIOException failed(IOException e) {
        return new UncheckedIOException(
                new IOException(file + ": cannot be written: " + e.getMessage() + "; the run can be resumed", e));
    }

    private static long now() {
        return Double.doubleToLongBits(System.currentTimeMillis() / 1000.0);
    }

    @Override
    public void onStep(Step s) {
        scalar(s.t(), "train/loss", s.loss());
        scalar(s.t(), "train/grad_norm", s.gradNorm());
        scalar(s.t(), "train/lr", s.lr());
        scalar(s.t(), "train/tokens_per_second", s.tokens() / s.seconds());
    }

    @Override
    public void onEvaluation(Evaluation e) {
        scalar(e.t(), "valid/loss", e.loss());
        e.also().forEach((name, loss) -> scalar(e.t(), "valid/loss/" + name, loss));
        e.scores().forEach((name, score) -> scalar(e.t(), "valid/" + name, score));
    }

    @Override
    public void onSamples(Samples s) {
        scalar(s.t(), "valid/exact_of_samples", s.right() / (double) s.all().size());
    }

    @Override
    public void onRotations(Rotations r) {
        scalar(r.t(), "rotations/orthogonality_defect", r.defect());
        scalar(r.t(), "rotations/angle", r.angle());
        scalar(r.t(), "rotations/skew_norm", r.worst().skewNorm());
    }

    private void scalar(long step, String tag, double value) {
        Message summary =
                new Message().message(1, new Message().text(1, tag).fixed32(2, Float.floatToIntBits((float) value)));
        try {
            write(new Message().fixed64(1, now()).varint(2, step).message(5, summary));
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private void write(Message event) throws IOException {
        byte[] data = event.bytes();
        ByteBuffer b = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        b.putLong(data.length);
        b.putInt(masked(b.array(), 0, 8));
        b.put(data);
        b.putInt(masked(data, 0, data.length));
        out.write(b.array());
    }

    static int masked(byte[] bytes, int from, int n) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, from, n);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    @Override
    public void onEnd(long t, @Nullable Throwable failure) {
        try {
            out.close();
        } catch (IOException e) {
            throw failed(e);
        }
    }

    /// A protocol buffer being written.
    private static final class Message {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Message varint(int field, long v) {
            raw((long) field << 3);
            raw(v);
            return this;
        }

        Message fixed64(int field, long bits) {
            raw((long) field << 3 | 1);
            out.writeBytes(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(bits).array());
            return this;
        }

        Message fixed32(int field, int bits) {
            raw((long) field << 3 | 5);
            out.writeBytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(bits).array());
            return this;
        }

        Message text(int field, String s) {
            return bytes(field, s.getBytes(StandardCharsets.UTF_8));
        }

        Message message(int field, Message m) {
            return bytes(field, m.bytes());
        }

        private Message bytes(int field, byte[] b) {
            raw((long) field << 3 | 2);
            raw(b.length);
            out.writeBytes(b);
            return this;
        }

        private void raw(long v) {
            for (; (v & ~0x7fL) != 0; v >>>= 7)
                out.write((int) (v & 0x7f | 0x80));
            out.write((int) v);
        }

        byte[] bytes() {
            return out.toByteArray();
        }
    }
}
