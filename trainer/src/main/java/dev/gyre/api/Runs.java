package dev.gyre.api;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.GyreException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunSettings;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.plan.Draft;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.plan.RunDevice;
import dev.gyre.trainer.plan.RunDraft;
import dev.gyre.trainer.plan.RunPlan;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Comparison;
import dev.gyre.trainer.report.ComparisonTable;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.report.Sweep;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.LrFinder;
import dev.gyre.trainer.run.Pretraining;
import dev.gyre.trainer.run.TrainingRun;
import dev.gyre.trainer.task.TaskDraft;
import dev.gyre.trainer.task.TaskTraining;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Runs that a configuration file describes, with checkpoints, metrics and reports in a run directory: what `gyre train`,
/// `pretrain`, `check`, `plan`, `lr-find`, `report` and `compare` do.
///
/// ```java
/// Runs.Outcome run = Runs.train(Path.of("run.yaml"), RunOptions.DEFAULT.with("train.lr", 1e-3));
/// IO.println(Runs.compare(List.of(run.directory(), Path.of("runs/lora")), Runs.Table.MARKDOWN));
/// ```
public final class Runs {
    private static final String VERSION = "library";

    private Runs() {
    }

    /// How a run ended.
    ///
    /// @param directory the run directory
    /// @param result folder of the adapter or model; it exists when the run finished
    /// @param ended last step and losses
    /// @param results what base model and result were measured at; null for a run that was stopped, and for a pre-training
    public record Outcome(Path directory, Path result, TrainLoop.Result ended, @Nullable Results results) {
    }

    /// Fine-tunes as a run.yaml says, with a section `task` or without, measures base model and result, and writes the report.
    ///
    /// @param config the configuration file
    /// @param options replaced keys, resuming, listeners
    /// @return how it ended and what was measured
    public static Outcome train(Path config, RunOptions options) {
        if (ConfigReader.has(config, "task"))
            return trainTask(config, options);
        RunConfig c = ConfigReader.readWithInputs(config, RunConfig.class, options.settings());
        Backend backend = backend(c);
        Outcome run;
        Results.Training training;
        boolean trained;
        try (TrainingRun<?> r = FineTuning.open(c, options.resume(), backend, VERSION)) {
            run = run(r, options);
            training = Results.Training.of(r);
            trained = r.from() < r.done();
        }
        Results results = null;
        if (run.ended.finished()) {
            results = Results.measure(c, run.directory, training, backend);
            if (c.results().report())
                Report.examine(c, run.directory, backend, trained);
        }
        Report.write(run.directory);
        return new Outcome(run.directory, run.result, run.ended, results);
    }

    private static Outcome trainTask(Path config, RunOptions options) {
        TaskRunConfig c = ConfigReader.readWithInputs(config, TaskRunConfig.class, options.settings());
        RunDir.check(Path.of(c.output().dir()), options.resume());
        Backend backend = Devices.open(c.device(), c.precision()).backend();
        TaskTraining training = new TaskTraining(c, backend);
        try (TrainingRun<TaskBatch> r = TrainingRun.open(training, options.resume(), backend, VERSION)) {
            training.begin(r);
            Outcome run = run(r, options);
            if (!run.ended.finished()) {
                Report.write(run.directory);
                return run;
            }
            return new Outcome(run.directory, run.result, run.ended, training.end(r, backend));
        }
    }

    /// Trains a new model as a pretrain.yaml says.
    ///
    /// @param config the configuration file
    /// @param options replaced keys, resuming, listeners
    /// @return how it ended
    public static Outcome pretrain(Path config, RunOptions options) {
        PretrainConfig c = ConfigReader.readWithInputs(config, PretrainConfig.class, options.settings());
        try (TrainingRun<?> r = Pretraining.open(c, options.resume(), backend(c), VERSION)) {
            return run(r, options);
        }
    }

