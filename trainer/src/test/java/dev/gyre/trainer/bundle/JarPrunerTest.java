package dev.gyre.trainer.bundle;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.attribute.ModuleAttribute;
import java.lang.classfile.attribute.ModuleExportInfo;
import java.lang.classfile.attribute.ModuleProvideInfo;
import java.lang.classfile.attribute.ModuleRequireInfo;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.lang.constant.ModuleDesc;
import java.lang.constant.PackageDesc;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JarPrunerTest {
    @TempDir
    Path dir;
    private final Map<String, byte[]> entries = new TreeMap<>();
    private Path jar = Path.of("");

    /// A class with a method that takes the classes `types` and mentions the string `text`.
    private void add(String name, String text, String... types) {
        ClassDesc[] parameters = List.of(types).stream().map(ClassDesc::of).toArray(ClassDesc[]::new);
        entries.put(name.replace('.', '/') + ".class", ClassFile.of().build(ClassDesc.of(name),
                c -> c.withMethodBody("use", MethodTypeDesc.of(ConstantDescs.CD_void, parameters),
                        ClassFile.ACC_PUBLIC | ClassFile.ACC_STATIC,
                        code -> code.lineNumber(7).loadConstant(text).pop().return_())));
    }

    @BeforeEach
    void makeAJar() throws IOException {
        add("app.Main", "lib.ByName", "lib.ByType", "lib.Service");
        add("lib.ByType", "");
        add("lib.ByName", "", "lib.Further");
        add("lib.Further", "");
        add("lib.Further_OptionDescriptors", "");
        add("lib.Unused", "lib.ByName");
        add("lib.PluginFactory_Unused", "lib.Unused");
        add("lib.Service", "");
        add("lib.Provider", "");
        add("lost.Small", "");
        add("lost.Larger", "a text that makes it larger");
        entries.put("META-INF/services/lib.Service",
                "lib.Provider # the one\nlib.PluginFactory_Unused\n".getBytes(StandardCharsets.UTF_8));
        entries.put("table.bin", new byte[] {1, 2});
        entries.put("unread.bin", new byte[] {3});
        ModuleDesc base = ModuleDesc.of("java.base");
        entries.put("module-info.class", ClassFile.of().buildModule(ModuleAttribute.of(ModuleDesc.of("some.module"),
                m -> m.requires(ModuleRequireInfo.of(base, ClassFile.ACC_MANDATED, null))
                        .exports(ModuleExportInfo.of(PackageDesc.of("lost"), 0))
                        .provides(ModuleProvideInfo.of(ClassDesc.of("lib.Service"), ClassDesc.of("lib.Provider"),
                                ClassDesc.of("lib.PluginFactory_Unused"))))));
        jar = dir.resolve("some.jar");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(jar))) {
            for (var e : entries.entrySet()) {
                zip.putNextEntry(new ZipEntry(e.getKey()));
                zip.write(e.getValue());
            }
        }
    }

    @Test
    void classesAreReachedByTypeNameAndServiceAndWhatIsMadeOfAClassGoesWithIt() throws IOException {
        JarPruner pruner = new JarPruner(List.of(jar));
        assertThat(pruner.reached("app/Main"::equals, _ -> false)).containsExactlyInAnyOrder("app/Main", "lib/ByType",
                "lib/ByName", "lib/Further", "lib/Further_OptionDescriptors", "lib/Service", "lib/Provider");
        assertThat(pruner.reached("app/Main"::equals, "lib/ByName"::equals)).containsExactlyInAnyOrder("app/Main",
                "lib/ByType", "lib/Service", "lib/Provider");
    }

    @Test
    void aPrunedModuleIsStillOneAndNamesOnlyWhatItHas() throws IOException, InterruptedException {
        JarPruner pruner = new JarPruner(List.of(jar));
        Set<String> reached = pruner.reached("app/Main"::equals, _ -> false);
        Path out = dir.resolve("out");
        pruner.write(out, _ -> true, reached, "app/Main"::equals,
                (name, bytes) -> name.equals("unread.bin") ? new byte[0] : bytes);
        ModuleDescriptor module =
                ModuleFinder.of(out.resolve("some.jar")).find("some.module").orElseThrow().descriptor();
        assertThat(module.provides()).singleElement()
                .satisfies(p -> assertThat(p.providers()).containsExactly("lib.Provider"));
        assertThat(module.packages()).containsExactlyInAnyOrder("app", "lib", "lost");
        try (JarFile written = new JarFile(out.resolve("some.jar").toFile())) {
            assertThat(written.stream().map(ZipEntry::getName)).contains("lost/Small.class", "table.bin")
                    .doesNotContain("lost/Larger.class", "lib/Unused.class", "unread.bin");
            assertThat(read(written, "META-INF/services/lib.Service")).asString().isEqualTo("lib.Provider");
            assertThat(read(written, "app/Main.class")).isEqualTo(entries.get("app/Main.class"));
            assertThat(read(written, "lib/ByName.class")).asString(StandardCharsets.ISO_8859_1)
                    .doesNotContain("LineNumberTable").contains("lib/Further");
        }
    }

    private static byte[] read(JarFile jar, String name) throws IOException {
        return jar.getInputStream(jar.getEntry(name)).readAllBytes();
    }
}
