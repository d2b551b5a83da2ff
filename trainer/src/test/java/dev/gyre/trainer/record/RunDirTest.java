package dev.gyre.trainer.record;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FolderLock;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.loop.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What a run directory takes for its own, and what it says of a damaged one.
class RunDirTest {
    private static final String UUID = "01234567-89ab-cdef-0123-456789abcdef";

    @TempDir
    Path dir;

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(dir)) {
            return files.map(f -> f.getFileName().toString()).sorted().toList();
        }
    }

    private static Checkpoint checkpoint(long step) {
        return new Checkpoint(step, new Batches.Position(4, 88), 0.1 + 0.2, step, 7,
                new Checkpoint.Watch(List.of(1 / 3.0, 2e-300), 1e-17, 3),
                new TrainState(new float[] {1, 2}, new float[] {3, 4}, new float[] {5, 6}));
    }

    @Test
    void aRefusedRunTouchesNothing() throws IOException {
        for (String name : List.of("a", ".a.old-2024", ".b.tmp-1", ".c.tmp-" + UUID))
            Files.createFile(dir.resolve(name));
        List<String> before = names();
        assertThatThrownBy(() -> RunDir.check(dir, false)).isInstanceOf(FormatException.class)
                .hasMessageContaining("exists and is not empty");
        assertThatThrownBy(() -> RunDir.check(dir, true)).isInstanceOf(FormatException.class)
                .hasMessageContaining("holds no run to resume");
        assertThatThrownBy(() -> RunDir.create(dir)).isInstanceOf(FormatException.class);
        assertThatThrownBy(() -> RunDir.delete(dir)).isInstanceOf(FormatException.class)
                .hasMessageContaining("is not a run that Gyre made");
        assertThat(names()).isEqualTo(before);
    }

    @Test
    void aRunKilledBeforeItsFirstFileStartsAnew() throws IOException {
        Files.createFile(dir.resolve(FolderLock.FILE));
        Files.createFile(dir.resolve(".run.yaml.tmp-" + UUID));
        RunDir.check(dir, false);
        RunDir run = RunDir.create(dir);
        try (FolderLock _ = run.lock()) {
            assertThat(names()).containsExactly(FolderLock.FILE);
            assertThatThrownBy(() -> RunDir.check(dir, false)).hasMessageContaining("a run is going on there");
        }
        assertThat(names()).isEmpty();
    }

    @Test
    void whatIsNotTheRunsStaysWhenTheRunGoes() throws IOException {
        RunDir run = RunDir.create(dir);
        run.write("run.yaml", "");
        run.save(checkpoint(3), 0, d -> {
        });
        Files.createDirectory(dir.resolve("checkpoint-9"));
        Files.createFile(dir.resolve("chapter1.tex"));
        List<String> before = names();
        assertThatThrownBy(() -> RunDir.delete(dir)).isInstanceOf(FormatException.class)
                .hasMessageContaining("also holds what is not the run's: chapter1.tex, checkpoint-9");
        assertThat(names()).isEqualTo(before);
        Files.delete(dir.resolve("chapter1.tex"));
        Files.delete(dir.resolve("checkpoint-9"));
        RunDir.delete(dir);
        assertThat(dir).doesNotExist();
    }

    @Test
    void onlyCheckpointsAreDeletedWhereCheckpointsAreKept() throws IOException {
        RunDir run = RunDir.create(dir);
        Files.createDirectory(dir.resolve("checkpoint-1"));
        Files.createFile(dir.resolve("checkpoint-1/mine.txt"));
        for (int step = 2; step < 6; step++)
            run.save(checkpoint(step), 1, d -> {
            });
        assertThat(names()).containsExactly("checkpoint-1", "checkpoint-5");
        assertThat(dir.resolve("checkpoint-1/mine.txt")).exists();
    }

    @Test
    void foldersWithNumbersThatNoStepHasAreNoCheckpoints() throws IOException {
        RunDir run = RunDir.create(dir);
        for (String n : List.of("99999999999999999999", "007", "-1", "9223372036854775808"))
            Files.createDirectory(dir.resolve("checkpoint-" + n));
        assertThat(run.latest()).isNull();
        run.save(checkpoint(12), 1, d -> {
        });
        assertThat(run.checkpoints()).containsExactly(12L);
    }

    @Test
    void aCheckpointIsReadBackToTheLastBit() {
        RunDir run = RunDir.create(dir);
        run.save(checkpoint(400), 0, d -> {
        });
        Checkpoint c = run.read(400);
        assertThat(c).usingRecursiveComparison().isEqualTo(checkpoint(400));
    }

    @Test
    void anyDamageOfACheckpointIsNamed() throws IOException {
        RunDir run = RunDir.create(dir);
        run.save(checkpoint(400), 0, d -> {
        });
        Path json = dir.resolve("checkpoint-400/trainer_state.json");
        String whole = Files.readString(json);
        for (Map.Entry<String, String> e : Map.ofEntries(Map.entry("\"draws\": 7", "\"draws\": 18446744073709551616"),
                Map.entry("\"step\": 400", "\"step\": -1"), Map.entry("\"epoch\": 4", "\"epoch\": 4294967296"),
                Map.entry("\"row\": 88", "\"row\": -88"), Map.entry("\"row\": 8", "\"row\": 1.5e"),
                Map.entry("\"best_loss\": 0.30000000000000004", "\"best_loss\": \"low\""),
                Map.entry("\"best_step\": 400", "\"best_step\": null"),
                Map.entry("\"zero_gradients\": 3", "\"zero_gradients\": [3]"),
                Map.entry("\"lowest_average\": 1e-17", "\"lowest_average\": 1e999"),
                Map.entry("\"watch\": {", "\"watch\": 1, \"other\": {"),
                Map.entry("\"format\": 1", "\"format\": 2")).entrySet()) {
            assertThat(whole).contains(e.getKey());
            Files.writeString(json, whole.replace(e.getKey(), e.getValue()));
            assertThatThrownBy(run::latest).as(e.getValue()).isInstanceOf(FormatException.class)
                    .hasMessageStartingWith(json + ": ").hasMessageNotContaining("\n");
        }
        for (int n = 0; n < whole.length() - 2; n++) {
            Files.writeString(json, whole.substring(0, n));
            assertThatThrownBy(run::latest).as(whole.substring(0, n)).isInstanceOf(FormatException.class);
        }
    }

    @Test
    void trainingDoesNotGoOnFromNaN() {
        RunDir run = RunDir.create(dir);
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            run.save(new Checkpoint(1, new Batches.Position(0, 0), null, 0, 0, Checkpoint.Watch.NONE,
                    new TrainState(new float[] {1, 2}, new float[] {3, 4}, new float[] {5, bad})), 0, d -> {
                    });
            assertThatThrownBy(run::latest).isInstanceOf(FormatException.class)
                    .hasMessageContaining("'v' holds " + bad);
        }
    }
}
