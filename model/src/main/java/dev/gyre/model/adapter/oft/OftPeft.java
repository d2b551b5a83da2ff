package dev.gyre.model.adapter.oft;

import dev.gyre.model.adapter.PeftFile;
import dev.gyre.model.adapter.PeftForm;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft.Cayley;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// PEFT's OFT.
///
/// - PEFT 0.16 and 0.17 used another polynomial, `I + 2Q + ... + 2Q^(t-1)`; a file without a version is theirs.
/// - The size that PEFT moved to a divisor is not in the file; the tensors show it.
/// - Maps that PEFT does not have (Newton-Schulz, and the exact Cayley map of the paper's sign) are written as the exact
///   Cayley map that it has, with the skew parameters that give the very same rotation.
final class OftPeft implements PeftForm<Oft> {
    /// The last version with the older polynomial, for files that do not say their version.
    private static final String OLDER_VERSION = "0.17.1";

    static String parameter(boolean embedding) {
        return embedding ? "oft_embedding_R.weight" : "oft_R.weight";
    }

    @Override
    public String type() {
        return "OFT";
    }

    @Override
    public List<String> parameters() {
        return List.of(parameter(false), parameter(true));
    }

    @Override
    public Oft read(Fields f, Targets targets) {
        if (!f.has("oft_block_size"))
            throw f.bad("oft_block_size", "the field; files without it come from PEFT before 0.14, whose tensors mean"
                    + " something else: train the adapter again");
        int r = f.integer("r", 0);
        int b = f.integer("oft_block_size", 32);
        if (r < 0 || b < 0 || (r == 0) == (b == 0))
            throw f.bad("r", "exactly one of r and oft_block_size above 0, the other 0 (oft_block_size is " + b + ")");
        double eps = f.number("eps", 6e-5);
        if (!(eps > 0))
            throw f.bad("eps", "a positive number");
        PeftForm.rate(f, "module_dropout");
        int terms = PeftForm.terms(f);
        boolean polynomial = f.bool("use_cayley_neumann", true);
        Cayley cayley = !polynomial ? Cayley.EXACT
                : older(f.textOrNull("peft_version")) ? Cayley.NEUMANN_LEGACY : Cayley.NEUMANN;
        return new Oft(b == 0 ? null : b, r == 0 ? null : r, cayley, polynomial ? terms : 5,
                f.bool("block_share", false), f.bool("coft", false), eps, 0, Oft.Form.INPUT,
                f.bool("init_weights", true), targets);
    }

    private static boolean older(@Nullable String version) {
        if (version == null)
            return true;
        String[] parts = version.split("[.@+]", -1);
        try {
            return parts.length < 2 || Integer.parseInt(parts[0]) == 0 && Integer.parseInt(parts[1]) < 18;
        } catch (NumberFormatException e) {
            return true;
        }
    }

    @Override
    public void write(Oft o, ObjectNode json) {
        boolean polynomial = o.cayley() == Cayley.NEUMANN || o.cayley() == Cayley.NEUMANN_LEGACY;
        Integer blocks = o.blocks();
        Integer size = o.blockSize();
        json.put("fan_in_fan_out", false).put("init_weights", o.initWeights());
        json.put("r", blocks == null ? 0 : (int) blocks).put("oft_block_size", size == null ? 0 : (int) size)
                .put("module_dropout", 0.0).put("coft", o.coft()).put("eps", o.eps())
                .put("block_share", o.blockShare()).put("use_cayley_neumann", polynomial)
                .put("num_cayley_neumann_terms", polynomial ? o.terms() : 5);
    }

    @Override
    public String version(Oft o) {
        return o.cayley() == Cayley.NEUMANN_LEGACY ? OLDER_VERSION : PeftForm.super.version(o);
    }

    @Override
    public List<String> warnings(Fields f, Oft o) {
        List<String> out = new ArrayList<>();
        if (f.number("module_dropout", 0) > 0)
            out.add("module_dropout is ignored, as PEFT does");
        if (o.cayley() == Cayley.NEUMANN_LEGACY)
            out.add("peft_version " + f.text("peft_version", "is missing")
                    + ", so the older Cayley-Neumann polynomial is used, the one this adapter was trained with");
        return out;
    }

    @Override
    public Oft fitted(Oft o, Site site, boolean embedding, PeftFile file) {
        PeftFile.Tensor t = file.tensors().get(site.path() + "." + parameter(embedding));
        if (t == null || t.shape().size() != 2)
            return o;
        long m = t.shape().get(1);
        int b = (int) Math.round((1 + Math.sqrt(1 + 8.0 * m)) / 2);
        if ((long) b * (b - 1) / 2 != m || site.in() % b != 0)
            throw new FormatException(file.directory(), "tensor '" + t.name + "' has rows of " + m
                    + " values, which is no block size b(b-1)/2 that divides the width " + site.in()
                    + "; the adapter belongs to another model");
        return o.withBlockSize(b);
    }
}
