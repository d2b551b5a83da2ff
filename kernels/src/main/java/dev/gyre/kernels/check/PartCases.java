package dev.gyre.kernels.check;

import static dev.gyre.kernels.check.Tol.EXACT;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.PartOps;
import java.util.ArrayList;
import java.util.List;

/// Cases of [PartOps].
final class PartCases implements Cases {
    private static int sum(List<Integer> widths) {
        return widths.stream().mapToInt(Integer::intValue).sum();
    }

    public record Split(int N, List<Integer> widths) implements OpCase {
        @Override
        public void emit(Setup s) {
            Buf x = s.in("x", 1, N, PartCases.sum(widths));
            List<Buf> parts = new ArrayList<>();
            for (int i = 0; i < widths.size(); i++)
                parts.add(s.out("part " + i, EXACT, N, widths.get(i)));
            s.op(new PartOps.Split(x, parts, N));
        }
    }

    public record Join(int N, List<Integer> widths) implements OpCase {
        @Override
        public void emit(Setup s) {
            List<Buf> parts = new ArrayList<>();
            for (int i = 0; i < widths.size(); i++)
                parts.add(s.in("part " + i, 1, N, widths.get(i)));
            s.op(new PartOps.Join(parts, s.out("y", EXACT, N, PartCases.sum(widths)), N));
        }
    }

    @Override
    public List<OpCase> odd() {
        List<OpCase> out = new ArrayList<>();
        for (int N : new int[] {1, 7, 130})
            for (List<Integer> widths : List.of(List.of(1), List.of(1, 1), List.of(3, 1, 7), List.of(64, 64, 64),
                    List.of(100, 33), List.of(207, 31, 31)))
                out.addAll(List.of(new Split(N, widths), new Join(N, widths)));
        return out;
    }

    @Override
    public List<OpCase> sized(Shape z) {
        List<Integer> qkv = List.of(z.H() * z.D(), z.KV() * z.D(), z.KV() * z.D());
        return List.of(new Split(z.N(), qkv), new Join(z.N(), qkv));
    }
}
