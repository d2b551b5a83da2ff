package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.measure.MergeCheck;
import dev.gyre.trainer.measure.MergeRecord;
import dev.gyre.trainer.measure.Merging;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.kernels.devices.Devices;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre merge`: folds adapters into the weights.
@Command(name = "merge",
        description = "Fold adapters into the weights and write a model directory that transformers loads; or, with --undo, take them out again.")
final class MergeCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Option(names = "--out", required = true, paramLabel = "DIR",
            description = "Model directory to write; must not exist or be empty.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

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
    protected int run() throws IOException {
        if (AtomicFiles.isTaken(out))
            throw new UsageException(out + ": exists already; choose another --out or remove it");
        if (undo && model.adapters.isEmpty())
            throw new UsageException("--undo needs --adapter DIR: the adapter that was merged into MODEL");
        ModelRef ref = model.ref();
        if (ref.adapters().isEmpty())
            throw new UsageException("nothing to merge: give --adapter DIR, or a run directory as MODEL");
        AtomicFiles.checkFolder(out);
        String record = MergeRecord.after(ref.model(), ref.adapters(), undo);
        TensorType wanted = dtype == null ? null : type(dtype);
        Transformer llama = ref.load(screen()::note);
        Backend backend = Devices.open(model.device).backend();
        Path target = out.toAbsolutePath().normalize();
        Path aside = target.resolveSibling("." + target.getFileName() + ".merging");
        AtomicFiles.delete(aside);
        try {
            Merging.Written written =
                    Merging.write(llama, ref.model(), ref.base() != Storage.AS_STORED, undo, record, wanted,
                            backend, aside, name -> screen().status((undo ? "undoing " : "merging ") + name));
            screen().done();
            if (verify)
                verify(llama, aside, backend, written.narrowest());
            Files.deleteIfExists(target);
            Files.move(aside, target, StandardCopyOption.ATOMIC_MOVE);
            screen().result("wrote " + out + ": " + Text.many(written.weights(), "weight") + (undo
                    ? Text.format(" without the adapter; rounding errors of the merged weights grew up to %.3g times",
                            written.growth())
                    : " merged"));
            return ExitCode.OK;
        } finally {
            AtomicFiles.delete(aside);
        }
    }

    /// Logits of adapter on base against those of the merged weights; `given` is what the command started from.
    private void verify(Transformer given, Path written, Backend backend, TensorType stored) {
        Transformer made;
        try (ModelDir dir = ModelDir.open(written)) {
            made = Transformer.load(dir);
        }
        if (undo)
            for (String name : given.adapterNames()) {
                made.attach(name, given.named(name));
                given.enable(name, false);
            }
        Transformer before = undo ? made : given;
        Transformer after = undo ? given : made;
        double allowed = limit != null ? limit : switch (stored) {
            case F16 -> 2e-2;
            case BF16 -> 1e-1;
            case F32, F64, I64, I32, I16, I8, U8, BOOL -> 1e-4;
        };
        MergeCheck c = MergeCheck.of(before, after, backend, seed);
        String said = Text.format(
                "largest difference of %,d logits %.2e, relative to the largest logit %.2e (limit %.0e, %s)",
                c.logits(), c.difference(), c.relative(), allowed, stored);
        if (!(c.relative() <= allowed))
            throw new CheckFailedException("merge --verify: " + said + "; nothing was written to " + out);
        screen().result("verified: " + said);
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
