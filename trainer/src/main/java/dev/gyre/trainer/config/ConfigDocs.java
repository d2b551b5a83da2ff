package dev.gyre.trainer.config;

import dev.gyre.model.options.Key;
import dev.gyre.model.options.OneOf;
import java.util.List;

/// `docs/configuration.md`, from the configuration records.
public final class ConfigDocs {
    private ConfigDocs() {
    }

    public static String markdown() {
        StringBuilder out = new StringBuilder("""
                # Configuration

                Written from the configuration records; a test keeps it in step. `gyre init` writes a file with every key,
                `gyre check` tells what a file means. Unknown keys, wrong types and values that contradict each other are
                named with file, line and column. `--set train.lr=3e-4` replaces a key on the command line. Paths are relative
                to the folder in which Gyre is started.

                ## gyre train: run.yaml
                """);
        type(out, RunConfig.class, "");
        out.append(
                "\n## gyre train: run.yaml with a section task\n\nFor models that predict something else than the next"
                        + " token ([tasks.md](tasks.md)). Sections and keys that are not listed here are those of run.yaml.\n");
        section(out, TaskRunConfig.Task.class, "task", "what is predicted");
        section(out, TaskRunConfig.Data.class, "task: data", "examples with labels");
        section(out, TaskRunConfig.Eval.class, "task: eval", "evaluation during training");
        out.append(
                "\n## gyre train: run.yaml with a section preference\n\nFor pairs of answers, of which one was preferred"
                        + " ([preferences.md](preferences.md)). Sections and keys that are not listed here are those of run.yaml.\n");
        section(out, PreferenceRunConfig.Preference.class, "preference", "the loss of a pair of answers");
        section(out, PreferenceRunConfig.Data.class, "preference: data", "pairs of answers");
        out.append("\n## gyre pretrain\n\nSections that are not listed here are those of run.yaml.\n");
        section(out, PretrainConfig.Model.class, "model", "shape of the new model");
        out.append("\n## Presets of gyre init\n\n| preset | what for |\n|---|---|\n");
        for (Preset p : Preset.all())
            out.append("| `").append(p.name()).append("` | ").append(p.purpose()).append(" |\n");
        return out.toString();
    }

    private static void type(StringBuilder out, Class<?> type, String path) {
        StringBuilder plain = new StringBuilder();
        for (Schema.Entry c : Schema.entries(type)) {
            Class<?> of = c.component().getType();
            OneOf one = of.getAnnotation(OneOf.class);
            if (one != null) {
                out.append("\n### ").append(c.key()).append("\n\n").append(c.annotation().doc())
                        .append("; `").append(one.value()).append("` chooses:\n");
                for (Class<?> k : Schema.cases(of))
                    section(out, k, c.key() + ", " + one.value() + ": " + Schema.caseOf(k).value(),
                            Schema.caseOf(k).doc());
            } else
                if (c.isSection())
                    section(out, of, path + c.key(), c.annotation().doc());
                else
                    row(plain, c);
        }
        if (!plain.isEmpty())
            out.append("\n### Top level\n\n").append(HEAD).append(plain);
    }

    private static final String HEAD = "| key | default | meaning |\n|---|---|---|\n";

    private static void section(StringBuilder out, Class<?> type, String title, String doc) {
        out.append("\n### ").append(title).append("\n\n").append(doc).append("\n");
        List<Schema.Entry> entries = Schema.entries(type);
        if (entries.isEmpty())
            return;
        out.append('\n').append(HEAD);
        for (Schema.Entry c : entries)
            row(out, c);
    }

    private static void row(StringBuilder out, Schema.Entry c) {
        Key key = c.annotation();
        out.append("| `").append(c.key()).append("` | ")
                .append(key.def().equals(Key.REQUIRED) ? "required" : "`" + key.def() + "`").append(" | ")
                .append(key.doc().replace("|", "\\|")).append(" |\n");
    }
}
