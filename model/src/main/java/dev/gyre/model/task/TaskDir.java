package dev.gyre.model.task;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.family.DebertaV2;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderConfig.Dense;
import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.family.EncoderConfig.Normalise;
import dev.gyre.model.family.EncoderConfig.Pooling;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.family.EncoderConfig.Stage;
import dev.gyre.model.family.EncoderFamilies;
import dev.gyre.model.family.EncoderFamily;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.files.Fields;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.BnbFiles;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.format.TensorInfo;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.weights.Site;
import dev.gyre.quant.BnbLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// A Hugging Face model directory of a model that predicts something else than the next token: `config.json` and weights as
/// safetensors, under the names of any version of transformers. Opening checks that every tensor that the configuration
/// calls for is there, but for those of a new head; weights are read when asked for.
public final class TaskDir implements AutoCloseable {
    private static final String CONFIG = "config.json";

    private final Path directory;
    private final TaskConfig config;
    private final SentenceFiles sentences;
    private final List<SafeTensors> files;
    private final Map<String, SafeTensors> stored;
    /// Names in the files, by those in the model.
    private final Map<String, String> names = new LinkedHashMap<>();
    private final List<String> warnings = new ArrayList<>();
    /// The quantisation state of every 4-bit weight, by its name in the files.
    private final Map<String, BnbLayout.QuantState> quantized = new LinkedHashMap<>();

    /// A head to put on the body in place of the one that the directory has.
    ///
    /// @param tokens for each token, not for a sequence or image
    /// @param labels names of the classes or labels; of numbers, one for each
    public record NewHead(Problem problem, boolean tokens, List<String> labels) {
        public NewHead {
            labels = List.copyOf(labels);
        }
    }

    private TaskDir(Path directory, TaskConfig config, SentenceFiles sentences, List<SafeTensors> files,
            Map<String, SafeTensors> stored) {
        this.directory = directory;
        this.config = config;
        this.sentences = sentences;
        this.files = files;
        this.stored = stored;
    }

    /// Whether a model directory is for [#open]: an encoder, or a decoder with a head for sequences or tokens.
    public static boolean is(Path directory) {
        Path file = directory.resolve(CONFIG);
        if (!Files.isRegularFile(file))
            return false;
        ObjectNode json = Json.readObject(file);
        return EncoderFamilies.of(json) != null || classifies(json);
    }

    private static boolean classifies(ObjectNode json) {
        String architecture = json.path("architectures").path(0).asString("");
        return architecture.endsWith("ForSequenceClassification") || architecture.endsWith("ForTokenClassification");
    }

    /// With the head that the configuration names.
    public static TaskDir open(Path directory) {
        return open(directory, (NewHead) null);
    }

    /// With the head that the configuration names, read as predicting something else where `problem_type` does not say:
    /// transformers tells several labels from classes by the labels that it is given.
    public static TaskDir open(Path directory, Problem otherwise) {
        TaskDir dir = open(directory);
        Head h = dir.config.head();
        if (dir.config.json().hasNonNull("problem_type") || h.problem() != Problem.CLASSES
                || h.pooling() == Pooling.TOKENS)
            return dir;
        if (otherwise == Problem.LABELS && dir.config instanceof TaskConfig.OfEncoder(EncoderConfig e)
                && e.family() instanceof DebertaV2)
            throw new FormatException(directory.resolve(CONFIG), "problem_type is missing: for rows of labels"
                    + " transformers then takes them as probabilities of classes in DeBERTa, which Gyre does not train;"
                    + " write \"problem_type\": \"multi_label_classification\"");
        TaskDir other = new TaskDir(directory,
                dir.config.with(new Head(h.pooling(), h.stages(), otherwise, h.outputs())), dir.sentences, dir.files,
                dir.stored);
        other.names.putAll(dir.names);
        other.quantized.putAll(dir.quantized);
        other.warnings.addAll(dir.warnings);
        return other;
    }

