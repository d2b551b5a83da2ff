package dev.gyre.trainer.bundle;

import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.ClassHierarchyResolver.ClassHierarchyInfo;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.attribute.ModuleAttribute;
import java.lang.classfile.attribute.ModuleProvideInfo;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.classfile.constantpool.PoolEntry;
import java.lang.classfile.constantpool.Utf8Entry;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/// Jars reduced to the classes that some of them, the roots, can reach, stored without compression for an archive to
/// compress. Everything in a class's constant pool and is the name of a class counts as reached: code, types,
/// signatures, annotations, and strings, by which reflection finds classes. A service's providers are reached with the
/// service. Names put together while a program runs are not seen: classes found so must be roots.
final class JarPruner {
    private static final String CLASS = ".class";
    private static final String MODULE = "module-info.class";
    private static final String SERVICES = "META-INF/services/";
    private static final Pattern VERSIONED = Pattern.compile("META-INF/versions/\\d+/");
    private static final Pattern TYPES = Pattern.compile("L([\\w/$]+)[;<]");
    /// What Graal's annotation processors make of a class, its host. Their services list hundreds, each of which refers to
    /// its host: they are reached only by it.
    private static final Pattern COMPANION = Pattern.compile("(.*/)(?:PluginFactory_(\\w+)|(\\w+)_OptionDescriptors)");

    /// What happens to an entry that is no class.
    @FunctionalInterface
    interface Resource {
        /// What to store in place of `bytes`; an empty array leaves the entry out.
        byte[] of(String name, byte[] bytes) throws IOException, InterruptedException;
    }

    private final Map<Path, Map<String, byte[]>> jars = new TreeMap<>();
    private final Map<String, List<byte[]>> classes = new HashMap<>();
    private final Map<String, Set<String>> providers = new HashMap<>();
    private final ClassFile withoutDebug;

    JarPruner(List<Path> paths) throws IOException {
        for (Path p : paths)
            jars.put(p, read(p));
        jars.values().forEach(entries -> entries.forEach(this::index));
        withoutDebug = ClassFile.of(ClassFile.DebugElementsOption.DROP_DEBUG,
                ClassFile.LineNumbersOption.DROP_LINE_NUMBERS, ClassFile.ConstantPoolSharingOption.NEW_POOL,
                ClassFile.ClassHierarchyResolverOption.of(ClassHierarchyResolver.ofResourceParsing(this::open)
                        .orElse(ClassHierarchyResolver.defaultResolver())
                        // a superclass that is nowhere: nothing can load the class either
                        .orElse(_ -> ClassHierarchyInfo.ofClass(ConstantDescs.CD_Object))));
    }

    private static Map<String, byte[]> read(Path path) throws IOException {
        Map<String, byte[]> entries = new TreeMap<>();
        try (JarFile jar = new JarFile(path.toFile())) {
            for (var all = jar.entries(); all.hasMoreElements();) {
                ZipEntry e = all.nextElement();
                if (!e.isDirectory())
                    try (InputStream in = jar.getInputStream(e)) {
                        entries.put(e.getName(), in.readAllBytes());
                    }
            }
        }
        return entries;
    }

    private void index(String name, byte[] bytes) {
        if (isClass(name))
            classes.computeIfAbsent(className(name), _ -> new ArrayList<>()).add(bytes);
        else
            if (name.startsWith(SERVICES))
                providers.computeIfAbsent(slashed(name.substring(SERVICES.length())), _ -> new HashSet<>())
                        .addAll(lines(bytes).map(JarPruner::slashed).toList());
            else
                if (name.equals(MODULE))
                    ClassFile.of().parse(bytes).findAttribute(Attributes.module())
                            .ifPresent(m -> m.provides().forEach(p -> providers
                                    .computeIfAbsent(p.provides().asInternalName(), _ -> new HashSet<>())
                                    .addAll(p.providesWith().stream().map(ClassEntry::asInternalName).toList())));
    }

    private static boolean isClass(String entry) {
        return entry.endsWith(CLASS) && !entry.endsWith(MODULE);
    }

    private static String className(String entry) {
        return VERSIONED.matcher(entry.substring(0, entry.length() - CLASS.length())).replaceFirst("");
    }

    private static String slashed(String name) {
        return name.replace('.', '/');
    }

    private static Stream<String> lines(byte[] services) {
        return new String(services, StandardCharsets.UTF_8).lines().map(l -> l.replaceFirst("#.*", "").strip())
                .filter(l -> !l.isEmpty());
    }

    @SuppressWarnings("NullAway") // null is how a resolver says that it does not know a class
    private InputStream open(ClassDesc type) {
        String name = type.descriptorString();
        List<byte[]> found = classes.get(name.substring(1, name.length() - 1));
        return found == null ? null : new ByteArrayInputStream(found.getFirst());
    }

