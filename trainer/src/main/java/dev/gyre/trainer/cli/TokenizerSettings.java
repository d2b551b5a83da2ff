package dev.gyre.trainer.cli;

import dev.gyre.model.files.AtomicFiles;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.util.UUID;
import java.util.stream.Stream;

/// Settings of DJL, which runs the tokenizers and takes them from system properties only. They are the application's to
/// make, not the library's; what the user set himself stays.
final class TokenizerSettings {
    private static final String CACHE = "DJL_CACHE_DIR";

    private TokenizerSettings() {
    }

    /// Keeps DJL off the network (telemetry, native libraries for the GPU at hand), and gives it a folder for its native
    /// library that nobody else can write to: what lies there is run.
    static void apply() {
        setIfAbsent("ai.djl.offline", "true");
        Path home = Path.of(System.getProperty("user.home", "."));
        Path cache = home.resolve(".djl.ai");
        if (System.getenv(CACHE) != null || System.getProperty(CACHE) != null || isPrivate(real(cache)))
            return;
        Path temporary = Path.of(System.getProperty("java.io.tmpdir", "."));
        Path shared = temporary.resolve("djl-" + System.getProperty("user.name", "user"));
        System.setProperty(CACHE, (isPrivate(shared) ? shared : fresh(temporary)).toString());
    }

    /// A link in the user's own home is the user's.
    private static Path real(Path p) {
        try {
            return p.toRealPath();
        } catch (IOException e) {
            return p;
        }
    }

    /// Makes the folder where it is absent, and says whether it belongs to the user and nobody else can write to it or to what
    /// it holds.
    static boolean isPrivate(Path folder) {
        try {
            boolean absent = !Files.exists(folder, LinkOption.NOFOLLOW_LINKS);
            if (!Files.getFileStore(absent ? folder.toAbsolutePath().getParent() : folder)
                    .supportsFileAttributeView("posix")) {
                Files.createDirectories(folder);
                return Files.isWritable(folder);
            }
            if (absent)
                Files.createDirectory(folder,
                        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            Path probe = Files.createTempFile(folder, ".gyre", "");
            UserPrincipal user = Files.getOwner(probe);
            Files.delete(probe);
            PosixFileAttributes top = attributes(folder);
            if (!top.isDirectory() || !top.owner().equals(user))
                return false;
            if (top.permissions().stream().allMatch(p -> p.name().startsWith("OWNER")))
                return true;
            try (Stream<Path> all = Files.walk(folder)) {
                return all.map(TokenizerSettings::attributes)
                        .allMatch(x -> !x.isSymbolicLink() && x.owner().equals(user)
                                && !x.permissions().contains(PosixFilePermission.GROUP_WRITE)
                                && !x.permissions().contains(PosixFilePermission.OTHERS_WRITE));
            }
        } catch (IOException | UncheckedIOException e) {
            return false; // not ours to write to
        }
    }

    private static PosixFileAttributes attributes(Path p) {
        try {
            return Files.readAttributes(p, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// A folder for this process. Where none can be made (a full disk, a machine without a place for temporary files), a
    /// name that nobody can guess: commands that need no tokenizer go on, and one that does says that it has no place.
    private static Path fresh(Path temporary) {
        Path folder;
        try {
            folder = Files.createTempDirectory(temporary, "djl-");
        } catch (IOException e) {
            folder = temporary.resolve("djl-" + UUID.randomUUID());
        }
        Path made = folder;
        Runtime.getRuntime().addShutdownHook(new Thread(() -> AtomicFiles.delete(made)));
        return folder;
    }

    private static void setIfAbsent(String name, String value) {
        if (System.getenv(name) == null && System.getProperty(name) == null)
            System.setProperty(name, value);
    }
}
