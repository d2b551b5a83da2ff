package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Workers that are processes, started by the `mpirun` of Open MPI and of MPICH where they are installed: their results
/// have the bits of one process; when one dies or hangs, all end, and the run goes on bit for bit.
@Timeout(value = 15, unit = TimeUnit.MINUTES)
class MpiTest {
    private static final int STEPS = 12;
    private static final String ADAPTER = "adapter/adapter_model.safetensors";
    @TempDir
    static Path dir;
    private static Path file;
    private static Path whole;

    @BeforeAll
    static void makeTheModelAndTheWholeRun() throws IOException {
        TinyModel tiny = TinyModel.in(dir, "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1");
        whole = dir.resolve("whole");
        file = dir.resolve("run.yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8, dropout: 0.2}
                data: {train: %s, valid: %s}
                train: {steps: %d, seq_len: 24, micro_batch: 1, accumulate: 4, lr: 1e-2}
                eval: {every: 4}
                results: {answers: 0, report: false}
                output: {dir: %s, checkpoint_every: 1, keep: 2, log_every: 1, tensorboard: false}
                device: cpu:1
                """.formatted(tiny.model(), tiny.train(), tiny.valid(), STEPS, whole));
        Cli c = Cli.gyre("train", file);
        assertThat(c.code).as(c.toString()).isZero();
    }

    /// `mpirun` of a library, or null where it is not installed.
    private static Path mpirun(String library) {
        return Stream.of("/usr/bin/mpirun." + library, "/usr/local/bin/mpirun." + library).map(Path::of)
                .filter(Files::isExecutable).findFirst().orElse(Path.of("/nowhere"));
    }

    private static Process start(String library, int n, Path run, List<String> jvm, String... more)
            throws IOException {
        Path mpirun = mpirun(library);
        assumeThat(mpirun).as("install openmpi-bin and mpich for this test").exists();
        List<String> command = new ArrayList<>(List.of(mpirun.toString(), "-n", Integer.toString(n)));
        if (library.equals("openmpi"))
            command.addAll(List.of("--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--mca",
                    "mpi_yield_when_idle", "1"));
        command.addAll(train(run, jvm, more));
        return new ProcessBuilder(command).redirectErrorStream(true)
                .redirectOutput(dir.resolve(run.getFileName() + ".txt").toFile()).start();
    }

    private static List<String> train(Path run, List<String> jvm, String... more) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "--add-modules",
                "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC", "-Xmx200m",
                "-XX:TieredStopAtLevel=1"));
        command.addAll(jvm);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "dev.gyre.trainer.cli.Main", "train",
                file.toString(), "--set", "output.dir=" + run));
        command.addAll(Arrays.asList(more));
        return command;
    }

    private static String shown(Path run) throws IOException {
        return Files.readString(dir.resolve(run.getFileName() + ".txt"));
    }

    private static void end(Process p, Path run) throws Exception {
        assertThat(p.waitFor(5, TimeUnit.MINUTES)).as(shown(run)).isTrue();
    }

    private static String metrics(Path run) throws IOException {
        return Files.readString(run.resolve("metrics.jsonl")).replaceAll("\"(seconds|process)\":[^,}]*", "");
    }

    private static void assertWhole(Path run) throws IOException {
        for (String f : List.of(ADAPTER, "checkpoint-" + STEPS + "/trainer_state.safetensors"))
            assertThat(run.resolve(f)).as(f).hasSameBinaryContentAs(whole.resolve(f));
        assertThat(metrics(run)).isEqualTo(metrics(whole));
    }

    @ParameterizedTest
    @ValueSource(strings = {"openmpi", "mpich"})
    void processesHaveTheBitsOfOne(String library) throws Exception {
        processes(library, 2);
    }

    @Tag("slow")
    @Timeout(value = 90, unit = TimeUnit.MINUTES)
    @ParameterizedTest
    @ValueSource(strings = {"openmpi", "mpich"})
    void fourProcessesHaveTheBitsOfOne(String library) throws Exception {
        processes(library, 4);
    }

    private static void processes(String library, int n) throws Exception {
        Path run = dir.resolve(library + n);
        Process p = start(library, n, run, List.of());
        end(p, run);
        assertThat(p.exitValue()).as(shown(run)).isZero();
        assertThat(shown(run)).contains("workers   " + n + " workers, ", ", the bits of one worker");
        assertWhole(run);
        assertThat(Files.readString(run.resolve("provenance.json"))).contains("\"workers\"");
    }

    /// By the option, whose mpirun must leave the arguments as they are.
    @Test
    void workersOfThisMachineHaveTheBitsOfOne() throws Exception {
        assumeThat(mpirun("openmpi")).as("install openmpi-bin for this test").exists();
        Path run = dir.resolve("option");
        List<String> command = train(run, List.of(), "--workers", "2", "--set", "device=cpu:1");
        int cp = command.indexOf("-cp");
        ProcessBuilder b = new ProcessBuilder(Stream.concat(command.subList(0, cp).stream(),
                command.subList(cp + 2, command.size()).stream()).toList());
        b.environment().put("CLASSPATH", command.get(cp + 1));
        Process p = b.redirectErrorStream(true).redirectOutput(dir.resolve(run.getFileName() + ".txt").toFile())
                .start();
        end(p, run);
        assertThat(p.exitValue()).as(shown(run)).isZero();
        assertWhole(run);
    }

    private static Set<Long> workers(Process launcher) {
        return launcher.descendants()
                .filter(h -> h.info().command().map(c -> c.endsWith("/java")).orElse(false) && h.isAlive())
                .map(ProcessHandle::pid).collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> names(Path run) {
        if (!Files.isDirectory(run))
            return Set.of();
        try (Stream<Path> files = Files.list(run)) {
            return files.map(p -> String.valueOf(p.getFileName())).collect(Collectors.toSet());
        } catch (IOException | UncheckedIOException e) {
            return Set.of();
        }
    }

    private static void signal(long pid, String name) throws IOException, InterruptedException {
        new ProcessBuilder("kill", "-" + name, Long.toString(pid)).start().waitFor();
    }

    /// Waits until the run has begun, and then a random while.
    private static void begun(Process p, Path run, Random random) throws InterruptedException {
        while (p.isAlive() && names(run).stream().noneMatch(s -> s.startsWith("checkpoint-")))
            Thread.sleep(5);
        Thread.sleep(random.nextInt(150));
    }

    @ParameterizedTest
    @ValueSource(strings = {"openmpi", "mpich"})
    void aWorkerThatIsKilledEndsAllAndTheRunGoesOn(String library) throws Exception {
        kill(library, 1);
    }

    @Tag("slow")
    @Timeout(value = 90, unit = TimeUnit.MINUTES)
    @ParameterizedTest
    @ValueSource(strings = {"openmpi", "mpich"})
    void aWorkerMayBeKilledAtAnyMoment(String library) throws Exception {
        kill(library, 20);
    }

    private static void kill(String library, int kills) throws Exception {
        Random random = new Random(20_261_130);
        for (int kill = 0; kill < kills; kill++) {
            Path run = dir.resolve("killed-" + library + kills + "-" + kill);
            Process p = start(library, 2, run, List.of(), "--set", "train.steps=" + STEPS);
            begun(p, run, random);
            List<Long> all = new ArrayList<>(workers(p));
            if (!all.isEmpty())
                signal(all.get(kill % all.size()), "KILL");
            long begun = System.nanoTime();
            end(p, run);
            assertThat((System.nanoTime() - begun) / 1e9).as("seconds until all ended").isLessThan(60);
            for (long pid : all) {
                ProcessHandle h = ProcessHandle.of(pid).orElse(null);
                if (h != null)
                    h.onExit().get(60, TimeUnit.SECONDS);
            }
            int n = kill % 2 == 0 ? 1 : 2; // one process goes on with what two began
            if (n == 1) {
                Cli c = Cli.gyre("train", file, "--set", "output.dir=" + run, "--resume");
                assertThat(c.code).as(c.toString()).isZero();
            } else {
                Process again = start(library, n, run, List.of(), "--resume");
                end(again, run);
                assertThat(again.exitValue()).as(shown(run)).isZero();
            }
            assertWhole(run);
        }
    }

    @Test
    void aWorkerThatHangsIsNoticed() throws Exception {
        hang("openmpi");
    }

    @Tag("slow")
    @Test
    void aWorkerThatHangsIsNoticedUnderMpich() throws Exception {
        hang("mpich");
    }

    private static void hang(String library) throws Exception {
        Path run = dir.resolve("hung-" + library);
        Process p = start(library, 2, run, List.of("-Dgyre.dist.patience=3"), "--set", "train.steps=100000", "--set",
                "train.schedule=constant");
        begun(p, run, new Random(1));
        List<Long> all = new ArrayList<>(workers(p));
        assertThat(all).as(shown(run)).hasSize(2);
        signal(all.getFirst(), "STOP");
        try {
            assertThat(p.waitFor(120, TimeUnit.SECONDS)).as(shown(run)).isTrue();
        } finally {
            signal(all.getFirst(), "KILL");
            p.destroyForcibly();
        }
        assertThat(p.exitValue()).isNotZero();
        assertThat(shown(run)).containsPattern("gyre: worker \\d has waited \\d+ s for (worker \\d|the other workers),"
                + " which hangs or is cut off; all workers end, --resume goes on from the last checkpoint");
    }

    /// Two network namespaces stand for two hosts, each with its own name and address; the link between them is cut.
    @Tag("slow")
    @Timeout(value = 90, unit = TimeUnit.MINUTES)
    @ParameterizedTest
    @ValueSource(strings = {"openmpi", "mpich"})
    void aLinkThatIsCutEndsAllAndTheRunGoesOn(String library) throws Exception {
        assumeThat(mpirun(library)).exists();
        assumeThat(shell(HOSTS)).as("needs root and iproute2").isZero();
        Path agent = dir.resolve("agent");
        Files.writeString(agent, """
                #!/bin/sh
                h=$1; shift
                while [ "${h#-}" != "$h" ]; do h=$1; shift; done
                exec ip netns exec "gyre-${h##*.}" unshare --uts sh -c "hostname gyre-${h##*.}; $*"
                """);
        assertThat(agent.toFile().setExecutable(true)).isTrue();
        List<String> mpirun = library.equals("openmpi")
                // mpirun itself misses a lost host by the keep-alive of its connections: by default after 8 minutes, and
                // only if nothing was sent meanwhile, so before a worker's patience ends and the end of all is sent
                ? List.of("--allow-run-as-root", "--bind-to", "none", "--host", "10.77.0.1:1,10.77.0.2:1", "--mca",
                        "plm_rsh_agent", agent.toString(), "--mca", "btl", "tcp,self", "--mca", "oob_tcp_if_include",
                        "10.77.0.0/24", "--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca",
                        "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1", "--mca",
                        "oob_tcp_keepalive_probes", "3")
                : List.of("-launcher", "ssh", "-launcher-exec", agent.toString(), "-hosts", "10.77.0.1,10.77.0.2",
                        "-n", "2", "-genv", "UCX_TLS", "tcp,self");
        String[] longer = {"--set", "train.steps=400", "--set", "eval.every=50", "--set",
            "train.lr=1e-3"};
        Path unbroken = dir.resolve("unbroken-" + library);
        List<String> one = new ArrayList<>(List.of("train", file.toString(), "--set", "output.dir=" + unbroken));
        one.addAll(Arrays.asList(longer));
        Cli u = Cli.gyre(one.toArray());
        assertThat(u.code).as(u.toString()).isZero();
        Random random = new Random(20_261_130);
        try {
            for (int cut = 0; cut < 5; cut++) {
                assertThat(shell(HOSTS)).isZero();
                Path run = dir.resolve("cut-" + library + cut);
                List<String> command = new ArrayList<>(List.of("ip", "netns", "exec", "gyre-1", "unshare", "--uts",
                        "sh", "-c", "hostname gyre-1; exec \"$@\"", "sh", mpirun(library).toString()));
                command.addAll(mpirun);
                command.addAll(train(run, List.of("-Dgyre.dist.patience=10"), longer));
                Process p = new ProcessBuilder(command).redirectErrorStream(true)
                        .redirectOutput(dir.resolve(run.getFileName() + ".txt").toFile()).start();
                begun(p, run, random);
                assertThat(p.isAlive()).as(shown(run)).isTrue();
                assertThat(shell("ip netns exec gyre-2 ip link set gyre-v2 down")).isZero();
                long begun = System.nanoTime();
                try {
                    assertThat(p.waitFor(180, TimeUnit.SECONDS)).as(shown(run)).isTrue();
                    while (shell("pgrep -f '[o]utput.dir=" + run + "' >&2") == 0) {
                        assertThat((System.nanoTime() - begun) / 1e9).as("seconds until all ended").isLessThan(240);
                        Thread.sleep(100);
                    }
                } finally {
                    shell("pkill -9 -f '[o]utput.dir=" + run + "'");
                }
                System.out.printf("%s, cut %d: all ended after %.1f s%n", library, cut,
                        (System.nanoTime() - begun) / 1e9);
                assertThat(p.exitValue()).as(shown(run)).isNotZero();
                List<String> again = new ArrayList<>(List.of("train", file.toString(), "--set", "output.dir=" + run));
                again.addAll(Arrays.asList(longer));
                again.add("--resume");
                Cli c = Cli.gyre(again.toArray());
                assertThat(c.code).as(c.toString()).isZero();
                for (String f : List.of(ADAPTER, "checkpoint-400/trainer_state.safetensors"))
                    assertThat(run.resolve(f)).as(f).hasSameBinaryContentAs(unbroken.resolve(f));
                assertThat(metrics(run)).isEqualTo(metrics(unbroken));
            }
        } finally {
            shell("ip netns del gyre-1; ip netns del gyre-2");
        }
    }

    private static final String HOSTS = """
            for i in 1 2; do ip netns del gyre-$i; done 2>/dev/null
            set -e
            for i in 1 2; do ip netns add gyre-$i; ip netns exec gyre-$i ip link set lo up; done
            ip link add gyre-v1 netns gyre-1 type veth peer name gyre-v2 netns gyre-2
            for i in 1 2; do
                ip netns exec gyre-$i ip addr add 10.77.0.$i/24 dev gyre-v$i
                ip netns exec gyre-$i ip link set gyre-v$i up
            done
            for t in 1 2 3 4 5 6 7 8 9; do # MPICH does not wait until the link is up
                ip netns exec gyre-1 ping -c 1 -W 1 10.77.0.2 && ip netns exec gyre-2 ping -c 1 -W 1 10.77.0.1 && break
                sleep 0.5
            done
            """;

    private static int shell(String script) throws IOException, InterruptedException {
        Process p = new ProcessBuilder("sh", "-c", script).redirectErrorStream(true).start();
        p.getInputStream().readAllBytes();
        return p.waitFor();
    }

    /// The JVM finds null by SIGSEGV, for which UCX, which MPICH may bring, has a handler of its own.
    @ParameterizedTest
    @ValueSource(strings = {"openmpi", "mpich"})
    void nullPointersAreStillFound(String library) throws Exception {
        Path mpirun = mpirun(library);
        assumeThat(mpirun).exists();
        List<String> command = new ArrayList<>(List.of(mpirun.toString(), "-n", "2"));
        if (library.equals("openmpi"))
            command.addAll(List.of("--allow-run-as-root", "--oversubscribe"));
        command.addAll(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "-cp", System.getProperty("java.class.path"),
                NullPointers.class.getName()));
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        String text = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor()).as(text).isZero();
        assertThat(text).contains("worker 0: found 3", "worker 1: found 3");
    }

    /// As `gyre doctor` does.
    @Test
    void nullPointersAreStillFoundAfterLibrariesWereLookedAt() throws Exception {
        Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "-cp", System.getProperty("java.class.path"),
                NullPointers.class.getName(), "look").redirectErrorStream(true).start();
        String text = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor()).as(text).isZero();
        assertThat(text).contains("worker 0: found 3");
    }

    /// Three null pointers in code that the JIT has compiled.
    static final class NullPointers {
        private int value;

        public static void main(String[] args) {
            if (args.length > 0)
                dev.gyre.dist.Mpi.libraries();
            try (var all = dev.gyre.dist.Mpi.join(System.getenv(), System.err::println)) {
                NullPointers one = new NullPointers();
                long sum = 0;
                for (int i = 0; i < 200_000; i++)
                    sum += read(one);
                int found = 0;
                for (int i = 0; i < 3; i++)
                    try {
                        sum += read(null);
                    } catch (NullPointerException e) {
                        found++;
                    }
                System.out.println("worker " + all.rank() + ": found " + found + (sum == 0 ? "" : "!"));
            }
        }

        @SuppressWarnings({"NullAway", "DataFlowIssue"})
        private static int read(NullPointers p) {
            return p.value;
        }
    }

    @Test
    void aWorkerThatCannotBeginEndsAllWithOneLine() throws Exception {
        Path run = dir.resolve("whole"); // exists
        Process p = start("openmpi", 2, run, List.of());
        end(p, run);
        assertThat(p.exitValue()).isNotZero();
        assertThat(shown(run)).contains("whole: exists and is not empty");
        assertThat(shown(run).lines().filter(l -> l.startsWith("gyre:"))).hasSize(1);
    }
}
