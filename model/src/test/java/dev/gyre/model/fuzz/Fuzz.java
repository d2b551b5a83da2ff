package dev.gyre.model.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.GyreException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/// Readers against inputs that were changed at random, with their structure mostly kept. An input is read, refused by our
/// own exception, or too big; all else is a fault: an end of the process, another exception, a wrong result, or more than
/// [#MOST_SECONDS] of a processor.
///
/// `-Pfuzz` gives each reader `-Dfuzz.minutes=N` (1 if absent) or `-Dfuzz.inputs=N`; `-Dfuzz.seed=N` is another start. A
/// build takes the same few inputs every time.
public final class Fuzz {
    private static final long SEED = Long.getLong("fuzz.seed", 1);
    private static final long INPUTS = Long.getLong("fuzz.inputs", 0);
    private static final long SECONDS =
            INPUTS > 0 ? 0 : Math.round(60 * Double.parseDouble(System.getProperty("fuzz.minutes", "0")));
    /// What the slowest refusals of templates take, which count their steps, with code that is not compiled yet.
    private static final double MOST_SECONDS = 4;

    private enum Result {
        RIGHT, REFUSED, TOO_BIG, FAULT
    }

    /// Makes an input.
    public interface Source {
        byte[] make(SplittableRandom random);
    }

    /// Reads an input, and asserts what can be known of what it read.
    public interface Reader {
        void read(byte[] input) throws IOException;
    }

    private Fuzz() {
    }

    /// For a reader that passes over what it does not know, and refuses nothing.
    public static void runWithoutRefusal(String name, int inputs, Source source, Reader reader) throws IOException {
        assertThat(counts(name, inputs, source, reader)).containsOnlyKeys(Result.RIGHT);
    }

    /// @param name of the reader
    /// @param inputs in a build
    public static void run(String name, int inputs, Source source, Reader reader) throws IOException {
        assertThat(counts(name, inputs, source, reader).keySet()).as(name).contains(Result.RIGHT, Result.REFUSED);
    }

    private static Map<Result, Integer> counts(String name, int inputs, Source source, Reader reader)
            throws IOException {
        Map<Result, Integer> counts = new EnumMap<>(Result.class);
        String refusal = "";
        List<String> faults = new ArrayList<>();
        boolean isLong = SECONDS > 0 || INPUTS > 0;
        // what ends the process is there to be looked at
        Path last = Path.of(System.getProperty("java.io.tmpdir"), "gyre-fuzz-last");
        long end = System.nanoTime() + SECONDS * 1_000_000_000;
        long most = INPUTS > 0 ? INPUTS : inputs;
        for (long i = 0; SECONDS == 0 ? i < most : System.nanoTime() < end; i++) {
            byte[] input = source.make(new SplittableRandom(SEED * 1_000_003 + i));
            if (isLong)
                Files.write(last, input);
            Result r = Result.FAULT;
            Throwable thrown = null;
            long begun = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            try {
                reader.read(input);
                r = Result.RIGHT;
            } catch (GyreException e) {
                r = Result.REFUSED;
                refusal = String.valueOf(e.getMessage());
                if (Boolean.getBoolean("fuzz.show"))
                    System.out.println(name + " " + i + ": " + refusal);
                if (!isOneLine(e))
                    thrown = e;
            } catch (OutOfMemoryError e) {
                r = Result.TOO_BIG;
            } catch (IOException | RuntimeException | StackOverflowError | AssertionError e) {
                thrown = e;
            }
            double seconds = (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - begun) / 1e9;
            if (seconds > MOST_SECONDS)
                thrown = new AssertionError("took " + seconds + " s");
            if (thrown != null) {
                if (faults.size() < 5)
                    faults.add("input " + i + ": " + thrown + " at "
                            + List.of(thrown.getStackTrace()).stream().limit(4).toList() + "\n"
                            + new String(input, 0, Math.min(input.length, 2000), StandardCharsets.UTF_8));
            }
            counts.merge(r, 1, Integer::sum);
        }
        if (isLong)
            System.out.println(name + ": " + counts);
        assertThat(faults).as(name + ": " + counts + ", the last refusal: " + refusal).isEmpty();
        assertThat(counts).as("the last refusal: " + refusal).containsKey(Result.RIGHT);
        return counts;
    }

    /// A configuration's error shows its place on two more lines.
    private static boolean isOneLine(GyreException e) {
        String m = e.getMessage();
        return m != null && !m.isBlank() && m.length() < 4000
                && m.lines().skip(1).allMatch(l -> l.matches("(?s)\\s+\\d*\\s*\\|.*"));
    }
}
