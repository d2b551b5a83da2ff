package dev.gyre.trainer.loop;

import dev.gyre.dist.Collective;
import java.util.Map;

/// Held-out examples, and how good what is trained is on them.
public interface Validation {
    /// @param loss mean over what counts; decides which checkpoint is best
    /// @param counted tokens, rows or pairs
    /// @param also losses on further sets, by name
    /// @param scores other measures of the same examples, such as accuracy, by name
    record Measured(double loss, long counted, Map<String, Double> also, Map<String, Double> scores) {
    }

    /// Measures the parameters as they are.
    ///
    /// @param workers of the run, which all measure at once and have to come to the same numbers
    Measured measure(Collective workers);
}
