package dev.gyre.model.transformer;

/// Everything of a session that training changes: parameters and AdamW's moments, in the order of
/// [TrainSession#tensors]. Restoring it continues bit for bit.
public record TrainState(float[] params, float[] m, float[] v) {
}
