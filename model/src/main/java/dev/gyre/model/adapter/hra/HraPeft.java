package dev.gyre.model.adapter.hra;

import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.files.Fields;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's HRA.
final class HraPeft implements PeftForm<Hra> {
    static final String VECTORS = "hra_u";

    @Override
    public String type() {
        return "HRA";
    }

    @Override
    public List<String> parameters() {
        return List.of(VECTORS);
    }

    @Override
    public Hra read(Fields f, Targets targets) {
        return new Hra(PeftForm.positive(f, "r", 8), f.bool("apply_GS", false), f.bool("init_weights", true), targets);
    }

    @Override
    public void write(Hra o, ObjectNode json) {
        json.put("init_weights", o.initWeights()).put("r", o.r()).put("apply_GS", o.gramSchmidt());
    }
}
