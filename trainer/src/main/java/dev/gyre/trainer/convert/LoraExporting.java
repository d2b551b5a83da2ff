package dev.gyre.trainer.convert;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.lora.LoraExport;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;

/// Writes adapters as LoRA adapters that compute exactly the same.
public final class LoraExporting {
    private LoraExporting() {
    }

    /// @param parameters of the LoRA adapter
    /// @param modules that it is on
    public record Written(long parameters, int modules) {
    }

    /// @param ref a model with one adapter
    /// @param warnings gets each remark on the files
    public static Written run(ModelRef ref, Path out, Backend backend, Consumer<String> warnings) {
        if (ref.adapters().size() != 1)
            throw new InputException("give one --adapter DIR, or a run directory as MODEL");
        AtomicFiles.requireNewDirectory(out);
        Transformer model = new ModelRef(ref.model(), List.of(), ref.base()).load(warnings);
        Adapter psoft = Adapter.read(ref.adapters().getFirst(), model);
        psoft.warnings().forEach(warnings);
        Adapter lora = LoraExport.of(psoft, backend);
        lora.write(out, ref.model().toString());
        return new Written(lora.parameters(), lora.modules().size());
    }
}