    /// @param head to put on the body; null for the one that the configuration names
    public static TaskDir open(Path directory, @Nullable NewHead head) {
        ModelDir.require(directory);
        Path file = directory.resolve(CONFIG);
        ObjectNode json = Json.readObject(file);
        HfConfig.quantization(file, json);
        TaskConfig given = config(file, json, head);
        boolean embeds = given.head().problem() == Problem.EMBEDDING;
        SentenceFiles sentences = embeds ? SentenceFiles.of(directory) : SentenceFiles.NONE;
        TaskConfig config = sentences.pooling() == null ? given
                : given.with(new Head(sentences.pooling(), List.of(), Problem.EMBEDDING, given.hiddenSize()));
        List<SafeTensors> files = new ArrayList<>();
        try {
            TaskDir opened = new TaskDir(directory, config, sentences, files, ModelDir.locate(directory, files));
            opened.quantized.putAll(BnbFiles.states(opened.stored));
            opened.name(head != null);
            files = List.of();
            return opened;
        } finally {
            files.forEach(SafeTensors::close);
        }
    }

    private static TaskConfig config(Path file, ObjectNode json, @Nullable NewHead head) {
        EncoderFamily family = EncoderFamilies.of(json);
        ObjectNode own = head == null ? json : described(json, family, head);
        if (family != null)
            return new TaskConfig.OfEncoder(head == null ? EncoderFamilies.parse(file, json)
                    : EncoderFamilies.parse(file, own, head.problem, head.tokens, head.labels.size()));
        if (head == null && !classifies(json))
            throw new FormatException(file, "is of a model that predicts the next token; give a model with a head");
        var f = new Fields(file, "", json);
        boolean tokens = head == null
                ? json.path("architectures").path(0).asString("").endsWith("ForTokenClassification") : head.tokens;
        int outputs = head == null ? EncoderFamilies.labels(f) : head.labels.size();
        Problem problem = head != null ? head.problem : tokens ? Problem.CLASSES : EncoderFamilies.problem(f, outputs);
        var decoder = HfConfig.parse(file, json);
        int C = decoder.hiddenSize();
        Head made = problem == Problem.EMBEDDING ? new Head(Pooling.LAST, List.of(), problem, C)
                : new Head(tokens ? Pooling.TOKENS : Pooling.LAST,
                        List.of(new Dense(new Site("score", C, outputs, tokens))), problem, outputs);
        return new TaskConfig.OfDecoder(decoder, made, own);
    }

    /// The configuration with what transformers writes about a head.
    private static ObjectNode described(ObjectNode json, @Nullable EncoderFamily family, NewHead head) {
        ObjectNode o = json.deepCopy();
        String was = json.path("architectures").path(0).asString("");
        String name = family != null ? family.architecture() : was.replaceFirst("For[A-Z].*|Model$", "");
        boolean images = family != null && json.has("image_size");
        o.putArray("architectures").add(name + (head.problem == Problem.EMBEDDING ? "Model"
                : head.tokens ? "ForTokenClassification"
                : images ? "ForImageClassification" : "ForSequenceClassification"));
        if (head.problem == Problem.EMBEDDING)
            return o;
        ObjectNode names = o.putObject("id2label");
        ObjectNode ids = o.putObject("label2id");
        for (int i = 0; i < head.labels.size(); i++) {
            names.put(Integer.toString(i), head.labels.get(i));
            ids.put(head.labels.get(i), i);
        }
        o.remove("num_labels");
        if (!head.tokens)
            o.put("problem_type", switch (head.problem) {
                case NUMBERS -> "regression";
                case LABELS -> "multi_label_classification";
                default -> "single_label_classification";
            });
        return o;
    }

