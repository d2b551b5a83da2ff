package dev.gyre.model.onnx;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.onnx.OnnxGraph.Node;
import dev.gyre.model.onnx.OnnxGraph.Values;
import dev.gyre.model.onnx.OnnxPatterns.Activated;
import dev.gyre.model.onnx.OnnxPatterns.Linear;
import dev.gyre.model.onnx.OnnxPatterns.Norm;
import dev.gyre.model.onnx.OnnxPatterns.Scaled;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;
import tools.jackson.databind.node.ObjectNode;

/// A BERT in an `.onnx` file: which initializer is which tensor of the model, and the `config.json` that follows from the
/// graph. Exporters give weights names of their own, transpose them and share equal ones, so nothing is taken from a name
/// or from an order: the graph is followed from its output back to its inputs, and every node on the way must be what BERT
/// has there. What differs is refused with the node's name.
///
/// Known spellings: layer normalisation and GELU as one node or taken apart, linear layers as `MatMul` and `Add` or as
/// `Gemm`, scores scaled before or after the product; those of PyTorch's exporters for opsets 11 to 20.
public final class OnnxBert {
    private static final double SAME = 1e-5;
    /// Layers of a model; known ones have up to 48.
    private static final int MOST_LAYERS = 1000;

    private final OnnxGraph graph;
    private final OnnxPatterns in;
    private final Map<String, Place> tensors = new LinkedHashMap<>();
    private final ObjectNode config;
    private final List<String> unread;

    /// Where a tensor of the model is in the file.
    ///
    /// @param shape in the model, which has weights as (outputs, inputs)
    /// @param transposed whether the file has (inputs, outputs)
    private record Place(Values values, int[] shape, boolean transposed) {
    }

    private OnnxBert(OnnxGraph graph) {
        this.graph = graph;
        this.in = new OnnxPatterns(graph);
        String hidden = lastHidden();
        List<Runnable> layers = new ArrayList<>();
        String at = hidden;
        Norm norm = in.require(in.norm(at), at, "a layer normalisation");
        Features f = new Features();
        while (true) {
            List<String> terms = in.sum(norm.x());
            String down = terms.stream().filter(t -> in.linear(t) != null).findFirst().orElse(null);
            if (down == null)
                break;
            if (layers.size() == MOST_LAYERS)
                throw in.refused("has more than " + MOST_LAYERS + " layers");
            Norm after = norm;
            String before = layer(after, terms, down, f, layers);
            norm = in.require(in.norm(before), before, "a layer normalisation");
        }
        if (layers.isEmpty())
            throw in.refused("has no layer of BERT before " + in.said(hidden));
        embeddings(norm, f);
        Collections.reverse(layers);
        layers.forEach(Runnable::run);
        pooler(hidden);
        this.config = config(f, layers.size());
        this.unread = leftOver();
    }

    /// What all layers must agree on.
    private static final class Features {
        int width;
        int head;
        int intermediate;
        double eps;
        String activation = "";
    }

    /// Reads the graph; weights are read when asked for.
    ///
    /// @throws FormatException if the file is no ONNX model, or its graph no BERT in single precision
    public static OnnxBert read(Path file) {
        OnnxGraph g = OnnxGraph.read(file);
        for (Node n : g.nodes()) {
            if (isQuantised(n.op()))
                throw new FormatException(file, "is quantised: " + n.said()
                        + "; give the model in single precision (often model.onnx beside model_quantized.onnx)");
            if (!n.domain().isEmpty())
                throw new FormatException(file, "has operators that are not ONNX's own: " + n.said()
                        + "; give the graph as it was exported, before ONNX Runtime's optimiser");
        }
        for (String input : List.of("input_ids", "attention_mask", "token_type_ids"))
            if (!g.inputs().contains(input))
                throw new FormatException(file, "has no input '" + input + "', which BERT has; its inputs are "
                        + some(g.inputs()));
        return new OnnxBert(g);
    }

    private static boolean isQuantised(String op) {
        return op.endsWith("Integer") || op.startsWith("QLinear") || op.endsWith("QuantizeLinear")
                || op.equals("DequantizeLinear") || op.equals("MatMulNBits") || op.startsWith("QAttention");
    }

