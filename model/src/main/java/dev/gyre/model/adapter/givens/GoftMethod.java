package dev.gyre.model.adapter.givens;

import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.LayerSource;
import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.files.Fields;
import dev.gyre.model.weights.Site;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// GOFT: strict rotations.
public final class GoftMethod implements Method<Goft> {
    @Override
    public Class<Goft> options() {
        return Goft.class;
    }

    @Override
    public AdapterLayer layer(Goft o, Site site, LayerSource source) {
        int d = site.in();
        Tensor angles = source.tensor(GivensPeft.HARD, i -> 0, d - 1);
        return new GivensLayer(site, angles, o.scaler() ? source.tensor(GivensPeft.SCALER, i -> 1, d) : null, true, 0);
    }

    @Override
    public PeftForm<Goft> peft() {
        return new GivensPeft<>(true) {
            @Override
            public Goft read(Fields f, Targets targets) {
                return new Goft(!f.bool("no_scaling", false), targets);
            }

            @Override
            public void write(Goft o, ObjectNode json) {
                write(json, !o.scaler());
            }
        };
    }

    @Override
    public List<Preset> presets() {
        return List.of(Preset.of("goft", "GOFT: Givens rotations, the fewest trainable parameters", "train.lr=1e-3"));
    }
}
