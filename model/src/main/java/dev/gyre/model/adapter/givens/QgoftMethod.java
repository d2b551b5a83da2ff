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

/// qGOFT: free 2x2 matrices, that start as the identity.
public final class QgoftMethod implements Method<Qgoft> {
    @Override
    public Class<Qgoft> options() {
        return Qgoft.class;
    }

    @Override
    public AdapterLayer layer(Qgoft o, Site site, LayerSource source) {
        Tensor pairs = source.tensor(GivensPeft.SOFT, i -> i % 4 == 0 || i % 4 == 3 ? 1 : 0, site.in() - 1, 2, 2);
        return new GivensLayer(site, pairs, null, false, o.penalty());
    }

    @Override
    public PeftForm<Qgoft> peft() {
        return new GivensPeft<>(false) {
            @Override
            public Qgoft read(Fields f, Targets targets) {
                f.bool("no_scaling", true); // of no meaning here, but no text either
                return new Qgoft(0, targets);
            }

            @Override
            public void write(Qgoft o, ObjectNode json) {
                write(json, true);
            }
        };
    }

    @Override
    public List<Preset> presets() {
        return List.of(Preset.of("qgoft", "qGOFT: GOFT with free 2x2 matrices", "train.lr=1e-3"));
    }
}
