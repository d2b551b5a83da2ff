package dev.gyre.trainer.cli;

import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.LoraExport;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.kernels.devices.Devices;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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
        ModelRef ref = model.ref();
        if (ref.adapters().size() != 1)
            throw new UsageException("give one --adapter DIR, or a run directory as MODEL");
        if (Files.exists(out))
            throw new UsageException(out + ": exists already; choose another --out or remove it");
        AtomicFiles.checkFolder(out);
        Transformer llama = new ModelRef(ref.model(), List.of(), ref.base()).load(screen()::note);
        Adapter psoft = Adapter.read(ref.adapters().getFirst(), llama);
        psoft.warnings().forEach(screen()::note);
        Adapter lora = LoraExport.of(psoft, Devices.open(model.device).backend());
        lora.write(out, ref.model().toString());
        screen().result("wrote " + out + ": lora, " + Text.big(lora.parameters())
                + " numbers on " + Text.many(lora.modules().size(), "module"));
        return ExitCode.OK;
    }
}
