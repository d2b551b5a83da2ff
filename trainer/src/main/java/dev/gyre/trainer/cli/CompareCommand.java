package dev.gyre.trainer.cli;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.report.Comparison;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre compare`: runs side by side.
@Command(name = "compare",
        description = "Put finished runs side by side: accuracy, forgetting, trainable parameters, step time, memory, file size, orthogonality.")
final class CompareCommand extends GyreCommand {
    @Parameters(index = "0", arity = "1..*", paramLabel = "RUN",
            description = "Run directories, or folders of them, such as the output of gyre sweep.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    List<Path> runs;

    @Option(names = "--relative", paramLabel = "RUN",
            description = "Also show trainable parameters, step time and memory as multiples of this run's. lora stands for lora-f32, lora-nf4, ...: each run is then measured against the one over the same base.")
    @Nullable
    String relative;

    @ArgGroup(exclusive = true)
    @Nullable
    As as;

    private static final class As {
        @Option(names = "--markdown", description = "Print a Markdown table, the best of each column in bold.")
        boolean markdown;

        @Option(names = "--csv", description = "Print all values in full as CSV (bytes, seconds, shares).")
        boolean csv;

        @Option(names = "--latex", description = "Print a LaTeX tabular (package booktabs).")
        boolean latex;
    }

    @Option(names = "--all",
            description = "Show every column (CSV has them in any case): also tokens, base-data loss, process memory, rotations, and all settings in which runs differ.")
    boolean all;

    @Option(names = "--out", paramLabel = "FILE.html",
            description = "Also write one page with the table, Pareto plots and the curves; it needs no network.")
    @Nullable
    Path out;

    @Override
    protected int run() {
        if (out != null)
            AtomicFiles.checkResult(out, Comparison.PAGE_MARK, "a page of Gyre");
        Comparison c = Comparison.of(runs, relative);
        if (c.rows().isEmpty())
            throw new UsageException("no run among these is finished: "
                    + c.missing().entrySet().stream().map(e -> e.getKey() + " (" + e.getValue() + ")")
                            .collect(Collectors.joining(", ")));
        As a = as;
        if (a != null)
            screen().result((a.markdown ? c.table().markdown(all) : a.csv ? c.table().csv() : c.table().latex(all))
                    .stripTrailing());
        else
            c.table().text(all).forEach(screen()::result);
        if (out != null) {
            AtomicFiles.write(out,
                    c.table().html("Gyre \u00b7 " + String.join(", ", runs.stream().map(Path::toString).toList())));
            screen().note("wrote " + out);
        }
        return ExitCode.OK;
    }
}
