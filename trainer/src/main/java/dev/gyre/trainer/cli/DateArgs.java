package dev.gyre.trainer.cli;

import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import java.time.format.DateTimeParseException;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// `--date`, for the commands that use a chat template.
final class DateArgs {
    @Option(names = "--date", paramLabel = "DATE",
            description = "What the chat template shows that asks for today's date, such as 2025-07-26 (default: a run's data.date, else none).")
    @Nullable
    String date;

    /// The text side of a model.
    ModelText text(ModelArgs model, ModelRef ref) {
        try {
            return ModelText.load(ref.model(), date != null ? RunConfig.Data.day(date)
                    : ModelRef.date(Stream.concat(Stream.of(model.model), model.adapters.stream()).toList()));
        } catch (DateTimeParseException e) {
            throw new UsageException("--date " + date + " is not a date; write 2025-07-26 or 2025-07-26T14:30:00");
        }
    }
}