    private static String some(List<String> names) {
        return String.join(", ", names.subList(0, Math.min(8, names.size()))) + (names.size() > 8 ? ", ..." : "");
    }

    /// The output that is the hidden states after the last layer.
    private String lastHidden() {
        for (String o : graph.outputs())
            if (in.norm(o) != null)
                return o;
        String first = graph.outputs().isEmpty() ? "" : graph.outputs().getFirst();
        throw in.refused("no output is the hidden states of BERT's last layer; its outputs are " + some(graph.outputs())
                + (first.isEmpty() ? "" : ", the first from " + in.said(first))
                + "; export the model without a head (task feature-extraction)");
    }

    /// Matches a layer back from its last normalisation; returns what it reads.
    private String layer(Norm after, List<String> terms, String down, Features f, List<Runnable> layers) {
        Linear out = in.require(in.linear(down), down, "a linear layer");
        String middle = OnnxPatterns.other(terms, down);
        Activated a = in.require(in.activated(out.x()), out.x(), "GELU, its tanh form, or ReLU");
        Linear up = in.require(in.linear(a.x()), a.x(), "a linear layer");
        if (!in.same(up.x(), middle))
            throw in.wrong(middle, "the input of " + in.said(a.x()) + " again, for the sum around the MLP");
        Norm between = in.require(in.norm(middle), middle, "a layer normalisation");
        List<String> inner = in.sum(between.x());
        String mixed = inner.stream().filter(t -> in.linear(t) != null).findFirst()
                .orElseThrow(() -> in.wrong(between.x(), "a sum with attention's output projection"));
        Linear o = in.require(in.linear(mixed), mixed, "a linear layer");
        String x = OnnxPatterns.other(inner, mixed);
        Linear[] qkv = attention(o.x(), x, f);
        agree(after, f);
        agree(between, f);
        f.activation = agreed(f.activation, a.name(), out.x());
        if (f.intermediate != 0 && f.intermediate != up.outputs())
            throw in.wrong(a.x(), "MLPs of one width in all layers");
        f.intermediate = up.outputs();
        if (f.width != 0 && f.width != o.outputs())
            throw in.wrong(mixed, "layers of one width");
        f.width = o.outputs();
        for (Linear l : new Linear[] {qkv[0], qkv[1], qkv[2], o})
            if (l.inputs() != f.width || l.outputs() != f.width)
                throw in.wrong(mixed, "attention as wide as the layer");
        int number = layers.size();
        layers.add(() -> {
            String p = "encoder.layer." + (layers.size() - 1 - number) + ".";
            put(p + "attention.self.query", qkv[0]);
            put(p + "attention.self.key", qkv[1]);
            put(p + "attention.self.value", qkv[2]);
            put(p + "attention.output.dense", o);
            put(p + "attention.output.LayerNorm", between);
            put(p + "intermediate.dense", up);
            put(p + "output.dense", out);
            put(p + "output.LayerNorm", after);
        });
        return x;
    }

    private String agreed(String was, String is, String where) {
        if (!was.isEmpty() && !was.equals(is))
            throw in.wrong(where, was + " as in the other layers");
        return is;
    }

    private void agree(Norm n, Features f) {
        if (f.eps != 0 && f.eps != n.eps())
            throw in.wrong(n.x(), "normalisations with one epsilon: " + f.eps + " and " + n.eps());
        f.eps = n.eps();
    }

