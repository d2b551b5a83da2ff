package dev.gyre.trainer.cli;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.Preset;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.plan.Draft;
import dev.gyre.trainer.plan.RunDraft;
import dev.gyre.trainer.task.TaskDraft;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre init`: a run.yaml to start from.
@Command(name = "init",
        description = "Write a run.yaml. With --model and --data it is ready to run: what fits the model, the examples and this machine's memory is chosen, each key with its reason. With --preset it has every key, its value and what it means; --list shows the presets.")
final class InitCommand extends GyreCommand {
    @Option(names = "--model", paramLabel = "MODEL",
            description = "Model to fine-tune: a model directory, or a name of the Hugging Face hub.")
    @Nullable
    String model;

    @Option(names = "--data", paramLabel = "FILE",
            description = "Examples to train on: a file, a folder or a pattern; may be repeated.")
    List<String> data = new ArrayList<>();

    @Option(names = "--valid", paramLabel = "FILE",
            description = "Examples to validate on, or how many to hold out: 10%%, 200 (default: a part of --data).")
    @Nullable
    String valid;

    @Option(names = "--preset", paramLabel = "NAME",
            description = "What to start from (default: oftv2, unless --model and --data are given).")
    @Nullable
    String preset;

    @Option(names = "--list", description = "List the presets and write nothing.")
    boolean list;

    @Option(names = "--out", paramLabel = "FILE",
            description = "Where to write (default: run.yaml; - is the terminal). An existing file is never replaced.")
    @Nullable
    Path out;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key, such as model.path=models/llama; may be repeated.")
    List<String> set = new ArrayList<>();

    @Override
    protected int run() {
        if (list) {
            for (Preset p : Preset.all())
                screen().result(Text.format("%-16s %s", p.name(), p.purpose()));
            return ExitCode.OK;
        }
        Path to = out != null ? out : Path.of("run.yaml");
        boolean print = to.toString().equals("-");
        if (preset == null && (model != null || !data.isEmpty() || valid != null))
            return draft(to, print);
        String name = preset == null ? "oftv2" : preset;
        Preset from = Preset.of(name);
        List<String> all = new ArrayList<>();
        Path shipped = Home.find(Home.BASE_MODEL);
        if (shipped != null && from.settings().contains("model.path=" + Home.BASE_MODEL))
            all.add("model.path=\"" + shipped + "\"");
        if (model != null)
            all.add("model.path=" + ConfigWriter.yaml(model));
        if (!data.isEmpty())
            all.add("data.train=" + ConfigWriter.yaml(data.size() == 1 ? data.getFirst() : data));
        if (valid != null)
            all.add("data.valid=" + ConfigWriter.yaml(valid));
        all.addAll(set);
        String yaml = from.yaml(all, print ? "run.yaml" : to.toString());
        if (print) {
            screen().part(yaml);
            return ExitCode.OK;
        }
        AtomicFiles.requireNewFile(to);
        AtomicFiles.write(to, yaml);
        screen().result("wrote " + to + " (preset " + name + "); look at data.train and model.path, then: "
                + Version.called() + " check "
                + to);
        return ExitCode.OK;
    }

    /// A file that needs no editing.
    private int draft(Path to, boolean print) {
        if (model == null || data.isEmpty())
            throw new UsageException((model == null ? "--model is" : "--data is") + " missing: --model and --data go"
                    + " together, such as --model Qwen/Qwen3-0.6B --data my.jsonl");
        for (String s : set)
            if (s.indexOf('=') < 1)
                throw new UsageException("--set " + s + ": needs the form key.path=value");
        if (!print)
            AtomicFiles.requireNewFile(to);
        screen().status("looking at the model and the examples ...");
        boolean task = TaskDraft.is(model, set);
        RunDraft.Machine here = RunDraft.Machine.here();
        Draft draft =
                task ? TaskDraft.of(model, data, valid, set, here) : RunDraft.of(model, data, valid, set, here);
        String yaml = draft.yaml(print ? "run.yaml" : to.toString(), Version.called());
        // what is written is what was planned
        Class<? extends Record> form = task ? TaskRunConfig.class : RunConfig.class;
        ConfigReader.parseWithInputs(to.toString(), yaml, form, List.of());
        screen().done();
        if (print) {
            screen().part(yaml);
            return ExitCode.OK;
        }
        AtomicFiles.write(to, yaml);
        screen().line(String.join(" · ", draft.summary()));
        screen().result("wrote " + to + "; start it: " + Version.called() + " train " + to);
        return ExitCode.OK;
    }
}
