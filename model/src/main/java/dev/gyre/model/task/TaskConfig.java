package dev.gyre.model.task;

import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// Body and head of a model, as its `config.json` says.
public sealed interface TaskConfig {
    Head head();

    /// The same with another head on its rows.
    TaskConfig with(Head other);

    /// `config.json`.
    ObjectNode json();

    /// Width of the rows that the head reads.
    int hiddenSize();

    int layers();

    /// Every tensor with its shape, in the order of the model.
    Map<String, int[]> tensorShapes();

    /// All linear modules in the order of the model, the head's last.
    List<Site> linears();

    /// Names of token tables, whose rows are looked up.
    List<String> tables();

    /// Number of tokens that have a name; 0 for images.
    int vocabSize();

    /// Most tokens of a sequence.
    int maxPositions();

    /// Padding's id, or null.
    @Nullable
    Integer pad();

    /// Whether the input is an image.
    default boolean images() {
        return false;
    }

    /// PEFT's word for what the model does.
    default String taskType() {
        if (head().problem() == Problem.EMBEDDING)
            return "FEATURE_EXTRACTION";
        return head().pooling() == Pooling.TOKENS ? "TOKEN_CLS" : "SEQ_CLS";
    }

    /// An encoder of text or images.
    record OfEncoder(EncoderConfig encoder) implements TaskConfig {
        @Override
        public Head head() {
            return encoder.head();
        }

        @Override
        public TaskConfig with(Head other) {
            return new OfEncoder(encoder.with(other));
        }

        @Override
        public ObjectNode json() {
            return encoder.json();
        }

        @Override
        public int hiddenSize() {
            return encoder.hiddenSize();
        }

        @Override
        public int layers() {
            return encoder.layers().count();
        }

        @Override
        public Map<String, int[]> tensorShapes() {
            return encoder.tensorShapes();
        }

        @Override
        public List<Site> linears() {
            return encoder.linears();
        }

        @Override
        public List<String> tables() {
            return encoder.input() instanceof EncoderConfig.Text t ? List.of(t.words() + ".weight") : List.of();
        }

        @Override
        public int vocabSize() {
            return encoder.input() instanceof EncoderConfig.Text t ? t.vocabSize() : 0;
        }

        @Override
        public int maxPositions() {
            return switch (encoder.input()) {
                case EncoderConfig.Text t -> t.countFrom() == null ? t.maxPositions()
                        : t.maxPositions() - t.countFrom() - 1;
                case EncoderConfig.Image i -> i.tokens().size() + i.down() * i.across();
            };
        }

        @Override
        public @Nullable Integer pad() {
            return encoder.input() instanceof EncoderConfig.Text t ? t.pad() : null;
        }

        @Override
        public boolean images() {
            return encoder.input() instanceof EncoderConfig.Image;
        }
    }

    /// A decoder whose last token, or all of them, the head reads.
    record OfDecoder(ModelConfig decoder, Head head, ObjectNode json) implements TaskConfig {
        @Override
        public TaskConfig with(Head other) {
            return new OfDecoder(decoder, other, json);
        }

        @Override
        public int hiddenSize() {
            return decoder.hiddenSize();
        }

        @Override
        public int layers() {
            return decoder.shape().layers();
        }

        @Override
        public Map<String, int[]> tensorShapes() {
            Map<String, int[]> all = new LinkedHashMap<>();
            decoder.tensorShapes()
                    .forEach((name, s) -> all.put(name, s.stream().mapToInt(Math::toIntExact).toArray()));
            all.remove(ModelConfig.HEAD + ".weight");
            for (Site s : head.linears()) {
                all.put(s.path() + ".weight", new int[] {s.out(), s.in()});
                if (s.bias())
                    all.put(s.path() + ".bias", new int[] {s.out()});
            }
            return all;
        }

        @Override
        public List<Site> linears() {
            List<Site> all = new ArrayList<>(decoder.linears());
            all.addAll(head.linears());
            return all;
        }

        @Override
        public List<String> tables() {
            return List.of(ModelConfig.EMBEDDING + ".weight");
        }

        @Override
        public int vocabSize() {
            return decoder.vocabSize();
        }

        @Override
        public int maxPositions() {
            return decoder.maxPositionEmbeddings();
        }

        @Override
        public @Nullable Integer pad() {
            return decoder.tokens().pad();
        }
    }
}
