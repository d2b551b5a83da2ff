package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// Conversion of matrices to and from BF16 for products by cuBLAS; `powers` as in [ProductKernels#bf16].
final class ProductBf16Kernels {
    private ProductBf16Kernels() {
    }

    /// `y = round(x)`; y is a whole array.
    static void toBf16(IntArray at, int slot, FloatArray x, FloatArray powers, ShortArray y, int n) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, bits(x.get(xAt + i), powers));
    }

    /// An NF4 weight, as in [ProductKernels#nf4].
    static void nf4ToBf16(IntArray at, int slot, ByteArray codes, FloatArray tables, FloatArray maxima,
            ByteArray maximaCodes, FloatArray powers, ShortArray y, int n, int block, int nested) {
        int codesAt = at.get(slot);
        int tablesAt = at.get(slot + 1);
        int maximaAt = at.get(slot + 2);
        int maximaCodesAt = at.get(slot + 3);
        int yAt = at.get(slot + 4);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, bits(ProductKernels.nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes,
                    maximaCodesAt, block, nested, i), powers));
    }

    /// `y (+)= x`.
    @SuppressWarnings("IdentityBinaryExpression") // infinity minus infinity is NaN
    static void fromBf16(IntArray at, int slot, ShortArray x, FloatArray powers, FloatArray y, int n, int accumulate) {
        int xAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++) {
            float old = accumulate != 0 ? y.get(yAt + i) : 0f;
            float value = ProductKernels.bf16(x.get(xAt + i), powers);
            // [ProductKernels#bf16] decodes NaN as infinity, which is fine for weights but not for results
            float number = (x.get(xAt + i) & 0x7fff) > 0x7f80 ? value - value : value;
            y.set(yAt + i, old + number);
        }
    }

    /// The bits of the nearest BF16 value, ties to even; zero loses its sign. The exponent is found by bisection in the table
    /// of powers of two, because the device compilers cannot compute with reinterpreted bits. All steps are exact, also as
    /// fused multiply-adds.
    @SuppressWarnings("IdentityBinaryExpression") // only NaN differs from itself, and CUDA's compiler respects that
    static short bits(float x, FloatArray powers) {
        float size = x < 0f ? -x : x;
        int exponent = size < powers.get(128) ? 0 : 128;
        exponent += size < powers.get(exponent + 64) ? 0 : 64;
        exponent += size < powers.get(exponent + 32) ? 0 : 32;
        exponent += size < powers.get(exponent + 16) ? 0 : 16;
        exponent += size < powers.get(exponent + 8) ? 0 : 8;
        exponent += size < powers.get(exponent + 4) ? 0 : 4;
        exponent += size < powers.get(exponent + 2) ? 0 : 2;
        exponent += size < powers.get(exponent + 1) ? 0 : 1;
        // in [128, 256) for normal values, less for subnormal ones
        float scaled = size / powers.get(exponent) * 128f;
        int whole = (int) scaled;
        float rest = scaled - whole;
        int up = rest > 0.5f ? 1 : rest == 0.5f ? whole & 1 : 0;
        // a mantissa that becomes 256 carries into the exponent
        int rounded = exponent * 128 + whole + up - (exponent > 0 ? 128 : 0);
        // NaN is not less than any power
        int value = size == size ? exponent == 255 ? 0x7f80 : rounded : 0x7fc0;
        return (short) (x < 0f ? value - 0x8000 : value);
    }
}
