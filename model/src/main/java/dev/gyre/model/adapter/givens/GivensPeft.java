package dev.gyre.model.adapter.givens;

import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.files.Fields;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// GOFT and qGOFT in files. PEFT does not have them: the type is ours, the names of fields and parameters are those of the
/// published Givens layer, where `strict_oft` tells the two apart.
abstract class GivensPeft<O extends AdapterOptions> implements PeftForm<O> {
    static final String HARD = "givens_hard";
    static final String SOFT = "givens_soft";
    static final String SCALER = "givens_scaler";

    private final boolean strict;

    GivensPeft(boolean strict) {
        this.strict = strict;
    }

    @Override
    public final String type() {
        return "GOFT";
    }

    @Override
    public final boolean reads(Fields f) {
        return f.bool("strict_oft", true) == strict;
    }

    @Override
    public final List<String> parameters() {
        return List.of(HARD, SOFT, SCALER);
    }

    final void write(ObjectNode json, boolean noScaling) {
        json.put("fan_in_fan_out", false).put("init_weights", true).put("strict_oft", strict).put("no_scaling",
                noScaling);
    }
}
