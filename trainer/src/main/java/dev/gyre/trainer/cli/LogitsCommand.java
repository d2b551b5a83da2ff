package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.task.TaskDir;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.measure.LogitsFile;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.TaskLogitsFile;
import java.nio.file.Path;
import java.util.Arrays;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre logits`: what the model computes for given tokens, as a file to compare with another framework.
@Command(name = "logits",
        description = "Write logits, loss and adapter gradients of a token batch as a safetensors file, to compare Gyre with another framework.",
        footer = {
            "",
            "FILE.json: {\"input_ids\": [[...]], \"labels\": [[...]], \"attention_mask\": [[...]]}; labels and mask are optional.",
            "Labels are aligned with their tokens and shifted here, as transformers does; -100 is ignored.",
            "Models with a head: also \"token_type_ids\", or \"pixel_values\" (batch, channels, rows, columns); labels are",
            "classes, a row of them for classes of tokens, numbers, or rows of numbers for several labels.",
            "Output: logits (B,T,V), of a head for sequences (B,V); loss () when there are labels: mean over the labels that count; with an adapter",
            "also grad/<tensor>, its gradient without dropout, for each adapter tensor, named as in adapter_model.safetensors (of several adapters",
            "grad/<adapter>/<tensor>)."})
final class LogitsCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Option(names = "--tokens", required = true, paramLabel = "FILE.json",
            description = "Token ids, labels and attention mask.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path tokens;

    @Option(names = "--out", required = true, paramLabel = "FILE.safetensors",
            description = "Where to write; an existing file is not overwritten.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Option(names = "--gradients",
            description = "Gradients are required: without an adapter or labels that count nothing is written.")
    boolean gradients;

    @Override
    protected int run() {
        ModelRef ref = model.ref();
        if (TaskDir.is(ref.model())) {
            TaskLogitsFile.Written w = TaskLogitsFile.write(tokens, ref, gradients,
                    Devices.open(model.device).backend(), out, screen()::note);
            screen().result(out + ": logits " + Arrays.toString(w.shape()).replace('[', '(').replace(']', ')')
                    + (w.labels() > 0 ? Text.format(", loss %.6f over %d labels", w.loss(), w.labels()) : ""));
            return ExitCode.OK;
        }
        LogitsFile.Written w =
                LogitsFile.write(tokens, ref, gradients, Devices.open(model.device).backend(), out,
                        screen()::note);
        screen().result(out + ": logits (" + w.rows() + ", " + w.length() + ", " + w.vocabulary() + ")"
                + (w.labels() > 0 ? Text.format(", loss %.6f over %d labels", w.loss(), w.labels()) : ""));
        return ExitCode.OK;
    }
}
