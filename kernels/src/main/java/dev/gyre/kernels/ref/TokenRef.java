package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.TokenOps;

/// Embedding and cross entropy: what touches token ids.
final class TokenRef {
    private TokenRef() {
    }

    static void run(TokenOps op, Operands of) {
        switch (op) {
            case TokenOps.Embed(var ids, var table, var out, int N, int V, int C) ->
                    embed(of.ints(ids), of.vec(table), of.vec(out), N, C);
            case TokenOps.EmbedGrad(var ids, var dOut, var dTable, int N, int V, int C) ->
                    embedGrad(of.ints(ids), of.vec(dOut), of.vec(dTable), N, C);
            case TokenOps.CrossEntropy(var logits, var labels, var rowLoss, var scale, int N, int V, var gradient) ->
                    crossEntropy(of.vec(logits), of.ints(labels), of.vec(rowLoss), of.vec(scale).get(0), N, V,
                            gradient);
        }
    }

    /// `out[i] = table[ids[i]]`
    static void embed(int[] ids, Vec table, Vec out, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                out.set(i * C + c, table.get(ids[i] * C + c));
    }

    /// `dTable[ids[i]] += dOut[i]`
    static void embedGrad(int[] ids, Vec dOut, Vec dTable, int N, int C) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++)
                dTable.add(ids[i] * C + c, dOut.get(i * C + c));
    }

    /// `rowLoss = log sum exp logits - logits[label]`; `logits <- (softmax - onehot) scale`; 0 for ignored rows.
    static void crossEntropy(Vec logits, int[] labels, Vec rowLoss, double scale, int N, int V,
            boolean gradient) {
        for (int i = 0; i < N; i++) {
            Vec row = logits.slice(i * V, V);
            boolean ignored = labels[i] == TokenOps.CrossEntropy.IGNORE;
            double max = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < V; c++)
                max = Math.max(max, row.get(c));
            double sum = 0;
            for (int c = 0; c < V; c++)
                sum += Math.exp(row.get(c) - max);
            double lse = max + Math.log(sum);
            rowLoss.set(i, ignored ? 0 : lse - row.get(labels[i]));
            if (gradient)
                for (int c = 0; c < V; c++)
                    row.set(c, ignored ? 0 : (Math.exp(row.get(c) - lse) - (c == labels[i] ? 1 : 0)) * scale);
        }
    }
}
