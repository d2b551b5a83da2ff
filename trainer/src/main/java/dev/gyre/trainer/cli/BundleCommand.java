package dev.gyre.trainer.cli;

import dev.gyre.model.files.AtomicFiles;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.CodeSource;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre bundle`: Gyre with a Java runtime of its own, and the parts of a TornadoVM SDK that it needs, in one archive.
@Command(name = "bundle",
        description = "Write an archive that holds Gyre, a small Java runtime and, where TORNADOVM_HOME"
                + " names an SDK, what it needs of TornadoVM. Unpacked anywhere on Linux of the same processor, its ./gyre runs"
                + " without Java being installed.")
final class BundleCommand extends GyreCommand {
    /// What Gyre, TornadoVM and its compiler load; without java.desktop, which `report --png` draws with.
    private static final String MODULES =
            "java.base,java.logging,java.management,java.xml,jdk.management,jdk.unsupported,"
                    + "jdk.internal.vm.ci,jdk.incubator.vector,jdk.zipfs";
    private static final boolean X86 = System.getProperty("os.arch").equals("amd64");
    private static final Pattern TORNADO =
            Pattern.compile("(tornado-(api|runtime|annotation|cublas|drivers-.*)|asm|commons-math3"
                    + "|snmp4j)-.*\\.jar");
    private static final Pattern GRAAL = Pattern.compile("(compiler|truffle-compiler|collections|word)-.*\\.jar");
    /// Native libraries of other systems and processors inside gyre.jar.
    private static final Pattern NATIVE = Pattern.compile("(native/lib|com/sun/jna)/(([a-z]+[0-9]*)-([a-z0-9_-]+))/.*");
    /// Tables of libraries that nothing of ours reads: lists of models, random directions, benchmarks.
    private static final Pattern UNREAD =
            Pattern.compile("(nlp|assets)/.*|META-INF/(BenchmarkList|CompilerHints)|findbugs.xml");
    /// What starts Gyre, but for its benchmarks, and TornadoVM. Their kernels are compiled from what debuggers read.
    private static final Pattern OURS = Pattern.compile("dev/gyre/(?!bench/jmh/).*|uk/ac/manchester/.*");
    private static final Pattern OF_JAVA_DESKTOP = Pattern.compile("org/knowm/.*");
    /// Of the Graal compiler: other processors and Truffle, which it serves apart from Java.
    private static final Pattern OF_OTHERS =
            Pattern.compile("jdk/graal/compiler/(truffle/|(.*/)?(" + (X86 ? "aarch64|" : "") + "riscv64)/).*");

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
        AtomicFiles.checkFile(out);
        Path jar = jar();
        Path launcher = Home.find("gyre");
        Path jlink = Path.of(System.getProperty("java.home"), "bin", "jlink");
        if (launcher == null || !Files.isRegularFile(launcher))
            throw new UsageException("the launcher ./gyre was not found; start gyre in its repository");
        if (!Files.isExecutable(jlink))
            throw new UsageException(jlink + " is missing: bundling needs a whole JDK; point GYRE_JAVA_HOME to one");
        Path work = Files.createTempDirectory(out.toAbsolutePath().getParent(), ".bundle");
        try {
            Path root = Files.createDirectory(work.resolve("gyre"));
            screen().status("runtime ...");
            Path excluded = xmlParsers(work.resolve("excluded"));
            call(List.of(jlink.toString(), "--add-modules", MODULES, "--strip-java-debug-attributes",
                    "--no-header-files", "--no-man-pages", "--compress", "zip-0", "--exclude-resources=@" + excluded,
                    "--output", root.resolve("runtime").toString()));
            strip(root.resolve("runtime"));
            screen().status("jars ...");
            JarPruner gyre = new JarPruner(List.of(jar));
            gyre.write(root.resolve("lib"), _ -> true,
                    gyre.reached(OURS.asMatchPredicate(), OF_JAVA_DESKTOP.asMatchPredicate()), OURS.asMatchPredicate(),
                    BundleCommand::resource);
            Files.copy(launcher, root.resolve("gyre"), StandardCopyOption.COPY_ATTRIBUTES);
            copyFile("LICENSE", root);
            copyFile("examples/quickstart.yaml", root);
            Path model = Home.find(Home.BASE_MODEL);
            if (model != null)
                copyAll(model, root.resolve(Home.BASE_MODEL), Pattern.compile(".*"));
            String home = System.getenv("TORNADOVM_HOME");
            if (home != null && !home.isBlank())
                copySdk(Path.of(home), root.resolve("tornado"));
            screen().status("archive ...");
            Path packed = work.resolve(name);
            call(List.of("tar", "-C", work.toString(), "--sort=name", flag, packed.toString(), "gyre"));
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

    /// Writes to `list` which classes jlink is to leave out: of java.xml, whose types Jackson names, all that reads and
    /// writes XML, but for the first class of each package, which a module must have.
    private static Path xmlParsers(Path list) throws IOException {
        Path xml = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules/java.xml");
        Set<Path> packages = new HashSet<>();
        try (Stream<Path> files = Files.walk(xml)) {
            Files.write(list,
                    files.filter(p -> p.toString().endsWith(".class") && !packages.add(p.getParent()))
                            .map(p -> "/java.xml/" + xml.relativize(p))
                            .filter(p -> p.startsWith("/java.xml/com/") || p.startsWith("/java.xml/jdk/")).toList());
        }
        return list;
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

    /// Other systems' libraries and what nothing reads are left out; ours goes without its symbols.
    private static byte[] resource(String name, byte[] bytes) throws IOException, InterruptedException {
        Matcher m = NATIVE.matcher(name);
        boolean foreign = m.matches()
                && !(m.group(2).startsWith(X86 ? "linux-x86" : "linux-aarch") && m.group(2).contains("64"));
        if (foreign || UNREAD.matcher(name).matches())
            return new byte[0];
        return name.endsWith(".so") ? stripped(bytes) : bytes;
    }

    /// `library` without its debug symbols. `strip` works on files.
    private static byte[] stripped(byte[] library) throws IOException, InterruptedException {
        Path scratch = Files.createTempFile("gyre", ".so");
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
        Path tornado = sdk.resolve("share/java/tornado");
        Path graal = sdk.resolve("share/java/graalJars");
        if (!Files.isDirectory(tornado))
            throw new UsageException("TORNADOVM_HOME is " + sdk + ", where no TornadoVM SDK lies");
        List<Path> modules = files(tornado, TORNADO);
        List<Path> compiler = files(graal, GRAAL);
        JarPruner pruner = new JarPruner(Stream.concat(modules.stream(), compiler.stream()).toList());
        Set<String> reached = pruner.reached(OURS.asMatchPredicate(), OF_OTHERS.asMatchPredicate());
        Predicate<Path> isModule = modules::contains;
        pruner.write(to.resolve("share/java/tornado"), isModule, reached, OURS.asMatchPredicate(),
                BundleCommand::resource);
        pruner.write(to.resolve("share/java/graalJars"), isModule.negate(), reached, OURS.asMatchPredicate(),
                BundleCommand::resource);
        copyAll(sdk.resolve("lib"), to.resolve("lib"), Pattern.compile("libtornado-.*\\.so"));
        copyAll(sdk.resolve("etc"), to.resolve("etc"), Pattern.compile("tornado\\..*"));
        copyAll(sdk.resolve("etc/exportLists"), to.resolve("etc/exportLists"), Pattern.compile(".*"));
    }

    private static List<Path> files(Path folder, Pattern names) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.filter(
                    p -> Files.isRegularFile(p) && names.matcher(String.valueOf(p.getFileName())).matches()).toList();
        }
    }

    private static void copyAll(Path from, Path to, Pattern names) throws IOException {
        Files.createDirectories(to);
        for (Path p : files(from, names))
            Files.copy(p, to.resolve(p.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
    }

    private static void call(List<String> command) throws IOException, InterruptedException {
        Process p;
        try {
            ProcessBuilder b = new ProcessBuilder(command).redirectErrorStream(true);
            // A dictionary that holds all; classes are rows of bytes, not of words; calls become absolute on x86.
            b.environment().putIfAbsent("XZ_OPT", (X86 ? "--x86 " : "") + "--lzma2=preset=9e,dict=128MiB,lc=4,pb=0");
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
