package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DriverOutputTest {
    @ParameterizedTest
    @CsvSource(delimiter = '#', value = {
        "[TornadoVM-OCL-JNI] ERROR : clEnqueueNDRangeKernel -> Returned: -54"
                + "#clEnqueueNDRangeKernel -> Returned: -54",
        "[TornadoVM-CUDA-JNI] ERROR : cuLaunchKernel -> Returned: 700 (CUDA_ERROR_ILLEGAL_ADDRESS)"
                + "#cuLaunchKernel -> Returned: 700 (CUDA_ERROR_ILLEGAL_ADDRESS)",
        "[TornadoVM-CUDA-NVRTC-JNI] ERROR : nvrtcCompileProgram -> Returned: NVRTC_ERROR_COMPILATION"
                + "#nvrtcCompileProgram -> Returned: NVRTC_ERROR_COMPILATION",
        "'\t[TornadoVM-PTX-JNI] ERROR : cuMemcpyHtoDAsync -> Returned: 1'#cuMemcpyHtoDAsync -> Returned: 1",
        "[ERROR clWaitForEvents]: -14#[ERROR clWaitForEvents]: -14",
        "'[ERROR] clEnqueueReadBuffer, code = -5 n[TornadoVM-OCL-JNI] ERROR : clEnqueueReadBuffer -> Returned: -5'"
                + "#'[ERROR] clEnqueueReadBuffer, code = -5 n[TornadoVM-OCL-JNI] ERROR : clEnqueueReadBuffer ->"
                + " Returned: -5'",
        "PTX to cubin JIT compilation failed! (218)#PTX to cubin JIT compilation failed! (218)"})
    void errorsAreRecognised(String line, String error) {
        assertThat(DriverOutput.error(line)).isEqualTo(error);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "12 errors", "[TornadoVM-OCL-JNI] Calling : clFinish -> Status: 0",
        "\t[TornadoVM-PTX-JNI] ERROR : cuEventQuery -> Returned: 600",
        "[TornadoVM-OCL-NVML-JNI] ERROR : nvmlInit -> Returned: 9",
        "[TornadoVM-CUDA-JNI] ERROR : cuMemHostRegister -> Returned: 712 (CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)"})
    void whatIsNoErrorPasses(String line) {
        assertThat(DriverOutput.error(line)).isNull();
    }

    @Test
    void allButTheErrorsIsPassedOnByteForByte() {
        byte[] text =
                "a\r\n\n\u00e9 [TornadoVM-OCL-JNI] ERROR\n[TornadoVM-OCL-JNI] ERROR : clFlush -> Returned: -36\n\0end"
                        .getBytes(StandardCharsets.UTF_8);
        List<String> errors = new ArrayList<>();
        assertThat(new String(DriverOutput.withoutErrors(text, errors), StandardCharsets.UTF_8))
                .isEqualTo("a\r\n\n\u00e9 [TornadoVM-OCL-JNI] ERROR\n\0end");
        assertThat(errors).containsExactly("clFlush -> Returned: -36");
    }

    /// Prints by Java, by C's `puts` (held back by C) and by `write`, in a process of its own.
    static final class Prints {
        private Prints() {
        }

        static void main() {
            System.out.println("before");
            say("held back", "direct\n");
            System.out.println(DriverOutput.watch(() -> {
                System.out.println("java");
                say("held back too", "half a line, ");
                return "result";
            }));
            for (boolean thrown : new boolean[] {false, true})
                try {
                    DriverOutput.watch(() -> {
                        say("[TornadoVM-OCL-JNI] ERROR : clFinish -> Returned: -5", "fine\n");
                        if (thrown)
                            throw new IllegalStateException("on top");
                        return 1;
                    });
                } catch (DriverOutput.Reported e) {
                    System.out.println(e.getMessage() + ", " + e.getCause());
                }
            System.out.println(DriverOutput.watch(() -> "after"));
        }

        static void say(String held, String direct) {
            SymbolLookup c = Linker.nativeLinker().defaultLookup();
            try (Arena arena = Arena.ofConfined()) {
                int n = (int) Linker.nativeLinker()
                        .downcallHandle(c.findOrThrow("puts"),
                                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS))
                        .invokeExact(arena.allocateFrom(held));
                MemorySegment text = arena.allocateFrom(direct);
                long m = (long) Linker.nativeLinker()
                        .downcallHandle(c.findOrThrow("write"),
                                FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS,
                                        ValueLayout.JAVA_LONG))
                        .invokeExact(1, text, text.byteSize() - 1);
                if (n < 0 || m != text.byteSize() - 1)
                    throw new IllegalStateException(n + ", " + m);
            } catch (RuntimeException e) {
                throw e;
            } catch (Throwable t) {
                throw new IllegalStateException(t);
            }
        }
    }

    /// Crashes in a watched call, after a line of the driver.
    static final class Crashes {
        private Crashes() {
        }

        static void main() {
            DriverOutput.watch(() -> {
                Prints.say("last words", "");
                try {
                    return (long) Linker.nativeLinker()
                            .downcallHandle(Linker.nativeLinker().defaultLookup().findOrThrow("strlen"),
                                    FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG))
                            .invokeExact(8L);
                } catch (Throwable t) {
                    throw new IllegalStateException(t);
                }
            });
        }
    }

    /// With the option that the launcher gives.
    @Test
    void whatTheJvmSaysOfACrashInTheDriverIsShown(@TempDir Path dir) throws IOException, InterruptedException {
        assumeTrue(System.getProperty("os.name").equals("Linux"), "output is watched on Linux only");
        Path launcher = Path.of("..", "gyre");
        Matcher option = Pattern.compile("'(-XX:OnError=[^']+)'").matcher(Files.readString(launcher));
        assertThat(option.find()).isTrue();
        Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", option.group(1), "-XX:-CreateCoredumpOnCrash", "-cp",
                System.getProperty("java.class.path"), Crashes.class.getName()).directory(dir.toFile())
                .redirectErrorStream(true).start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor(1, TimeUnit.MINUTES)).isTrue();
        assertThat(p.exitValue()).isNotZero();
        assertThat(said).contains("A fatal error has been detected", "SIGSEGV", "hs_err_pid");
    }

    @Test
    void aProcessPrintsAsBeforeAndErrorsAreThrown() throws IOException, InterruptedException {
        assumeTrue(System.getProperty("os.name").equals("Linux"), "output is watched on Linux only");
        Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "-cp", System.getProperty("java.class.path"),
                Prints.class.getName()).redirectErrorStream(true).start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor(1, TimeUnit.MINUTES)).isTrue();
        // into a pipe, C holds `puts` back until the first watched call
        assertThat(said).isEqualTo("before\ndirect\nheld back\njava\nhalf a line, held back too\nresult\n"
                + "fine\nclFinish -> Returned: -5, null\n"
                + "fine\nclFinish -> Returned: -5, java.lang.IllegalStateException: on top\nafter\n");
    }

    /// The library that computes for the stand-in prints what TornadoVM's CUDA backend prints where a launch failed.
    @Test
    void aSessionStopsAtAnErrorThatIsOnlyPrinted() throws Throwable {
        assumeTrue(System.getProperty("os.name").equals("Linux"), "output is watched on Linux only");
        int n = 32;
        Buf a = Buf.param("a", n * n);
        Buf c = Buf.param("c", n * n);
        Program p = Program.builder("product")
                .add(new ProductOps.MatMul(Form.NN, a, a, c, n, n, n, 1f, false)).build();
        assumeTrue(HostCuBlas.device().equals("jvm"), "the driver of a device prints what it wants");
        try (Session s = TornadoBackend.withCuBlas("jvm", Precision.F32).open(List.of(p))) {
            s.run(p);
            complain(1);
            try {
                assertThatThrownBy(() -> s.run(p)).isInstanceOf(DeviceException.class)
                        .hasMessageContaining("device jvm failed in product: the driver reported cuLaunchKernel"
                                + " -> Returned: 700 (CUDA_ERROR_ILLEGAL_ADDRESS);")
                        .hasMessageNotContaining("\n");
            } finally {
                complain(0);
            }
        }
    }

    private static void complain(int calls) throws Throwable {
        try (Arena arena = Arena.ofConfined()) {
            Linker.nativeLinker()
                    .downcallHandle(
                            SymbolLookup.libraryLookup(Objects.requireNonNull(HostCuBlas.load()), arena)
                                    .findOrThrow("complain"),
                            FunctionDescriptor.ofVoid(ValueLayout.JAVA_INT))
                    .invokeExact(calls);
        }
    }
}
