package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.DeviceMemory.Ints;
import dev.gyre.kernels.tornado.DeviceMemory.Shorts;
import dev.gyre.kernels.tornado.Lowering.Choice;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

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
                tasks.task("embedGrad", items(o.C()), TokenKernels::embedGrad, ids.array(), dOut.array(),
                        dTable.array(), at(ids.at(), dOut.at(), dTable.at()), o.N(), o.C());
            }
            case TokenOps.CrossEntropy o -> crossEntropy(o);
        }
    }

    private void embed(TokenOps.Embed o) {
        Ints ids = i(o.ids());
        Floats out = f(o.out());
        if (o.table().dtype() == DType.BF16) {
            Shorts t = memory.shorts(o.table());
            tasks.task("embedBf16", items(o.N() * o.C()), TokenKernels::embedBf16, ids.array(), t.array(),
                    memory.powers(), out.array(), at(ids.at(), t.at(), out.at()), o.N(), o.C());
        } else {
            Floats t = f(o.table());
            tasks.task("embed", items(o.N() * o.C()), TokenKernels::embed, ids.array(), t.array(), out.array(),
                    at(ids.at(), t.at(), out.at()), o.N(), o.C());
        }
    }

    private void crossEntropy(TokenOps.CrossEntropy o) {
        Floats logits = f(o.logits());
        Ints labels = i(o.labels());
        Floats loss = f(o.rowLoss());
        FloatArray lse = memory.scratch(o.N());
        if (workGroups) {
            tasks.task("lossOfRow", groups(o.N(), TokenRowKernels.GROUP), TokenRowKernels::lossOfRow,
                    new KernelContext(), logits.array(), labels.array(), loss.array(), lse,
                    at(logits.at(), labels.at(), loss.at()), o.V(),
                    TokenOps.CrossEntropy.IGNORE);
        } else
            tasks.task("lossOfRows", items(o.N()), TokenKernels::lossOfRows, logits.array(), labels.array(),
                    loss.array(), lse, at(logits.at(), labels.at(), loss.at()), o.N(), o.V(),
                    TokenOps.CrossEntropy.IGNORE);
        if (o.gradient()) {
            Floats scale = f(o.scale());
            tasks.task("lossGrad", items(o.N() * o.V()), TokenKernels::lossGrad, logits.array(), labels.array(),
                    lse, scale.array(), at(logits.at(), labels.at(), scale.at()), o.N(), o.V(),
                    TokenOps.CrossEntropy.IGNORE);
        }
    }
}
