package dev.gyre.trainer.convert;

import dev.gyre.model.adapter.PeftFile;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.files.Sha256;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `gyre_merge.json` of a merged model: the adapters in its weights, in the order in which they were folded in, so that no
/// other one is taken out of them. A model that something else merged has none.
final class MergeRecord {
    static final String FILE = "gyre_merge.json";

    private record Merged(String name, String sha256) {
        static Merged of(Path adapter) {
            return new Merged(ModelRef.name(adapter), Sha256.of(adapter.resolve(PeftFile.WEIGHTS)));
        }
    }

    private MergeRecord() {
    }

    /// What the record of a model says after its adapters are folded in or taken out; null: none is needed.
    ///
    /// @param model the directory whose weights are changed
    /// @throws FormatException when an adapter to be taken out is not one of those in the model
    static @Nullable String after(Path model, List<Path> adapters, boolean undo) {
        Path file = model.resolve(FILE);
        boolean recorded = Files.exists(file);
        if (undo && !recorded)
            return null;
        List<Merged> all = recorded ? read(file) : new ArrayList<>();
        for (Path a : adapters) {
            Merged m = Merged.of(a);
            if (!undo)
                all.add(m);
            else
                if (!all.removeIf(x -> x.sha256.equals(m.sha256)))
                    throw new FormatException(model, "does not have the adapter " + a + " in its weights, but "
                            + (all.isEmpty() ? "none"
                                    : all.stream().map(Merged::name).collect(Collectors.joining(", ")))
                            + " (" + FILE + "); give --adapter what was merged");
        }
        if (all.isEmpty())
            return null;
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        ArrayNode list = o.putArray("adapters");
        all.forEach(m -> list.addObject().put("name", m.name).put("sha256", m.sha256));
        return Json.pretty(o);
    }

    private static List<Merged> read(Path file) {
        List<Merged> all = new ArrayList<>();
        for (JsonNode n : Json.readObject(file).path("adapters"))
            all.add(new Merged(n.path("name").asString(""), n.path("sha256").asString("")));
        return all;
    }
}
