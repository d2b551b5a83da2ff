package dev.gyre.api;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.convert.LoraExporting;
import dev.gyre.trainer.convert.Merging;
import dev.gyre.trainer.convert.Quantizing;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.hub.HubDownload;
import dev.gyre.trainer.hub.HubName;
import dev.gyre.trainer.measure.LogitsFile;
import dev.gyre.trainer.measure.ModelRef;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Model and adapter directories made from others: what `gyre download`, `merge`, `quantize`, `export` and `logits` do. A
/// model is a Hugging Face model directory or the name of one in the hub's cache, or a run directory, which means its base
/// model with the adapter it made. What is written must not exist or be an empty directory.
public final class Models {
    private static final Consumer<String> IGNORED = _ -> {
    };

    private Models() {
    }

    /// Downloads a model, or an adapter, from the Hugging Face hub into its cache, as `gyre download` does; what is there
    /// already is not fetched again. Afterwards `Path.of(name)` stands for it wherever this library asks for a model, without
    /// a network, as long as no directory of that name is there. A library never downloads by itself.
    ///
    /// @param name organisation and model: `Qwen/Qwen3-0.6B`
    /// @param revision a branch, a tag or a commit; null: `main`
    /// @return the model directory in the cache
    /// @throws dev.gyre.kernels.GyreException if there is no such model, or not for the token in `HF_TOKEN`
    /// @throws java.io.UncheckedIOException if the hub cannot be reached or the disk cannot be written
    public static Path download(String name, @Nullable String revision) {
        HubName wanted = HubName.require(name);
        try (HubDownload d = new HubDownload(Hub.settings(), new HubDownload.Listener() {
        })) {
            return d.fetch(d.list(revision == null ? wanted : wanted.at(revision)));
        }
    }

    /// Folds adapters into the weights of a model.
    ///
    /// @param model a model directory or a run directory
    /// @param adapters in PEFT layout, the first nearest to the input; empty for the adapter of a run directory
    /// @param to the directory to write
    /// @param device `cpu`, `cpu:THREADS` or a TornadoVM device
    public static void merge(Path model, List<Path> adapters, Path to, String device) {
        Merging.run(ModelRef.of(model, adapters), to, Merging.Options.DEFAULT, Devices.open(device).backend(), IGNORED,
                IGNORED);
    }

    /// As [#merge]; then logits of the merged model are compared with those of base and adapter.
    ///
    /// @param model a model directory or a run directory
    /// @param adapters in PEFT layout, the first nearest to the input; empty for the adapter of a run directory
    /// @param to the directory to write
    /// @param device `cpu`, `cpu:THREADS` or a TornadoVM device
    /// @param limit largest difference of a logit, relative to the largest logit; null: by the type of the weights
    /// @return what the comparison found, in words
    /// @throws dev.gyre.kernels.CheckFailedException above the limit; nothing is written then
    public static String mergeAndVerify(Path model, List<Path> adapters, Path to, String device,
            @Nullable Double limit) {
        Merging.Options o = new Merging.Options(false, null, true, limit, 1);
        return String.valueOf(Merging.run(ModelRef.of(model, adapters), to, o, Devices.open(device).backend(), IGNORED,
                IGNORED).verified());
    }

    /// Takes adapters out of the weights of a merged model.
    ///
    /// @param merged the merged model directory
    /// @param adapters in the order in which they were merged
    /// @param to the directory to write
    /// @param device `cpu`, `cpu:THREADS` or a TornadoVM device
    /// @return how much rounding errors of the merged weights may have grown, at least 1
    public static double unmerge(Path merged, List<Path> adapters, Path to, String device) {
        Merging.Options o = new Merging.Options(true, null, false, null, 1);
        return Merging.run(ModelRef.of(merged, adapters), to, o, Devices.open(device).backend(), IGNORED, IGNORED)
                .written().growth();
    }

    /// Stores the linear layers of a model in 4-bit NormalFloat, as bitsandbytes does.
    ///
    /// @param model a model directory in 16 or 32 bits
    /// @param to the directory to write
    /// @param doubleQuant whether the block maxima are quantised too, to 8 bits
    public static void quantize(Path model, Path to, boolean doubleQuant) {
        Quantizing.run(model, to, 64, doubleQuant, IGNORED);
    }

    /// Writes a PSOFT adapter as the LoRA adapter of the same rank that computes exactly the same.
    ///
    /// @param model a model directory or a run directory
    /// @param adapters one PSOFT adapter; empty for that of a run directory
    /// @param to the directory to write
    /// @param device `cpu`, `cpu:THREADS` or a TornadoVM device
    public static void exportLora(Path model, List<Path> adapters, Path to, String device) {
        LoraExporting.run(ModelRef.of(model, adapters), to, Devices.open(device).backend(), IGNORED);
    }

    /// Writes logits and loss of a token batch, and the adapters' gradients, as a safetensors file.
    ///
    /// @param model a model directory or a run directory
    /// @param adapters in PEFT layout, the first nearest to the input; empty for the adapter of a run directory
    /// @param tokens a JSON file: `input_ids` and, optionally, `labels` and `attention_mask`
    /// @param gradients whether gradients are written
    /// @param to the file to write
    /// @param device `cpu`, `cpu:THREADS` or a TornadoVM device
    /// @return mean loss over the labels; NaN without labels
    public static double logits(Path model, List<Path> adapters, Path tokens, boolean gradients, Path to,
            String device) {
        return LogitsFile.write(tokens, ModelRef.of(model, adapters), gradients, Devices.open(device).backend(), to,
                IGNORED).loss();
    }
}
