package dev.gyre.trainer.data;

import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// The sets of examples that a run names, each read when it is asked for. Where validation examples are a part of the
/// training examples, the same part at each time.
public final class DataSets {
    private final RunConfig.Data data;
    private final long seed;
    private final TokenizedSet.Rules rules;
    private final ModelText text;
    private TokenizedSet.@Nullable Parts parts;

    /// @param T inputs of a row
    /// @param seed of the run, from which follows what is held out
    public DataSets(RunConfig.Data data, int T, long seed, ModelText text) {
        this.data = data;
        this.seed = seed;
        this.rules = TokenizedSet.Rules.of(data, T);
        this.text = text;
    }

    /// Those of a run.
    public DataSets(RunConfig c, ModelText text) {
        this(c.data(), c.train().seqLen(), c.seed(), text);
    }

    private TokenizedSet.Parts parts(DataFiles.Split split) {
        TokenizedSet.Parts p = parts;
        if (p == null) {
            p = read(data.train()).parts(split, seed);
            parts = p;
        }
        return p;
    }

    public TokenizedSet train() {
        DataFiles.Split split = data.split();
        return split == null ? read(data.train()) : parts(split).train();
    }

    /// The validation examples; null where the run has none.
    public @Nullable TokenizedSet valid() {
        DataFiles.Split split = data.split();
        DataFiles files = data.validFiles();
        return split != null ? parts(split).valid() : files == null ? null : read(files);
    }

    /// Another set, such as one of `also_valid`, read as the run's data are.
    public TokenizedSet read(DataFiles names) {
        return TokenizedSet.read(files(names), rules, text, TokenCache.of(data));
    }

    private ExampleFiles files(DataFiles names) {
        return ExampleFiles.of(names, data);
    }

    /// The first `most` validation examples that ask for an answer; none where the run has no validation examples.
    public List<Example> validTasks(int most) {
        DataFiles.Split split = data.split();
        DataFiles files = data.validFiles();
        if (split == null)
            return files == null ? List.of() : tasks(files, most);
        HeldOut h = parts(split).heldOut();
        return files(data.train()).tasks(most, e -> h.has(Content.hash(e)));
    }

    /// The first `most` examples of `names` that ask for an answer.
    public List<Example> tasks(DataFiles names, int most) {
        return files(names).tasks(most);
    }

    /// Tasks to show: of the validation examples, or where the run has none, of the training examples.
    public List<Example> shown(int most) {
        return data.valid() == null ? tasks(data.train(), most) : validTasks(most);
    }

    /// Whether the validation examples can have tasks: plain text has none.
    boolean validMayAsk() {
        DataFiles files = data.split() == null ? data.validFiles() : data.train();
        return files != null && !files(files).isText();
    }

    /// Every file that the sets of a run are read from, once.
    public static List<Path> files(RunConfig.Data d) {
        List<Path> out = new ArrayList<>(d.train().paths());
        if (d.validFiles() != null)
            out.addAll(d.validFiles().paths());
        d.alsoValid().values().forEach(f -> out.addAll(f.paths()));
        return out.stream().distinct().toList();
    }

    /// What is held out, one example a line as `FILE:LINE`, behind lines that say how it was chosen; null where nothing is
    /// held out.
    public @Nullable String record() {
        DataFiles.Split split = data.split();
        if (split == null)
            return null;
        TokenizedSet v = parts(split).valid();
        StringBuilder s = new StringBuilder(String.format(Locale.ROOT,
                "# held out of data.train for validation: data.valid %s, seed %d, %d of %d examples\n", data.valid(),
                seed, v.size(), v.size() + parts(split).train().size()));
        for (int i = 0; i < v.size(); i++)
            s.append(v.file(i)).append(':').append(v.line(i)).append('\n');
        return s.toString();
    }
}
