package dev.gyre.trainer.cli;

import dev.gyre.dist.Mpi;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.tornado.TornadoDevices;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;

/// `gyre doctor`: what this machine offers, and the command that closes each gap.
@Command(name = "doctor",
        description = "Show what Gyre finds on this machine: JDK, vectors, memory, TornadoVM; and the command that would fix each gap.")
final class DoctorCommand extends GyreCommand {
    @Option(names = "--json", description = "Print a JSON array instead of text.")
    boolean json;

    enum State {
        OK("ok"), GAP("gap"), NONE("-");

        final String mark;

        State(String mark) {
            this.mark = mark;
        }
    }

    /// @param fix a command or an action; null where nothing is to be done
    record Finding(State state, String what, String found, @Nullable String fix) {
    }

    @Override
    protected int run() {
        List<Finding> all = new ArrayList<>();
        jdk(all);
        vectors(all);
        memory(all);
        tornado(all);
        mpi(all);
        Path base = Home.find(Home.BASE_MODEL);
        all.add(base == null
                ? new Finding(State.GAP, "base model", Home.BASE_MODEL + " not found",
                        "start gyre in its repository, or by the launcher there")
                : new Finding(State.OK, "base model", base.toString(), null));
        if (json)
            print(all);
        else
            for (Finding f : all)
                screen().result(Text.format("%-4s %-11s %s", f.state.mark, f.what, f.found)
                        + (f.fix == null ? ""
                                : "\n                 " + (f.state == State.GAP ? "fix: " : "hint: ") + f.fix));
        return ExitCode.OK;
    }

    private void print(List<Finding> all) {
        ArrayNode out = JsonNodeFactory.instance.arrayNode();
        for (Finding f : all)
            out.addObject().put("state", f.state.name().toLowerCase(java.util.Locale.ROOT)).put("what", f.what)
                    .put("found", f.found).put("fix", f.fix);
        screen().result(out.toString());
    }

    private static void jdk(List<Finding> all) {
        Runtime.Version v = Runtime.version();
        boolean old = v.feature() == 25 && v.compareTo(Runtime.Version.parse("25.0.3")) < 0;
        all.add(new Finding(old ? State.GAP : State.OK, "jdk",
                v + ", " + System.getProperty("java.vendor") + ", " + System.getProperty("java.home")
                        + (old ? "; 25 before 25.0.3 can corrupt data under the G1 collector" : ""),
                old ? "install JDK 25.0.3 or newer and point GYRE_JAVA_HOME to it" : null));
    }

    private static void vectors(List<Finding> all) {
        boolean there = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
        all.add(new Finding(there ? State.OK : State.GAP, "vectors", new CpuBackend().describe(),
                there ? null : "start Java with --add-modules jdk.incubator.vector, or use the launcher ./gyre"));
    }

    private static void memory(List<Finding> all) {
        long heap = Runtime.getRuntime().maxMemory();
        long machine = 0;
        if (ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean os)
            machine = os.getTotalMemorySize();
        boolean small = heap < 1_000_000_000L;
        all.add(new Finding(small ? State.GAP : State.OK, "memory",
                "Java may use " + Text.bytes(heap) + " of " + Text.bytes(machine),
                small || heap < machine / 2
                        ? "for larger models: export GYRE_JAVA_OPTS=-Xmx" + Math.max(1, machine * 3 / 4 / (1 << 30))
                                + "g"
                        : null));
    }

    private static void mpi(List<Finding> all) {
        List<String> found = Mpi.libraries();
        if (found.isEmpty())
            all.add(new Finding(State.NONE, "mpi", "no MPI library; runs have one worker",
                    "for several workers or machines: install Open MPI or MPICH (apt install openmpi-bin)"));
        for (String library : found)
            all.add(new Finding(State.OK, "mpi", library + " (gyre train --workers N, mpirun, srun)", null));
    }

    private static void tornado(List<Finding> all) {
        String home = System.getenv("TORNADOVM_HOME");
        if (home == null || home.isBlank()) {
            all.add(new Finding(State.NONE, "tornadovm",
                    "no SDK (TORNADOVM_HOME is not set): training runs on the CPU backend",
                    "for a GPU: unpack a TornadoVM SDK for JDK 25 and export TORNADOVM_HOME=DIR"));
            return;
        }
        boolean there = Files.isDirectory(Path.of(home).resolve("share/java/tornado"));
        all.add(new Finding(there ? State.OK : State.GAP, "tornadovm",
                home + (there ? "" : " holds no TornadoVM SDK (no share/java/tornado)"),
                there ? null : "export TORNADOVM_HOME=DIR with the unpacked SDK"));
        if (!there)
            return;
        if (!TornadoDevices.sdkPresent()) {
            all.add(new Finding(State.GAP, "devices", "this JVM does not run on the SDK",
                    "start gyre by its launcher, ./gyre"));
            return;
        }
        List<TornadoDevices.Info> devices;
        try {
            devices = TornadoDevices.list();
        } catch (DeviceException e) {
            String[] text = String.valueOf(e.getMessage()).split("; ", 2);
            all.add(new Finding(State.GAP, "devices", text[0], text[1]));
            return;
        }
        for (TornadoDevices.Info d : devices)
            all.add(new Finding(State.OK, "device", d.name() + ": " + d.description() + ", " + Text.bytes(d.memory())
                    + " (--device " + d.name() + ")", null));
        if (devices.stream().anyMatch(d -> d.name().startsWith("cuda:")))
            all.add(cuBlas(TornadoDevices.missingCuBlas()));
        if (devices.isEmpty())
            all.add(new Finding(State.GAP, "devices", "the SDK's drivers find none",
                    "install the driver of your GPU, or pocl-opencl-icd to try OpenCL on the CPU"));
    }

    /// For devices `cuda:N`.
    static Finding cuBlas(@Nullable String missing) {
        return missing == null
                ? new Finding(State.OK, "cublas", "multiplies large matrices on cuda:N (precision f32, tf32, bf16)",
                        null)
                : new Finding(State.GAP, "cublas", "none, so our own kernels multiply on cuda:N, in f32: " + missing,
                        "install CUDA's cuBLAS, or pip install nvidia-cublas, and put its folder into LD_LIBRARY_PATH");
    }
}
