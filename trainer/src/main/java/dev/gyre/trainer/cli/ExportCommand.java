package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.convert.LoraExporting;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre export`: an adapter in a form that means the same in every library.
@Command(name = "export",
        description = "Write a PSOFT adapter as the LoRA adapter of the same rank that computes exactly the same (PEFT recomputes PSOFT's factors by an SVD whose signs differ between machines).")
final class ExportCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "Adapter directory to write.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Override
    protected int run() {
        LoraExporting.Written w = LoraExporting.run(model.ref(), out, Devices.open(model.device).backend(),
                screen()::note);
        screen().result("wrote " + out + ": lora, " + Text.big(w.parameters()) + " parameters on "
                + Text.many(w.modules(), "module"));
        return ExitCode.OK;
    }
}
