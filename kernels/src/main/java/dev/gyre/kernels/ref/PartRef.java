package dev.gyre.kernels.ref;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.PartOps;
import java.util.List;

/// Matrices side by side.
final class PartRef {
    private PartRef() {
    }

    static void run(PartOps op, Operands of) {
        switch (op) {
            case PartOps.Split(var x, var parts, int N) -> split(of.vec(x), vecs(parts, of), N);
            case PartOps.Join(var parts, var y, int N) -> join(vecs(parts, of), of.vec(y), N);
        }
    }

    private static List<Vec> vecs(List<Buf> parts, Operands of) {
        return parts.stream().map(of::vec).toList();
    }

    /// `part[i][c] = x[i][first column of the part + c]`
    static void split(Vec x, List<Vec> parts, int N) {
        int C = x.size() / N;
        int from = 0;
        for (Vec part : parts) {
            int width = part.size() / N;
            for (int i = 0; i < N; i++)
                for (int c = 0; c < width; c++)
                    part.set(i * width + c, x.get(i * C + from + c));
            from += width;
        }
    }

    /// `y[i][first column of the part + c] = part[i][c]`
    static void join(List<Vec> parts, Vec y, int N) {
        int C = y.size() / N;
        int from = 0;
        for (Vec part : parts) {
            int width = part.size() / N;
            for (int i = 0; i < N; i++)
                for (int c = 0; c < width; c++)
                    y.set(i * C + from + c, part.get(i * width + c));
            from += width;
        }
    }
}
