package dev.gyre.model.task;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;

/// Inputs and outputs of the programs of one batch shape; a program has those that it reads.
///
/// @param start first key that each token sees, `end` the one after the last
/// @param nearStart the same in layers that see only nearby tokens
/// @param neighbours of each token the rows that a convolution sees, from left to right; one after the last for padding
/// @param pool row that the head reads of each sequence, or the first of a mean
/// @param poolEnd the row after a mean's last
record TaskIo(TaskShape shape, Buf ids, Buf types, Buf positions, Buf start, Buf end, Buf nearStart, Buf nearEnd,
        Buf patches, Buf neighbours, Buf pool, Buf poolEnd, Buf labels, Buf targets, Buf rowLoss, int rows) {
    /// @param patches of an image
    /// @param patchSize values of a patch
    /// @param width tokens that a convolution sees, 0 without one
    static TaskIo of(TaskShape s, Head head, int patches, int patchSize, int width) {
        int n = s.tokens();
        String at = " " + s;
        boolean tokens = head.pooling() == Pooling.TOKENS;
        int rows = tokens ? n : s.B();
        // embeddings are compared in pairs
        int losses = head.problem() == Problem.EMBEDDING ? Math.max(1, s.B() / 2) : rows;
        int targets = head.problem() == Problem.EMBEDDING ? losses : rows * head.outputs();
        return new TaskIo(s, ints("ids", at, n), ints("types", at, n), ints("positions", at, n), ints("start", at, n),
                ints("end", at, n), ints("near start", at, n), ints("near end", at, n),
                Buf.input("patches" + at, DType.F32, Math.max(1, s.B() * patches), Math.max(1, patchSize)),
                ints("neighbours", at, n * Math.max(1, width)), ints("pool", at, s.B()), ints("pool end", at, s.B()),
                ints("labels", at, losses),
                Buf.input("targets" + at, DType.F32, targets), Buf.output("row loss" + at, losses), rows);
    }

    private static Buf ints(String name, String at, int n) {
        return Buf.input(name + at, DType.I32, n);
    }
}
