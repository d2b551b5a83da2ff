package dev.gyre.trainer.cli;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre bundle`: Gyre with a Java runtime of its own, and the parts of a TornadoVM SDK that it needs, in one archive.
@Command(name = "bundle",
        description = "Write an archive that holds Gyre, a small Java runtime and, where TORNADOVM_HOME"
                + " names an SDK, what it needs of TornadoVM. Unpacked anywhere on Linux of the same processor, its ./gyre runs"
                + " without Java being installed.")
final class BundleCommand extends GyreCommand {
    /// What Gyre, TornadoVM and its compiler load.
    private static final String MODULES =
            "java.base,java.logging,java.management,java.xml,jdk.management,jdk.unsupported,"
                    + "jdk.internal.vm.ci,jdk.incubator.vector,jdk.zipfs";
    private static final Pattern TORNADO =
            Pattern.compile("(tornado-(api|runtime|annotation|drivers-.*)|asm|commons-math3"
                    + "|snmp4j)-.*\\.jar");
    private static final Pattern GRAAL = Pattern.compile("(compiler|truffle-compiler|collections|word)-.*\\.jar");
    /// Native libraries of other systems and processors inside gyre.jar.
    private static final Pattern NATIVE = Pattern.compile("(native/lib|com/sun/jna)/(([a-z]+[0-9]*)-([a-z0-9_-]+))/.*");

    @Option(names = "--out", required = true, paramLabel = "FILE", description = "The archive: .tar.xz or .tar.gz.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Override
    protected int run() throws IOException, InterruptedException {
        String name = String.valueOf(out.getFileName());
        String flag = name.endsWith(".tar.xz") ? "-cJf" : name.endsWith(".tar.gz") ? "-czf" : null;
        if (flag == null)
            throw new UsageException("--out " + out + ": the name must end in .tar.xz or .tar.gz");
        if (Files.exists(out))
            throw new UsageException(out + ": exists already");
        Path jar = jar();
        Path launcher = Home.find("gyre");
        Path jlink = Path.of(System.getProperty("java.home"), "bin", "jlink");
        if (launcher == null || !Files.isRegularFile(launcher))
            throw new UsageException("the launcher ./gyre was not found; start gyre in its repository");
        if (!Files.isExecutable(jlink))
            throw new UsageException(jlink + " is missing: bundling needs a whole JDK; point GYRE_JAVA_HOME to one");
        Path parent = out.toAbsolutePath().getParent();
        if (parent == null || !Files.isDirectory(parent))
            throw new UsageException(out + ": its folder does not exist");
        Path work = Files.createTempDirectory(parent, ".bundle");
        try {
            Path root = Files.createDirectory(work.resolve("gyre"));
            screen().status("runtime ...");
            call(List.of(jlink.toString(), "--add-modules", MODULES, "--strip-java-debug-attributes",
                    "--no-header-files",
                    "--no-man-pages", "--compress", "zip-0", "--output", root.resolve("runtime").toString()));
            strip(root.resolve("runtime"));
            screen().status("jars ...");
            Files.createDirectory(root.resolve("lib"));
            storeJar(jar, root.resolve("lib/gyre.jar"));
            Files.copy(launcher, root.resolve("gyre"), StandardCopyOption.COPY_ATTRIBUTES);
            copyFile("LICENSE", root);
            copyFile("examples/quickstart.yaml", root);
            Path model = Home.find(Home.BASE_MODEL);
            if (model != null)
                copyAll(model, root.resolve(Home.BASE_MODEL), Pattern.compile(".*"), false);
            String home = System.getenv("TORNADOVM_HOME");
            if (home != null && !home.isBlank())
                copySdk(Path.of(home), root.resolve("tornado"));
            screen().status("archive ...");
            Path packed = work.resolve(name);
            call(List.of("tar", "-C", work.toString(), flag, packed.toString(), "gyre"));
            Files.move(packed, out, StandardCopyOption.ATOMIC_MOVE);
            screen().done();
            screen().result("wrote " + out + " · " + Text.bytes(Files.size(out)) + ", unpacked "
                    + Text.bytes(size(root)) + " · "
                    + (home == null || home.isBlank() ? "without TornadoVM (TORNADOVM_HOME is not set)"
                            : "with the TornadoVM SDK at " + home));
            screen().line("try it: tar xf " + out + " && gyre/gyre doctor");
            return ExitCode.OK;
        } finally {
            screen().done();
            delete(work);
        }
    }

    private static Path jar() {
        try {
            CodeSource source = BundleCommand.class.getProtectionDomain().getCodeSource();
            Path at = source == null ? null : Path.of(source.getLocation().toURI());
            if (at != null && Files.isRegularFile(at))
                return at;
        } catch (URISyntaxException e) {
            // told below
        }
        throw new UsageException("bundling needs gyre.jar: start gyre by its launcher, ./gyre");
    }

    private static void copyFile(String name, Path root) throws IOException {
        Path p = Home.find(name);
        if (p == null)
            return;
        Path to = root.resolve(name);
        Files.createDirectories(to.getParent());
        Files.copy(p, to);
    }

    /// Debug symbols of the runtime's libraries are half of them.
    private static void strip(Path runtime) throws IOException, InterruptedException {
        try (Stream<Path> files = Files.walk(runtime.resolve("lib"))) {
            for (Path p : files.filter(f -> f.toString().endsWith(".so")).toList())
                try {
                    call(List.of("strip", "--strip-unneeded", p.toString()));
                } catch (UsageException e) {
                    return; // no strip on this machine: a larger archive
                }
        }
    }

    /// gyre.jar uncompressed, so that the archive compresses it better, and without other systems' libraries.
    private static void storeJar(Path from, Path to) throws IOException, InterruptedException {
        String system = "linux-" + (System.getProperty("os.arch").equals("amd64") ? "x86" : "aarch");
        try (JarFile jar = new JarFile(from.toFile());
                ZipOutputStream zip = new ZipOutputStream(new BufferedOutputStream(Files.newOutputStream(to)))) {
            zip.setMethod(ZipOutputStream.STORED);
            for (var entries = jar.entries(); entries.hasMoreElements();) {
                ZipEntry e = entries.nextElement();
                var m = NATIVE.matcher(e.getName());
                if (m.matches() && !(m.group(2).startsWith(system) && m.group(2).contains("64")))
                    continue;
                byte[] bytes;
                try (InputStream in = jar.getInputStream(e)) {
                    bytes = in.readAllBytes();
                }
                if (e.getName().endsWith(".so"))
                    bytes = stripped(bytes, to.resolveSibling("stripping.so"));
                CRC32 crc = new CRC32();
                crc.update(bytes);
                ZipEntry stored = new ZipEntry(e.getName());
                stored.setTime(0);
                stored.setSize(bytes.length);
                stored.setCompressedSize(bytes.length);
                stored.setCrc(crc.getValue());
                zip.putNextEntry(stored);
                zip.write(bytes);
                zip.closeEntry();
            }
        }
    }

    /// `library` without its debug symbols. `strip` works on files: it passes through `scratch`.
    private static byte[] stripped(byte[] library, Path scratch) throws IOException, InterruptedException {
        try {
            Files.write(scratch, library);
            call(List.of("strip", "--strip-unneeded", scratch.toString()));
            return Files.readAllBytes(scratch);
        } catch (UsageException e) {
            return library; // no strip on this machine
        } finally {
            Files.deleteIfExists(scratch);
        }
    }

    private static void copySdk(Path sdk, Path to) throws IOException, InterruptedException {
        if (!Files.isDirectory(sdk.resolve("share/java/tornado")))
            throw new UsageException("TORNADOVM_HOME is " + sdk + ", where no TornadoVM SDK lies");
        copyAll(sdk.resolve("share/java/tornado"), to.resolve("share/java/tornado"), TORNADO, true);
        copyAll(sdk.resolve("share/java/graalJars"), to.resolve("share/java/graalJars"), GRAAL, true);
        copyAll(sdk.resolve("lib"), to.resolve("lib"), Pattern.compile("libtornado-.*\\.so"), false);
        copyAll(sdk.resolve("etc"), to.resolve("etc"), Pattern.compile("tornado\\..*"), false);
        copyAll(sdk.resolve("etc/exportLists"), to.resolve("etc/exportLists"), Pattern.compile(".*"), false);
    }

    private static void copyAll(Path from, Path to, Pattern names, boolean jars)
            throws IOException, InterruptedException {
        Files.createDirectories(to);
        List<Path> files = new ArrayList<>();
        try (Stream<Path> all = Files.list(from)) {
            all.filter(p -> Files.isRegularFile(p) && names.matcher(String.valueOf(p.getFileName())).matches())
                    .forEach(files::add);
        }
        for (Path p : files)
            if (jars)
                storeJar(p, to.resolve(p.getFileName()));
            else
                Files.copy(p, to.resolve(p.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
    }

    private static void call(List<String> command) throws IOException, InterruptedException {
        Process p;
        try {
            ProcessBuilder b = new ProcessBuilder(command).redirectErrorStream(true);
            b.environment().putIfAbsent("XZ_OPT", "-9"); // its dictionary holds the jars side by side
            p = b.start();
        } catch (IOException e) {
            throw new UsageException(command.getFirst() + " cannot be started: " + e.getMessage());
        }
        p.getOutputStream().close();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        int code = p.waitFor();
        if (code != 0)
            throw new IOException(Path.of(command.getFirst()).getFileName() + " failed with exit code " + code + ": "
                    + said.replaceAll("\\s+", " "));
    }

    private static long size(Path root) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            long sum = 0;
            for (Path p : files.filter(Files::isRegularFile).toList())
                sum += Files.size(p);
            return sum;
        }
    }

    private static void delete(Path root) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            for (Path p : files.sorted(Comparator.reverseOrder()).toList())
                Files.deleteIfExists(p);
        }
    }
}
