package dev.gyre.trainer.record;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

class ProvenanceTest {
    @TempDir
    Path dir;

    private static ObjectNode of(Path data) {
        return Provenance.describe("1", "cpu", List.of(), List.of(data));
    }

    /// Images are a folder of folders; a run goes on only with the same ones.
    @Test
    void aFolderOfImagesIsRecordedAndMayNotChange() throws IOException {
        Path images = Files.createDirectories(dir.resolve("images"));
        Path one = Files.createDirectory(images.resolve("cat")).resolve("1.png");
        Files.writeString(one, "one");
        Files.writeString(Files.createDirectory(images.resolve("dog")).resolve("2.png"), "two");
        Path at = Files.createDirectories(dir.resolve("run"));
        RunDir run = RunDir.create(at);
        Provenance.write(run, of(images));
        Provenance.resume(run, of(images));
        assertThat(of(images).get("data")).hasSize(1);
        Files.writeString(one, "three");
        assertThatThrownBy(() -> Provenance.resume(run, of(images))).isInstanceOf(FormatException.class)
                .hasMessageContaining("images").hasMessageContaining("changed since the run");
        Files.move(one, images.resolve("dog/1.png"));
        assertThatThrownBy(() -> Provenance.resume(run, of(images))).isInstanceOf(FormatException.class);
    }
}
