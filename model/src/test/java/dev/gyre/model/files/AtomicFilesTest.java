package dev.gyre.model.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFilesTest {
    @TempDir
    Path dir;

    private List<String> names() throws IOException {
        try (var files = Files.list(dir)) {
            return files.map(f -> f.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void aFileIsReplacedWhole() throws IOException {
        AtomicFiles.write(dir.resolve("a.json"), "one");
        AtomicFiles.write(dir.resolve("a.json"), "two");
        assertThat(dir.resolve("a.json")).hasContent("two");
        assertThat(names()).containsExactly("a.json");
    }

    @Test
    void aFileThatFailsHalfwayKeepsTheOldOne() throws IOException {
        AtomicFiles.write(dir.resolve("a.json"), "one");
        assertThatThrownBy(() -> AtomicFiles.write(dir.resolve("a.json"), out -> {
            out.write(java.nio.ByteBuffer.wrap(new byte[10]));
            throw new IOException("disk full");
        })).isInstanceOf(UncheckedIOException.class).hasMessageContaining("a.json").hasMessageContaining("disk full");
        assertThat(dir.resolve("a.json")).hasContent("one");
        assertThat(names()).containsExactly("a.json");
    }

    @Test
    void aDirectoryAppearsCompleteOrNotAtAll() throws IOException {
        assertThatThrownBy(() -> AtomicFiles.createDirectory(dir.resolve("out"), d -> {
            Files.writeString(d.resolve("x"), "x");
            assertThat(dir.resolve("out")).doesNotExist();
            throw new IllegalStateException("stop");
        })).hasMessage("stop");
        assertThat(names()).isEmpty();
        AtomicFiles.createDirectory(dir.resolve("deep/out"), d -> Files.writeString(d.resolve("x"), "x"));
        assertThat(dir.resolve("deep/out/x")).hasContent("x");
    }

    @Test
    void creatingRefusesToReplaceAndReplacingLeavesNothingOfTheOld() throws IOException {
        AtomicFiles.createDirectory(dir.resolve("out"), d -> Files.writeString(d.resolve("old"), "x"));
        assertThatThrownBy(() -> AtomicFiles.createDirectory(dir.resolve("out"), d -> {
        })).isInstanceOf(FormatException.class).hasMessageContaining("exists already");
        assertThatThrownBy(() -> AtomicFiles.replaceDirectory(dir.resolve("out"), d -> {
            throw new IOException("stop");
        })).isInstanceOf(UncheckedIOException.class);
        assertThat(dir.resolve("out/old")).hasContent("x");
        AtomicFiles.replaceDirectory(dir.resolve("out"), d -> Files.writeString(d.resolve("new"), "y"));
        assertThat(dir.resolve("out/old")).doesNotExist();
        assertThat(dir.resolve("out/new")).hasContent("y");
        assertThat(names()).containsExactly("out");
    }

    @Test
    void anEmptyDirectoryMayBeFilled() throws IOException {
        Files.createDirectory(dir.resolve("out"));
        AtomicFiles.createDirectory(dir.resolve("out"), d -> Files.writeString(d.resolve("x"), "x"));
        assertThat(dir.resolve("out/x")).hasContent("x");
    }
}
