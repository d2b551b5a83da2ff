package dev.gyre.api;

import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ExampleFiles;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Examples in files, as `data.train` of a run.yaml names them: JSON lines or lists, CSV, Parquet, plain text, packed with
/// gzip or not. They are read as they are gone through, each time anew, so there may be more than memory holds.
///
/// ```java
/// Examples examples = Examples.of("data/*.csv").with("prompt", "question").with("completion", "answer");
/// model.train(examples, TrainOptions.epochs(1), step -> {});
/// ```
public final class Examples implements Iterable<Example> {
    private final DataFiles files;
    private final Map<String, String> keys;

    private Examples(DataFiles files, Map<String, String> keys) {
        this.files = files;
        this.keys = keys;
    }

    /// Names files.
    ///
    /// @param names files, folders and patterns such as `data/*.jsonl`, in the order in which they are read; those of a
    ///        folder or pattern by name
    /// @return their examples; nothing is read yet
    public static Examples of(String... names) {
        return new Examples(DataFiles.of(names), Map.of());
    }

    /// Says that a column has another name.
    ///
    /// @param key what it is: `prompt`, `completion`, `text`, `messages`, ...
    /// @param column its name in the files
    /// @return the same examples, read so
    /// @throws dev.gyre.trainer.config.ConfigException for a key that Gyre does not read
    public Examples with(String key, String column) {
        if (!RunConfig.Data.KEYS.contains(key))
            throw new ConfigException("'" + key + "' is no name that Gyre reads; those are "
                    + String.join(", ", RunConfig.Data.KEYS));
        Map<String, String> all = new LinkedHashMap<>(keys);
        all.put(key, column);
        return new Examples(files, all);
    }

    /// Reads the examples from their beginning.
    ///
    /// @return an iterator that throws [dev.gyre.trainer.data.DataException], with file and line, where it cannot go on
    @Override
    public Iterator<Example> iterator() {
        return read().iterator();
    }

    /// The first examples that ask for an answer, to hold back or to measure on.
    ///
    /// @param most of them
    /// @return prompts with a completion, and conversations with an answer
    public List<Example> tasks(int most) {
        return read().tasks(most);
    }

    private ExampleFiles read() {
        return ExampleFiles.of(files, RunConfig.Format.AUTO, keys);
    }
}
