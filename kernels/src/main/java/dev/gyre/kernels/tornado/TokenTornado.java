package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import dev.gyre.kernels.tornado.Lowering.Choice;

/// Lowering of [dev.gyre.kernels.op.TokenOps].
final class TokenTornado extends OpLowering {
    TokenTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(TokenOps op) {
        switch (op) {
            case TokenOps.Embed o -> embed(o);
            case TokenOps.EmbedGrad o -> {
                Ints ids = i(o.ids());
                Floats dOut = f(o.dOut());
                Floats dTable = f(o.dTable());
                tasks.task("embedGrad", items(o.C()), TokenKernels::embedGrad, at(ids.at(), dOut.at(), dTable.at()),
                        ids.array(), dOut.array(), dTable.array(), o.N(), o.C());
            }
            case TokenOps.CrossEntropy o -> crossEntropy(o);
        }
    }

    private void embed(TokenOps.Embed o) {
        Ints ids = i(o.ids());
        Floats out = f(o.out());
        if (o.table().dtype() == DType.BF16) {
            Shorts t = memory.shorts(o.table());
            tasks.task("embedBf16", items(o.N() * o.C()), TokenKernels::embedBf16, at(ids.at(), t.at(), out.at()),
                    ids.array(), t.array(), memory.powers(), out.array(), o.N(), o.C());
        } else {
            Floats t = f(o.table());
            tasks.task("embed", items(o.N() * o.C()), TokenKernels::embed, at(ids.at(), t.at(), out.at()), ids.array(),
                    t.array(), out.array(), o.N(), o.C());
        }
    }

    private void crossEntropy(TokenOps.CrossEntropy o) {
        Floats logits = f(o.logits());
        Ints labels = i(o.labels());
        Floats loss = f(o.rowLoss());
        Floats lse = scratchApart(o.N(), loss);
        if (workGroups) {
            tasks.groupTask("lossOfRow", groups(o.N(), TokenRowKernels.GROUP), TokenRowKernels::lossOfRow,
                    at(logits.at(), labels.at(), loss.at(), lse.at()), logits.array(), labels.array(), loss.array(),
                    lse.array(), o.V(), TokenOps.CrossEntropy.IGNORE);
        } else
            tasks.task("lossOfRows", items(o.N()), TokenKernels::lossOfRows,
                    at(logits.at(), labels.at(), loss.at(), lse.at()), logits.array(), labels.array(), loss.array(),
                    lse.array(), o.N(), o.V(), TokenOps.CrossEntropy.IGNORE);
        if (o.gradient()) {
            Floats scale = f(o.scale());
            tasks.task("lossGrad", items(o.N() * o.V()), TokenKernels::lossGrad,
                    at(labels.at(), lse.at(), scale.at(), logits.at()), labels.array(), lse.array(), scale.array(),
                    logits.array(), o.N(), o.V(), TokenOps.CrossEntropy.IGNORE);
        }
    }
}
