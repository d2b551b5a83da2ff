package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.adapter.ModuleAdapter;
import dev.gyre.model.llama.Llama;
import dev.gyre.model.llama.Merge;
import dev.gyre.quant.linalg.HypersphericalEnergy;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// What adapters did to the geometry of the weights: `gyre eval --geometry`.
final class GeometryReport {
    /// Seed of the sampled neurons of very wide layers.
    private static final long SEED = 1;

    private GeometryReport() {
    }

    /// @param geometry of the last adapter on the weight; null when its method has none
    /// @param before mean of 1 / distance over pairs of neurons of the frozen weight, after: of the merged one
    record Row(String weight, @Nullable Geometry geometry, double before, double after) {
    }

    static List<Row> of(Llama model, Backend backend) {
        Map<String, Geometry> known = new LinkedHashMap<>();
        for (Adapter a : model.adapters())
            for (ModuleAdapter m : a.modules()) {
                Geometry g = m.geometry();
                if (g != null)
                    known.put(m.module() + ".weight", g);
            }
        List<Row> rows = new ArrayList<>();
        for (String name : Merge.changed(model)) {
            int[] d = model.dims(name);
            if (d.length == 2)
                rows.add(new Row(name, known.get(name), energy(model.data(name), d, backend),
                        energy(new HostData.F32(Merge.weight(model, backend, name)), d, backend)));
        }
        return rows;
    }

    private static double energy(HostData w, int[] d, Backend backend) {
        return HypersphericalEnergy.of(w, d[0], d[1], HypersphericalEnergy.DEFAULT_EXACT, SEED, backend).mean();
    }

    static List<String> lines(List<Row> rows) {
        List<String> out = new ArrayList<>();
        out.add("");
        out.add(Text.format("%-42s %8s %8s %10s %12s %10s", "weight", "||Q||", "angle", "||R'R-I||", "energy",
                "change"));
        for (Row r : rows) {
            Geometry g = r.geometry;
            out.add(Text.format("%-42s %8s %8s %10s %12.6f %10.1e", r.weight,
                    g == null ? "-" : Text.format("%.3f", g.skewNorm()),
                    g == null ? "-" : Text.format("%.1f deg", g.angle()),
                    g == null ? "-" : Text.format("%.1e", g.defect()), r.before, r.after / r.before - 1));
        }
        out.add("energy: mean of 1 / distance between the directions of two neurons (hyperspherical energy per pair),"
                + " before; change: relative, after merging");
        return out;
    }

    static void json(List<Row> rows, ArrayNode into) {
        for (Row r : rows) {
            ObjectNode o = into.addObject();
            o.put("weight", r.weight);
            if (r.geometry != null)
                o.put("skew_norm", r.geometry.skewNorm()).put("angle", r.geometry.angle()).put("orthogonality_defect",
                        r.geometry.defect());
            o.put("energy_before", r.before);
            o.put("energy_after", r.after);
        }
    }
}
