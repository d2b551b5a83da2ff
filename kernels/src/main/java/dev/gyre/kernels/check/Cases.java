package dev.gyre.kernels.check;

import java.util.List;

/// The dimensions at which one family of operations is checked and timed. The operations themselves are stated once, by the
/// [OpCase] records of the implementing class.
interface Cases {
    /// Odd and unfriendly sizes in every mode, and a few large enough for blocked and threaded paths.
    List<OpCase> odd();

    /// Every operation at the sizes of a training step of a model.
    List<OpCase> sized(Shape z);

    /// Small sizes at which gradients are compared with finite differences.
    default List<OpCase> gradients() {
        return List.of();
    }

    /// Further sizes to time: 207 and 702, which no vector width divides, and single large operands.
    default List<OpCase> timed() {
        return List.of();
    }
}
