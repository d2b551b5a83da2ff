package dev.gyre.model.adapter.dora;

import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.lora.LoraPeft;
import dev.gyre.model.files.Fields;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's DoRA: LoRA's file with `use_dora`.
final class DoraPeft implements PeftForm<Dora> {
    static final String MAGNITUDE = "lora_magnitude_vector";

    private final LoraPeft lora = new LoraPeft();

    @Override
    public String type() {
        return lora.type();
    }

    @Override
    public boolean reads(Fields f) {
        return !lora.reads(f);
    }

    @Override
    public List<String> parameters() {
        List<String> all = new ArrayList<>(lora.parameters());
        all.add(MAGNITUDE);
        return all;
    }

    @Override
    public Dora read(Fields f, Targets targets) {
        if (f.bool("lora_bias", false))
            throw f.bad("lora_bias", "false with use_dora, as PEFT demands");
        return new Dora(lora.read(f, targets));
    }

    @Override
    public void write(Dora o, ObjectNode json) {
        lora.write(o.lora(), json);
        json.put("use_dora", true);
    }
}
