package dev.gyre.trainer.cli;

import dev.gyre.dist.Collective;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.cli.screen.RunScreen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.run.LanguageTraining;
import dev.gyre.trainer.run.Pretraining;
import dev.gyre.trainer.run.TrainingRun;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre pretrain`: trains a model from scratch.
@Command(name = "pretrain",
        description = "Train a new model from random weights and write a model directory that transformers loads. Give a YAML file, or --preset, --data and --out.")
final class PretrainCommand extends GyreCommand {
    @Parameters(index = "0", arity = "0..1", paramLabel = "PRETRAIN.yaml", description = "The run's configuration.")
    @Nullable
    Path file;

    @Option(names = "--preset", paramLabel = "NAME",
            description = "Size of the model: tiny, small, medium, large (model.preset).")
    @Nullable
    String preset;

    @Option(names = "--data", paramLabel = "FILE", description = "Text or JSONL to train on (data.train).")
    @Nullable
    String data;

    @Option(names = "--out", paramLabel = "DIR",
            description = "Run directory (output.dir); the model is written to its subdirectory model/.")
    @Nullable
    String out;

    @Option(names = "--set", paramLabel = "KEY=VALUE",
            description = "Replace a key of the configuration, such as train.steps=500; may be repeated.")
    List<String> set = new ArrayList<>();

    @Option(names = "--resume", description = "Go on with the run in the output directory, from its newest checkpoint.")
    boolean resume;

    @Option(names = "--json",
            description = "Print one JSON object a line, as in metrics.jsonl, in place of text; the log keeps the text.")
    boolean json;

    @Option(names = "--workers", paramLabel = "N",
            description = "Share each step among N processes on this machine, started by mpirun; same result. Several"
                    + " machines: start gyre pretrain with mpirun or srun.")
    int workers = 1;

    @Override
    protected boolean hasWorkers() {
        return true;
    }

    @Override
    protected int run() {
        if (json)
            screen().json();
        return Launcher.among(workers, screen(), this::run);
    }

    private int run(Collective workers) {
        List<String> all = new ArrayList<>();
        add(all, "model.preset", preset);
        add(all, "data.train", data);
        add(all, "output.dir", out);
        if (file == null && (data == null || out == null))
            throw new UsageException("give a PRETRAIN.yaml, or --data FILE and --out DIR (and --preset NAME)");
        all.addAll(set);
        PretrainConfig c = file == null
                ? ConfigReader.parseWithInputs("command line", "", PretrainConfig.class, all)
                : ConfigReader.readWithInputs(file, PretrainConfig.class, all);
        Devices.Chosen device = Devices.open(Launcher.device(c.device()), c.precision());
        if (workers.rank() > 0)
            return TrainCommand.follow(Pretraining.training(c), device.backend(), workers);
        RunDir.check(Path.of(c.output().dir()), resume);
        LanguageTraining training = Pretraining.training(c);
        try (TrainingRun<?> run = TrainingRun.open(training, resume, device.backend(), Version.number(), workers)) {
            var m = training.model().config();
            String model = "new, " + Text.big(training.model().parameters()) + " parameters · " + m.shape().layers()
                    + " layers of width "
                    + m.hiddenSize() + ", " + m.attention().heads() + " heads, " + m.attention().kvHeads()
                    + " key/value heads, vocabulary "
                    + Text.count(m.vocabSize());
            return RunScreen.train(screen(), run, device, RunScreen.Header.of(training, model),
                    RunScreen.again("pretrain", run.dir().path()));
        }
    }

    private static void add(List<String> to, String key, @Nullable String value) {
        if (value != null)
            to.add(key + "=\"" + value.replace("\\", "\\\\").replace("\"", "\\\"") + "\"");
    }
}
