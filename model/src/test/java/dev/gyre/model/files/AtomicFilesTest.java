package dev.gyre.model.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
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

    private static final String UUID = "01234567-89ab-cdef-0123-456789abcdef";

    @Test
    void onlyNamesThatGyreMadeAreCleanedUp() throws IOException {
        List<String> others = List.of(".a.old-2024", ".b.tmp-1", ".c.tmp-" + UUID + "0", ".d.tmp-" + UUID.substring(1),
                ".e.tmp-" + UUID.toUpperCase(Locale.ROOT), "f.tmp-" + UUID);
        for (String name : others)
            Files.writeString(dir.resolve(name), "work");
        Files.createDirectories(dir.resolve(".half.tmp-" + UUID + "/x"));
        Files.createDirectories(dir.resolve(".kept.old-" + UUID + "/x"));
        // an unfinished directory inside which another was being replaced
        Files.createDirectories(dir.resolve("..half.tmp-" + UUID + ".old-" + UUID));
        AtomicFiles.recover(dir);
        assertThat(names()).containsExactlyInAnyOrderElementsOf(
                Stream.concat(others.stream(), Stream.of("kept")).toList());
    }

    @Test
    void whatAKilledProcessLeftOfADirectoryIsRemovedWhenItIsWrittenAgain() throws IOException {
        Files.createDirectories(dir.resolve(".out.tmp-" + UUID + "/x"));
        Files.createDirectories(dir.resolve(".other.tmp-" + UUID + "/x"));
        Files.writeString(dir.resolve(".out.lock"), "");
        AtomicFiles.createDirectory(dir.resolve("out"), d -> Files.writeString(d.resolve("x"), "x"));
        assertThat(names()).containsExactly(".other.tmp-" + UUID, "out");
    }

    /// The process was killed, and one that it had started goes on for a while.
    @Test
    void whatIsStillBeingWrittenIsRemovedAsWell() throws Exception {
        Path left = Files.createDirectory(dir.resolve(".out.tmp-01234567-89ab-cdef-0123-456789abcdef"));
        AtomicBoolean first = new AtomicBoolean(true);
        Thread writer = Thread.ofPlatform().start(() -> {
            for (int i = 0; i < 400 && (Files.exists(left) || first.get()); i++) {
                try {
                    Files.writeString(left.resolve("f" + i), "x");
                    first.set(false);
                    Thread.sleep(1);
                } catch (IOException | InterruptedException e) {
                    continue; // it is being deleted
                }
            }
        });
        while (first.get())
            Thread.onSpinWait();
        AtomicFiles.own(dir.resolve("out")).close();
        writer.join();
        assertThat(dir).isEmptyDirectory();
    }

    @Test
    void twoDoNotWriteTheSameDirectoryAtOnce() throws IOException {
        AtomicFiles.createDirectory(dir.resolve("out"), d -> {
            assertThatThrownBy(() -> AtomicFiles.createDirectory(dir.resolve("out"), x -> {
            })).isInstanceOf(FormatException.class).hasMessageContaining("another process is writing it");
            Files.writeString(d.resolve("x"), "x");
        });
        assertThat(dir.resolve("out/x")).hasContent("x");
        assertThat(names()).containsExactly("out");
    }

    @Test
    void aDirectoryThatIsBeingReplacedIsFilledInPlace() throws IOException {
        AtomicFiles.replaceDirectory(dir.resolve("out"), d -> AtomicFiles.createDirectory(d, inner -> {
            assertThat(inner).isEqualTo(d);
            Files.writeString(inner.resolve("x"), "x");
        }));
        assertThat(dir.resolve("out/x")).hasContent("x");
        assertThat(names()).containsExactly("out");
    }

    @Test
    void findingOutWhetherAFolderTakesFilesLeavesNone() throws IOException {
        AtomicFiles.checkFolder(dir);
        AtomicFiles.checkFile(dir.resolve("a"));
        AtomicFiles.requireNewDirectory(dir.resolve("b"));
        assertThat(names()).isEmpty();
    }

    /// Many take and release the same lock: never two at once, though each release deletes the file.
    @Test
    void aLockIsOnesOwn() throws InterruptedException {
        var inside = new AtomicInteger();
        var most = new AtomicInteger();
        var taken = new AtomicInteger();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 4; i++)
            threads.add(Thread.ofPlatform().start(() -> {
                for (int k = 0; k < 300; k++)
                    try (FolderLock _ = FolderLock.take(dir, "busy")) {
                        most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                        taken.incrementAndGet();
                        Thread.yield();
                        inside.decrementAndGet();
                    } catch (FormatException e) {
                        assertThat(e).hasMessageEndingWith("busy");
                    }
            }));
        for (Thread t : threads)
            t.join();
        assertThat(most).hasValue(1);
        assertThat(taken.get()).isPositive();
    }
}
