package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.gguf.GgufType;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.convert.GgufExporting;
import dev.gyre.trainer.convert.LoraExporting;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre export`: a model or an adapter in the form of another program.
@Command(name = "export",
        description = "Write a model as a GGUF file for llama.cpp, with its adapters folded in (--gguf), or a LoRA adapter as one (--gguf with --lora). Without --gguf: a PSOFT adapter as the LoRA adapter of the same rank that computes exactly the same (PEFT recomputes PSOFT's factors by an SVD whose signs differ between machines).")
final class ExportCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Option(names = "--out", required = true, paramLabel = "PATH",
            description = "GGUF file, or adapter directory, to write; must not exist.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Option(names = "--gguf", paramLabel = "TYPE",
            description = "Write a GGUF file with matrices of the type F32, F16, BF16, Q8_0 or Q4_0.")
    @Nullable
    String gguf;

    @Option(names = "--lora",
            description = "With --gguf F32, F16 or BF16: write the adapter alone, one of lora or psoft, for llama.cpp's --lora.")
    boolean lora;

    @Override
    protected int run() {
        if (lora && gguf == null)
            throw new UsageException("--lora goes with --gguf TYPE; without both, a psoft adapter is written in PEFT's"
                    + " layout");
        Backend backend = Devices.open(model.device).backend();
        if (gguf != null) {
            GgufType type = GgufExporting.type(gguf);
            GgufExporting.Written w = lora ? GgufExporting.lora(model.ref(), type, out, backend, screen()::note)
                    : GgufExporting.model(model.ref(), type, out, backend, screen()::note,
                            name -> screen().status("writing " + name));
            screen().done();
            w.notes().forEach(n -> screen().note("note: " + n));
            screen().result("wrote " + out + ": " + Text.many(w.tensors(), "tensor") + ", " + Text.bytes(w.bytes()));
            return ExitCode.OK;
        }
        LoraExporting.Written w = LoraExporting.run(model.ref(), out, backend, screen()::note);
        screen().result("wrote " + out + ": lora, " + Text.big(w.parameters()) + " parameters on "
                + Text.many(w.modules(), "module"));
        return ExitCode.OK;
    }
}
