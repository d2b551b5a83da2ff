package dev.gyre.trainer.hub;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/// Which files of a model Gyre needs: configuration, tokenizer and safetensors, not the same weights in other forms.
final class HubChoice {
    private static final Pattern SMALL =
            Pattern.compile("[^/]+\\.(json|jinja|model)|merges\\.txt|vocab\\.txt|(LICENSE|LICENCE|NOTICE)[^/]*"
                    + "|\\d+_[^/]+/[^/]+\\.(json|safetensors)");
    /// Indexes of weights in other forms.
    private static final Pattern OTHER = Pattern.compile("(pytorch_model|tf_model|flax_model|consolidated).*");
    private static final Pattern SHARD = Pattern.compile("model-[^/]+\\.safetensors");
    private static final Pattern WEIGHTS = Pattern.compile("[^/]+\\.(safetensors|bin|gguf|pt|pth|h5|msgpack|onnx)");

    private HubChoice() {
    }

    /// @throws HubException if there are no safetensors among them
    static List<HubFile> of(HubName name, List<HubFile> all) {
        List<HubFile> weights = weights(all);
        if (weights.isEmpty()) {
            List<String> has = all.stream().map(HubFile::path).filter(p -> WEIGHTS.matcher(p).matches()).limit(3)
                    .toList();
            for (HubFile f : all)
                if (f.path().endsWith(".gguf"))
                    throw new HubException(name + " has no safetensors, but GGUF files; name the one to use: " + name
                            + "/" + f.path());
            throw new HubException(name + " has no safetensors, the only weights that Gyre reads (it has "
                    + (has.isEmpty() ? "no weights" : String.join(", ", has)) + "); look for the model that it was"
                    + " made from, or convert it with transformers: save_pretrained");
        }
        List<HubFile> out = new ArrayList<>();
        for (HubFile f : all)
            if (SMALL.matcher(f.path()).matches() && !OTHER.matcher(f.path()).matches() || weights.contains(f))
                out.add(f);
        return out;
    }

    /// One GGUF file.
    ///
    /// @throws HubException if there is none of this name
    static List<HubFile> gguf(HubName name, String file, List<HubFile> all) {
        List<HubFile> found = all.stream().filter(f -> f.path().equals(file)).toList();
        if (found.isEmpty())
            throw new HubException(name + " has no file " + file + "; its GGUF files: "
                    + all.stream().map(HubFile::path).filter(p -> p.endsWith(".gguf")).limit(20).toList());
        return found;
    }

    private static List<HubFile> weights(List<HubFile> all) {
        List<HubFile> one = all.stream().filter(f -> f.path().equals("model.safetensors")).toList();
        if (!one.isEmpty())
            return one;
        List<HubFile> shards = all.stream().filter(f -> SHARD.matcher(f.path()).matches()).toList();
        if (!shards.isEmpty())
            return shards;
        return all.stream().filter(f -> f.path().equals("adapter_model.safetensors")).toList();
    }

    /// Large files last: what is wrong with a model shows in the small ones.
    static int order(HubFile a, HubFile b) {
        return Long.compare(a.size(), b.size());
    }

    /// What the hub's tags say of the licence; "" where they say nothing.
    static String licence(Iterable<String> tags) {
        for (String t : tags)
            if (t.startsWith("license:"))
                return t.substring("license:".length()).replaceAll("[^A-Za-z0-9._+-]", "?").toLowerCase(Locale.ROOT);
        return "";
    }
}
