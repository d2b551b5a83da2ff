package dev.gyre.model.adapter.boft;

import dev.gyre.model.adapter.PeftFile;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.files.Fields;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's BOFT. Where its kernel cannot be compiled, PEFT makes one butterfly factor and saves the number that was asked
/// for.
final class BoftPeft implements PeftForm<Boft> {
    static final String ROTATION = "boft_R";
    static final String SCALE = "boft_s";

    @Override
    public String type() {
        return "BOFT";
    }

    @Override
    public List<String> parameters() {
        return List.of(ROTATION, SCALE);
    }

    @Override
    public Boft read(Fields f, Targets targets) {
        int size = f.integer("boft_block_size", 4);
        int num = f.integer("boft_block_num", 0);
        if (size < 0 || num < 0 || (size == 0) == (num == 0))
            throw f.bad("boft_block_num", "exactly one of boft_block_size and boft_block_num above 0, the other 0"
                    + " (boft_block_size is " + size + ")");
        return new Boft(size == 0 ? null : size, num == 0 ? null : num,
                PeftForm.positive(f, "boft_n_butterfly_factor", 1), PeftForm.rate(f, "boft_dropout"),
                f.bool("init_weights", true), targets);
    }

    @Override
    public void write(Boft o, ObjectNode json) {
        Integer blocks = o.blocks();
        Integer size = o.blockSize();
        json.put("fan_in_fan_out", false).put("init_weights", o.initWeights())
                .put("boft_block_size", size == null ? 0 : (int) size)
                .put("boft_block_num", blocks == null ? 0 : (int) blocks)
                .put("boft_n_butterfly_factor", o.factors()).put("boft_dropout", o.dropout());
    }

    @Override
    public Boft corrected(Boft o, PeftFile file, List<String> warnings) {
        if (o.factors() == 1 || file.tensors().values().stream().filter(t -> t.name.endsWith("." + ROTATION))
                .anyMatch(t -> t.shape().getFirst() != 1))
            return o;
        warnings.add(file.directory() + ": boft_n_butterfly_factor says " + o.factors()
                + ", but the weights have one factor, as PEFT makes them without its compiled kernel; one is used");
        return o.withFactors(1);
    }
}