    /// Finds each tensor under one of its names.
    private void name(boolean newHead) {
        Set<String> head = new LinkedHashSet<>();
        for (Stage s : config.head().stages()) {
            String path = s instanceof Dense d ? d.site().path() : s instanceof Normalise n ? n.norm().path() : null;
            if (path != null)
                head.addAll(List.of(path + ".weight", path + ".bias"));
        }
        Set<String> used = new LinkedHashSet<>();
        config.tensorShapes().forEach((name, shape) -> {
            String found = spellings(name).stream().filter(stored::containsKey).findFirst().orElse(null);
            if (found == null) {
                if (newHead && head.contains(name))
                    return;
                throw new FormatException(directory, "tensor '" + name + "' " + Arrays.toString(shape)
                        + " is missing, which " + CONFIG + " calls for; the model is incomplete or of another"
                        + " architecture"
                        + (head.contains(name) ? ", or has no head yet: train it with the task in run.yaml" : ""));
            }
            BnbLayout.QuantState q = quantized.get(found);
            TensorInfo t = info(found);
            if (q != null) {
                if (!q.shape().equals(Arrays.stream(shape).boxed().toList()))
                    throw new FormatException(stored(found).file(), "tensor '" + found + "' has shape " + q.shape()
                            + " in 4 bits, but " + CONFIG + " calls for " + Arrays.toString(shape)
                            + "; use the config.json that belongs to these weights");
                names.put(name, found);
                used.add(found);
                return;
            }
            long size = Arrays.stream(shape).asLongStream().reduce(1, Math::multiplyExact);
            boolean fits = t.size() == size && t.shape().stream().filter(d -> d > 1).map(Long::intValue).toList()
                    .equals(flat(shape, t));
            if (!fits && newHead && head.contains(name))
                return;
            if (!fits)
                throw new FormatException(stored(found).file(), "tensor '" + found + "' has shape "
                        + TensorInfo.text(t.shape()) + ", but " + CONFIG + " calls for " + Arrays.toString(shape)
                        + "; use the config.json that belongs to these weights");
            if (t.type() != TensorType.F32 && t.type() != TensorType.F16 && t.type() != TensorType.BF16)
                throw new FormatException(stored(found).file(), "tensor '" + found + "' is " + t.type()
                        + "; expected F32, F16, BF16 or bitsandbytes NF4");
            names.put(name, found);
            used.add(found);
        });
        List<String> unused = stored.keySet().stream().filter(n -> !used.contains(n) && !n.endsWith("position_ids")
                && !BnbLayout.isCompanion(n)
                && !n.startsWith("cls.") && !n.startsWith("lm_head.") && !n.startsWith("vocab_")
                && !n.startsWith("lm_predictions.") && !n.startsWith("mask_predictions.") && !n.contains("pooler.")
                && !n.startsWith("decoder.") && !head.contains(n)).toList();
        if (!unused.isEmpty())
            warnings.add(directory + ": " + unused.size()
                    + (unused.size() == 1 ? " tensor is ignored, which " : " tensors are ignored, which ") + CONFIG
                    + " does not call for: " + String.join(", ", unused.subList(0, Math.min(3, unused.size())))
                    + (unused.size() > 3 ? ", ..." : ""));
    }

    /// The shape that a tensor of the model has in a file, without its ones: a convolution's weight has more dimensions.
    private static List<Integer> flat(int[] shape, TensorInfo t) {
        if (t.shape().size() == 4 || t.shape().size() == 3 && t.shape().getFirst() == shape[0])
            return t.shape().getFirst() == shape[0] ? t.shape().stream().filter(d -> d > 1).map(Long::intValue).toList()
                    : List.of();
        return Arrays.stream(shape).filter(d -> d > 1).boxed().toList();
    }

    private List<String> spellings(String name) {
        List<String> out = new ArrayList<>(List.of(name));
        if (config instanceof TaskConfig.OfEncoder(EncoderConfig e)) {
            out.addAll(e.family().spellings(name));
            String prefix = e.family().prefix();
            for (String s : List.copyOf(out))
                out.add(s.startsWith(prefix) ? s.substring(prefix.length()) : prefix + s);
        } else
            out.add(name.replaceFirst("^model\\.", ""));
        return out;
    }

    private SafeTensors stored(String name) {
        SafeTensors file = stored.get(name);
        if (file == null)
            throw new FormatException(directory, "has no tensor '" + name + "'");
        return file;
    }

    private TensorInfo info(String name) {
        return stored(name).info(name);
    }

    public Path directory() {
        return directory;
    }

    public TaskConfig config() {
        return config;
    }

    /// Most tokens of a text: those that the model has positions for, or fewer where sentence-transformers cuts the texts
    /// that it embeds (`max_seq_length`).
    public int longestText() {
        return Math.min(config.maxPositions(), sentences.longest());
    }

    /// Whether texts are put into lower case before they are embedded, as sentence-transformers does where its files say so.
    public boolean lowerCase() {
        return sentences.lowerCase();
    }

    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    /// Whether the directory has a tensor of the model; a new head's may be missing.
    public boolean contains(String name) {
        return names.containsKey(name);
    }

    /// Reads a tensor.
    ///
    /// @param matrix whether it may stay in 16 bits
    public HostData weight(String name, boolean matrix) {
        String found = names.getOrDefault(name, name);
        SafeTensors file = stored(found);
        if (quantized.containsKey(found))
            return BnbFiles.weight(found, stored);
        return matrix && info(found).type() == TensorType.BF16 ? new HostData.BF16(file.bf16(found))
                : new HostData.F32(file.f32(found));
    }

