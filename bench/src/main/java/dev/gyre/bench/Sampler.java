package dev.gyre.bench;

import com.sun.management.OperatingSystemMXBean;
import dev.gyre.kernels.InputException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Times something again and again in samples of many runs, and notes for each sample how much of the machine other
/// processes took meanwhile (`/proc/stat` less our own CPU time). Medians are taken over the clean samples.
///
/// @param seconds measuring time
/// @param group least seconds of a sample; at least some 0.2, since the system counts in hundredths
/// @param patience seconds to wait, in all, for moments in which the machine is quiet
/// @param runs runs in all instead of `seconds`, each a sample; 0 for none
record Sampler(double seconds, double group, double patience, int runs) {
    /// Share of the machine that others may take during a clean sample.
    public static final double CLEAN = 0.05;
    /// Clean samples that suffice to leave the others out.
    private static final int ENOUGH = 3;
    private static final Path STAT = Path.of("/proc/stat");
    private static final int TICKS_PER_SECOND = 100;

    public Sampler {
        if (!(seconds > 0) || !(group >= 0) || !(patience >= 0) || runs < 0)
            throw new InputException("--seconds must be positive, --patience and --steps not negative");
    }

    /// @param ms milliseconds a run
    /// @param others share of the machine that other processes took
    /// @param runs runs in this sample
    public record Sample(double ms, double others, int runs) {
        boolean clean() {
            return others < CLEAN;
        }
    }

    /// All samples of one thing.
    public record Samples(List<Sample> all) {
        public Samples {
            all = List.copyOf(all);
        }

        /// Number of clean samples.
        public int clean() {
            return (int) all.stream().filter(Sample::clean).count();
        }

        /// Milliseconds a run: the median of the clean samples when they are enough, else of all.
        public double median() {
            boolean enough = clean() >= ENOUGH;
            return Stats.median(all.stream().filter(s -> !enough || s.clean()).mapToDouble(Sample::ms).toArray());
        }

        public double fastest() {
            return all.stream().mapToDouble(Sample::ms).min().orElse(Double.NaN);
        }
    }

    /// Measures `run`, which must have been warmed up.
    public Samples measure(Runnable run) {
        List<Sample> out = new ArrayList<>();
        double spent = 0;
        double left = patience;
        int clean = 0;
        while (runs > 0 ? out.size() < runs
                : (spent < seconds || out.size() < ENOUGH || clean < ENOUGH) && spent < 3 * seconds + group) {
            left = awaitQuiet(left);
            Watch watch = new Watch();
            int k = 0;
            double wall;
            do {
                run.run();
                k++;
                wall = watch.seconds();
            } while (runs == 0 && wall < group);
            Sample s = new Sample(wall / k * 1e3, watch.others(), k);
            out.add(s);
            spent += wall;
            clean += s.clean() ? 1 : 0;
        }
        return new Samples(out);
    }

    /// How much of the machine other processes take from its making on.
    static final class Watch {
        private final double busy = busySeconds();
        private final double own = ownSeconds();
        private final long begun = System.nanoTime();

        double seconds() {
            return (System.nanoTime() - begun) / 1e9;
        }

        /// Their share so far, of all processors; 0 off Linux.
        double others() {
            return Math.max(0, busySeconds() - busy - (ownSeconds() - own)) / (seconds() * processors());
        }
    }

    /// Waits for a moment in which less than 5 % of the machine is busy; returns what is left of `patience`.
    private static double awaitQuiet(double patience) {
        double window = 0.2;
        double left = patience;
        while (left > 0) {
            double busy = busySeconds();
            try {
                Thread.sleep((long) (1e3 * window));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return 0;
            }
            left -= window;
            if (busySeconds() - busy <= CLEAN * window * processors() + 1.01 / TICKS_PER_SECOND)
                break;
        }
        return left;
    }

    private static int processors() {
        return Runtime.getRuntime().availableProcessors();
    }

    /// Seconds that all processors together have worked (user, nice, system, interrupts, stolen); 0 off Linux.
    private static double busySeconds() {
        try (var lines = Files.lines(STAT)) {
            String[] f = lines.findFirst().orElse("").trim().split("\\s+");
            long ticks = 0;
            for (int i : new int[] {1, 2, 3, 6, 7, 8})
                ticks += i < f.length ? Long.parseLong(f[i]) : 0;
            return (double) ticks / TICKS_PER_SECOND;
        } catch (IOException e) {
            return 0;
        }
    }

    private static double ownSeconds() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean os
                ? os.getProcessCpuTime() / 1e9
                : 0;
    }
}
