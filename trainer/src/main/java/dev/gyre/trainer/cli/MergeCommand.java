package dev.gyre.trainer.cli;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.format.TensorType;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.convert.Merging;
import dev.gyre.trainer.task.TaskUse;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre merge`: folds adapters into the weights.
@Command(name = "merge",
        description = "Fold adapters into the weights and write a model directory that transformers loads, or with --onnx the graph that the model was imported from; or, with --undo, take them out again.")
final class MergeCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Option(names = "--out", required = true, paramLabel = "DIR",
            description = "Model directory to write; must not exist or be empty. With --onnx, the .onnx file to write.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Option(names = "--onnx", paramLabel = "FILE.onnx",
            description = "Write this graph again, from which gyre import made the model, with the merged weights in it; every other byte stays.")
    @Nullable
    Path onnx;

    @Option(names = "--dtype", paramLabel = "TYPE",
            description = "Store merged weights as f32, f16 or bf16 (default: as the base model stores them; 16 bits for 4-bit weights).")
    @Nullable
    String dtype;

    @Option(names = "--undo",
            description = "MODEL is a merged model: take the adapters (--adapter, in the order in which they were merged) out of its weights. Refused where that would divide by almost nothing.")
    boolean undo;

    @Option(names = "--verify",
            description = "Compare logits of the merged model with those of base and adapter; above the limit nothing is kept and the exit code is 3.")
    boolean verify;

    @Option(names = "--limit", paramLabel = "X",
            description = "Largest difference of a logit, relative to the largest logit (default: 1e-4 for f32, 2e-2 for f16, 1e-1 for bf16).")
    @Nullable
    Double limit;

    @Option(names = "--seed", defaultValue = "1",
            description = "Seed of the tokens that --verify uses (default: ${DEFAULT-VALUE}).")
    long seed;

    @Override
    protected int run() {
        if (undo && model.adapters.isEmpty())
            throw new UsageException("--undo needs --adapter DIR: the adapter that was merged into MODEL");
        if (TaskUse.is(model.model)) {
            if (undo && onnx != null || dtype != null || verify || limit != null)
                throw new UsageException(model.model + " is a model with a head; of the options merge takes --out,"
                        + " --adapter, --undo or --onnx, --base and --device");
            try (TaskUse use = TaskUse.open(model.model, model.adapters, model.base,
                    Devices.open(model.device).backend(), screen()::note)) {
                if (undo) {
                    TaskUse.Undone u = use.unmerge(out);
                    if (!u.left().isEmpty())
                        screen().note("what the adapter brought whole stays as it is: " + some(u.left()));
                    screen().result("wrote " + out + ": " + undone(u.weights(), u.growth()));
                    return ExitCode.OK;
                }
                if (onnx != null) {
                    TaskUse.IntoGraph r = use.merge(onnx, out);
                    if (!r.left().isEmpty())
                        screen().note(onnx + ": has no place for what else was trained, which is left out: "
                                + some(r.left()));
                    screen().result("wrote " + out + ": " + Text.many(r.weights(), "weight") + " of " + onnx
                            + " replaced");
                    return ExitCode.OK;
                }
                screen().result("wrote " + out + ": " + Text.many(use.merge(out), "weight") + " merged");
            }
            return ExitCode.OK;
        }
        if (onnx != null)
            throw new UsageException("--onnx: " + model.model + " is a decoder; --onnx takes models of gyre import");
        Merging.Options options = new Merging.Options(undo, dtype == null ? null : type(dtype), verify, limit, seed);
        Merging.Result r = Merging.run(model.ref(), out, options, Devices.open(model.device).backend(),
                screen()::note, name -> screen().status((undo ? "undoing " : "merging ") + name));
        screen().done();
        if (r.verified() != null)
            screen().result("verified: " + r.verified());
        screen().result("wrote " + out + ": " + (undo ? undone(r.written().weights(), r.written().growth())
                : Text.many(r.written().weights(), "weight") + " merged"));
        return ExitCode.OK;
    }

    private static String undone(int weights, double growth) {
        return Text.many(weights, "weight")
                + Text.format(" without the adapter; rounding errors of the merged weights grew up to %.3g times",
                        growth);
    }

    private static String some(List<String> names) {
        return String.join(", ", names.subList(0, Math.min(4, names.size()))) + (names.size() > 4 ? ", ..." : "");
    }

    private static TensorType type(String s) {
        return switch (s.toLowerCase(Locale.ROOT)) {
            case "f32", "float32" -> TensorType.F32;
            case "f16", "float16" -> TensorType.F16;
            case "bf16", "bfloat16" -> TensorType.BF16;
            default -> throw new UsageException("--dtype " + s + ": use f32, f16 or bf16");
        };
    }
}
