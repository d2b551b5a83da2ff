package dev.gyre.trainer.record;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.adapter.Geometry;
import dev.gyre.trainer.loop.TrainListener;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `metrics.jsonl`, whole, cut off anywhere, and with numbers that are none.
class MetricsTest {
    @TempDir
    Path dir;

    private Path written(double loss) {
        Path file = dir.resolve("metrics.jsonl");
        try (MetricsLog log = new MetricsLog(file, 0, () -> 0)) {
            for (int t = 1; t <= 4; t++) {
                log.onStep(new TrainListener.Step(t, loss / t, 1, 1e-3, 3, 4, 0.5, 0.25));
                log.onEvaluation(new TrainListener.Evaluation(t, 2, 3, false, 0.1, Map.of("old", 1.5)));
                log.onSamples(new TrainListener.Samples(t, List.of(new TrainListener.Sample("grüß", "日本", "😀")), 1));
                log.onRotations(new TrainListener.Rotations(t, List.of(new Geometry("é", 0.1, 2, 1e-7))));
            }
        }
        return file;
    }

    /// Of every cut, in characters of two, three and four bytes as well: what is whole before it is read, a resumed run
    /// writes on after the last step that it keeps, and the file is then the one of a run that was never cut.
    @Test
    void aFileCutOffAnywhereIsReadUpToTheTearAndWrittenOn() throws IOException {
        Path file = written(1);
        byte[] whole = Files.readAllBytes(file);
        for (int n = 0; n < whole.length; n++) {
            byte[] cut = Arrays.copyOf(whole, n);
            Files.write(file, cut);
            long lines = 0;
            for (byte b : cut)
                lines += b == '\n' ? 1 : 0;
            Metrics m = Metrics.read(file);
            int read = m.with("loss").size() + m.with("valid_loss").size() + m.with("samples").size()
                    + m.with("modules").size();
            // a line that lacks no more than its end is whole
            assertThat((long) read).as("cut at " + n).isBetween(lines, lines + 1);
            long kept = lines / 4;
            try (MetricsLog log = new MetricsLog(file, kept, () -> 0)) {
                log.force();
            }
            byte[] now = Files.readAllBytes(file);
            assertThat(now).as("cut at " + n).isEqualTo(Arrays.copyOf(whole, now.length));
            long left = 0;
            for (byte b : now)
                left += b == '\n' ? 1 : 0;
            assertThat(left).isEqualTo(4 * kept);
        }
    }

    @Test
    void aLossThatIsNoNumberIsReadAsWritten() {
        Metrics m = Metrics.read(written(Double.NaN));
        assertThat(m.with("loss")).hasSize(4).allSatisfy(n -> assertThat(n.path("loss").doubleValue()).isNaN());
        assertThat(m.tokensPerSecond()).isEqualTo(16);
    }

    @Test
    void linesThatGyreDoesNotWriteArePassedOver() throws IOException {
        Path file = written(1);
        String whole = Files.readString(file);
        Files.writeString(file, String.join("\n", "", "null", "5", "[1]", "{}", "{\"step\":1e3,\"loss\":1}",
                "{\"step\":18446744073709551616,\"loss\":1}", "{\"step\":1,\"loss\":NaN}",
                "{\"step\":1,\"loss\":\"low\",\"grad_norm\":1,\"lr\":1,\"tokens\":1,\"seconds\":1}",
                "{\"step\":1,\"valid_loss\":{},\"seconds\":1}", "{\"step\":1,\"samples\":3}",
                "{\"step\":1,\"skew_norm\":1,\"orthogonality_defect\":1,\"modules\":{\"a\":[1]}}",
                "{\"step\":1,\"loss\":1}{\"step\":1,\"loss\":1}", whole));
        Metrics m = Metrics.read(file);
        for (String key : List.of("loss", "valid_loss", "samples", "modules"))
            assertThat(m.with(key)).as(key).hasSize(4);
        assertThat(m.medianStepSeconds()).isEqualTo(0.25);
    }

    @Test
    void aFullDiskNamesTheFile() throws IOException {
        Path full = Path.of("/dev/full");
        Assumptions.assumeTrue(Files.exists(full));
        Path file = dir.resolve("full.jsonl");
        Assumptions.assumeTrue(linked(file, full));
        MetricsLog log = new MetricsLog(file, () -> 0);
        assertThatThrownBy(() -> log.onStep(new TrainListener.Step(1, 1, 1, 1, 1, 1, 1, 1)))
                .isInstanceOf(UncheckedIOException.class).hasMessageContaining(file + ": cannot be written: ");
        log.close();
        Files.delete(file);
    }

    private static boolean linked(Path link, Path to) {
        try {
            Files.createSymbolicLink(link, to);
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
