package dev.gyre.trainer.cli;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.Preset;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre init`: a run.yaml to start from.
@Command(name = "init",
        description = "Write a run.yaml with every key, its value and what it means. --list shows the presets.")
final class InitCommand extends GyreCommand {
    @Option(names = "--preset", paramLabel = "NAME", defaultValue = "oftv2",
            description = "What to start from (default: ${DEFAULT-VALUE}).")
    String preset = "oftv2";

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
        Preset from = Preset.of(preset);
        List<String> all = new ArrayList<>();
        Path shipped = Home.find(Home.BASE_MODEL);
        if (shipped != null && from.settings().contains("model.path=" + Home.BASE_MODEL))
            all.add("model.path=\"" + shipped + "\"");
        all.addAll(set);
        String yaml = from.yaml(all, print ? "run.yaml" : to.toString());
        if (print) {
            screen().part(yaml);
            return ExitCode.OK;
        }
        AtomicFiles.requireNewFile(to);
        AtomicFiles.write(to, yaml);
        screen().result("wrote " + to + " (preset " + preset + "); look at data.train and model.path, then: "
                + Version.called() + " check "
                + to);
        return ExitCode.OK;
    }
}