    /// Trains the runs of a sweep.yaml one after the other in this process (`gyre sweep` gives each a process of its own).
    /// Runs that are done are left as they are, an interrupted one goes on, and one that failed before is not tried again.
    ///
    /// @param sweep the sweep.yaml
    /// @param options keys replaced in all runs, listeners, when to stop
    /// @return why runs failed, by name; empty if none did
    public static Map<String, String> sweep(Path sweep, RunOptions options) {
        Map<String, String> failures = new LinkedHashMap<>();
        try (Sweep s = Sweep.read(sweep, options.settings())) {
            s.lock();
            for (Sweep.Run r : s.runs()) {
                if (options.stop())
                    break;
                switch (s.state(r)) {
                    case DONE -> {
                    }
                    case FAILED -> failures.put(r.name(), String.valueOf(s.failures().get(r.name())));
                    case NEW, INTERRUPTED -> {
                        try {
                            // the run's own file has the replaced keys
                            train(s.config(r), options.ofSweep(s.prepare(r)));
                            s.failed(r, null);
                        } catch (GyreException e) {
                            String why = String.valueOf(e.getMessage());
                            s.failed(r, why);
                            failures.put(r.name(), why);
                        }
                    }
                }
            }
        }
        return failures;
    }

    private static Outcome run(TrainingRun<?> r, RunOptions options) {
        return new Outcome(r.dir().path(), r.result(), r.run(options.listeners(), options::stop), null);
    }

    private static Backend backend(RunSettings c) {
        return switch (c) {
            case RunConfig run -> RunDevice.open(run).backend();
            case PretrainConfig _ -> Devices.open(c.device(), c.precision(), () -> false).backend();
        };
    }

    /// Chooses a run for a model and examples, as `gyre init --model --data` does: what fits both and the memory of this
    /// machine.
    ///
    /// @param model a model directory, or the name of a model in the Hugging Face cache
    /// @param data files, folders or patterns of examples
    /// @return a run.yaml that is ready to run, each choice with its reason as a comment
    public static String draft(String model, List<String> data) {
        RunDraft.Machine here = RunDraft.Machine.here();
        Draft draft = TaskDraft.is(model, List.of()) ? TaskDraft.of(model, data, null, List.of(), here)
                : RunDraft.of(model, data, null, List.of(), here);
        return draft.yaml("run.yaml", "gyre");
    }

    /// Checks a run.yaml with everything that it names, and reads all examples.
    ///
    /// @param config the run.yaml
    /// @param options replaced keys
    /// @return the configuration with every key, as YAML
    /// @throws dev.gyre.kernels.GyreException for the first mistake
    public static String check(Path config, RunOptions options) {
        if (ConfigReader.has(config, "task")) {
            TaskRunConfig task = ConfigReader.readWithInputs(config, TaskRunConfig.class, options.settings());
            try (TaskTraining t = new TaskTraining(task, Devices.open(task.device(), task.precision()).backend())) {
                t.plan();
            }
            return ConfigWriter.resolved(task);
        }
        RunConfig c = ConfigReader.readWithInputs(config, RunConfig.class, options.settings());
        try (ModelText text = ModelText.load(c)) {
            RunData.readAll(c, text);
        }
        RunPlan.Row plan = plan(config, options);
        if (plan.impossible() != null)
            throw new InputException(config + ": " + plan.impossible());
        return ConfigWriter.resolved(c);
    }

    /// Trains the first steps of a run and writes nothing.
    ///
    /// @param config the configuration file
    /// @param options replaced keys, resuming, listeners
    /// @param steps to take
    /// @return how it ended
    public static TrainLoop.Result trial(Path config, RunOptions options, int steps) {
        if (ConfigReader.has(config, "task")) {
            TaskRunConfig task = ConfigReader.readWithInputs(config, TaskRunConfig.class, options.settings());
            Backend backend = Devices.open(task.device(), task.precision()).backend();
            try (TaskTraining t = new TaskTraining(task, backend)) {
                return t.trial(backend, steps, options.listeners());
            }
        }
        RunConfig c = ConfigReader.readWithInputs(config, RunConfig.class, options.settings());
        return FineTuning.trial(c, backend(c), steps, options.listeners());
    }

    /// Trainable parameters and peak memory of a run; reads its examples and the headers of the weight files.
    ///
    /// @param config the run.yaml
    /// @param options replaced keys
    /// @return parameters and memory, or why the run is not possible
    public static RunPlan.Row plan(Path config, RunOptions options) {
        RunConfig c = ConfigReader.readWithInputs(config, RunConfig.class, options.settings());
        RunData.Load load = RunPlan.load(c);
        return RunPlan.with(c, threads(), plan -> plan.own(load));
    }

