package dev.gyre.model.adapter;

import dev.gyre.model.files.Fields;
import dev.gyre.model.weights.Site;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// How PEFT's files hold one method: the fields of `adapter_config.json` that are its own, and what its versions do
/// differently. Fields that all methods share are [PeftConfig]'s.
public interface PeftForm<O extends AdapterOptions> {
    /// `peft_type` in the file.
    String type();

    /// Names that trainable tensors have below their module.
    List<String> parameters();

    /// Whether a file of that type is this method's, where several share the type.
    default boolean reads(Fields f) {
        return true;
    }

    /// The options in a file.
    ///
    /// @throws dev.gyre.model.files.FormatException when they say something that cannot be done
    O read(Fields f, Targets targets);

    /// Writes all fields of the method, with PEFT's names.
    void write(O options, ObjectNode json);

    /// Whether the file has a field `bias`.
    default boolean trainsBiases() {
        return true;
    }

    /// `peft_version` that gives the file its meaning.
    default String version(O options) {
        return PeftConfig.WRITTEN_VERSION;
    }

    /// Warnings about a file, without its name.
    default List<String> warnings(Fields f, O options) {
        return List.of();
    }

    /// The options as the tensors of the directory show them, where PEFT does not write what it used.
    default O corrected(O options, PeftFile file, List<String> warnings) {
        return options;
    }

    /// The options for one module, as its tensor shows them.
    ///
    /// @param embedding whether the module is the token embedding
    default O fitted(O options, Site site, boolean embedding, PeftFile file) {
        return options;
    }

    /// The options as a file of these layers says them, where training changed what they describe.
    default O described(O options, List<AdapterLayer> layers) {
        return options;
    }

    /// Name of the file for [AdapterLayer#frozen]; null for methods that have none.
    default @Nullable String frozenFile() {
        return null;
    }

    /// A whole number from 1.
    static int positive(Fields f, String key, int fallback) {
        int n = f.integer(key, fallback);
        if (n < 1)
            throw f.bad(key, "a positive number");
        return n;
    }

    /// A probability below 1; 0 when absent.
    static double rate(Fields f, String key) {
        double p = f.number(key, 0);
        if (!(p >= 0 && p < 1))
            throw f.bad(key, "a number from 0, below 1");
        return p;
    }

    /// `num_cayley_neumann_terms`.
    static int terms(Fields f) {
        int t = f.integer("num_cayley_neumann_terms", 5);
        if (t < 1 || t > 1000)
            throw f.bad("num_cayley_neumann_terms", "a number from 1 to 1000");
        return t;
    }

    /// Writes a whole number without a fraction, as PEFT's users write alpha.
    static void putNumber(ObjectNode o, String key, double v) {
        if (v == Math.rint(v) && Math.abs(v) < 1e9)
            o.put(key, (int) v);
        else
            o.put(key, v);
    }
}
