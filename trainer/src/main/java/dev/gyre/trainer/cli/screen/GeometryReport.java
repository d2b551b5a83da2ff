package dev.gyre.trainer.cli.screen;

import dev.gyre.model.adapter.Geometry;
import dev.gyre.trainer.measure.WeightGeometry;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// What adapters did to the geometry of the weights: `gyre eval --geometry`.
public final class GeometryReport {
    private GeometryReport() {
    }

    public static List<String> lines(List<WeightGeometry> rows) {
        List<String> out = new ArrayList<>();
        out.add("");
        out.add(Text.format("%-42s %8s %8s %10s %12s %10s", "weight", "||Q||", "angle", "orth.err", "energy",
                "change"));
        for (WeightGeometry r : rows) {
            Geometry g = r.geometry();
            out.add(Text.format("%-42s %8s %8s %10s %12.6f %10.1e", r.weight(),
                    g == null ? "-" : Text.format("%.3f", g.skewNorm()),
                    g == null ? "-" : Text.format("%.1f deg", g.angle()),
                    g == null ? "-" : Text.format("%.1e", g.defect()), r.before(), r.after() / r.before() - 1));
        }
        out.add("energy: mean of 1 / distance between the directions of two neurons (hyperspherical energy per pair),"
                + " before; change: relative, after merging");
        return out;
    }

    public static void json(List<WeightGeometry> rows, ArrayNode into) {
        for (WeightGeometry r : rows) {
            ObjectNode o = into.addObject();
            o.put("weight", r.weight());
            if (r.geometry() != null)
                o.put("skew_norm", r.geometry().skewNorm()).put("angle", r.geometry().angle()).put(
                        "orthogonality_defect",
                        r.geometry().defect());
            o.put("energy_before", r.before());
            o.put("energy_after", r.after());
        }
    }
}
