package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.plan.RunDevice;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre report`: a run's page, made again.
@Command(name = "report",
        description = "Write report.html of a run: curves, rotations, energy, times, data, answers, in one page that needs no network. gyre train writes it at its end; a run that was stopped gets a page of its curves.")
final class ReportCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "RUN", description = "Run directory of gyre train.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path dir;

    @Option(names = "--again",
            description = "Look at the result again (answers, energy, times, merging) in place of what is known.")
    boolean again;

    @Option(names = "--png", paramLabel = "FILE.png", description = "Also draw the curves into a picture.")
    @Nullable
    Path png;

    @Override
    protected int run() {
        if (!Files.exists(dir.resolve("run.yaml")))
            throw new UsageException(dir + ": no run directory (no run.yaml)");
        AtomicFiles.checkFile(dir.resolve(Report.PAGE));
        if (png != null)
            AtomicFiles.checkResult(png, "PNG\r\n", "a PNG picture");
        if (ConfigReader.has(dir.resolve("run.yaml"), "task")) {
            boolean finished = Results.read(dir) != null;
            TaskRunConfig task = ConfigReader.read(dir.resolve("run.yaml"), TaskRunConfig.class, java.util.List.of());
            screen().result("wrote " + (finished
                    ? TaskUse.report(dir, Devices.open(task.device(), task.precision()).backend(), screen()::note)
                    : Report.write(dir)));
            if (png != null) {
                picture(png);
                screen().result("wrote " + png);
            }
            return ExitCode.OK;
        }
        RunConfig c = ConfigReader.read(dir.resolve("run.yaml"), RunConfig.class, java.util.List.of());
        if (Results.read(dir) != null && (again || !Report.isExamined(dir))) {
            screen().status("looking at the result ...");
            Report.examine(c, dir, RunDevice.open(c).backend(), false);
            screen().done();
        }
        screen().result("wrote " + Report.write(dir));
        if (png != null) {
            picture(png);
            screen().result("wrote " + png);
        }
        return ExitCode.OK;
    }

    private void picture(Path file) {
        // no window is opened, and none can be on most machines that train
        System.setProperty("java.awt.headless", "true");
        try {
            Report.picture(dir, file);
        } catch (LinkageError e) {
            throw new UsageException("--png: this Java cannot draw (" + e.getMessage() + "); it needs the module"
                    + " java.desktop, fontconfig and a font, such as the packages fontconfig and fonts-dejavu-core");
        }
    }
}
