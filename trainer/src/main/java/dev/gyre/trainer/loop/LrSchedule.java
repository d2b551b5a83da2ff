package dev.gyre.trainer.loop;

import dev.gyre.trainer.config.RunConfig;

/// Learning rate by step. Over the first `warmup` steps it rises linearly to `peak` (step `warmup` has it); from then on
/// it falls from `peak` towards `minRatio * peak`, which the step after the last would have.
///
/// @param total steps of the whole run
public record LrSchedule(RunConfig.Schedule kind, double peak, long warmup, long total, double minRatio) {
    public LrSchedule {
        if (total < 1 || warmup < 0 || !(peak >= 0) || !(minRatio >= 0 && minRatio <= 1))
            throw new IllegalArgumentException("schedule of " + total + " steps, warm-up " + warmup + ", peak " + peak
                    + ", end ratio " + minRatio);
    }

    public static LrSchedule of(RunConfig.Train t, long total) {
        return new LrSchedule(t.schedule(), t.lr(), t.warmup(), total, t.minLrRatio());
    }

    /// Learning rate of step `t`, counted from 1.
    public double at(long t) {
        if (t <= warmup)
            return peak * t / warmup;
        double done = Math.min(1, (t - 1 - warmup) / (double) Math.max(1, total - warmup));
        return switch (kind) {
            case CONSTANT -> peak;
            case LINEAR -> peak * (1 - (1 - minRatio) * done);
            case COSINE -> peak * (minRatio + (1 - minRatio) * 0.5 * (1 + Math.cos(Math.PI * done)));
        };
    }
}