    /// Matches attention back from the rows that the output projection reads; q, k and v read `x`.
    private Linear[] attention(String rows, String x, Features f) {
        Node joined = in.node(rows, "Reshape", "the heads joined again");
        Node back = in.node(joined.input(0), "Transpose", "heads behind tokens");
        in.permuted(back, 0, 2, 1, 3);
        Node mix = in.node(back.input(0), "MatMul", "probabilities times values");
        String p = probabilities(mix.input(0));
        Node softmax = in.node(p, "Softmax", "probabilities");
        long axis = softmax.integer("axis", -1);
        if (axis != -1 && axis != 3)
            throw in.wrong(p, "a softmax over the keys");
        Node masked = in.node(softmax.input(0), "Add", "scores and mask");
        String scores = null;
        for (String t : masked.inputs())
            if (isMask(t))
                scores = OnnxPatterns.other(masked.inputs(), t);
        if (scores == null)
            throw in.wrong(softmax.input(0), "scores and a mask that comes from attention_mask alone");
        Scaled product = in.scaled(scores);
        Node qk = in.node(product.x(), "MatMul", "queries times keys");
        Scaled q = in.scaled(qk.input(0));
        Scaled k = in.scaled(qk.input(1));
        Linear query = heads(q.x(), false, x, f);
        double scale = product.by() * q.by() * k.by() * Math.sqrt(f.head);
        if (!(Math.abs(scale - 1) < SAME))
            throw in.wrong(scores, "scores divided by the root of " + f.head + ", the width of a head");
        return new Linear[] {query, heads(k.x(), true, x, f), heads(mix.input(1), false, x, f)};
    }

    /// Past a guard against rows without a key.
    private String probabilities(String value) {
        Node n = graph.producer(value);
        if (n == null || !n.op().equals("Where"))
            return value;
        Node nan = in.node(n.input(0), "IsNaN", "a guard of the softmax");
        Double zero = graph.number(n.input(1));
        if (!in.same(nan.input(0), n.input(2)) || zero == null || zero != 0)
            throw in.wrong(value, "probabilities");
        return n.input(2);
    }

    /// Matches rows cut into heads, back to the projection that gives them.
    ///
    /// @param flipped whether each head is transposed, as keys are
    private Linear heads(String value, boolean flipped, String x, Features f) {
        Node turned = graph.producer(value);
        String at = value;
        boolean open = flipped;
        // heads and batch as one dimension, transposed, and cut again
        if (open && turned != null && turned.op().equals("Reshape")) {
            Node t = in.node(turned.input(0), "Transpose", "transposed keys");
            in.permuted(t, 0, 2, 1);
            at = in.node(t.input(0), "Reshape", "heads one after the other").input(0);
            open = false;
        }
        turned = in.node(at, "Transpose", "heads before tokens");
        long[] order = turned.integers("perm");
        if (open && Arrays.equals(order, new long[] {0, 1, 3, 2})) {
            turned = in.node(turned.input(0), "Transpose", "heads before tokens");
            open = false;
        }
        if (open)
            in.permuted(turned, 0, 2, 3, 1);
        else
            in.permuted(turned, 0, 2, 1, 3);
        Node cut = in.node(turned.input(0), "Reshape", "rows cut into heads");
        Linear l = in.require(in.linear(cut.input(0)), cut.input(0), "a linear layer");
        if (!in.same(l.x(), x))
            throw in.wrong(cut.input(0), "a projection of the layer's input");
        int width = last(cut.input(1));
        if (width < 1 || l.outputs() % width != 0 || f.head != 0 && f.head != width)
            throw in.wrong(turned.input(0), "rows cut into heads of one width");
        f.head = width;
        return l;
    }

    /// The last dimension of a shape.
    private int last(String shape) {
        String at = shape;
        Node n = graph.producer(shape);
        if (n != null && n.op().equals("Concat") && !n.inputs().isEmpty())
            at = n.inputs().getLast();
        long[] all = graph.integers(at);
        if (all == null || all.length == 0 || all[all.length - 1] < 1 || all[all.length - 1] > Integer.MAX_VALUE)
            throw in.wrong(shape, "a shape whose last dimension is a constant");
        return (int) all[all.length - 1];
    }

    /// Whether a value comes from the attention mask and from shapes and constants, and from nothing else.
    private boolean isMask(String value) {
        Set<String> from = in.origins(value);
        return from.equals(Set.of("attention_mask"));
    }