    /// The largest `train.micro_batch` whose peak memory on the CPU stays within a limit.
    ///
    /// @param config the run.yaml
    /// @param options replaced keys
    /// @param bytes the limit
    /// @return rows; 0 when not even one fits
    public static int largestBatch(Path config, RunOptions options, long bytes) {
        if (ConfigReader.has(config, "task")) {
            TaskRunConfig task = ConfigReader.readWithInputs(config, TaskRunConfig.class, options.settings());
            try (TaskTraining t = new TaskTraining(task, Devices.open(task.device(), task.precision()).backend())) {
                return t.largestBatch(bytes);
            }
        }
        RunConfig c = ConfigReader.readWithInputs(config, RunConfig.class, options.settings());
        RunData.Load load = RunPlan.load(c);
        return RunPlan.with(c, threads(), plan -> plan.largestBatch(bytes, MemoryEstimate::total, load));
    }

    private static int threads() {
        return Runtime.getRuntime().availableProcessors();
    }

    /// Learning-rate range test: the run's own steps with a learning rate that grows from step to step. Writes nothing.
    ///
    /// @param config the run.yaml
    /// @param options replaced keys
    /// @param steps of the test
    /// @param from learning rate of the first step
    /// @param to learning rate of the last step
    /// @param onStep called after every step
    /// @return the curve, where it falls fastest and where it is lowest
    public static LrFinder.Found findLearningRate(Path config, RunOptions options, int steps, double from, double to,
            Consumer<TrainListener.Step> onStep) {
        if (ConfigReader.has(config, "task")) {
            TaskRunConfig task = ConfigReader.readWithInputs(config, TaskRunConfig.class, options.settings());
            Backend backend = Devices.open(task.device(), task.precision()).backend();
            try (TaskTraining t = new TaskTraining(task, backend)) {
                return LrFinder.find((n, lr, listeners, stop) -> t.ramp(backend, n, lr, listeners, stop), steps, from,
                        to, onStep);
            }
        }
        RunConfig c = ConfigReader.readWithInputs(config, RunConfig.class, options.settings());
        return LrFinder.find(c, backend(c), steps, from, to, onStep);
    }

    /// Writes report.html of a run from what its directory holds.
    ///
    /// @param run the run directory
    /// @return the page
    public static Path report(Path run) {
        return Report.write(run);
    }

    /// Draws the curves of a run into a PNG file.
    ///
    /// @param run the run directory
    /// @param png the file to write
    public static void picture(Path run, Path png) {
        Report.picture(run, png);
    }

    /// Forms of a comparison.
    public enum Table {
        /// For a terminal.
        TEXT,
        /// With the best of each column in bold.
        MARKDOWN,
        /// All values in full: bytes, seconds, shares.
        CSV,
        /// A tabular for the package booktabs.
        LATEX
    }

    /// A table of finished runs, every column.
    ///
    /// @param runs run directories, or folders of them
    /// @param form of the table
    /// @return the table
    public static String compare(List<Path> runs, Table form) {
        ComparisonTable c = comparison(runs);
        return switch (form) {
            case TEXT -> String.join("\n", c.text(true)) + "\n";
            case MARKDOWN -> c.markdown(true);
            case CSV -> c.csv();
            case LATEX -> c.latex(true);
        };
    }

    /// Writes a page with the table, Pareto plots and curves of finished runs.
    ///
    /// @param runs run directories, or folders of them
    /// @param html the file to write
    public static void comparePage(List<Path> runs, Path html) {
        AtomicFiles.checkResult(html, Comparison.PAGE_MARK, "a page of Gyre");
        AtomicFiles.write(html, comparison(runs).html("Gyre"));
    }

    private static ComparisonTable comparison(List<Path> runs) {
        Comparison c = Comparison.of(runs, null);
        if (c.rows().isEmpty())
            throw new InputException("no run among these is finished: " + c.missing());
        return c.table();
    }
}
