package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.run.ForwardingSession;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class KernelsCommandTest {
    @TempDir
    Path dir;

    @Test
    void aDeviceIsHeldAgainstTheReferenceAndTheCpu() throws IOException {
        Path page = dir.resolve("kernels.html");
        Cli c = Cli.gyre("kernels", "--device", "jvm", "--size", "XS", "--seconds", "0", "--ops", "^(Axpy|Cayley)",
                "--check", "--cases", "2", "--html", page, "--json");
        assertThat(c.code).as(c.toString()).isZero();
        JsonNode o = JsonMapper.builder().build().readTree(c.out);
        assertThat(o.get("device").asString()).startsWith("jvm");
        assertThat(o.get("failed").asInt()).isZero();
        JsonNode axpy = o.get("operations").get(0);
        assertThat(axpy.get("name").asString()).isEqualTo("Axpy n4096");
        assertThat(axpy.get("deviation").asDouble()).isPositive().isLessThanOrEqualTo(axpy.get("limit").asDouble());
        assertThat(axpy.get("times_cpu_speed").asDouble())
                .isEqualTo(axpy.get("cpu_ms").asDouble() / axpy.get("ms").asDouble());
        assertThat(o.get("odd_sizes").get(0).get("cases").asInt()).isEqualTo(2);
        assertThat(Files.readString(page)).contains("Device: jvm", "<td>Axpy n4096<td>", "all checks passed",
                "</html>");
    }

    /// Runs on the CPU and then spoils one element of what is read.
    private record Wrong(Backend cpu) implements Backend {
        @Override
        public String name() {
            return "wrong";
        }

        @Override
        public String describe() {
            return "a device with a bad memory cell";
        }

        @Override
        public Session open(List<Program> programs) {
            return new ForwardingSession(cpu.open(programs)) {
                @Override
                public void read(Buf buf, float[] into) {
                    super.read(buf, into);
                    if (buf.role() == Buf.Role.OUTPUT)
                        into[1] += 1e-3f;
                }
            };
        }
    }

    @Test
    void aWrongResultIsNamedAndTheExitCodeTellsIt() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        KernelsCommand k = new KernelsCommand();
        k.size = "xs";
        k.ops = "^Add ";
        k.check = true;
        k.cases = 1;
        k.html = dir.resolve("k.html");
        k.attach(new Screen(new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8), false));
        assertThat(k.run(new Wrong(new CpuBackend(1)))).isEqualTo(ExitCode.FAILURE);
        assertThat(out.toString(StandardCharsets.UTF_8)).contains("FAILED: Add n4096 on wrong, out[1] = ");
        assertThat(err.toString(StandardCharsets.UTF_8)).contains("2 checks failed on a device with a bad memory cell");
        assertThat(Files.readString(k.html)).contains("2 checks failed", "out[1] = ");
    }

    @Test
    void aPrecisionThatTheDeviceDoesNotHaveIsRefused() {
        Cli onCpu = Cli.gyre("kernels", "--device", "cpu", "--precision", "tf32");
        assertThat(onCpu.code).isEqualTo(ExitCode.USAGE);
        assertThat(onCpu.err.strip()).contains("precision tf32 needs cuBLAS, which only devices cuda:N have")
                .doesNotContain("\n");
        Cli onStandIn = Cli.gyre("kernels", "--device", "jvm", "--precision", "bf16");
        assertThat(onStandIn.code).isEqualTo(ExitCode.FAILURE);
        assertThat(onStandIn.err.strip()).contains("precision bf16 needs cuBLAS", "device jvm computes in f32")
                .doesNotContain("\n");
    }

    @Test
    void aPatternThatMatchesNothingIsSaid() {
        Cli c = Cli.gyre("kernels", "--ops", "Nothing");
        assertThat(c.code).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains("matches no operation");
        assertThat(Cli.gyre("kernels", "--ops", "(").err).contains("--ops (: ");
    }
}
