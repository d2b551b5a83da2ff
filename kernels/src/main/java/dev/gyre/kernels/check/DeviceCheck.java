package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Precision;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Runs every operation on a device: compared with the double-precision reference and timed at the sizes of a model, and
/// checked at odd sizes.
public final class DeviceCheck {
    private DeviceCheck() {
    }

    /// One operation at the sizes of a model.
    ///
    /// @param name of the case
    /// @param on deviation and time on the device; null if it failed
    /// @param cpu time on the CPU backend; null if it was not asked for
    /// @param error why it failed; null if it did not
    public record Timed(String name, OpTimer.@Nullable Measured on, OpTimer.@Nullable Measured cpu,
            @Nullable String error) {
        /// Speed relative to the CPU backend.
        public double ratio() {
            return on == null || cpu == null ? Double.NaN : cpu.ms() / on.ms();
        }
    }

    /// The cases of one operation at odd sizes.
    ///
    /// @param share largest error as a fraction of the tolerance
    public record Checked(String op, int cases, double share, List<String> failures) {
    }

    /// All results.
    ///
    /// @param device as the backend describes itself
    /// @param precision of large products on the device
    /// @param cpu the CPU backend that it was compared with
    /// @param size name and shape of the model whose sizes were used
    public record Findings(String device, Precision precision, String cpu, String size, List<Timed> rows,
            List<Checked> checked) {
        /// Number of cases that failed.
        public long failed() {
            return rows.stream().filter(r -> r.error != null).count()
                    + checked.stream().mapToLong(c -> c.failures.size()).sum();
        }
    }

    /// Follows the cases while they run.
    public interface Progress {
        Progress NONE = new Progress() {
        };

        default void onCase(String name) {
        }

        default void onTimed(Timed t) {
        }

        default void onChecked(Checked c) {
        }
    }

    /// @param cpu also timed, for comparison; null: not
    /// @param only cases whose name contains a match
    /// @param seconds measuring time per operation
    public static List<Timed> time(Backend on, @Nullable Backend cpu, Shape shape, Pattern only, double seconds,
            Progress progress) {
        List<Timed> out = new ArrayList<>();
        for (OpCase c : OpCases.sized(shape))
            if (only.matcher(c.name()).find()) {
                progress.onCase(c.name());
                Timed t = time(c, on, cpu, seconds);
                out.add(t);
                progress.onTimed(t);
            }
        return out;
    }

    private static Timed time(OpCase c, Backend on, @Nullable Backend cpu, double seconds) {
        try {
            OpTimer.Measured there = OpTimer.measure(on, c, true, seconds);
            return new Timed(c.name(), there, cpu == null ? null : OpTimer.measure(cpu, c, false, seconds), null);
        } catch (RuntimeException | AssertionError | OutOfMemoryError e) {
            return new Timed(c.name(), null, null, firstLine(e));
        }
    }

    /// @param only cases whose name contains a match
    /// @param cases of each operation, spread evenly over all of them; 0: all
    public static List<Checked> check(Backend on, Pattern only, int cases, Progress progress) {
        Map<String, List<OpCase>> byOp = new LinkedHashMap<>();
        for (OpCase c : OpCases.all())
            if (only.matcher(c.name()).find())
                byOp.computeIfAbsent(c.op(), _ -> new ArrayList<>()).add(c);
        List<Checked> out = new ArrayList<>();
        byOp.forEach((op, all) -> {
            List<OpCase> chosen = spread(all, cases);
            double share = 0;
            List<String> failures = new ArrayList<>();
            for (OpCase c : chosen) {
                progress.onCase(c.name());
                try {
                    share = Math.max(share, OpCheck.check(on, c));
                } catch (AssertionError | RuntimeException | OutOfMemoryError e) {
                    failures.add(firstLine(e));
                }
            }
            Checked done = new Checked(op, chosen.size(), share, failures);
            out.add(done);
            progress.onChecked(done);
        });
        return out;
    }

    /// `n` of them, evenly spaced from the first to the last; all if n is 0.
    private static List<OpCase> spread(List<OpCase> all, int n) {
        if (n == 0 || n >= all.size())
            return all;
        List<OpCase> out = new ArrayList<>();
        for (int i = 0; i < n; i++)
            out.add(all.get(n == 1 ? 0 : (int) ((long) i * (all.size() - 1) / (n - 1))));
        return out;
    }

    private static String firstLine(Throwable e) {
        return String.valueOf(Objects.requireNonNullElse(e.getMessage(), e.getClass().getSimpleName())).lines()
                .findFirst().orElse(e.getClass().getSimpleName());
    }
}
