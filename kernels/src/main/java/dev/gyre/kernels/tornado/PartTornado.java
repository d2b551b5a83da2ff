package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;
import java.util.List;

/// Lowering of [dev.gyre.kernels.op.PartOps].
final class PartTornado extends OpLowering {
    PartTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(PartOps op) {
        switch (op) {
            case PartOps.Split o -> copies(f(o.x()), o.x().length() / o.N(), o.parts(), o.N(), true);
            case PartOps.Join o -> copies(f(o.y()), o.y().length() / o.N(), o.parts(), o.N(), false);
        }
    }

    private void copies(Floats whole, int C, List<Buf> parts, int N, boolean split) {
        int column = 0;
        for (Buf b : parts) {
            Floats part = f(b);
            int width = b.length() / N;
            if (split)
                tasks.task("copyColumns", items(N * width), PartKernels::copyColumns,
                        at(whole.at() + column, part.at()), whole.array(), part.array(), N, width, C, width);
            else
                tasks.task("copyColumns", items(N * width), PartKernels::copyColumns,
                        at(part.at(), whole.at() + column), part.array(), whole.array(), N, width, width, C);
            column += width;
        }
    }
}
