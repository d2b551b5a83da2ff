package dev.gyre.model.adapter;

/// Frozen factors of PSOFT for one module.
///
/// @param a (r, in), rows orthonormal with `psoft_init`
/// @param b (out, r), so that `s B A` is the principal part of the weight
public record PrincipalFactors(float[] a, float[] b) {
}
