package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.HeadOps;

/// Pooling, similarity and losses of heads.
final class HeadRef {
    private HeadRef() {
    }

    static void run(HeadOps op, Operands of) {
        switch (op) {
            case HeadOps.MeanRows(var x, var from, var to, var out, int _, int R, int C) ->
                    meanRows(of.vec(x), of.ints(from), of.ints(to), of.vec(out), R, C);
            case HeadOps.MeanRowsGrad(var dOut, var from, var to, var dX, int _, int R, int C) ->
                    meanRowsGrad(of.vec(dOut), of.ints(from), of.ints(to), of.vec(dX), R, C);
            case HeadOps.RowDot(var x, var y, var out, int N, int C) ->
                    rowDot(of.vec(x), of.vec(y), of.vec(out), N, C);
            case HeadOps.ScaleRows(var x, var s, var y, int N, int C, var accumulate) ->
                    scaleRows(of.vec(x), of.vec(s), of.vec(y), N, C, accumulate);
            case HeadOps.BinaryCrossEntropy(var logits, var targets, var rowLoss, var scale, int N, int V, var gradient) ->
                    binaryCrossEntropy(of.vec(logits), of.vec(targets), of.vec(rowLoss), of.vec(scale), N, V, gradient);
            case HeadOps.SquaredError(var y, var targets, var rowLoss, var scale, int N, int V, var gradient) ->
                    squaredError(of.vec(y), of.vec(targets), of.vec(rowLoss), of.vec(scale), N, V, gradient);
        }
    }

    /// `out[r] = mean of x[i] over from[r] <= i < to[r]`
    static void meanRows(Vec x, int[] from, int[] to, Vec out, int R, int C) {
        for (int r = 0; r < R; r++)
            for (int c = 0; c < C; c++) {
                double sum = 0;
                for (int i = from[r]; i < to[r]; i++)
                    sum += x.get(i * C + c);
                out.set(r * C + c, sum / (to[r] - from[r]));
            }
    }

    /// `dX[i] = sum of dOut[r] / (to[r] - from[r]) over r with from[r] <= i < to[r]`
    static void meanRowsGrad(Vec dOut, int[] from, int[] to, Vec dX, int R, int C) {
        dX.fill(0);
        for (int r = 0; r < R; r++)
            for (int i = from[r]; i < to[r]; i++)
                for (int c = 0; c < C; c++)
                    dX.add(i * C + c, dOut.get(r * C + c) / (to[r] - from[r]));
    }

    /// `out[i] = x[i] . y[i]`
    static void rowDot(Vec x, Vec y, Vec out, int N, int C) {
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += x.get(i * C + c) * y.get(i * C + c);
            out.set(i, sum);
        }
    }

    /// `y[i] (+)= s[i] x[i]`
    static void scaleRows(Vec x, Vec s, Vec y, int N, int C, boolean accumulate) {
        for (int i = 0; i < N; i++)
            for (int c = 0; c < C; c++) {
                double v = s.get(i) * x.get(i * C + c);
                y.set(i * C + c, accumulate ? y.get(i * C + c) + v : v);
            }
    }

    /// `rowLoss = mean of max(z, 0) - z t + log(1 + exp(-|z|))`; `z <- (sigmoid(z) - t) / V scale`
    static void binaryCrossEntropy(Vec logits, Vec targets, Vec rowLoss, Vec scale, int N, int V, boolean gradient) {
        for (int i = 0; i < N; i++) {
            double loss = 0;
            for (int v = 0; v < V; v++) {
                double z = logits.get(i * V + v);
                double t = targets.get(i * V + v);
                loss += Math.max(z, 0) - z * t + Math.log1p(Math.exp(-Math.abs(z)));
                if (gradient)
                    logits.set(i * V + v, (1 / (1 + Math.exp(-z)) - t) / V * scale.get(0));
            }
            rowLoss.set(i, loss / V);
        }
    }

    /// `rowLoss = mean of (y - t)^2`; `y <- 2 (y - t) / V scale`
    static void squaredError(Vec y, Vec targets, Vec rowLoss, Vec scale, int N, int V, boolean gradient) {
        for (int i = 0; i < N; i++) {
            double loss = 0;
            for (int v = 0; v < V; v++) {
                double d = y.get(i * V + v) - targets.get(i * V + v);
                loss += d * d;
                if (gradient)
                    y.set(i * V + v, 2 * d / V * scale.get(0));
            }
            rowLoss.set(i, loss / V);
        }
    }
}
