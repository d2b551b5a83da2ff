package dev.gyre.model.transformer;

/// Everything of a session that training changes: parameters and AdamW's moments, in the order of
/// [TrainSession#tensors], and what methods remember between steps ([dev.gyre.model.adapter.StepHook#state]), adapter after
/// adapter. Restoring it continues bit for bit.
public record TrainState(float[] params, float[] m, float[] v, double[] method) {
    public TrainState(float[] params, float[] m, float[] v) {
        this(params, m, v, new double[0]);
    }
}
