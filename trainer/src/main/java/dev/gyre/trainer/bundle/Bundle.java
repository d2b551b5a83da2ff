package dev.gyre.trainer.bundle;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.format.ModelDir;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.CodeSource;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// An archive that holds Gyre's launcher and classes, a Java runtime reduced to what they need, the base model, and what they
/// need of a TornadoVM SDK.
public final class Bundle {
    private static final String BASE_MODEL = "examples/small-llama";
    /// What Gyre, TornadoVM and its compiler load; without java.desktop, which `report --png` draws with.
    private static final String MODULES =
            "java.base,java.logging,java.net.http,java.management,java.xml,jdk.httpserver,jdk.management,"
                    + "jdk.unsupported,jdk.internal.vm.ci,jdk.incubator.vector,jdk.zipfs";
    private static final boolean X86 = System.getProperty("os.arch").equals("amd64");
    private static final Pattern TORNADO =
            Pattern.compile("(tornado-(api|runtime|annotation|drivers-.*)|asm|commons-math3"
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

    private Bundle() {
    }

    /// @param bytes of the archive
    /// @param unpacked bytes of the files in it
    /// @param sdk the TornadoVM SDK that went into it
    public record Written(long bytes, long unpacked, @Nullable Path sdk) {
    }

    /// @param out the archive: `.tar.xz` or `.tar.gz`
    /// @param files finds a file of the repository by its name; null where there is none
    /// @param tornado home of a TornadoVM SDK; null or blank: without one
    /// @param progress gets the name of each part before it is made
    public static Written write(Path out, Function<String, @Nullable Path> files, @Nullable String tornado,
            Consumer<String> progress) throws IOException, InterruptedException {
        String name = String.valueOf(out.getFileName());
        String flag = name.endsWith(".tar.xz") ? "-cJf" : name.endsWith(".tar.gz") ? "-czf" : null;
        if (flag == null)
            throw new InputException("--out " + out + ": the name must end in .tar.xz or .tar.gz");
        AtomicFiles.requireNewFile(out);
        Path jar = jar();
        Path launcher = files.apply("gyre");
        Path jlink = Path.of(System.getProperty("java.home"), "bin", "jlink");
        if (launcher == null || !Files.isRegularFile(launcher))
            throw new InputException("the launcher ./gyre was not found; start gyre in its repository");
        if (!Files.isExecutable(jlink))
            throw new InputException(jlink + " is missing: bundling needs a whole JDK; point GYRE_JAVA_HOME to one");
        Path sdk = tornado == null || tornado.isBlank() ? null : Path.of(tornado);
        try (FolderLock _ = AtomicFiles.own(out); AtomicFiles.Work folder = AtomicFiles.work(out)) {
            Path work = folder.path();
            Path root = Files.createDirectory(work.resolve("gyre"));
            progress.accept("runtime ...");
            Path excluded = xmlParsers(work.resolve("excluded"));
            call(List.of(jlink.toString(), "--add-modules", MODULES, "--strip-java-debug-attributes",
                    "--no-header-files", "--no-man-pages", "--compress", "zip-0", "--exclude-resources=@" + excluded,
                    "--output", root.resolve("runtime").toString()));
            strip(root.resolve("runtime"));
            progress.accept("jars ...");
            JarPruner gyre = new JarPruner(List.of(jar));
            gyre.write(root.resolve("lib"), _ -> true,
                    gyre.reached(OURS.asMatchPredicate(), OF_JAVA_DESKTOP.asMatchPredicate()), OURS.asMatchPredicate(),
                    Bundle::resource);
            Files.copy(launcher, root.resolve("gyre"), StandardCopyOption.COPY_ATTRIBUTES);
            for (String file : List.of("LICENSE", "examples/quickstart.yaml"))
                copyFile(files.apply(file), file, root);
            Path model = files.apply(BASE_MODEL);
            if (model != null) {
                for (Path p : files(model, Pattern.compile(".*")))
                    ModelDir.requireInside(model, p);
                copyAll(model, root.resolve(BASE_MODEL), Pattern.compile(".*"));
            }
            if (sdk != null)
                copySdk(sdk, root.resolve("tornado"));
            progress.accept("archive ...");
            Path packed = work.resolve(name);
            call(List.of("tar", "-C", work.toString(), "--sort=name", flag, packed.toString(), "gyre"));
            long unpacked = size(root);
            Files.move(packed, out, StandardCopyOption.ATOMIC_MOVE);
            AtomicFiles.cleanUp(out);
            return new Written(Files.size(out), unpacked, sdk);
        }
    }

    private static Path jar() {
        try {
            CodeSource source = Bundle.class.getProtectionDomain().getCodeSource();
            Path at = source == null ? null : Path.of(source.getLocation().toURI());
            if (at != null && Files.isRegularFile(at))
                return at;
        } catch (URISyntaxException e) {
            // reported below
        }
        throw new InputException("bundling needs gyre.jar: start gyre by its launcher, ./gyre");
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

    private static void copyFile(@Nullable Path p, String name, Path root) throws IOException {
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
                } catch (InputException e) {
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
        } catch (InputException e) {
            return library; // no strip on this machine
        } finally {
            Files.deleteIfExists(scratch);
        }
    }

    private static void copySdk(Path sdk, Path to) throws IOException, InterruptedException {
        Path tornado = sdk.resolve("share/java/tornado");
        Path graal = sdk.resolve("share/java/graalJars");
        if (!Files.isDirectory(tornado))
            throw new InputException("TORNADOVM_HOME is " + sdk + ", which holds no TornadoVM SDK");
        List<Path> modules = files(tornado, TORNADO);
        List<Path> compiler = files(graal, GRAAL);
        JarPruner pruner = new JarPruner(Stream.concat(modules.stream(), compiler.stream()).toList());
        Set<String> reached = pruner.reached(OURS.asMatchPredicate(), OF_OTHERS.asMatchPredicate());
        Predicate<Path> isModule = modules::contains;
        pruner.write(to.resolve("share/java/tornado"), isModule, reached, OURS.asMatchPredicate(),
                Bundle::resource);
        pruner.write(to.resolve("share/java/graalJars"), isModule.negate(), reached, OURS.asMatchPredicate(),
                Bundle::resource);
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
            throw new InputException(command.getFirst() + " cannot be started: " + e.getMessage());
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
}
