package dev.gyre.model.family;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// How the rotary frequencies are stretched beyond the context that a model was first trained on.
public sealed interface RopeScaling {
    /// No scaling: `f_j = theta^(-2j/D)`.
    record Default() implements RopeScaling {
    }

    /// `f / factor`.
    record Linear(double factor) implements RopeScaling {
    }

    /// Larger theta for lengths above max_position_embeddings.
    record Dynamic(double factor) implements RopeScaling {
    }

    /// Low frequencies divided by `factor`, high ones kept, a ramp between.
    record Llama3(double factor, double lowFreqFactor, double highFreqFactor, int originalMaxPositions)
            implements
            RopeScaling {
    }

    /// YaRN; absent keys are null and follow from `factor`.
    record Yarn(double factor, int originalMaxPositions, double betaFast, double betaSlow,
            @Nullable Double attentionFactor, @Nullable Double mscale, @Nullable Double mscaleAllDim,
            boolean truncate) implements RopeScaling {
    }

    /// LongRoPE (arXiv 2402.13753): each frequency divided by a factor of its own, by those of one list for sequences up to
    /// the original length and by those of the other for longer ones.
    ///
    /// @param factor of the context, for the attention factor; null: `max_position_embeddings` / original length
    /// @param attentionFactor on both tables; null: `sqrt(1 + ln(factor) / ln(original length))`
    record LongRope(List<Double> shortFactor, List<Double> longFactor, int originalMaxPositions,
            @Nullable Double factor, @Nullable Double attentionFactor) implements RopeScaling {
        public LongRope {
            shortFactor = List.copyOf(shortFactor);
            longFactor = List.copyOf(longFactor);
            if (originalMaxPositions < 2)
                throw new IllegalArgumentException("original_max_position_embeddings " + originalMaxPositions
                        + " is less than 2");
        }
    }
}
