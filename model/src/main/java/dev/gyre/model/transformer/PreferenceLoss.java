package dev.gyre.model.transformer;

/// Losses of a pair of answers to one prompt, of which the first was preferred. `l` is an answer's log-probability, the sum over
/// its tokens; c the chosen, r the rejected one.
public sealed interface PreferenceLoss {
    /// Whether the answers' log-probabilities under the model as it was before training are needed.
    default boolean needsReference() {
        return false;
    }

    /// The answers of a pair as the model has them.
    ///
    /// @param chosen l of the chosen answer, rejected: of the other
    /// @param chosenReference l before training; 0 where the loss does not need it
    /// @param chosenTokens of the answer, its end included
    record Answers(double chosen, double rejected, double chosenReference, double rejectedReference, int chosenTokens,
            int rejectedTokens) {
    }

    /// The loss of a pair and what it follows from.
    ///
    /// @param chosenSlope derivative by l of the chosen answer
    /// @param chosenReward of the chosen answer, rejectedReward: of the other
    record Terms(double loss, double chosenSlope, double rejectedSlope, double chosenReward, double rejectedReward) {
        public boolean accurate() {
            return chosenReward > rejectedReward;
        }

        public double margin() {
            return chosenReward - rejectedReward;
        }
    }

    Terms of(Answers a);

    /// Direct preference optimisation (arXiv 2305.18290, equation 7), with label smoothing e (arXiv 2310.12036's cDPO):
    /// `-(1 - e) log s(x) - e log s(-x)`, `x = beta ((l_c - l_c0) - (l_r - l_r0))`; the rewards are `beta (l - l_0)`.
    ///
    /// @param smoothing e, the share of pairs whose order is taken to be wrong, from 0 to below 0.5
    record Dpo(double beta, double smoothing) implements PreferenceLoss {
        @Override
        public boolean needsReference() {
            return true;
        }

        @Override
        public Terms of(Answers a) {
            double chosen = beta * (a.chosen - a.chosenReference);
            double rejected = beta * (a.rejected - a.rejectedReference);
            double x = chosen - rejected;
            double loss = -(1 - smoothing) * logSigmoid(x) - smoothing * logSigmoid(-x);
            double slope = -(1 - smoothing) * sigmoid(-x) + smoothing * sigmoid(x);
            return new Terms(loss, slope * beta, -slope * beta, chosen, rejected);
        }
    }

    /// Odds ratio preference optimisation (arXiv 2403.07691): `-m_c - beta log s(z)` with the mean log-probability of a token
    /// `m = l / n` and `z = log(odds(m_c) / odds(m_r))`, `odds(m) = e^m / (1 - e^m)`. The first term is fine-tuning on the chosen
    /// answer; the rewards are `beta m`.
    record Orpo(double beta) implements PreferenceLoss {
        /// Where the odds have no bound.
        private static final double CERTAIN = -1e-9;

        @Override
        public Terms of(Answers a) {
            double c = Math.min(a.chosen / a.chosenTokens, CERTAIN);
            double r = Math.min(a.rejected / a.rejectedTokens, CERTAIN);
            double restC = -Math.expm1(c);
            double restR = -Math.expm1(r);
            double z = (c - r) - (Math.log(restC) - Math.log(restR));
            double loss = -c - beta * logSigmoid(z);
            double slope = beta * sigmoid(-z);
            return new Terms(loss, -(1 + slope / restC) / a.chosenTokens, slope / restR / a.rejectedTokens, beta * c,
                    beta * r);
        }
    }

    private static double sigmoid(double x) {
        return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
    }

    private static double logSigmoid(double x) {
        return x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
    }
}
