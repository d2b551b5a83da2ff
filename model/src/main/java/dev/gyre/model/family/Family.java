package dev.gyre.model.family;

import tools.jackson.databind.node.ObjectNode;

/// A model family, that is one `model_type` of Hugging Face: how its `config.json` is read and written, and which
/// features its models have. A family is one class and one line in [Families]; everything else looks at the features in
/// [ModelConfig] and never at the family. `README.md` in this folder says how to add one.
public interface Family {
    /// `model_type` in config.json.
    String modelType();

    /// Entry of `architectures` in config.json.
    String architecture();

    /// The configuration that a file of this family describes. An absent key takes the default of the family's
    /// configuration class in transformers.
    ModelConfig read(ConfigKeys keys);

    /// Adds the keys that not every family has; those that all share are written by [HfConfig#toJson].
    void write(ModelConfig c, ObjectNode json);
}
