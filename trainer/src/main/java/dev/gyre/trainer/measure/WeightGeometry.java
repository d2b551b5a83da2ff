package dev.gyre.trainer.measure;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.quant.linalg.HypersphericalEnergy;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What adapters did to the geometry of one weight.
///
/// @param geometry of the last adapter on the weight; null when its method has none
/// @param before mean of 1 / distance over pairs of neurons of the frozen weight, after: of the merged one
public record WeightGeometry(String weight, @Nullable Geometry geometry, double before, double after) {
    /// Seed of the sampled neurons of very wide layers.
    private static final long SEED = 1;

    /// Every weight that the model's adapters change.
    public static List<WeightGeometry> of(Transformer model, Backend backend) {
        Map<String, Geometry> known = new LinkedHashMap<>();
        for (Adapter a : model.adapters())
            for (AdapterLayer m : a.modules()) {
                Geometry g = m.geometry();
                if (g != null)
                    known.put(m.module() + ".weight", g);
            }
        List<WeightGeometry> rows = new ArrayList<>();
        for (String name : Merge.changed(model)) {
            int[] d = model.dims(name);
            if (d.length == 2) {
                rows.add(new WeightGeometry(name, known.get(name), energy(model.data(name), d, backend),
                        energy(new HostData.F32(Merge.weight(model, backend, name)), d, backend)));
                HeapTrim.collect(); // the merged weight, directions of both, and what the sessions worked in
            }
        }
        return rows;
    }

    private static double energy(HostData w, int[] d, Backend backend) {
        return HypersphericalEnergy.of(w, d[0], d[1], HypersphericalEnergy.DEFAULT_EXACT, SEED, backend).mean();
    }
}
