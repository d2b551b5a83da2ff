package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.ByteArray;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// Matrix products `c (+)= alpha op(a) op(b)`, c (M,N), inner length K, one work item per element of c. The weight b may be
/// F32, BF16 or NF4 and is decoded element by element as it is read.
final class ProductKernels {
    private ProductKernels() {
    }

    /// NN: a (M,K), b (K,N).
    static void nn(IntArray at, int slot, FloatArray a, FloatArray b, FloatArray c, int M, int N, int K, float alpha,
            int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + i * K + k) * b.get(bAt + k * N + j);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// NT: a (M,K), b (N,K).
    static void nt(IntArray at, int slot, FloatArray a, FloatArray b, FloatArray c, int M, int N, int K, float alpha,
            int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + i * K + k) * b.get(bAt + j * K + k);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// TN: a (K,M), b (K,N).
    static void tn(IntArray at, int slot, FloatArray a, FloatArray b, FloatArray c, int M, int N, int K, float alpha,
            int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + k * M + i) * b.get(bAt + k * N + j);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// [#nn] with b in BF16; `powers` as in [#bf16].
    static void nnBf16(IntArray at, int slot, FloatArray a, ShortArray b, FloatArray powers, FloatArray c, int M, int N,
            int K, float alpha, int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + i * K + k) * bf16(b.get(bAt + k * N + j), powers);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// [#nt] with b in BF16.
    static void ntBf16(IntArray at, int slot, FloatArray a, ShortArray b, FloatArray powers, FloatArray c, int M, int N,
            int K, float alpha, int accumulate) {
        int aAt = at.get(slot);
        int bAt = at.get(slot + 1);
        int cAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + i * K + k) * bf16(b.get(bAt + j * K + k), powers);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// [#nn] with b in NF4; the arguments after `c` as in [#nf4].
    static void nnNf4(IntArray at, int slot, FloatArray a, ByteArray codes, FloatArray tables, FloatArray maxima,
            ByteArray maximaCodes, FloatArray c, int M, int N, int K, float alpha, int accumulate, int block,
            int nested) {
        int aAt = at.get(slot);
        int codesAt = at.get(slot + 1);
        int tablesAt = at.get(slot + 2);
        int maximaAt = at.get(slot + 3);
        int maximaCodesAt = at.get(slot + 4);
        int cAt = at.get(slot + 5);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + i * K + k)
                            * nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes, maximaCodesAt, block,
                                    nested, k * N + j);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// [#nt] with b in NF4.
    static void ntNf4(IntArray at, int slot, FloatArray a, ByteArray codes, FloatArray tables, FloatArray maxima,
            ByteArray maximaCodes, FloatArray c, int M, int N, int K, float alpha, int accumulate, int block,
            int nested) {
        int aAt = at.get(slot);
        int codesAt = at.get(slot + 1);
        int tablesAt = at.get(slot + 2);
        int maximaAt = at.get(slot + 3);
        int maximaCodesAt = at.get(slot + 4);
        int cAt = at.get(slot + 5);
        for (@Parallel int i = 0; i < (M & ALL); i++)
            for (@Parallel int j = 0; j < (N & ALL); j++) {
                float sum = 0f;
                for (int k = 0; k < K; k++)
                    sum += a.get(aAt + i * K + k)
                            * nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes, maximaCodesAt, block,
                                    nested, j * K + k);
                float old = accumulate != 0 ? c.get(cAt + i * N + j) : 0f;
                c.set(cAt + i * N + j, old + alpha * sum);
            }
    }

    /// Decodes a whole BF16 weight.
    static void decodeBf16(IntArray at, int slot, ShortArray w, FloatArray powers, FloatArray y, int n) {
        int wAt = at.get(slot);
        int yAt = at.get(slot + 1);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, bf16(w.get(wAt + i), powers));
    }

    /// Decodes a whole NF4 weight.
    static void decodeNf4(IntArray at, int slot, ByteArray codes, FloatArray tables, FloatArray maxima,
            ByteArray maximaCodes, FloatArray y, int n, int block, int nested) {
        int codesAt = at.get(slot);
        int tablesAt = at.get(slot + 1);
        int maximaAt = at.get(slot + 2);
        int maximaCodesAt = at.get(slot + 3);
        int yAt = at.get(slot + 4);
        for (@Parallel int i = 0; i < (n & ALL); i++)
            y.set(yAt + i, nf4(codes, codesAt, tables, tablesAt, maxima, maximaAt, maximaCodes, maximaCodesAt, block,
                    nested, i));
    }

    /// A BF16 value from its bits: sign, 8 bits of exponent, 7 of mantissa. `powers[e]` is 2^(e-127), and 2^-126 for e = 0
    /// (subnormal values). A table is used because the device compilers cannot compute with reinterpreted bits.
    static float bf16(short bits, FloatArray powers) {
        int exponent = (bits & 0x7f80) >> 7;
        float mantissa = (bits & 0x7f) * 0.0078125f + (exponent == 0 ? 0f : 1f);
        float value = powers.get(exponent) * mantissa;
        return (bits & 0x8000) != 0 ? -value : value;
    }

    /// Element e of a matrix in NF4: `book[code] * maximum of its block`. With `nested` > 0 (double quantisation) the maximum
    /// is stored as a code: `map[maximaCodes[k]] * maxima[k / nested] + offset`.
    static float nf4(ByteArray codes, int codesAt, FloatArray tables, int tablesAt, FloatArray maxima, int maximaAt,
            ByteArray maximaCodes, int maximaCodesAt, int block, int nested, int e) {
        int two = codes.get(codesAt + (e >> 1)) & 0xff;
        int code = (e & 1) == 0 ? two >> 4 : two & 15;
        int k = e / block;
        float maximum = nested == 0
                ? maxima.get(maximaAt + k)
                : tables.get(tablesAt + 16 + (maximaCodes.get(maximaCodesAt + k) & 0xff))
                        * maxima.get(maximaAt + k / nested) + tables.get(tablesAt + 272);
        return tables.get(tablesAt + code) * maximum;
    }
}
