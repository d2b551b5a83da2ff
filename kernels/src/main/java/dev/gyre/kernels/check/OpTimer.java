package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.OpCase.Layout;
import dev.gyre.kernels.check.OpCase.Operand;
import dev.gyre.kernels.check.OpCase.Setup;
import dev.gyre.kernels.check.OpCheck.Deviation;
import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Times a case on a backend after checking it.
public final class OpTimer {
    private static final int MIN_RUNS = 5;
    private static final int MAX_RUNS = 10_000;
    /// Longest warm-up, as a multiple of the measuring time.
    private static final int WARM_UP = 50;

    private OpTimer() {
    }

    /// The result.
    ///
    /// @param deviation from the reference; null if it was not checked
    /// @param firstMs the first run, including compilation and the transfer of inputs
    /// @param ms median of the others: inputs are already in place, a device's launch is included
    /// @param bytes least memory traffic: each buffer once per read and once per write
    public record Measured(@Nullable Deviation deviation, double firstMs, double ms, long bytes,
            long flops) {
        public double gigabytesPerSecond() {
            return bytes / ms / 1e6;
        }

        public double gigaflops() {
            return flops / ms / 1e6;
        }
    }

    /// Runs the case once, compares it with the reference when `check`, then warms up and times it for about `seconds`.
    ///
    /// @throws AssertionError if the result is not within tolerance
    public static Measured measure(Backend backend, OpCase c, boolean check, double seconds) {
        Setup setup = c.setup(Layout.PLAIN);
        Program program = setup.program(c.name());
        try (Session session = backend.open(List.of(program))) {
            setup.weights().forEach(session::bind);
            OpCheck.write(session, setup);
            long begun = System.nanoTime();
            session.run(program);
            double first = (System.nanoTime() - begun) / 1e6;
            Deviation worst = null;
            if (check) {
                worst = Deviation.NONE;
                List<double[]> reference = OpCheck.reference(c.setup(Layout.PLAIN));
                List<Operand> operands = setup.operands(backend);
                for (int k = 0; k < reference.size(); k++) {
                    Operand o = operands.get(k);
                    worst = worst.orWorse(OpCheck.compare(c.name() + " on " + backend.name() + ", " + o.name(), o,
                            session.read(o.result()), reference.get(k)));
                }
            }
            warmUp(() -> session.run(program), seconds);
            double[] ms = new double[MAX_RUNS];
            int runs = 0;
            long end = System.nanoTime() + (long) (seconds * 1e9);
            while (runs < MIN_RUNS || runs < MAX_RUNS && System.nanoTime() < end) {
                long t = System.nanoTime();
                session.run(program);
                ms[runs++] = (System.nanoTime() - t) / 1e6;
            }
            Arrays.sort(ms, 0, runs);
            return new Measured(worst, first, ms[runs / 2], bytes(setup), program.flops());
        }
    }

    /// Runs until the time of a run no longer falls. The CPU backend's code is slower by a factor of a hundred and more until
    /// the JVM has compiled it, which on a busy machine takes longer than the measurement. It counts as warm when for three
    /// windows of `seconds` the compilers had little to do and no run was faster than before. A device is warm at once.
    private static void warmUp(Runnable run, double seconds) {
        CompilationMXBean compilers = ManagementFactory.getCompilationMXBean();
        long begun = System.nanoTime();
        double fastest = Double.POSITIVE_INFINITY;
        for (int quiet = 0; quiet < 3 && System.nanoTime() - begun <= WARM_UP * seconds * 1e9;) {
            long window = System.nanoTime();
            long compiled = compilers == null ? 0 : compilers.getTotalCompilationTime();
            double best = Double.POSITIVE_INFINITY;
            do {
                long t = System.nanoTime();
                run.run();
                best = Math.min(best, System.nanoTime() - t);
            } while (System.nanoTime() - window < seconds * 1e9);
            double elapsed = (System.nanoTime() - window) / 1e6;
            double compiling = compilers == null ? 0 : compilers.getTotalCompilationTime() - compiled;
            quiet = compiling < 0.1 * elapsed && best > 0.95 * fastest ? quiet + 1 : 0;
            fastest = Math.min(fastest, best);
        }
    }

    private static long bytes(Setup setup) {
        long sum = 0;
        for (Op op : setup.ops())
            for (Access a : op.accesses()) {
                long once = bytes(setup, a.buf());
                sum += (a.reads() ? once : 0) + (a.writes() ? once : 0);
            }
        return sum;
    }

    private static long bytes(Setup setup, Buf b) {
        HostData w = setup.weights().get(b);
        return w != null ? w.bytes() : b.size() * (b.dtype() == DType.BF16 ? 2 : 4);
    }
}
