package dev.gyre.trainer.cli.screen;

import dev.gyre.trainer.report.Results;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What base model and result do on the same data, as lines.
public final class ResultsText {
    private ResultsText() {
    }

    public static List<String> beforeAndAfter(Results.Scores before, Results.Scores after) {
        List<String> out = new ArrayList<>();
        row(out, "loss on data.valid", "%.4f", 1, before.loss(), after.loss());
        row(out, "perplexity", "%.3f", 1, before.perplexity(), after.perplexity());
        row(out, "exact answers (" + after.answered() + " tasks)", "%.1f %%", 100, before.exact(), after.exact());
        row(out, "right tokens of the answers", "%.1f %%", 100, before.tokens(), after.tokens());
        row(out, "loss on results.forgetting", "%.4f", 1, before.forgetting(), after.forgetting());
        row(out, "exact answers there", "%.1f %%", 100, before.kept(), after.kept());
        if (!out.isEmpty())
            out.addFirst(Text.format("%-32s %10s %10s", "", "base", "result"));
        return out;
    }

    private static void row(List<String> out, String what, String format, double scale, @Nullable Double before,
            @Nullable Double after) {
        if (before != null && after != null)
            out.add(Text.format("%-32s %10s %10s", what, Text.format(format, scale * before),
                    Text.format(format, scale * after)));
    }
}
