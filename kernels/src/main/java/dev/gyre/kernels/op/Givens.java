package dev.gyre.kernels.op;

import java.util.ArrayList;
import java.util.List;

/// The tournament of Givens rotations over d features (qGOFT paper, parallel rotation): stage 0 joins neighbours,
/// stage 1 the survivors two apart, and so on; `d - 1` pairs in `ceil(log2 d)` stages; an odd leftover passes on.
public final class Givens {
    private Givens() {
    }

    /// One stage: pairs `(2 s j, 2 s j + s)` for `j = 0..pairs-1`, using parameters from `first` on.
    public record Stage(int stride, int pairs, int first) {
    }

    /// Stages from the smallest stride to the largest; any `d >= 1`.
    public static List<Stage> stages(int d) {
        List<Stage> out = new ArrayList<>();
        int stride = 1;
        int first = 0;
        for (int cnt = d; cnt > 1; stride *= 2) {
            int pairs = cnt / 2;
            out.add(new Stage(stride, pairs, first));
            first += pairs;
            cnt = pairs + cnt % 2;
        }
        return List.copyOf(out);
    }
}
