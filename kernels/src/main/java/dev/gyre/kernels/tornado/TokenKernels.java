package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.ALL;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/// Embedding of tokens and cross entropy.
final class TokenKernels {
    private TokenKernels() {
    }

    /// `out[i] = table[ids[i]]`: ids (N), table (V,C), out (N,C).
    static void embed(IntArray at, int slot, IntArray ids, FloatArray table, FloatArray out, int N, int C) {
        int idsAt = at.get(slot);
        int tableAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < N * C; i++)
            out.set(outAt + i, table.get(tableAt + ids.get(idsAt + i / C) * C + i % C));
    }

    /// [#embed] from a table in BF16; `powers` as in [ProductKernels#bf16].
    static void embedBf16(IntArray at, int slot, IntArray ids, ShortArray table, FloatArray powers, FloatArray out,
            int N, int C) {
        int idsAt = at.get(slot);
        int tableAt = at.get(slot + 1);
        int outAt = at.get(slot + 2);
        for (@Parallel int i = 0; i < N * C; i++)
            out.set(outAt + i,
                    ProductKernels.bf16(table.get(tableAt + ids.get(idsAt + i / C) * C + i % C), powers));
    }

    /// Adds row i of dOut to row `ids[i]` of dTable. One work item per column adds the rows in order, so equal ids do
    /// not conflict and the sum does not depend on the device.
    static void embedGrad(IntArray at, int slot, IntArray ids, FloatArray dOut, FloatArray dTable, int N, int C) {
        int idsAt = at.get(slot);
        int dOutAt = at.get(slot + 1);
        int dTableAt = at.get(slot + 2);
        for (@Parallel int c = 0; c < (C & ALL); c++)
            for (int n = 0; n < N; n++) {
                int o = dTableAt + ids.get(idsAt + n) * C + c;
                dTable.set(o, dTable.get(o) + dOut.get(dOutAt + n * C + c));
            }
    }

    /// `rowLoss[i] = log sum exp logits[i] - logits[i][label]`, 0 where the label is ignored; lse (N) keeps `log sum exp`.
    static void lossOfRows(IntArray at, int slot, FloatArray logits, IntArray labels, FloatArray rowLoss,
            FloatArray lse, int N, int V, int ignore) {
        int logitsAt = at.get(slot);
        int labelsAt = at.get(slot + 1);
        int rowLossAt = at.get(slot + 2);
        int lseAt = at.get(slot + 3);
        for (@Parallel int n = 0; n < (N & ALL); n++) {
            int row = logitsAt + n * V;
            int label = labels.get(labelsAt + n);
            float max = logits.get(row);
            for (int v = 1; v < V; v++)
                max = TornadoMath.max(max, logits.get(row + v));
            float sum = 0f;
            for (int v = 0; v < V; v++)
                sum += TornadoMath.exp(logits.get(row + v) - max);
            float l = max + TornadoMath.log(sum);
            lse.set(lseAt + n, l);
            rowLoss.set(rowLossAt + n, label == ignore ? 0f : l - logits.get(row + TornadoMath.max(label, 0)));
        }
    }

    /// Replaces logits by `(softmax - onehot) scale`, 0 in ignored rows.
    static void lossGrad(IntArray at, int slot, IntArray labels, FloatArray lse, FloatArray scale, FloatArray logits,
            int N, int V, int ignore) {
        int labelsAt = at.get(slot);
        int lseAt = at.get(slot + 1);
        int scaleAt = at.get(slot + 2);
        int logitsAt = at.get(slot + 3);
        for (@Parallel int i = 0; i < N * V; i++) {
            int label = labels.get(labelsAt + i / V);
            float p = TornadoMath.exp(logits.get(logitsAt + i) - lse.get(lseAt + i / V));
            float hot = label == i % V ? 1f : 0f;
            logits.set(logitsAt + i, label == ignore ? 0f : (p - hot) * scale.get(scaleAt));
        }
    }
}
