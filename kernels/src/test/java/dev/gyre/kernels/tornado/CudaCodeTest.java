package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// Every kernel as TornadoVM's CUDA backend generates it, compiled by NVRTC for three architectures: `.ci/cuda` runs this with
/// the SDK's backend over a driver without a GPU (`driver.c`), and with NVRTC's logs (`nvrtc.c`) in $GYRE_CUDA_CODE. Nothing
/// is launched; results are not looked at.
class CudaCodeTest {
    private static final List<String> ARCHITECTURES = List.of("80", "90", "100");
    /// Bytes of shared memory that a kernel can have without asking the driver for more.
    private static final int SHARED = 48 << 10;
    /// A layer with heads of 128, as large models have them.
    private static final Shape LARGE = new Shape(1, 128, 1024, 1408, 8, 2, 2048);
    private static final Shape HEADS_OF_64 = new Shape(1, 128, 512, 1408, 8, 8, 2048);
    private static final Path TABLE = Path.of("../bench/cuda-kernels.md");
    private static final Pattern ENTRY = Pattern.compile("__global__ void (\\w+)\\(");
    private static final Pattern USED = Pattern.compile("Used (\\d+) registers(?:.*?(\\d+) bytes smem)?");
    private static final Pattern STACK = Pattern
            .compile("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");

    /// The largest numbers of all specialisations of a kernel for one architecture.
    private record Use(int registers, int shared, int stack, int spilled) {
        Use max(Use o) {
            return new Use(Math.max(registers, o.registers), Math.max(shared, o.shared), Math.max(stack, o.stack),
                    Math.max(spilled, o.spilled));
        }
    }

    @Test
    void kernelsCompileWithoutSpillsIn48Kilobytes() throws IOException {
        String code = System.getenv("GYRE_CUDA_CODE");
        assumeTrue(code != null && TornadoDevices.list().getFirst().name().equals("cuda:0"), "run by .ci/cuda");
        HostCuBlas.load(); // a library that needs no GPU, so that what surrounds its calls is compiled
        TornadoBackend f32 = TornadoBackend.withWorkGroups("cuda:0");
        TornadoBackend bf16 = TornadoBackend.open("cuda:0", Precision.BF16);
        for (OpCase c : cases()) {
            compile(c, Layout.PLAIN, f32);
            compile(c, Layout.PLAIN, bf16);
            compile(c, Layout.ARENA, bf16);
        }
        Map<String, Map<String, Use>> used = read(Path.of(code));
        assertThat(used).containsKeys("tick", "toBf16", "rotateRows", "rotatePairs");
        used.forEach((kernel, by) -> {
            assertThat(by.keySet()).as(kernel).containsExactlyInAnyOrderElementsOf(ARCHITECTURES);
            by.forEach((architecture, u) -> {
                assertThat(u.spilled).as("%s for sm_%s: bytes spilled", kernel, architecture).isZero();
                assertThat(u.shared).as("%s for sm_%s: shared memory", kernel, architecture)
                        .isLessThanOrEqualTo(SHARED);
            });
        });
        if ("write".equals(System.getProperty("gyre.docs")))
            Files.writeString(TABLE, table(used));
    }

    private static void compile(OpCase c, Layout layout, TornadoBackend on) {
        OpCase.Setup setup = c.setup(layout);
        Program p = setup.program(c.name());
        try (Session s = on.open(List.of(p))) {
            setup.weights().forEach(s::bind);
            s.run(p);
        }
    }

    /// Those of a layer, and an odd size of each operation that it does not have.
    private static List<OpCase> cases() {
        List<OpCase> out = new ArrayList<>(OpCases.sized(LARGE));
        Set<String> seen = new HashSet<>();
        out.forEach(c -> seen.add(c.op()));
        OpCases.sized(HEADS_OF_64).stream().filter(c -> c.op().contains("Attention")).forEach(out::add);
        OpCases.all().stream().filter(c -> seen.add(c.op())).forEach(out::add);
        return out;
    }

    private static Map<String, Map<String, Use>> read(Path dir) throws IOException {
        Map<String, Map<String, Use>> out = new TreeMap<>();
        List<Path> sources;
        try (Stream<Path> files = Files.list(dir)) {
            sources = files.filter(f -> f.toString().endsWith(".cu")).toList();
        }
        for (Path source : sources) {
            String name = first(ENTRY, Files.readString(source)).group(1);
            for (String a : ARCHITECTURES) {
                String log = Files.readString(Path.of(source.toString().replaceFirst("cu$", "sm_" + a)));
                Matcher use = first(USED, log);
                Matcher stack = first(STACK, log);
                out.computeIfAbsent(name, _ -> new TreeMap<>()).merge(a,
                        new Use(number(use.group(1)), use.group(2) == null ? 0 : number(use.group(2)),
                                number(stack.group(1)), number(stack.group(2)) + number(stack.group(3))),
                        Use::max);
            }
        }
        return out;
    }

    private static Matcher first(Pattern pattern, String text) {
        Matcher m = pattern.matcher(text);
        assertThat(m.find()).as("%s in %s", pattern, text).isTrue();
        return m;
    }

    private static int number(String text) {
        return Integer.parseInt(text);
    }

    private static String table(Map<String, Map<String, Use>> used) {
        StringBuilder out = new StringBuilder("""
                # The kernels on NVIDIA GPUs

                Written by `.ci/cuda --write`: every kernel as TornadoVM's CUDA backend generates it, compiled by NVRTC 13 for
                compute capability 8.0, 9.0 and 10.0; nothing was launched. Each number is the largest of the kernel's
                specialisations for a layer 1024 wide with heads of 128, and of attention with heads of 64. No kernel spills registers.

                | kernel | registers: 8.0 | 9.0 | 10.0 | shared memory, bytes | stack, bytes |
                |---|---|---|---|---|---|
                """);
        used.forEach((kernel, by) -> {
            Use all = by.values().stream().reduce(Use::max).orElseThrow();
            out.append("| ").append(kernel);
            for (String a : ARCHITECTURES)
                out.append(" | ").append(by.get(a).registers);
            out.append(" | ").append(all.shared).append(" | ").append(all.stack).append(" |\n");
        });
        return out.toString();
    }
}
