package dev.gyre.model.family;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Activation;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// The families of encoders that Gyre reads, one line each, and what their configurations share.
public final class EncoderFamilies {
    private static final List<EncoderFamily> ALL = List.of(
            new Bert(),
            new DebertaV2(),
            new Deit(),
            new DistilBert(),
            new ModernBert(),
            new Roberta(),
            new Vit());

    private EncoderFamilies() {
    }

    public static List<EncoderFamily> all() {
        return ALL;
    }

    /// The family that a `config.json` is of, null if it is no encoder's.
    public static @Nullable EncoderFamily of(ObjectNode json) {
        String type = json.path("model_type").asString("");
        for (EncoderFamily f : ALL)
            if (f.modelType().equals(type))
                return f;
        return null;
    }

    /// Reads a `config.json` of one of these families, with the head that its `architectures` names: classes, labels or
    /// numbers for `...ForSequenceClassification` and `...ForImageClassification`, classes of each token for
    /// `...ForTokenClassification`, else an embedding.
    public static EncoderConfig parse(Path file, ObjectNode json) {
        EncoderFamily family = of(json);
        var f = new Fields(file, "", json);
        if (family == null)
            throw f.bad("model_type", ALL.stream().map(x -> '"' + x.modelType() + '"')
                    .collect(Collectors.joining(", ", "one of ", "")));
        try {
            ConfigKeys keys = new ConfigKeys(f);
            String architecture = json.path("architectures").path(0).asString("");
            boolean tokens = architecture.endsWith("ForTokenClassification");
            boolean sequence = architecture.endsWith("ForSequenceClassification")
                    || architecture.endsWith("ForImageClassification");
            if (!tokens && !sequence && !bare(architecture))
                throw f.bad("architectures", "a body, or one ForSequenceClassification, ForTokenClassification or"
                        + " ForImageClassification; the head of " + architecture
                        + " is not read, but a task in run.yaml"
                        + " puts a new one on its body");
            return parse(family, keys, json, tokens || sequence ? problem(f, labels(f), tokens) : Problem.EMBEDDING,
                    tokens, labels(f));
        } catch (IllegalArgumentException | InputException | ArithmeticException e) {
            throw e instanceof FormatException known ? known
                    : new FormatException(file, e.getMessage() + "; correct the file", e);
        }
    }

    /// The same with another head, whatever `architectures` says.
    public static EncoderConfig parse(Path file, ObjectNode json, Problem problem, boolean tokens, int outputs) {
        EncoderFamily family = of(json);
        if (family == null)
            throw new FormatException(file, "model_type is none of an encoder");
        return parse(family, new ConfigKeys(new Fields(file, "", json)), json, problem, tokens, outputs);
    }

    private static EncoderConfig parse(EncoderFamily family, ConfigKeys keys, ObjectNode json, Problem problem,
            boolean tokens, int outputs) {
        EncoderConfig body = family.read(keys, problem == Problem.EMBEDDING ? "" : family.prefix()).with(json);
        if (body.hiddenSize() % body.layers().heads() != 0)
            throw new InputException("hidden size " + body.hiddenSize() + " is not a multiple of "
                    + body.layers().heads() + " heads");
        return body.with(family.head(body, problem, tokens, outputs));
    }

    /// Whether an architecture is a body alone, or one with what it was trained with before it had a task, which is left out.
    private static boolean bare(String architecture) {
        return architecture.isEmpty() || architecture.endsWith("Model") || architecture.endsWith("ForMaskedLM")
                || architecture.endsWith("ForPreTraining") || architecture.endsWith("ForMaskedImageModeling");
    }

    private static Problem problem(Fields f, int outputs, boolean tokens) {
        return tokens ? Problem.CLASSES : problem(f, outputs);
    }

    /// Number of labels: those of `id2label`, else `num_labels`, else 2.
    public static int labels(Fields f) {
        if (f.isSet("id2label") && f.node("id2label").isObject() && !f.node("id2label").isEmpty())
            return f.node("id2label").size();
        return f.integer("num_labels", 2);
    }

    /// `problem_type`; where it is absent, a single output is a number.
    public static Problem problem(Fields f, int outputs) {
        return switch (f.text("problem_type", outputs == 1 ? "regression" : "single_label_classification")) {
            case "regression" -> Problem.NUMBERS;
            case "single_label_classification" -> Problem.CLASSES;
            case "multi_label_classification" -> Problem.LABELS;
            default -> throw f.bad("problem_type",
                    "regression, single_label_classification or multi_label_classification");
        };
    }

    static Activation activation(Fields f, String key, String absent) {
        return switch (f.text(key, absent)) {
            case "gelu", "gelu_python" -> Activation.GELU;
            case "gelu_new", "gelu_pytorch_tanh", "gelu_fast" -> Activation.GELU_TANH;
            case "relu" -> Activation.RELU;
            case "silu", "swish" -> Activation.SILU;
            case "tanh" -> Activation.TANH;
            default -> throw f.bad(key, "one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, tanh");
        };
    }

    static int layers(Fields f, String key, int absent) {
        int layers = f.integer(key, absent);
        if (layers < 1 || layers > 10_000)
            throw f.bad(key, "a number from 1 to 10000");
        return layers;
    }

    static @Nullable Integer pad(Fields f, int absent) {
        return f.has("pad_token_id") ? f.integerOrNull("pad_token_id") : Integer.valueOf(absent);
    }

    static double eps(Fields f, String key, double absent) {
        double eps = f.number(key, absent);
        if (!(eps > 0))
            throw f.bad(key, "a positive number");
        return eps;
    }
}