    /// Names (with slashes) of the classes reached from those that are `root`s, none of them `unwanted`.
    Set<String> reached(Predicate<String> root, Predicate<String> unwanted) {
        Set<String> seen = new HashSet<>();
        Deque<String> todo = new ArrayDeque<>();
        classes.keySet().stream().filter(root).forEach(c -> reach(c, unwanted, seen, todo));
        Map<String, List<String>> companions = new HashMap<>();
        classes.keySet().forEach(c -> {
            Matcher m = COMPANION.matcher(c);
            if (m.matches())
                companions.computeIfAbsent(m.group(1) + (m.group(2) == null ? m.group(3) : m.group(2)),
                        _ -> new ArrayList<>()).add(c);
        });
        while (!todo.isEmpty()) {
            String c = todo.remove();
            for (byte[] version : classes.getOrDefault(c, List.of()))
                for (PoolEntry e : ClassFile.of().parse(version).constantPool())
                    if (e instanceof Utf8Entry u)
                        names(u.stringValue(), n -> reach(n, unwanted, seen, todo));
            for (String p : providers.getOrDefault(c, Set.of()))
                if (!COMPANION.matcher(p).matches())
                    reach(p, unwanted, seen, todo);
            for (String p : companions.getOrDefault(c.replace('$', '_'), List.of()))
                reach(p, unwanted, seen, todo);
        }
        return seen;
    }

    private static void names(String text, Consumer<String> name) {
        name.accept(slashed(text));
        for (Matcher m = TYPES.matcher(text); m.find();)
            name.accept(m.group(1));
    }

    private void reach(String c, Predicate<String> unwanted, Set<String> seen, Deque<String> todo) {
        if (classes.containsKey(c) && !unwanted.test(c) && seen.add(c))
            todo.add(c);
    }

    /// Writes the `chosen` jars with those of their classes that were `reached` to a folder. A module's package keeps its
    /// smallest class at least, since descriptions and options name packages.
    ///
    /// @param debug classes that keep their lines and variables
    void write(Path folder, Predicate<Path> chosen, Set<String> reached, Predicate<String> debug, Resource resource)
            throws IOException, InterruptedException {
        Files.createDirectories(folder);
        for (var jar : jars.entrySet()) {
            if (!chosen.test(jar.getKey()))
                continue;
            Set<String> kept = new HashSet<>(reached);
            if (jar.getValue().containsKey(MODULE))
                kept.addAll(smallestOfLostPackages(jar.getValue(), reached));
            try (ZipOutputStream zip = new ZipOutputStream(new BufferedOutputStream(
                    Files.newOutputStream(folder.resolve(jar.getKey().getFileName()))))) {
                zip.setMethod(ZipOutputStream.STORED);
                for (var e : jar.getValue().entrySet())
                    store(zip, e.getKey(), entry(e.getKey(), e.getValue(), kept, debug, resource));
            }
        }
    }

    private byte[] entry(String name, byte[] bytes, Set<String> kept, Predicate<String> debug, Resource resource)
            throws IOException, InterruptedException {
        if (name.equals(MODULE))
            return providing(bytes, kept);
        if (name.startsWith(SERVICES))
            return String.join("\n", lines(bytes).filter(p -> kept.contains(slashed(p))).toList())
                    .getBytes(StandardCharsets.UTF_8);
        if (!isClass(name))
            return resource.of(name, bytes);
        String c = className(name);
        if (!kept.contains(c))
            return new byte[0];
        return debug.test(c) ? bytes
                : withoutDebug.transformClass(withoutDebug.parse(bytes), ClassTransform.ACCEPT_ALL);
    }

    private static Set<String> smallestOfLostPackages(Map<String, byte[]> jar, Set<String> reached) {
        Map<String, List<String>> packages = new HashMap<>();
        jar.keySet().stream().filter(JarPruner::isClass)
                .forEach(e -> packages.computeIfAbsent(e.substring(0, e.lastIndexOf('/') + 1), _ -> new ArrayList<>())
                        .add(e));
        Set<String> out = new HashSet<>();
        for (List<String> entries : packages.values())
            if (entries.stream().noneMatch(e -> reached.contains(className(e))))
                entries.stream().min(Comparator.comparingInt(e -> jar.getOrDefault(e, new byte[0]).length))
                        .ifPresent(e -> out.add(className(e)));
        return out;
    }

    /// A module's description without the providers that are not `kept`: one that names a class it has not does not
    /// start.
    private static byte[] providing(byte[] module, Set<String> kept) {
        ClassFile file = ClassFile.of();
        ClassModel model = file.parse(module);
        return file.transformClass(model, (out, element) -> {
            if (element instanceof ModuleAttribute m) {
                List<ModuleProvideInfo> provides = new ArrayList<>();
                for (ModuleProvideInfo p : m.provides()) {
                    List<ClassEntry> with =
                            p.providesWith().stream().filter(c -> kept.contains(c.asInternalName())).toList();
                    if (!with.isEmpty())
                        provides.add(ModuleProvideInfo.of(p.provides(), with));
                }
                out.with(ModuleAttribute.of(m.moduleName(), m.moduleFlagsMask(), m.moduleVersion().orElse(null),
                        m.requires(), m.exports(), m.opens(), m.uses(), provides));
            } else
                out.with(element);
        });
    }

    private static void store(ZipOutputStream zip, String name, byte[] bytes) throws IOException {
        if (bytes.length == 0)
            return;
        CRC32 crc = new CRC32();
        crc.update(bytes);
        ZipEntry stored = new ZipEntry(name);
        stored.setTime(0);
        stored.setSize(bytes.length);
        stored.setCompressedSize(bytes.length);
        stored.setCrc(crc.getValue());
        zip.putNextEntry(stored);
        zip.write(bytes);
        zip.closeEntry();
    }
}
