package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.task.TaskUse;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import tools.jackson.databind.node.ObjectNode;

/// `gyre classify`: what a model with a head says about texts or images.
@Command(name = "classify", description = "Classes, labels or numbers that a model gives to texts or images.")
final class ClassifyCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Parameters(index = "1..*", paramLabel = "TEXT",
            description = "Texts, or image files for a vision model.")
    List<String> given = new ArrayList<>();

    @Option(names = "--file", paramLabel = "FILE", description = "A file with a text on each line.")
    @Nullable
    Path file;

    @Option(names = "--pair", paramLabel = "TEXT", description = "Second text of each, for models of pairs.")
    @Nullable
    String pair;

    @Option(names = "--json", description = "Print one JSON object a line, with the score of every label.")
    boolean json;

    @Override
    protected int run() {
        List<String> all = new ArrayList<>(given);
        if (file != null)
            all.addAll(lines(file));
        if (all.isEmpty())
            throw new UsageException("give texts or images, or --file FILE");
        try (TaskUse use = TaskUse.open(model.model, model.adapters, model.base, Devices.open(model.device).backend(),
                screen()::note)) {
            List<TaskUse.Answer> answers = use.readsImages()
                    ? use.classifyImages(all.stream().map(Path::of).toList())
                    : use.classify(all.stream().map(t -> pair == null ? List.of(t) : List.of(t, pair)).toList());
            for (int i = 0; i < all.size(); i++)
                show(all.get(i), answers.get(i));
        }
        return ExitCode.OK;
    }

    private void show(String text, TaskUse.Answer a) {
        if (json) {
            ObjectNode o = Json.MAPPER.createObjectNode();
            o.put("input", text).put("label", a.label());
            ObjectNode scores = o.putObject("scores");
            a.scores().forEach(scores::put);
            screen().data(o.toString());
            return;
        }
        Map.Entry<String, Double> best = a.scores().entrySet().stream().max(Map.Entry.comparingByValue()).orElseThrow();
        screen().result((a.label().isEmpty() ? "(none)" : a.label()) + Text.format("   %.4f   ", best.getValue())
                + text);
    }

    static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file).stream().filter(l -> !l.isBlank()).toList();
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }
}
