package dev.gyre.kernels.op;

import static dev.gyre.kernels.op.Access.into;
import static dev.gyre.kernels.op.Access.read;
import static dev.gyre.kernels.op.Access.update;
import static dev.gyre.kernels.op.Access.write;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One operation of a [Program]: its buffers and sizes, nothing else. A backend runs it in one exhaustive
/// `switch`, so a new operation does not compile until every backend has it.
///
/// Letters: `N` rows (tokens, B*T), `C` channels, `B` batch, `T` tokens of a sequence, `H` query heads,
/// `KV` key/value heads, `D` head size, `V` vocabulary, `d` in-features, `b` block size, `m` stored numbers a block.
/// Matrices are row-major. `dX` is the gradient of the loss with respect to X. "Adds to" means `+=`; everything else
/// overwrites. Buffers of one operation do not overlap unless its text says that they may be the same.
public sealed interface Op {
    /// The buffers it touches, each once, in the order of its components.
    List<Access> accesses();

    /// Floating point operations, a multiply-add counted as two; 0 where only memory moves.
    default long flops() {
        return 0;
    }

    /// Sets every element of an F32 buffer to `value`.
    record Fill(Buf x, float value) implements Op {
        @Override
        public List<Access> accesses() {
            return List.of(write(x));
        }
    }

