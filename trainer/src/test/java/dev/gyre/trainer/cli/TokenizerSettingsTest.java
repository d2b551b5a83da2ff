package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Where native code is unpacked.
class TokenizerSettingsTest {
    @TempDir
    Path dir;

    private void permit(Path p, String permissions) throws IOException {
        Files.setPosixFilePermissions(p, PosixFilePermissions.fromString(permissions));
    }

    @Test
    void nobodyElseMayWriteThere() throws IOException {
        Path folder = dir.resolve("djl");
        assertThat(TokenizerSettings.isPrivate(folder)).isTrue();
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(folder))).isEqualTo("rwx------");
        Path inner = Files.createDirectory(folder.resolve("tokenizers"));
        Path library = Files.writeString(inner.resolve("lib.so"), "x");
        permit(folder, "rwxr-xr-x");
        permit(inner, "rwxr-xr-x");
        permit(library, "rw-r--r--");
        assertThat(TokenizerSettings.isPrivate(folder)).isTrue();
        permit(inner, "rwxrwxrwx");
        assertThat(TokenizerSettings.isPrivate(folder)).isFalse();
        permit(inner, "rwxr-xr-x");
        permit(library, "rw-rw-r--");
        assertThat(TokenizerSettings.isPrivate(folder)).isFalse();
        permit(folder, "rwx------");
        assertThat(TokenizerSettings.isPrivate(folder)).as("nobody else gets in").isTrue();
        permit(folder, "rwxrwxrwx");
        assertThat(TokenizerSettings.isPrivate(folder)).isFalse();
        Path link = Files.createSymbolicLink(dir.resolve("link"), folder);
        assertThat(TokenizerSettings.isPrivate(link)).isFalse();
        assertThat(TokenizerSettings.isPrivate(Files.writeString(dir.resolve("file"), ""))).isFalse();
    }
}
