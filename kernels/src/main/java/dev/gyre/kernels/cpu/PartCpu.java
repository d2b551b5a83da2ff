package dev.gyre.kernels.cpu;

import dev.gyre.kernels.op.PartOps;
import java.util.List;

/// Copies between a matrix and the parts that lie side by side in it.
final class PartCpu {
    private PartCpu() {
    }

    static Runnable task(ThreadPool pool, PartOps op, Operands of) {
        return switch (op) {
            case PartOps.Split o -> copies(pool, of.at(o.x()), o.parts().stream().map(of::at).toList(), o.N(), true);
            case PartOps.Join o -> copies(pool, of.at(o.y()), o.parts().stream().map(of::at).toList(), o.N(), false);
        };
    }

    private static Runnable copies(ThreadPool pool, Operand whole, List<Operand> parts, int N, boolean split) {
        int C = whole.length() / N;
        return ColumnCpu.rows(pool, N, C, (from, to, worker) -> {
            int column = 0;
            for (Operand part : parts) {
                int width = part.length() / N;
                for (int t = from; t < to; t++) {
                    int at = whole.off() + t * C + column;
                    int partAt = part.off() + t * width;
                    if (split)
                        System.arraycopy(whole.f(), at, part.f(), partAt, width);
                    else
                        System.arraycopy(part.f(), partAt, whole.f(), at, width);
                }
                column += width;
            }
        });
    }
}
