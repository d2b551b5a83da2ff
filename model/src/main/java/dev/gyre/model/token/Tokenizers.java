package dev.gyre.model.token;

import dev.gyre.model.files.FormatException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Finds the tokenizer of a model directory.
public final class Tokenizers {
    private Tokenizers() {
    }

    /// Opens the tokenizer of a model directory: ours if `gyre_tokenizer.json` names it, else `tokenizer.json`.
    public static Tokenizer load(Path directory) {
        Path own = directory.resolve(ByteTokenizer.FILE);
        if (Files.exists(own))
            return ByteTokenizer.load(own);
        Path file = directory.resolve(HfTokenizer.FILE);
        if (Files.exists(file))
            return HfTokenizer.open(file);
        if (Files.exists(directory.resolve("tekken.json")))
            throw new FormatException(directory, "has Mistral's tekken.json but no " + HfTokenizer.FILE
                    + "; take " + HfTokenizer.FILE + " from a release for transformers, or write one with its function"
                    + " transformers.integrations.mistral.convert_tekken_tokenizer(FILE).save_pretrained(DIR)");
        for (String other : new String[] {"tokenizer.model", "vocab.json"})
            if (Files.exists(directory.resolve(other)))
                throw new FormatException(directory, "has " + other + " but no " + HfTokenizer.FILE
                        + "; write one with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)");
        throw new FormatException(directory, "has no tokenizer (" + ByteTokenizer.FILE + " or " + HfTokenizer.FILE
                + "); copy it from the model's source");
    }
}