    private void embeddings(Norm norm, Features f) {
        agree(norm, f);
        Map<String, Values> tables = new HashMap<>();
        for (String t : in.sum(norm.x())) {
            for (String term : graph.producer(t) instanceof Node n && n.op().equals("Add") ? in.sum(t) : List.of(t)) {
                Node gather = in.node(term, "Gather", "an embedding");
                Values table = graph.constant(gather.input(0));
                if (table == null || table.shape().size() != 2 || gather.integer("axis", 0) != 0)
                    throw in.wrong(term, "rows of an embedding");
                Node cast = graph.producer(gather.input(1));
                String index = cast != null && cast.op().equals("Cast") ? cast.input(0) : gather.input(1);
                Set<String> from = in.origins(index);
                String kind = graph.source(index).equals("input_ids") ? "word"
                        : graph.source(index).equals("token_type_ids") ? "token_type"
                        : from.isEmpty() ? "position" : "";
                if (kind.equals("position"))
                    counts(index, table.shape().getFirst());
                if (kind.isEmpty() || tables.put(kind, in.floats(table, gather)) != null)
                    throw in.wrong(term, "embeddings of input_ids, token_type_ids and the positions 0, 1, ...; this one"
                            + " is computed from " + (from.isEmpty() ? "the same again" : String.join(", ", from)));
            }
        }
        for (String kind : List.of("word", "position", "token_type")) {
            Values table = tables.get(kind);
            if (table == null)
                throw in.wrong(norm.x(), "the sum of word, position and token type embeddings");
            if (table.shape().get(1) != f.width)
                throw in.wrong(norm.x(), "embeddings as wide as the layers, " + f.width);
            tensors.put("embeddings." + kind + "_embeddings.weight", new Place(table,
                    new int[] {table.shape().getFirst(), f.width}, false));
        }
        put("embeddings.LayerNorm", norm);
    }

    /// Holds that positions are 0, 1, 2, ...: a piece of a constant, or a range.
    private void counts(String index, int rows) {
        Node n = graph.producer(index);
        while (n != null && (n.op().equals("Unsqueeze") || n.op().equals("Expand") || n.op().equals("Cast")))
            n = graph.producer(n.input(0));
        boolean right = false;
        if (n != null && n.op().equals("Range"))
            right = Double.valueOf(0).equals(graph.number(n.input(0)))
                    && Double.valueOf(1).equals(graph.number(n.input(2)));
        else
            if (n != null && n.op().equals("Slice")) {
                long[] all = graph.integers(n.input(0));
                long[] start = graph.integers(n.input(1));
                right = all != null && Arrays.equals(all, LongStream.range(0, Math.min(all.length, rows)).toArray())
                        && start != null && start.length == 1 && start[0] == 0;
            }
        if (!right)
            throw in.wrong(index, "the positions 0, 1, 2, ...");
    }

    /// The pooler, where there is one: a linear layer with tanh over the first token.
    private void pooler(String hidden) {
        for (Node n : graph.nodes()) {
            if (!n.op().equals("Tanh"))
                continue;
            Linear l = in.linear(n.input(0));
            Node first = l == null ? null : graph.producer(l.x());
            if (l == null || first == null || !first.op().equals("Gather") || !in.same(first.input(0), hidden)
                    || first.integer("axis", 0) != 1 || !in.is(first.input(1), 0))
                continue;
            put("pooler.dense", l);
            return;
        }
    }

