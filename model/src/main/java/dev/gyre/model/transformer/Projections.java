package dev.gyre.model.transformer;

import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.emit.Emitter;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Several linear maps of the same rows: a module for each, or one module whose output is cut into their columns. Adapters
/// sit on the modules, as in PEFT.
final class Projections {
    private final String path;
    private final List<String> names;
    private final List<AdaptedLinear> modules;
    private final int[] widths;

    /// @param path of the module that they belong to
    /// @param names of the modules: one for each width, or a single one
    /// @param widths of the outputs
    Projections(String path, List<String> names, List<AdaptedLinear> modules, int... widths) {
        this.path = path;
        this.names = names;
        this.modules = modules;
        this.widths = widths.clone();
    }

    private boolean fused() {
        return modules.size() < widths.length;
    }

    boolean trains() {
        return modules.stream().anyMatch(AdaptedLinear::trains);
    }

    /// Emits the outputs, (N, width) each.
    List<Buf> forward(Emitter e, Buf in, int N) {
        List<Buf> out = new ArrayList<>();
        for (int i = 0; i < widths.length; i++) {
            e.scope(path + "." + names.get(fused() ? 0 : i));
            out.add(e.act(fused() ? "part " + (i + 1) : "y", N, widths[i]));
            if (!fused())
                modules.get(i).forward(e, in, out.get(i), N);
        }
        if (fused()) {
            Buf y = joined(e, "y", N);
            modules.getFirst().forward(e, in, y, N);
            e.add(new PartOps.Split(y, out, N));
        }
        return out;
    }

    /// Emits gradients.
    ///
    /// @param dY gradients of the outputs
    /// @param dX where that of the input goes, or null
    /// @param accumulate whether dX holds something already
    void backward(Emitter e, Buf in, List<Buf> dY, @Nullable Buf dX, boolean accumulate, int N) {
        if (fused()) {
            e.scope(path + "." + names.getFirst());
            Buf d = joined(e, "d y", N);
            e.add(new PartOps.Join(dY, d, N));
            modules.getFirst().backward(e, in, d, dX, accumulate, N);
            return;
        }
        for (int i = 0; i < widths.length; i++) {
            e.scope(path + "." + names.get(i));
            modules.get(i).backward(e, in, dY.get(i), dX, accumulate || i > 0, N);
        }
    }

    private Buf joined(Emitter e, String name, int N) {
        int width = 0;
        for (int w : widths)
            width += w;
        return e.act(name, N, width);
    }
}
