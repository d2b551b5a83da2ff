package dev.gyre.kernels.op;

import java.util.List;

/// One operation of a [Program]: its buffers, sizes and constants. A backend switches over the families, and one class
/// per family over its records, both exhaustively: a new operation does not compile until every backend has it.
///
/// Letters: `N` rows (tokens, B*T), `C` channels, `B` batch, `T` tokens of a sequence, `H` query heads, `KV` key/value
/// heads, `D` head size, `V` vocabulary, `d` in-features, `b` block size, `m` stored elements per block. Matrices are
/// row-major. `dX` is the gradient of the loss with respect to X. "Adds to" means `+=`; everything else overwrites.
/// Constants (`alpha`, `eps`, `scale`, ...) are doubles, which a backend in single precision rounds; so the reference
/// computes with what was meant. Buffers of one operation do not overlap unless its text says that they may be the
/// same.
public sealed interface Op permits ElementOps, ColumnOps, NormOps, ProductOps, TokenOps, RopeOps, AttentionOps,
        CayleyOps, RotateOps, SubspaceOps, GivensOps, ReflectOps, OptimiserOps, ActivationOps, LayerNormOps, PartOps,
        HeadOps, DisentangledOps {
    /// The buffers it touches, each once, in the order of its components.
    List<Access> accesses();

    /// Floating point operations, a multiply-add counted as two; 0 where only memory moves.
    default long flops() {
        return 0;
    }
}
