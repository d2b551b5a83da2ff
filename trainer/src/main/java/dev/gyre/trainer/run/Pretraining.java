package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.record.RunDir;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/// Pre-training: from `pretrain.yaml` to a model with random weights and to a [TrainingRun].
public final class Pretraining {
    private Pretraining() {
    }

    /// The run that a configuration describes, ready to train.
    ///
    /// @param resume go on with the run in the output directory
    public static TrainingRun<Batch> open(PretrainConfig c, boolean resume, Backend backend, String version) {
        RunDir.check(Path.of(c.output().dir()), resume);
        return TrainingRun.open(training(c), resume, backend, version);
    }

    /// A new model and the examples of a run, read.
    public static LanguageTraining training(PretrainConfig c) {
        boolean bytes = c.model().tokenizer().equals("bytes");
        Path tokenizer = bytes ? null : Path.of(c.model().tokenizer());
        ModelText text = tokenizer == null ? ModelText.bytes() : ModelText.load(tokenizer);
        RunData data = RunData.read(c, text);
        Transformer model = Transformer.random(shape(c.model(), text), c.seed());
        TensorType type = switch (c.model().dtype()) {
            case F32 -> TensorType.F32;
            case BF16 -> TensorType.BF16;
            case F16 -> TensorType.F16;
        };
        return new LanguageTraining(c, new Trained.NewModel(model, text, tokenizer, type), data);
    }

    private static ModelConfig shape(PretrainConfig.Model m, ModelText text) {
        Tokenizer t = text.tokenizer();
        // rows of the embedding that no token uses keep the output layer's width even
        int vocabulary = (t.vocabSize() + 3) / 4 * 4;
        return ModelConfig.llama(vocabulary, Objects.requireNonNull(m.hiddenSize()),
                Objects.requireNonNull(m.intermediateSize()), Objects.requireNonNull(m.layers()),
                Objects.requireNonNull(m.heads()), Objects.requireNonNull(m.kvHeads()),
                Objects.requireNonNull(m.context()),
                m.tieEmbeddings(), t.bosId() < 0 ? null : t.bosId(), t.eosId() < 0 ? List.of() : List.of(t.eosId()),
                t.padId() < 0 ? null : t.padId());
    }
}
