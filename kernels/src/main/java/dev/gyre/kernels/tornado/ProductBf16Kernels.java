package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.BFloat16;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// Conversion of matrices to BF16 for products by cuBLAS, by the instruction that CUDA devices have for it: to the nearest value,
/// ties to even.
final class ProductBf16Kernels {
    private ProductBf16Kernels() {
    }

    /// `y = round(x)`.
    static void toBf16(IntArray at, int slot, FloatArray x, ShortArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, BFloat16.bf16FromFloat(x.get(xAt + i)));
    }

    /// An NF4 weight, as in [ProductKernels#nf4].
    static void nf4ToBf16(IntArray at, int slot, ByteArray codes, FloatArray tables, FloatArray maxima,
            ByteArray maximaCodes, ShortArray y, int n, int block, int nested) {
        int codesAt = at.get(slot);
        int tablesAt = at.get(slot + 1);
        int maximaAt = at.get(slot + 2);
        int maximaCodesAt = at.get(slot + 3);
        int yAt = at.get(slot + 4);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, BFloat16.bf16FromFloat(ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt,
                    maximaCodes, maximaCodesAt, block, nested, i)));
    }
}
