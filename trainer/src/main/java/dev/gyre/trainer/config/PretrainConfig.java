package dev.gyre.trainer.config;

import dev.gyre.kernels.Precision;
import dev.gyre.model.options.Conflict;
import dev.gyre.model.options.Key;
import org.jspecify.annotations.Nullable;

/// Configuration of `gyre pretrain`: a model from scratch, all weights trained.
public record PretrainConfig(@Key(doc = "shape of the new model") Model model,
        @Key(doc = "examples") RunConfig.Data data,
        @Key(doc = "steps, batches and the optimiser") RunConfig.Train train,
        @Key(doc = "evaluation during training") RunConfig.Eval eval,
        @Key(doc = "the run directory; the model is written to its subdirectory model/") RunConfig.Output output,
        @Key(doc = "where to compute: cpu, opencl:N, cuda:N, ptx:N, jvm, or auto", def = "auto") String device,
        @Key(doc = "how large matrices are multiplied on cuda:N with cuBLAS: f32, tf32 or bf16; elsewhere only f32",
                def = "f32") Precision precision,
        @Key(doc = "on a device other than the CPU: compute the first step on the CPU as well, and stop where the two differ",
                def = "true") boolean checkDevice,
        @Key(doc = "seed of everything random: first weights, order of the data", def = "1", min = 0) long seed)
        implements RunSettings {

    /// Sizes that a preset gives and single keys replace.
    public enum Preset {
        /// 0.1 M weights with byte tokens: for tests and first steps.
        TINY(64, 176, 2, 4, 2, 128),
        /// 1 M: the shipped base model.
        SMALL(128, 352, 5, 4, 4, 256),
        /// 10 M: small stories.
        MEDIUM(320, 864, 8, 8, 4, 512),
        /// 90 M.
        LARGE(768, 2048, 12, 12, 4, 1024);

        final int hiddenSize;
        final int intermediateSize;
        final int layers;
        final int heads;
        final int kvHeads;
        final int context;

        Preset(int hiddenSize, int intermediateSize, int layers, int heads, int kvHeads, int context) {
            this.hiddenSize = hiddenSize;
            this.intermediateSize = intermediateSize;
            this.layers = layers;
            this.heads = heads;
            this.kvHeads = kvHeads;
            this.context = context;
        }
    }

    public enum Dtype {
        F32, BF16, F16
    }

    /// After reading, every size is set.
    public record Model(@Key(doc = "sizes to start from: tiny, small, medium or large", def = "small") Preset preset,
            @Key(doc = "bytes, or a folder with tokenizer.json", def = "bytes") String tokenizer,
            @Key(doc = "width of the model; the preset's when absent", def = "null",
                    min = 2) @Nullable Integer hiddenSize,
            @Key(doc = "width of the MLP", def = "null", min = 1) @Nullable Integer intermediateSize,
            @Key(doc = "transformer blocks", def = "null", min = 1) @Nullable Integer layers,
            @Key(doc = "query heads", def = "null", min = 1) @Nullable Integer heads,
            @Key(doc = "key/value heads, a divisor of heads", def = "null", min = 1) @Nullable Integer kvHeads,
            @Key(doc = "longest sequence", def = "null", min = 1) @Nullable Integer context,
            @Key(doc = "share the embedding with the output head", def = "true") boolean tieEmbeddings,
            @Key(doc = "type of the weights in the finished model: f32, bf16 or f16", def = "f32") Dtype dtype) {
        public Model {
            hiddenSize = or(hiddenSize, preset.hiddenSize);
            intermediateSize = or(intermediateSize, preset.intermediateSize);
            layers = or(layers, preset.layers);
            heads = or(heads, preset.heads);
            kvHeads = or(kvHeads, preset.kvHeads);
            context = or(context, preset.context);
            if (hiddenSize % heads != 0 || hiddenSize / heads % 2 != 0)
                throw new Conflict("heads", "heads " + heads + " must divide hidden_size " + hiddenSize
                        + " into even parts");
            if (heads % kvHeads != 0)
                throw new Conflict("kv_heads", "kv_heads " + kvHeads + " must divide heads " + heads);
        }

        private static int or(@Nullable Integer given, int otherwise) {
            return given == null ? otherwise : given;
        }
    }

    public PretrainConfig {
        if (data.valid() == null)
            eval = eval.onlyAtTheEnd();
    }
}
