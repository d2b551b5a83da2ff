package dev.gyre.model.family;

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
}
