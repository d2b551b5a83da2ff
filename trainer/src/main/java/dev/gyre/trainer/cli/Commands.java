package dev.gyre.trainer.cli;

import java.util.List;

/// The commands of this module, in the order of the help text.
final class Commands {
    private Commands() {
    }

    static List<Object> all() {
        // @formatter:off
        return List.of(
                new QuickstartCommand(),
                new DownloadCommand(),
                new ImportCommand(),
                new InitCommand(),
                new CheckCommand(),
                new PlanCommand(),
                new DataCommand(),
                new LrFindCommand(),
                new TrainCommand(),
                new WatchCommand(),
                new EvalCommand(),
                new GenerateCommand(),
                new ChatCommand(),
                new ServeCommand(),
                new ClassifyCommand(),
                new EmbedCommand(),
                new ReportCommand(),
                new SweepCommand(),
                new CompareCommand(),
                new MergeCommand(),
                new QuantizeCommand(),
                new ExportCommand(),
                new LogitsCommand(),
                new KernelsCommand(), new BundleCommand(),
                new PretrainCommand(),
                new SkillsCommand(),
                new ExampleCommand(),
                new DoctorCommand());
        // @formatter:on
    }
}
