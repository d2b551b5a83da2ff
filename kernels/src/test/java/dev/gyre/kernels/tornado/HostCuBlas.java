package dev.gyre.kernels.tornado;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// cuBLAS for tests. On the stand-in it is a library of our own with cuBLAS's functions, `cublas.c`, compiled here with gcc.
final class HostCuBlas {
    private static @Nullable Path library;

    private HostCuBlas() {
    }

    /// The first device, if it has cuBLAS; else the test is skipped.
    static String device() {
        String device = TornadoDevices.list().getFirst().name();
        assumeTrue(device.equals("jvm") || device.startsWith("cuda:"), device + " has no cuBLAS");
        if (device.equals("jvm"))
            load();
        return device;
    }

    /// The compiled library; from now on [CuBlas] uses it.
    static synchronized Path load() {
        Path so = library;
        if (so == null) {
            so = compile();
            library = so;
            System.setProperty(CuBlas.LIBRARY, so.toString());
        }
        return so;
    }

    private static Path compile() {
        try (InputStream source = Objects.requireNonNull(HostCuBlas.class.getResourceAsStream("cublas.c"))) {
            Path dir = Files.createTempDirectory("gyre-cublas");
            dir.toFile().deleteOnExit();
            Path c = dir.resolve("cublas.c");
            Path so = dir.resolve("libcublas.so");
            Files.copy(source, c);
            Process gcc;
            try {
                gcc = new ProcessBuilder("gcc", "-shared", "-fPIC", "-O2", "-ffp-contract=off", "-Wall", "-Werror",
                        "-o",
                        so.toString(), c.toString(), "-lm").redirectErrorStream(true).start();
            } catch (IOException e) {
                assumeTrue(false, "no gcc to compile cublas.c with: " + e.getMessage());
                throw e;
            }
            String said = new String(gcc.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!gcc.waitFor(1, TimeUnit.MINUTES) || gcc.exitValue() != 0)
                throw new IllegalStateException("gcc: " + said);
            c.toFile().deleteOnExit();
            so.toFile().deleteOnExit();
            return so;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