    /// `y = x`, F32, equal sizes.
    record Copy(Buf x, Buf y) implements Op {
        public Copy {
            check(x.size() == y.size(), "Copy", x, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), write(y));
        }
    }

    /// `out = x + y` elementwise, equal sizes.
    record Add(Buf x, Buf y, Buf out) implements Op {
        public Add {
            check(x.size() == y.size() && x.size() == out.size(), "Add", x, y, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(y), write(out));
        }

        @Override
        public long flops() {
            return x.size();
        }
    }

    /// `y += a x` elementwise, equal sizes.
    record Axpy(float a, Buf x, Buf y) implements Op {
        public Axpy {
            check(x.size() == y.size(), "Axpy", x, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), update(y));
        }

        @Override
        public long flops() {
            return 2 * x.size();
        }
    }

    /// Row look-up `out[i] = table[ids[i]]`: ids (N) I32 in `0..V-1`, table (V,C) F32 or BF16, out (N,C).
    record Embed(Buf ids, Buf table, Buf out, int N, int V, int C) implements Op {
        public Embed {
            check(ids.dtype() == DType.I32 && ids.size() == N && table.size() == (long) V * C
                    && out.size() == (long) N * C && table.dtype() != DType.NF4, "Embed", ids, table, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(ids), read(table), write(out));
        }
    }

    /// Adds each row of dOut (N,C) to row `ids[i]` of dTable (V,C), in row order whatever the thread count.
    record EmbedGrad(Buf ids, Buf dOut, Buf dTable, int N, int V, int C) implements Op {
        public EmbedGrad {
            check(ids.dtype() == DType.I32 && ids.size() == N && dTable.size() == (long) V * C
                    && dOut.size() == (long) N * C, "EmbedGrad", ids, dOut, dTable);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(ids), read(dOut), update(dTable));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// `y = x rstd * weight` with `rstd = 1/sqrt(mean(x^2) + eps)` per row: x, y (N,C), weight (C), rstd (N).
    record RmsNorm(Buf x, Buf weight, Buf y, Buf rstd, int N, int C, float eps) implements Op {
        public RmsNorm {
            check(x.size() == (long) N * C && y.size() == x.size() && weight.size() == C && rstd.size() == N
                    && weight.dtype() == DType.F32, "RmsNorm", x, weight, y, rstd);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(weight), write(y), write(rstd));
        }

        @Override
        public long flops() {
            return 4L * N * C;
        }
    }

    /// `dX (+)= rstd (g - x rstd^2 mean(g x))` per row, with `g = dY * weight`.
    record RmsNormGrad(Buf x, Buf weight, Buf rstd, Buf dY, Buf dX, int N, int C, boolean accumulate)
            implements Op {
        public RmsNormGrad {
            check(x.size() == (long) N * C && dY.size() == x.size() && dX.size() == x.size() && weight.size() == C
                    && rstd.size() == N, "RmsNormGrad", x, weight, rstd, dY, dX);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(weight), read(rstd), read(dY), into(dX, accumulate));
        }

        @Override
        public long flops() {
            return 8L * N * C;
        }
    }

    /// Adds `sum over rows of dY * x rstd` to dWeight (C).
    record RmsNormWeightGrad(Buf x, Buf rstd, Buf dY, Buf dWeight, int N, int C) implements Op {
        public RmsNormWeightGrad {
            check(x.size() == (long) N * C && dY.size() == x.size() && dWeight.size() == C && rstd.size() == N,
                    "RmsNormWeightGrad", x, rstd, dY, dWeight);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(rstd), read(dY), update(dWeight));
        }

        @Override
        public long flops() {
            return 3L * N * C;
        }
    }

    /// Matrix product `c (+)= alpha * op(a) op(b)`, c (M,N), inner length K.
    ///
    /// | form | a | b | use |
    /// |---|---|---|---|
    /// | NN | (M,K) | (K,N) | input gradient `dX = dY W` |
    /// | NT | (M,K) | (N,K) | forward `Y = X W^T` |
    /// | TN | (K,M) | (K,N) | weight gradient `dW = dY^T X` |
    ///
    /// b may be F32, BF16 or NF4 in NN and NT; a and c are F32.
    record MatMul(Form form, Buf a, Buf b, Buf c, int M, int N, int K, float alpha, boolean accumulate)
            implements Op {
        public enum Form {
            NN, NT, TN
        }

        public MatMul {
            check(a.size() == (long) M * K && b.size() == (long) N * K && c.size() == (long) M * N
                    && a.dtype() == DType.F32 && (form != Form.TN || b.dtype() == DType.F32), "MatMul " + form, a, b,
                    c);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(a), read(b), into(c, accumulate));
        }

        @Override
        public long flops() {
            return 2L * M * N * K;
        }
    }

    /// `y[i] += bias` in place: y (N,C), bias (C).
    record AddBias(Buf y, Buf bias, int N, int C) implements Op {
        public AddBias {
            check(y.size() == (long) N * C && bias.size() == C && bias.dtype() == DType.F32, "AddBias", y, bias);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(y), read(bias));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// Adds the column sums of dY (N,C) to dBias (C).
    record BiasGrad(Buf dY, Buf dBias, int N, int C) implements Op {
        public BiasGrad {
            check(dY.size() == (long) N * C && dBias.size() == C, "BiasGrad", dY, dBias);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(dY), update(dBias));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// Rotary position embedding in place, half-split pairs (j, j + D/2): x (N, heads*D); cos, sin (P, D/2);
    /// positions (N) I32 in `0..P-1`. `inverse` turns the other way, which is the gradient when cos and sin form
    /// rotations; with YaRN's attention factor in both tables it is still the transpose, hence still the gradient.
    record Rope(Buf x, Buf cos, Buf sin, Buf positions, int N, int heads, int D, boolean inverse) implements Op {
        public Rope {
            check(x.size() == (long) N * heads * D && D % 2 == 0 && cos.size() == sin.size()
                    && cos.size() % (D / 2) == 0 && positions.size() == N && positions.dtype() == DType.I32, "Rope", x,
                    cos, sin, positions);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(x), read(cos), read(sin), read(positions));
        }

        @Override
        public long flops() {
            return 3L * N * heads * D;
        }
    }

    /// Causal attention: q, out (B*T, H*D), k, v (B*T, KV*D), lse (B*T, H) the log of the softmax denominators.
    /// Query i of a sequence sees key j when `start[i] <= j <= i` and, with `window > 0`, `j > i - window`;
    /// `start` (B*T) I32 holds positions within the sequence, `0 <= start[i] <= i`: the first token of the packed
    /// example, or the first that is not padding. Query head h uses key/value head `h / (H/KV)`. Scores are scaled by
    /// `scale`. No T x T matrix is ever held: keys are streamed with a running maximum.
    record Attention(Buf q, Buf k, Buf v, Buf start, Buf out, Buf lse, int B, int T, int H, int KV, int D,
            float scale, int window) implements Op {
        public Attention {
            long n = (long) B * T;
            check(q.size() == n * H * D && out.size() == q.size() && k.size() == n * KV * D && v.size() == k.size()
                    && lse.size() == n * H && start.size() == n && start.dtype() == DType.I32 && H % KV == 0,
                    "Attention", q, k, v, start, out, lse);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(q), read(k), read(v), read(start), write(out), write(lse));
        }

        @Override
        public long flops() {
            return 2L * B * H * D * T * (T + 1L);
        }
    }

    /// Gradient of [Attention], probabilities recomputed from q, k and lse. `delta` (B*T, H) is workspace:
    /// `delta = sum over D of dOut * out`.
    record AttentionGrad(Buf q, Buf k, Buf v, Buf start, Buf out, Buf lse, Buf dOut, Buf delta, Buf dQ, Buf dK,
            Buf dV, int B, int T, int H, int KV, int D, float scale, int window) implements Op {
        public AttentionGrad {
            long n = (long) B * T;
            check(q.size() == n * H * D && out.size() == q.size() && dOut.size() == q.size() && dQ.size() == q.size()
                    && k.size() == n * KV * D && v.size() == k.size() && dK.size() == k.size() && dV.size() == k.size()
                    && lse.size() == n * H && delta.size() == lse.size() && start.size() == n && H % KV == 0,
                    "AttentionGrad", q, k, v, start, out, lse, dOut, delta, dQ, dK, dV);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(q), read(k), read(v), read(start), read(out), read(lse), read(dOut), write(delta),
                    write(dQ), write(dK), write(dV));
        }

        @Override
        public long flops() {
            return 5L * B * H * D * T * (T + 1L);
        }
    }

    /// Stores T new keys and values (T, C) of one sequence in caches (P, C) from row `start[0]` on.
    record CacheStore(Buf k, Buf v, Buf kCache, Buf vCache, Buf start, int T, int P, int C) implements Op {
        public CacheStore {
            check(k.size() == (long) T * C && v.size() == k.size() && kCache.size() == (long) P * C
                    && vCache.size() == kCache.size() && start.size() == 1 && start.dtype() == DType.I32, "CacheStore",
                    k, v, kCache, vCache, start);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(k), read(v), update(kCache), update(vCache), read(start));
        }
    }

    /// Attention of T new queries of one sequence (q, out (T, H*D)) over cached keys and values (P, KV*D):
    /// query i sits at position `start[0] + i` and sees the cache rows up to there (`window` as in [Attention]).
    record CachedAttention(Buf q, Buf kCache, Buf vCache, Buf start, Buf out, int T, int P, int H, int KV, int D,
            float scale, int window) implements Op {
        public CachedAttention {
            check(q.size() == (long) T * H * D && out.size() == q.size() && kCache.size() == (long) P * KV * D
                    && vCache.size() == kCache.size() && start.size() == 1 && H % KV == 0, "CachedAttention", q, kCache,
                    vCache, start, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(q), read(kCache), read(vCache), read(start), write(out));
        }

        @Override
        public long flops() {
            return 4L * T * H * D * P;
        }
    }

    /// `out = silu(gate) * up` elementwise, equal sizes.
    record SwiGlu(Buf gate, Buf up, Buf out) implements Op {
        public SwiGlu {
            check(gate.size() == up.size() && gate.size() == out.size(), "SwiGlu", gate, up, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(gate), read(up), write(out));
        }

        @Override
        public long flops() {
            return 5 * gate.size();
        }
    }

    /// dGate and dUp of [SwiGlu]: with `s = sigmoid(gate)`, `dUp = dOut gate s`,
    /// `dGate = dOut up s (1 + gate (1 - s))`. dGate may be `gate` and dUp may be `up`.
    record SwiGluGrad(Buf gate, Buf up, Buf dOut, Buf dGate, Buf dUp) implements Op {
        public SwiGluGrad {
            check(gate.size() == up.size() && gate.size() == dOut.size() && gate.size() == dGate.size()
                    && gate.size() == dUp.size(), "SwiGluGrad", gate, up, dOut, dGate, dUp);
        }

        @Override
        public List<Access> accesses() {
            List<Access> a = new ArrayList<>();
            a.add(dGate == gate ? update(gate) : read(gate));
            a.add(dUp == up ? update(up) : read(up));
            a.add(read(dOut));
            if (dGate != gate)
                a.add(write(dGate));
            if (dUp != up)
                a.add(write(dUp));
            return a;
        }

        @Override
        public long flops() {
            return 10 * gate.size();
        }
    }

    /// Cross entropy of each row: logits (N,V), labels (N) I32, -100 ignored:
    /// `rowLoss[i] = log sum exp logits[i] - logits[i][label]`, 0 for ignored rows. With `gradient`, logits are replaced
    /// by `(softmax - onehot) * scale[0]` (0 for ignored rows); `scale` (1) is 1 / trained tokens of the whole step.
    record CrossEntropy(Buf logits, Buf labels, Buf rowLoss, Buf scale, int N, int V, boolean gradient)
            implements Op {
        public static final int IGNORE = -100;

        public CrossEntropy {
            check(logits.size() == (long) N * V && labels.size() == N && labels.dtype() == DType.I32
                    && rowLoss.size() == N && scale.size() == 1, "CrossEntropy", logits, labels, rowLoss, scale);
        }

        @Override
        public List<Access> accesses() {
            return List.of(gradient ? update(logits) : read(logits), read(labels), write(rowLoss), read(scale));
        }

        @Override
        public long flops() {
            return (gradient ? 8L : 4L) * N * V;
        }
    }

    /// Rotations R (blocks, b, b) from stored skew blocks v (blocks, m); see [Orthogonal].
    record Cayley(Orthogonal map, Buf v, Buf r, int blocks, int b) implements Op {
        public Cayley {
            check(v.size() == (long) blocks * map.stored(b) && r.size() == (long) blocks * b * b, "Cayley", v, r);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(v), write(r));
        }

        @Override
        public long flops() {
            return 6L * blocks * b * b * b;
        }
    }

    /// Adds the gradient of [Cayley] to dV (blocks, m), given dR (blocks, b, b).
    record CayleyGrad(Orthogonal map, Buf v, Buf dR, Buf dV, int blocks, int b) implements Op {
        public CayleyGrad {
            check(v.size() == (long) blocks * map.stored(b) && dV.size() == v.size()
                    && dR.size() == (long) blocks * b * b, "CayleyGrad", v, dR, dV);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(v), read(dR), update(dV));
        }

        @Override
        public long flops() {
            return 12L * blocks * b * b * b;
        }
    }

    /// COFT: scales each stored block of v (blocks, b(b-1)/2) in place to `||Q||_F <= limit`, where
    /// `||Q||_F^2 = 2 ||v||^2` and `limit = eps / sqrt(blocks)`.
    record CoftProject(Buf v, int blocks, int b, float limit) implements Op {
        public CoftProject {
            check(v.size() == (long) blocks * b * (b - 1) / 2, "CoftProject", v);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(v));
        }
    }

    /// Block rotation of rows, `y[t,i] (+)= x[t,i] R[i]` (OFTv2), or `x[t,i] R[i]^T` with `transpose` (its input
    /// gradient, and the merge of a weight): x, y (N,d), R (stored, b, b), d = blocks * b, and
    /// `stored` is `blocks` or 1 (one rotation shared by all blocks).
    record BlockRotate(Buf x, Buf r, Buf y, int N, int d, int b, int stored, boolean transpose,
            boolean accumulate) implements Op {
        public BlockRotate {
            check(x.size() == (long) N * d && y.size() == x.size() && d % b == 0 && (stored == 1 || stored == d / b)
                    && r.size() == (long) stored * b * b, "BlockRotate", x, r, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(r), into(y, accumulate));
        }

        @Override
        public long flops() {
            return 2L * N * d * b;
        }
    }

    /// Gradient of [BlockRotate] for R: `dR[i] = sum over t of x[t,i]^T dY[t,i]`, summed over blocks when shared;
    /// x, dY (N,d), dR (stored, b, b).
    record BlockRotateGrad(Buf x, Buf dY, Buf dR, int N, int d, int b, int stored) implements Op {
        public BlockRotateGrad {
            check(x.size() == (long) N * d && dY.size() == x.size() && d % b == 0 && (stored == 1 || stored == d / b)
                    && dR.size() == (long) stored * b * b, "BlockRotateGrad", x, dY, dR);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(dY), write(dR));
        }

        @Override
        public long flops() {
            return 2L * N * d * b;
        }
    }

    /// `y = w` in F32, whole: w BF16, NF4 or F32 of any shape. Only OFT v1 asks for it; everything else decodes inside
    /// its product.
    record Decode(Buf w, Buf y) implements Op {
        public Decode {
            check(w.size() == y.size() && y.dtype() == DType.F32, "Decode", w, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(w), write(y));
        }
    }

    /// The dense matrix (d,d) with the blocks of r (stored, b, b) on its diagonal and zeros elsewhere; one stored block
    /// is repeated. OFT v1 multiplies by it.
    record BlockDiagonal(Buf r, Buf dense, int d, int b, int stored) implements Op {
        public BlockDiagonal {
            check(dense.size() == (long) d * d && d % b == 0 && (stored == 1 || stored == d / b)
                    && r.size() == (long) stored * b * b, "BlockDiagonal", r, dense);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(r), write(dense));
        }
    }

    /// Gradient of [BlockDiagonal]: the diagonal blocks of dDense (d,d) into dR (stored, b, b), summed when shared.
    record BlockDiagonalGrad(Buf dDense, Buf dR, int d, int b, int stored) implements Op {
        public BlockDiagonalGrad {
            check(dDense.size() == (long) d * d && d % b == 0 && (stored == 1 || stored == d / b)
                    && dR.size() == (long) stored * b * b, "BlockDiagonalGrad", dDense, dR);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(dDense), write(dR));
        }
    }

    /// Multiplicative dropout: where `mask[i] != 0`, block i of r (blocks, b, b) is replaced in place by the identity
    /// (`identity`) or by zero (its gradient). mask (blocks) I32.
    record MaskBlocks(Buf r, Buf mask, int blocks, int b, boolean identity) implements Op {
        public MaskBlocks {
            check(r.size() == (long) blocks * b * b && mask.size() == blocks && mask.dtype() == DType.I32, "MaskBlocks",
                    r, mask);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(r), read(mask));
        }
    }

    /// `y (+)= x * keep / (1 - p)`: inverted dropout. Element e is kept when a hash of (`seed[0]`, `salt`, e) is
    /// at least p as a fraction of 2^24 (see [Dropouts#keeps]): the backward pass runs the same operation on the
    /// gradient, no mask is stored. seed (1) I32 changes every micro-batch.
    record Dropout(Buf x, Buf seed, Buf y, int salt, float p, boolean accumulate) implements Op {
        public Dropout {
            check(x.size() == y.size() && seed.dtype() == DType.I32 && seed.size() == 1 && p >= 0f && p < 1f,
                    "Dropout", x, seed, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(seed), into(y, accumulate));
        }
    }

    /// `y = x * s` with s (C) along each row of x, y (N,C). y may be x.
    record ScaleColumns(Buf x, Buf s, Buf y, int N, int C) implements Op {
        public ScaleColumns {
            check(x.size() == (long) N * C && y.size() == x.size() && s.size() == C, "ScaleColumns", x, s, y);
        }

        @Override
        public List<Access> accesses() {
            return y == x ? List.of(update(x), read(s)) : List.of(read(x), read(s), write(y));
        }

        @Override
        public long flops() {
            return (long) N * C;
        }
    }

    /// Adds `sum over rows of x * y` to out (C): x, y (N,C). The gradient of [ScaleColumns] for s.
    record ColumnDot(Buf x, Buf y, Buf out, int N, int C) implements Op {
        public ColumnDot {
            check(x.size() == (long) N * C && y.size() == x.size() && out.size() == C, "ColumnDot", x, y, out);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(y), update(out));
        }

        @Override
        public long flops() {
            return 2L * N * C;
        }
    }

    /// `y[t][j] = x[t][perm[j]]`: x, y (N,C), perm (C) I32 a permutation (BOFT).
    record PermuteColumns(Buf x, Buf perm, Buf y, int N, int C) implements Op {
        public PermuteColumns {
            check(x.size() == (long) N * C && y.size() == x.size() && perm.size() == C && perm.dtype() == DType.I32,
                    "PermuteColumns", x, perm, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(perm), write(y));
        }
    }

    /// PSOFT's core `core = diag(vb) R diag(va) - I` (r,r); va, vb (r) or null for ones.
    record PsoftCore(Buf R, @Nullable Buf va, @Nullable Buf vb, Buf core, int r) implements Op {
        public PsoftCore {
            check(R.size() == (long) r * r && core.size() == R.size(), "PsoftCore", R, core);
        }

        @Override
        public List<Access> accesses() {
            return present(read(R), opt(va, false), opt(vb, false), write(core));
        }
    }

    /// Gradient of [PsoftCore]: writes `dR[i,j] = vb[i] dCore[i,j] va[j]`, adds to
    /// `dVa[j] += sum_i dCore[i,j] vb[i] R[i,j]` and `dVb[i] += sum_j dCore[i,j] R[i,j] va[j]` where those are given.
    record PsoftCoreGrad(Buf R, @Nullable Buf va, @Nullable Buf vb, Buf dCore, Buf dR, @Nullable Buf dVa,
            @Nullable Buf dVb, int r) implements Op {
        public PsoftCoreGrad {
            check(R.size() == (long) r * r && dCore.size() == R.size() && dR.size() == R.size(), "PsoftCoreGrad", R,
                    dCore, dR);
        }

        @Override
        public List<Access> accesses() {
            return present(read(R), opt(va, false), opt(vb, false), read(dCore), write(dR), opt(dVa, true),
                    opt(dVb, true));
        }
    }

    /// 2x2 rotations g (n,4) = (cos, -sin, sin, cos) of `theta = pi tanh(phi)`, phi (n) (strict GOFT).
    record GivensAngles(Buf phi, Buf g, int n) implements Op {
        public GivensAngles {
            check(phi.size() == n && g.size() == 4L * n, "GivensAngles", phi, g);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(phi), write(g));
        }
    }

    /// Adds the gradient of [GivensAngles] to dPhi (n), given dG (n,4).
    record GivensAnglesGrad(Buf phi, Buf dG, Buf dPhi, int n) implements Op {
        public GivensAnglesGrad {
            check(phi.size() == n && dG.size() == 4L * n && dPhi.size() == n, "GivensAnglesGrad", phi, dG, dPhi);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(phi), read(dG), update(dPhi));
        }
    }

    /// The Givens sweep of GOFT, `y = x G_L ... G_1`: x, y (N,d), g (d-1, 4) as (g00, g01, g10, g11) in the order of
    /// [Givens#stages]; the row vector meets the stage of the largest stride first.
    record GivensSweep(Buf x, Buf g, Buf y, int N, int d) implements Op {
        public GivensSweep {
            check(x.size() == (long) N * d && y.size() == x.size() && g.size() == 4L * (d - 1), "GivensSweep", x, g, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(g), write(y));
        }

        @Override
        public long flops() {
            return 6L * N * (d - 1);
        }
    }

    /// Gradient of [GivensSweep]: dX (+)= dY through the transposed stages; dG (d-1,4) is overwritten. With
    /// `orthogonal` a backend may recover the stage inputs by turning back; otherwise they are recomputed from x row by row.
    record GivensSweepGrad(Buf x, Buf g, Buf dY, Buf dX, Buf dG, int N, int d, boolean orthogonal,
            boolean accumulate) implements Op {
        public GivensSweepGrad {
            check(x.size() == (long) N * d && dY.size() == x.size() && dX.size() == x.size() && g.size() == 4L * (d - 1)
                    && dG.size() == g.size(), "GivensSweepGrad", x, g, dY, dX, dG);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(g), read(dY), into(dX, accumulate), write(dG));
        }

        @Override
        public long flops() {
            return 20L * N * (d - 1);
        }
    }

    /// Soft orthogonality of qGOFT: writes `loss[0] = lambda * sum over pairs of e^2`, `e = g00 g01 + g10 g11`, and adds
    /// its gradient to dG; g, dG (n,4), loss (1).
    record GivensPenalty(Buf g, Buf dG, Buf loss, int n, float lambda) implements Op {
        public GivensPenalty {
            check(g.size() == 4L * n && dG.size() == g.size() && loss.size() == 1, "GivensPenalty", g, dG, loss);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(g), update(dG), write(loss));
        }
    }

    /// Unit vectors of HRA: u (r,d) rows from the columns of p (d,r), each divided by its norm; with `gramSchmidt` the
    /// columns are made orthonormal in order (modified Gram-Schmidt).
    record HouseholderVectors(Buf p, Buf u, int d, int r, boolean gramSchmidt) implements Op {
        public HouseholderVectors {
            check(p.size() == (long) d * r && u.size() == p.size(), "HouseholderVectors", p, u);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(p), write(u));
        }
    }

    /// Adds the gradient of [HouseholderVectors] to dP (d,r), given dU (r,d).
    record HouseholderVectorsGrad(Buf p, Buf u, Buf dU, Buf dP, int d, int r, boolean gramSchmidt) implements Op {
        public HouseholderVectorsGrad {
            check(p.size() == (long) d * r && u.size() == p.size() && dU.size() == p.size() && dP.size() == p.size(),
                    "HouseholderVectorsGrad", p, u, dU, dP);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(p), read(u), read(dU), update(dP));
        }
    }

    /// Reflections `x <- x - 2 (x.u_i) u_i` of each row for i = r-1 down to 0: x, y (N,d), u (r,d).
    record Householder(Buf x, Buf u, Buf y, int N, int d, int r) implements Op {
        public Householder {
            check(x.size() == (long) N * d && y.size() == x.size() && u.size() == (long) r * d, "Householder", x, u, y);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(u), write(y));
        }

        @Override
        public long flops() {
            return 4L * N * d * r;
        }
    }

    /// Gradient of [Householder]: dX (+)= ..., dU (r,d) overwritten; inputs of each reflection are recomputed from x.
    record HouseholderGrad(Buf x, Buf u, Buf dY, Buf dX, Buf dU, int N, int d, int r, boolean accumulate)
            implements Op {
        public HouseholderGrad {
            check(x.size() == (long) N * d && dY.size() == x.size() && dX.size() == x.size()
                    && u.size() == (long) r * d && dU.size() == u.size(), "HouseholderGrad", x, u, dY, dX, dU);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(x), read(u), read(dY), into(dX, accumulate), write(dU));
        }

        @Override
        public long flops() {
            return 12L * N * d * r;
        }
    }

    /// `norm[0] = ||grad||_2`, summed in double or by compensated partial sums.
    record GradNorm(Buf grad, Buf norm) implements Op {
        public GradNorm {
            check(norm.size() == 1, "GradNorm", grad, norm);
        }

        @Override
        public List<Access> accesses() {
            return List.of(read(grad), write(norm));
        }

        @Override
        public long flops() {
            return 2 * grad.size();
        }
    }

    /// One AdamW step with decoupled weight decay, as PyTorch computes it:
    /// `p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p -= lr/c1 * m / (sqrt(v/c2) + eps)`, where g is
    /// the gradient times the clip factor `min(1, maxNorm / (norm[0] + 1e-6))` (1 when maxNorm is 0).
    ///
    /// `hp` (8) F32: lr, beta1, beta2, eps, c1 = 1-beta1^t, c2 = 1-beta2^t, maxNorm, weight decay; the decay applies only
    /// with `decay`. Numbers that change from step to step are buffers because a device bakes constants into its code.
    record AdamW(Buf param, Buf grad, Buf m, Buf v, Buf hp, Buf norm, boolean decay) implements Op {
        public static final int HP = 8;

        public AdamW {
            check(param.size() == grad.size() && param.size() == m.size() && param.size() == v.size() && hp.size() == HP
                    && norm.size() == 1, "AdamW", param, grad, m, v, hp, norm);
        }

        @Override
        public List<Access> accesses() {
            return List.of(update(param), read(grad), update(m), update(v), read(hp), read(norm));
        }

        @Override
        public long flops() {
            return 12 * param.size();
        }
    }

    private static void check(boolean ok, String op, Buf... bufs) {
        if (!ok)
            throw new IllegalArgumentException(op + ": buffers do not fit its sizes: " + List.of(bufs));
    }

    private static @Nullable Access opt(@Nullable Buf b, boolean update) {
        return b == null ? null : update ? update(b) : read(b);
    }

    private static List<Access> present(@Nullable Access... all) {
        List<Access> out = new ArrayList<>();
        for (Access a : all)
            if (a != null)
                out.add(a);
        return out;
    }
}
