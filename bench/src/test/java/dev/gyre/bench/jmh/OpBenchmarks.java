package dev.gyre.bench.jmh;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.Size;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.openjdk.jmh.Main;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/// Runs [OpBenchmark] for the cases that a pattern selects. Operations and sizes are those of [OpCases], which
/// `gyre bench ops` times too.
public final class OpBenchmarks {
    private OpBenchmarks() {
    }

    /// Every operation at the size of a model, and the further sizes.
    public static List<OpCase> cases(Size size) {
        return Stream.concat(OpCases.sized(size.shape()).stream(), OpCases.timed().stream()).distinct().toList();
    }

    static List<String> names(Size size, String pattern) {
        Pattern p = Pattern.compile(pattern);
        return cases(size).stream().map(OpCase::name).filter(name -> p.matcher(name).find()).toList();
    }

    static OpCase named(String name) {
        return Arrays.stream(Size.values()).flatMap(size -> cases(size).stream())
                .filter(c -> c.name().equals(name)).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no operation at any size is named '" + name + "'"));
    }

    /// Arguments: a size, a regular expression over names of cases, options of JMH. Without a size: JMH's own arguments.
    public static void main(String... args) throws IOException, RunnerException, CommandLineOptionException {
        Size size = args.length == 0 ? null : Size.of(args[0]).orElse(null);
        if (size == null) {
            Main.main(args);
            return;
        }
        List<String> names = args.length < 2 ? List.of() : names(size, args[1]);
        if (names.isEmpty())
            throw new IllegalArgumentException(
                    "expected, after the size, a regular expression that matches names of operations");
        new Runner(new OptionsBuilder()
                .parent(new CommandLineOptions(Arrays.copyOfRange(args, 2, args.length)))
                .include("\\b" + OpBenchmark.class.getSimpleName() + "\\b").param("op", names.toArray(String[]::new))
                .build()).run();
    }
}