    private ObjectNode config(Features f, int layers) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.putArray("architectures").add("BertModel");
        o.put("model_type", "bert");
        o.put("vocab_size", rows("word"));
        o.put("hidden_size", f.width);
        o.put("num_hidden_layers", layers);
        o.put("num_attention_heads", f.width / f.head);
        o.put("intermediate_size", f.intermediate);
        o.put("hidden_act", f.activation);
        o.put("layer_norm_eps", f.eps);
        o.put("max_position_embeddings", rows("position"));
        o.put("type_vocab_size", rows("token_type"));
        o.put("position_embedding_type", "absolute");
        o.put("torch_dtype", "float32");
        return o;
    }

    private int rows(String table) {
        return shape("embeddings." + table + "_embeddings.weight")[0];
    }

    /// Large initializers that are no tensor of the model, such as those of a head.
    private List<String> leftOver() {
        Set<String> used = new HashSet<>();
        tensors.values().forEach(p -> used.add(p.values.name()));
        return graph.initializers().values().stream()
                .filter(v -> v.type() == OnnxGraph.FLOAT && v.shape().size() > 1 && v.size() > 1
                        && !used.contains(v.name()))
                .map(Values::name).toList();
    }

    private void put(String module, Linear l) {
        put(module + ".weight", l.weight(), new int[] {l.outputs(), l.inputs()}, l.transposed());
        put(module + ".bias", l.bias(), new int[] {l.outputs()}, false);
    }

    private void put(String module, Norm n) {
        put(module + ".weight", n.weight(), new int[] {n.weight().shape().getFirst()}, false);
        put(module + ".bias", n.bias(), new int[] {n.bias().shape().getFirst()}, false);
    }

    private void put(String name, Values v, int[] shape, boolean transposed) {
        tensors.put(name, new Place(v, shape, transposed));
    }

    // ---- what it is for

    public Path file() {
        return graph.file();
    }

    /// `config.json` of the model, without what a tokenizer says.
    public ObjectNode config() {
        return config.deepCopy();
    }

    /// Names of the model's tensors, as transformers spells those of a `BertModel`.
    public Set<String> tensors() {
        return Collections.unmodifiableSet(tensors.keySet());
    }

    /// Initializers with more than one dimension that are none of the model's tensors.
    public List<String> unread() {
        return unread;
    }

    public int[] shape(String tensor) {
        return place(tensor).shape.clone();
    }

    /// Values of a tensor, row-major in [#shape].
    public float[] values(String tensor) {
        Place p = place(tensor);
        float[] v = graph.floats(p.values);
        return p.transposed ? transposed(v, p.shape[1], p.shape[0]) : v;
    }

    private Place place(String tensor) {
        Place p = tensors.get(tensor);
        if (p == null)
            throw new IllegalArgumentException(graph.file() + " has no " + tensor);
        return p;
    }

    private static float[] transposed(float[] v, int rows, int columns) {
        float[] out = new float[v.length];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++)
                out[c * rows + r] = v[r * columns + c];
        return out;
    }

    /// Gives the values of a tensor.
    @FunctionalInterface
    public interface Source {
        /// @return in the tensor's shape, row-major
        float[] values(String tensor);
    }

    /// Writes the graph again with other values in some tensors; every other byte is as it was.
    ///
    /// @param replaced names of the tensors to write anew
    public void write(Path to, Set<String> replaced, Source values) {
        // exporters store equal tensors once
        Map<Long, List<String>> together = new LinkedHashMap<>();
        for (String name : tensors.keySet())
            together.computeIfAbsent(place(name).values.at(), _ -> new ArrayList<>()).add(name);
        together.values().removeIf(names -> names.stream().noneMatch(replaced::contains));
        for (List<String> names : together.values())
            for (String name : names.subList(1, names.size()))
                if (!Arrays.equals(stored(name, replaced, values), stored(names.getFirst(), replaced, values)))
                    throw in.refused("has " + names.getFirst() + " and " + name + " as one initializer '"
                            + place(name).values.name() + "', and they are no longer equal; export the model again"
                            + " without sharing equal initializers");
        AtomicFiles.write(to, out -> {
            try (FileChannel from = FileChannel.open(graph.file(), StandardOpenOption.READ)) {
                copy(from, out);
                for (Map.Entry<Long, List<String>> t : together.entrySet()) {
                    float[] v = stored(t.getValue().getFirst(), replaced, values);
                    ByteBuffer b = ByteBuffer.allocate(4 * v.length).order(ByteOrder.LITTLE_ENDIAN);
                    b.asFloatBuffer().put(v);
                    while (b.hasRemaining())
                        out.write(b, t.getKey() + b.position());
                }
            }
        });
    }

    private float[] stored(String name, Set<String> replaced, Source values) {
        Place p = place(name);
        float[] v = replaced.contains(name) ? values.values(name) : values(name);
        if (v.length != p.values.size())
            throw new IllegalArgumentException(name + ": " + v.length + " values for " + p.values.size());
        return p.transposed ? transposed(v, p.shape[0], p.shape[1]) : v;
    }

    private static void copy(FileChannel in, FileChannel out) throws IOException {
        long size = in.size();
        for (long at = 0; at < size;) {
            long n = in.transferTo(at, size - at, out);
            if (n <= 0)
                throw new EOFException("the file became shorter while it was read");
            at += n;
        }
    }
}
