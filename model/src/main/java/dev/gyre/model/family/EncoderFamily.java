package dev.gyre.model.family;

import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.family.EncoderConfig.Stage;
import java.util.List;
import java.util.Set;

/// A family of encoders, that is one `model_type` of Hugging Face: how its `config.json` is read, what its heads are and
/// how published checkpoints spell its tensors. One class and one line in [EncoderFamilies].
public interface EncoderFamily {
    /// `model_type` in config.json.
    String modelType();

    /// Start of the entries of `architectures`, as `Bert` in `BertForSequenceClassification`.
    String architecture();

    /// What the paths of the body's modules begin with in a model with a head, with its dot.
    String prefix();

    /// The body, with a head that gives an embedding. An absent key takes the default of the family's configuration class
    /// in transformers.
    ///
    /// @param prefix [#prefix], or nothing in a model without a head
    EncoderConfig read(ConfigKeys keys, String prefix);

    /// How one sequence, or image, is classified.
    Pooling pooling(EncoderConfig body);

    /// From pooled rows to `outputs` values. What is trained whole with an adapter is PEFT's: `classifier`.
    ///
    /// @param tokens for each token, not for a sequence
    List<Stage> head(EncoderConfig body, boolean tokens, int outputs);

    /// Other spellings of a tensor in published checkpoints; the prefix of the body may be absent in all.
    default Set<String> spellings(String tensor) {
        return Set.of();
    }

    /// A head of this family.
    default Head head(EncoderConfig body, Problem problem, boolean tokens, int outputs) {
        return problem == Problem.EMBEDDING ? new Head(Pooling.MEAN, List.of(), problem, body.hiddenSize())
                : new Head(tokens ? Pooling.TOKENS : pooling(body), head(body, tokens, outputs), problem, outputs);
    }
}
