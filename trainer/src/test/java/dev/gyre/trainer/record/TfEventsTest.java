package dev.gyre.trainer.record;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.loop.TrainListener;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TfEventsTest {
    @TempDir
    Path dir;

    /// Reads records, checks both sums of each, and returns their data.
    private static List<ByteBuffer> records(Path file) throws IOException {
        ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<ByteBuffer> out = new ArrayList<>();
        while (all.hasRemaining()) {
            int at = all.position();
            long n = all.getLong();
            assertThat(all.getInt()).isEqualTo(TfEvents.masked(all.array(), at, 8));
            byte[] data = new byte[(int) n];
            all.get(data);
            assertThat(all.getInt()).isEqualTo(TfEvents.masked(data, 0, data.length));
            out.add(ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN));
        }
        return out;
    }

    private static Path only(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            List<Path> all = files.toList();
            assertThat(all).hasSize(1);
            return all.getFirst();
        }
    }

    @Test
    void theChecksumIsTheKnownOneOfRfc3720() {
        byte[] zeros = new byte[32];
        // CRC-32C of 32 zero bytes is 8a9136aa; rotated right by 15 and moved by the constant
        int expected = Integer.rotateRight(0x8a9136aa, 15) + 0xa282ead8;
        assertThat(TfEvents.masked(zeros, 0, 32)).isEqualTo(expected);
    }

    @Test
    void aStepIsFourScalarsBehindTheFilesVersion() throws IOException {
        TfEvents e = new TfEvents(dir, 0);
        e.onStep(new TrainListener.Step(300, 2.5, 0.75, 1e-3, 10, 100, 0.5, 2));
        e.onEvaluation(new TrainListener.Evaluation(300, 1.5, 10, true, 1, Map.of("old", 3.0)));
        e.onEnd(300, null);
        List<ByteBuffer> r = records(only(dir));
        assertThat(r).hasSize(7);
        ByteBuffer version = r.getFirst();
        assertThat(version.get()).isEqualTo((byte) 0x09);
        assertThat(version.getDouble()).isBetween(1.7e9, 1e10);
        byte[] rest = new byte[version.remaining()];
        version.get(rest);
        assertThat(new String(rest, 2, rest.length - 2, StandardCharsets.US_ASCII)).isEqualTo("brain.Event:2");
        ByteBuffer loss = r.get(1).position(9);
        byte[] bytes = new byte[loss.remaining()];
        loss.get(bytes);
        // step = 300 (10 ac02), summary (2a) of 19 bytes: value (0a) of 17: tag "train/loss", simple_value 2.5
        assertThat(HexFormat.of().formatHex(bytes))
                .isEqualTo("10ac02" + "2a13" + "0a11" + "0a0a" + HexFormat.of().formatHex("train/loss".getBytes(
                        StandardCharsets.US_ASCII)) + "15" + "00002040");
        assertThat(new String(r.get(6).array(), StandardCharsets.ISO_8859_1)).contains("valid/loss/old");
    }

    @Test
    void aResumedRunTellsThatWhatEarlierFilesHoldBeyondIsVoid() throws IOException {
        new TfEvents(dir, 7).onEnd(7, null);
        ByteBuffer start = records(only(dir)).get(1).position(9);
        byte[] bytes = new byte[start.remaining()];
        start.get(bytes);
        // step = 8, session_log (3a) {status = START}
        assertThat(HexFormat.of().formatHex(bytes)).isEqualTo("1008" + "3a02" + "0801");
    }
}
