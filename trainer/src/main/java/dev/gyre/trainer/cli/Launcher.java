package dev.gyre.trainer.cli;

import dev.gyre.dist.Collective;
import dev.gyre.dist.Mpi;
import dev.gyre.dist.WorkerException;
import dev.gyre.kernels.GyreException;
import dev.gyre.kernels.InputException;
import dev.gyre.trainer.cli.screen.Screen;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Several workers of one run: started here on one machine, joined where a launcher started them, ended together.
public final class Launcher {
    /// Where launchers give the number of a worker among those of its machine.
    private static final List<String> LOCAL =
            List.of("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID");
    private static final Pattern DEVICE = Pattern.compile("(opencl|cuda|ptx):(\\d+)");
    /// Milliseconds that the first worker has to say what all workers have seen.
    private static final long FIRST_SPEAKS = 5000;

    private Launcher() {
    }

    /// A command line that starts this program, with the same Java and its options, with other arguments.
    public static List<String> self(String... arguments) {
        List<String> out = new ArrayList<>();
        out.add(ProcessHandle.current().info().command().orElse("java"));
        out.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        out.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
        out.addAll(List.of(arguments));
        return out;
    }

    /// Starts this command again as `n` workers with the machine's `mpirun`, and waits for them.
    private static int start(int n) {
        if (n < 1)
            throw new InputException("--workers " + n + ": give at least 1");
        Path mpirun = find("mpirun", "mpiexec", "mpirun.openmpi", "mpirun.mpich");
        if (mpirun == null)
            throw new InputException(
                    "--workers " + n + " needs mpirun; install Open MPI or MPICH (on Debian: apt install"
                            + " openmpi-bin)");
        ProcessHandle.Info me = ProcessHandle.current().info();
        String[] arguments = me.arguments().orElseThrow(
                () -> new InputException(
                        "--workers: the system does not tell how this process was started; use mpirun"));
        List<String> command = new ArrayList<>(List.of(mpirun.toString(), "-n", Integer.toString(n)));
        if (isOpenMpi(mpirun)) {
            // each worker computes with several threads; where they outnumber the cores, waiting must not take one
            command.addAll(List.of("--bind-to", "none", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1"));
            if ("root".equals(System.getProperty("user.name")))
                command.add("--allow-run-as-root");
        }
        // Open MPI's mpirun takes a program named java for one of its own Java programs: every argument that contains "cp",
        // such as device=cpu, is to it a class path, which it changes
        command.add("env");
        command.add(me.command().orElse("java"));
        // before other options, of which one may say the same
        command.add("-XX:ActiveProcessorCount=" + Math.max(1, Runtime.getRuntime().availableProcessors() / n));
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i].equals("--workers"))
                i++;
            else
                if (!arguments[i].startsWith("--workers="))
                    command.add(arguments[i]);
        }
        try {
            Process p = new ProcessBuilder(command).inheritIO().start();
            return p.waitFor();
        } catch (IOException e) {
            throw new InputException("--workers: " + mpirun + " cannot be started: " + e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InputException("--workers: interrupted");
        }
    }

    private static @Nullable Path find(String... names) {
        for (String name : names)
            for (String dir : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator)) {
                Path p = Path.of(dir.isEmpty() ? "." : dir, name);
                if (Files.isExecutable(p))
                    return p;
            }
        return null;
    }

    private static boolean isOpenMpi(Path mpirun) {
        try {
            Process p = new ProcessBuilder(mpirun.toString(), "--version").redirectErrorStream(true).start();
            String text = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            p.waitFor();
            return text.contains("Open MPI") || text.contains("OpenRTE");
        } catch (IOException e) {
            throw new InputException("--workers: " + mpirun + " cannot be started: " + e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /// The workers that a launcher has started along with this process; alone without one.
    private static Collective join(Screen screen) {
        Map<String, String> environment = System.getenv();
        try {
            return Mpi.join(environment, line -> screen.note("gyre: " + line));
        } catch (WorkerException e) {
            throw new InputException(String.valueOf(e.getMessage()));
        }
    }

    /// The device of a worker: the configured one for the first of its machine, the next for the second.
    static String device(String configured) {
        Matcher m = DEVICE.matcher(configured);
        for (String name : LOCAL) {
            String local = System.getenv(name);
            if (local != null && local.matches("\\d{1,6}") && m.matches())
                return m.group(1) + ":" + (Integer.parseInt(m.group(2)) + Integer.parseInt(local));
        }
        return configured;
    }

    /// Runs a command as one of several workers, if a launcher started them or the user asks for them.
    ///
    /// @param workers that the user asks for; with more than one this process only starts them
    static int among(int workers, Screen screen, ToIntFunction<Collective> command) {
        if (workers != 1)
            return start(workers);
        try (Collective all = join(screen)) {
            try {
                return command.applyAsInt(all);
            } catch (RuntimeException | Error e) {
                if (all.size() > 1)
                    end(e, all, screen);
                throw e;
            }
        }
    }

    /// Ends all workers because this one failed. What all have seen alike the first one says.
    private static void end(Throwable e, Collective all, Screen screen) {
        if (all.rank() > 0 && e instanceof GyreException)
            try {
                Thread.sleep(FIRST_SPEAKS);
            } catch (InterruptedException x) {
                Thread.currentThread().interrupt();
            }
        screen.done();
        String message = Errors.message(e);
        screen.note("gyre: " + (all.rank() > 0 ? "worker " + all.rank() + " on " + host() + ": " : "") + message);
        screen.log(null);
        all.abort(message, Errors.exitCode(e));
    }

    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "an unnamed host";
        }
    }
}
