package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import dev.gyre.kernels.op.Dropouts;
import dev.gyre.kernels.op.Op;
import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassFile.DebugElementsOption;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class KernelLintTest {
    static List<String> kernelClasses() {
        return new ClassFileImporter().withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                .importPackages("dev.gyre.kernels.tornado").stream().map(JavaClass::getName)
                .filter(n -> n.endsWith("Kernels")).toList();
    }

    @Test
    void findsTheClassesOfKernels() {
        assertThat(kernelClasses()).hasSizeGreaterThanOrEqualTo(9).contains(ProductKernels.class.getName());
    }

    /// The classes of a family of operations are found by its name.
    @Test
    void kernelsCarryTheNameOfTheirFamily() throws Exception {
        List<String> families = Stream.of(Op.class.getPermittedSubclasses())
                .map(f -> f.getSimpleName().replaceFirst("Ops$", "")).toList();
        for (String family : families)
            assertThat(Class.forName(KernelLint.class.getPackageName() + "." + family + "Tornado")).isNotNull();
        assertThat(kernelClasses()).allMatch(n -> families.stream()
                .anyMatch(f -> n.substring(n.lastIndexOf('.') + 1).startsWith(f)));
    }

    @ParameterizedTest
    @MethodSource("kernelClasses")
    void kernelsUseNothingThatTornadoVmCompilesWrongly(String name) throws Exception {
        assertThat(KernelLint.check(parse(Class.forName(name)))).isEmpty();
    }

    @Test
    void norDoesTheGeneratorThatTheyCall() throws Exception {
        assertThat(KernelLint.check(parse(Dropouts.class))).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"unsignedShift | >>>", "unsignedLongShift | >>>",
        "swapsInLoop | two variables swapped", "startsAtOne | start at 0",
        "bareBound | bare parameter",
        "startsAnywhere | start at 0", "stepsByTwo | step by 1", "stepsByArgument | step by 1",
        "twoNests | two @Parallel nests", "fusedMultiplyAdd | Math.fma", "rounds | Math.round",
        "halfFloats | float16ToFloat", "reinterprets | reinterpreted bits", "asksForNaN | isNaN", "reduces | @Reduce",
        "asksForInfinity | isInfinite", "asksForInfinity | isFinite", "asksForNaNInDouble | isNaN",
        "comparesWithItself | compared with itself", "atLeast | >= of floats", "notAtLeast | >= of floats",
        "atMost | <= of floats", "atMostInDouble | <= of floats", "roundsToHalfFloat | floatToFloat16",
        "takesBits | floatToRawIntBits", "takesBits | floatToIntBits", "remainderAboveZero | floorMod",
        "fourLoops | more than three", "runsDown | start at 0", "runsDown | step by 1",
        "takesBoolean | boolean parameter", "readsStaticTable | static array TABLE",
        "localArrayLeaves | local array handed to first", "dividesByPowerOfTwo | power of two",
        "remainderOfPowerOfTwo | power of two", "hashes | undefined in C", "throwsUp | throw",
        "privateArray | private array", "packsBits | bits",
        "step | word of OpenCL", "concatenates | invokedynamic"})
    void plantedViolationIsCaught(String method, String complaint) throws Exception {
        assertThat(KernelLint.check(parse(Violations.class))).anyMatch(c -> c.startsWith(method + ": ")
                && c.contains(complaint));
    }

    @Test
    void whatIsFineIsNotReported() throws Exception {
        assertThat(KernelLint.check(parse(Violations.class))).noneMatch(c -> c.startsWith("fine:")
                || c.startsWith("first:"));
    }

    @Test
    void classesWithoutDebugInformationAreReported() throws Exception {
        ClassFile bare = ClassFile.of(DebugElementsOption.DROP_DEBUG);
        ClassModel stripped = bare.parse(bare.transformClass(bare.parse(bytes(ProductKernels.class)),
                ClassTransform.ACCEPT_ALL));
        assertThat(KernelLint.check(stripped)).anyMatch(c -> c.contains("LocalVariableTable"));
    }

    private static ClassModel parse(Class<?> c) throws IOException {
        return ClassFile.of().parse(bytes(c));
    }

    private static byte[] bytes(Class<?> c) throws IOException {
        try (InputStream in = c.getResourceAsStream("/" + c.getName().replace('.', '/') + ".class")) {
            return in.readAllBytes();
        }
    }
}
