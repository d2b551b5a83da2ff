package dev.gyre.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.OpCheck;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Vectors of all widths, whatever this machine prefers: the width is a static constant, so each gets the backend's
/// classes in a class loader of its own. Widths that the processor lacks run in software, slowly: small cases only.
class LaneWidthTest {
    @ParameterizedTest
    @ValueSource(ints = {128, 256, 512})
    void everyWidthPassesSmallCases(int bits) throws ReflectiveOperationException {
        Backend backend = withWidth(bits);
        assertThat(backend.describe()).contains(bits / 32 + " lanes (gyre.simd=" + bits + ")");
        Set<String> seen = new TreeSet<>();
        for (OpCase c : sample())
            if (seen.add(c.name()))
                OpCheck.check(backend, c, OpCase.Layout.GUARDED);
        assertThat(seen.size()).isGreaterThan(100);
    }

    /// Of each operation the first cases and some more, none with large operands.
    private static List<OpCase> sample() {
        List<OpCase> out = new ArrayList<>();
        int i = 0;
        for (OpCase c : OpCases.all())
            if (i++ % 5 == 0
                    && c.setup(OpCase.Layout.GUARDED).operands().stream().mapToInt(OpCase.Operand::size).sum() < 5000)
                out.add(c);
        return out;
    }

    private static Backend withWidth(int bits) throws ReflectiveOperationException {
        String before = System.getProperty("gyre.simd");
        System.setProperty("gyre.simd", Integer.toString(bits));
        try {
            ClassLoader own = new OwnCopy(LaneWidthTest.class.getClassLoader());
            Class<?> choice = own.loadClass("dev.gyre.kernels.cpu.SimdChoice");
            Object vector = choice.getField("VECTOR").get(null);
            return (Backend) own.loadClass("dev.gyre.kernels.cpu.CpuBackend").getConstructor(int.class, choice)
                    .newInstance(2, vector);
        } catch (InvocationTargetException e) {
            throw new AssertionError(e.getCause());
        } finally {
            if (before == null)
                System.clearProperty("gyre.simd");
            else
                System.setProperty("gyre.simd", before);
        }
    }

    /// Defines the package's classes anew instead of asking its parent.
    private static final class OwnCopy extends ClassLoader {
        OwnCopy(ClassLoader parent) {
            super(parent);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith("dev.gyre.kernels.cpu."))
                return super.loadClass(name, resolve);
            synchronized (getClassLoadingLock(name)) {
                Class<?> c = findLoadedClass(name);
                return c != null ? c : define(name);
            }
        }

        private Class<?> define(String name) throws ClassNotFoundException {
            try (InputStream in = getParent().getResourceAsStream(name.replace('.', '/') + ".class")) {
                if (in == null)
                    throw new ClassNotFoundException(name);
                byte[] b = in.readAllBytes();
                return defineClass(name, b, 0, b.length);
            } catch (IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }
}