    /// Writes the directory again with other values for some tensors, those of a new head and the configuration included.
    ///
    /// @param replaced names of the model's tensors to write anew
    /// @param values of a tensor of the model
    public void write(Path to, Set<String> replaced, Function<String, float[]> values) {
        ModelDirWriter w = ModelDirWriter.of(config.json().deepCopy());
        Map<String, String> model = new LinkedHashMap<>();
        names.forEach((name, found) -> model.put(found, name));
        Set<String> dropped = new LinkedHashSet<>();
        for (String found : stored.keySet()) {
            String name = model.get(found);
            TensorInfo t = info(found);
            BnbLayout.QuantState q = quantized.get(found);
            if (name != null && replaced.contains(name) && q != null) {
                dropped.add(found);
                w.copy(stored(found), found);
            } else
                if (name != null && replaced.contains(name))
                    w.tensor(found, t.type(), () -> values.apply(name),
                            t.shape().stream().mapToLong(Long::longValue).toArray());
                else
                    if (!config.tensorShapes().containsKey(found) || name != null)
                        w.copy(stored(found), found);
        }
        // in the place of 4-bit weights, with what belongs to them
        for (String found : dropped)
            w.tensor(found, type(found), () -> values.apply(need(model.get(found))),
                    need(quantized.get(found)).shape().stream().mapToLong(Integer::longValue).toArray());
        config.tensorShapes().forEach((name, shape) -> {
            if (!names.containsKey(name))
                w.tensor(name, TensorType.F32, () -> values.apply(name), Arrays.stream(shape).asLongStream().toArray());
        });
        w.filesFrom(directory);
        if (config.head().problem() == Problem.EMBEDDING)
            w.sentencesFrom(directory);
        w.write(to);
    }

    /// The type a tensor of the files is stored in, or for NF4 the one it was quantised from.
    private TensorType type(String found) {
        BnbLayout.QuantState q = quantized.get(found);
        return q == null ? info(found).type() : switch (q.dtype()) {
            case "float16" -> TensorType.F16;
            case "bfloat16" -> TensorType.BF16;
            default -> TensorType.F32;
        };
    }

    /// What [#quantize] did.
    ///
    /// @param layers that are in 4 bits now
    /// @param before bytes of their weights, `after` as written
    public record Quantized(int layers, long before, long after) {
    }

    /// Writes the directory again with the linear modules of its layers in 4-bit NormalFloat, as bitsandbytes stores them; the
    /// head, and what is before the layers, stays as it is.
    ///
    /// @param q gives a weight in 4 bits
    public Quantized quantize(Path to, boolean doubleQuant, BiFunction<String, HostData, HostData.NF4> q) {
        ModelDirWriter w = ModelDirWriter.of(config.json().deepCopy());
        stored.forEach((found, file) -> w.copy(file, found));
        Set<String> others = new LinkedHashSet<>(List.of("classifier", "score", "pooler"));
        stored.keySet().forEach(found -> {
            if (found.endsWith(".weight") && info(found).shape().size() == 2 && !found.contains("embeddings"))
                others.add(found.substring(0, found.length() - ".weight".length()));
        });
        long before = 0;
        long after = 0;
        int count = 0;
        for (Site l : config.linears()) {
            String name = l.weight();
            if (!Site.inLayer(name))
                continue;
            String found = names.getOrDefault(name, name);
            if (quantized.containsKey(found))
                throw new FormatException(directory, found
                        + " is quantised already; start from the model in 16 or 32 bits");
            HostData.NF4 small = q.apply(found, weight(name, true));
            w.nf4(found, small, l.out(), l.in(), type(found));
            others.remove(found.substring(0, found.length() - ".weight".length()));
            before += small.size() * type(found).width;
            after += small.bytes();
            count++;
        }
        w.nf4Config(doubleQuant, List.copyOf(others)).filesFrom(directory);
        if (config.head().problem() == Problem.EMBEDDING)
            w.sentencesFrom(directory);
        w.write(to);
        return new Quantized(count, before, after);
    }

    private static <T> T need(@Nullable T t) {
        return Objects.requireNonNull(t);
    }

    @Override
    public void close() {
        files.forEach(SafeTensors::close);
    }
}
