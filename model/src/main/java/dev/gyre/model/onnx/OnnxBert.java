package dev.gyre.model.onnx;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.onnx.OnnxGraph.Node;
import dev.gyre.model.onnx.OnnxGraph.Values;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
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
    private final Map<String, Place> tensors = new LinkedHashMap<>();
    private final ObjectNode config;
    private final List<String> unread;

    /// Where a tensor of the model is in the file.
    ///
    /// @param shape in the model, which has weights as (outputs, inputs)
    /// @param transposed whether the file has (inputs, outputs)
    private record Place(Values values, int[] shape, boolean transposed) {
    }

    private record Norm(String x, Values weight, Values bias, double eps) {
    }

    private record Linear(String x, Values weight, boolean transposed, Values bias) {
        int outputs() {
            return weight.shape().get(transposed ? 1 : 0);
        }

        int inputs() {
            return weight.shape().get(transposed ? 0 : 1);
        }
    }

    private record Activated(String x, String name) {
    }

    private OnnxBert(OnnxGraph graph) {
        this.graph = graph;
        String hidden = lastHidden();
        List<Runnable> layers = new ArrayList<>();
        String at = hidden;
        Norm norm = require(norm(at), at, "a layer normalisation");
        Features f = new Features();
        while (true) {
            List<String> terms = sum(norm.x);
            String down = terms.stream().filter(t -> linear(t) != null).findFirst().orElse(null);
            if (down == null)
                break;
            if (layers.size() == MOST_LAYERS)
                throw refused("has more than " + MOST_LAYERS + " layers");
            Norm after = norm;
            String before = layer(after, terms, down, f, layers);
            norm = require(norm(before), before, "a layer normalisation");
        }
        if (layers.isEmpty())
            throw refused("has no layer of BERT before " + said(hidden));
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
            if (norm(o) != null)
                return o;
        String first = graph.outputs().isEmpty() ? "" : graph.outputs().getFirst();
        throw refused("no output is the hidden states of BERT's last layer; its outputs are " + some(graph.outputs())
                + (first.isEmpty() ? "" : ", the first from " + said(first))
                + "; export the model without a head (task feature-extraction)");
    }

    /// Matches a layer back from its last normalisation; returns what it reads.
    private String layer(Norm after, List<String> terms, String down, Features f, List<Runnable> layers) {
        Linear out = require(linear(down), down, "a linear layer");
        String middle = other(terms, down);
        Activated a = require(activated(out.x), out.x, "GELU, its tanh form, or ReLU");
        Linear up = require(linear(a.x), a.x, "a linear layer");
        if (!same(up.x, middle))
            throw wrong(middle, "the input of " + said(a.x) + " again, for the sum around the MLP");
        Norm between = require(norm(middle), middle, "a layer normalisation");
        List<String> inner = sum(between.x);
        String mixed = inner.stream().filter(t -> linear(t) != null).findFirst()
                .orElseThrow(() -> wrong(between.x, "a sum with attention's output projection"));
        Linear o = require(linear(mixed), mixed, "a linear layer");
        String x = other(inner, mixed);
        Linear[] qkv = attention(o.x, x, f);
        agree(after, f);
        agree(between, f);
        f.activation = agreed(f.activation, a.name, out.x);
        if (f.intermediate != 0 && f.intermediate != up.outputs())
            throw wrong(a.x, "MLPs of one width in all layers");
        f.intermediate = up.outputs();
        if (f.width != 0 && f.width != o.outputs())
            throw wrong(mixed, "layers of one width");
        f.width = o.outputs();
        for (Linear l : new Linear[] {qkv[0], qkv[1], qkv[2], o})
            if (l.inputs() != f.width || l.outputs() != f.width)
                throw wrong(mixed, "attention as wide as the layer");
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
            throw wrong(where, was + " as in the other layers");
        return is;
    }

    private void agree(Norm n, Features f) {
        if (f.eps != 0 && f.eps != n.eps)
            throw wrong(n.x, "normalisations with one epsilon: " + f.eps + " and " + n.eps);
        f.eps = n.eps;
    }

    /// Matches attention back from the rows that the output projection reads; q, k and v read `x`.
    private Linear[] attention(String rows, String x, Features f) {
        Node joined = node(rows, "Reshape", "the heads joined again");
        Node back = node(joined.input(0), "Transpose", "heads behind tokens");
        permuted(back, 0, 2, 1, 3);
        Node mix = node(back.input(0), "MatMul", "probabilities times values");
        String p = probabilities(mix.input(0));
        Node softmax = node(p, "Softmax", "probabilities");
        long axis = softmax.integer("axis", -1);
        if (axis != -1 && axis != 3)
            throw wrong(p, "a softmax over the keys");
        Node masked = node(softmax.input(0), "Add", "scores and mask");
        String scores = null;
        for (String t : masked.inputs())
            if (isMask(t))
                scores = other(masked.inputs(), t);
        if (scores == null)
            throw wrong(softmax.input(0), "scores and a mask that comes from attention_mask alone");
        Scaled product = scaled(scores);
        Node qk = node(product.x, "MatMul", "queries times keys");
        Scaled q = scaled(qk.input(0));
        Scaled k = scaled(qk.input(1));
        Linear query = heads(q.x, false, x, f);
        double scale = product.by * q.by * k.by * Math.sqrt(f.head);
        if (!(Math.abs(scale - 1) < SAME))
            throw wrong(scores, "scores divided by the root of " + f.head + ", the width of a head");
        return new Linear[] {query, heads(k.x, true, x, f), heads(mix.input(1), false, x, f)};
    }

    /// Past a guard against rows without a key.
    private String probabilities(String value) {
        Node n = graph.producer(value);
        if (n == null || !n.op().equals("Where"))
            return value;
        Node nan = node(n.input(0), "IsNaN", "a guard of the softmax");
        Double zero = graph.number(n.input(1));
        if (!same(nan.input(0), n.input(2)) || zero == null || zero != 0)
            throw wrong(value, "probabilities");
        return n.input(2);
    }

    private record Scaled(String x, double by) {
    }

    /// A value without a constant factor.
    private Scaled scaled(String value) {
        Node n = graph.producer(value);
        if (n != null && (n.op().equals("Mul") || n.op().equals("Div"))) {
            Double right = graph.number(n.input(1));
            if (right != null)
                return new Scaled(n.input(0), n.op().equals("Mul") ? right : 1 / right);
            Double left = graph.number(n.input(0));
            if (left != null && n.op().equals("Mul"))
                return new Scaled(n.input(1), left);
        }
        return new Scaled(value, 1);
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
            Node t = node(turned.input(0), "Transpose", "transposed keys");
            permuted(t, 0, 2, 1);
            at = node(t.input(0), "Reshape", "heads one after the other").input(0);
            open = false;
        }
        turned = node(at, "Transpose", "heads before tokens");
        long[] order = turned.integers("perm");
        if (open && Arrays.equals(order, new long[] {0, 1, 3, 2})) {
            turned = node(turned.input(0), "Transpose", "heads before tokens");
            open = false;
        }
        if (open)
            permuted(turned, 0, 2, 3, 1);
        else
            permuted(turned, 0, 2, 1, 3);
        Node cut = node(turned.input(0), "Reshape", "rows cut into heads");
        Linear l = require(linear(cut.input(0)), cut.input(0), "a linear layer");
        if (!same(l.x, x))
            throw wrong(cut.input(0), "a projection of the layer's input");
        int width = last(cut.input(1));
        if (width < 1 || l.outputs() % width != 0 || f.head != 0 && f.head != width)
            throw wrong(turned.input(0), "rows cut into heads of one width");
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
            throw wrong(shape, "a shape whose last dimension is a constant");
        return (int) all[all.length - 1];
    }

    private void permuted(Node n, long... order) {
        long[] is = n.integers("perm");
        if (is == null || !Arrays.equals(is, order))
            throw new FormatException(graph.file(), n.said() + " orders dimensions as " + Arrays.toString(is)
                    + ", and BERT has " + Arrays.toString(order) + " there");
    }

    /// Whether a value comes from the attention mask and from shapes and constants, and from nothing else.
    private boolean isMask(String value) {
        Set<String> from = origins(value);
        return from.equals(Set.of("attention_mask"));
    }

    /// The inputs of the graph that a value is computed from, and `weights` if large initializers are among it; what is
    /// only asked for its shape does not count.
    private Set<String> origins(String value) {
        Set<String> found = new HashSet<>();
        Set<String> seen = new HashSet<>();
        Deque<String> open = new ArrayDeque<>(List.of(graph.source(value)));
        while (!open.isEmpty()) {
            String v = open.pop();
            if (v.isEmpty() || !seen.add(v))
                continue;
            Node n = graph.producer(v);
            if (n != null) {
                if (!n.op().equals("Shape"))
                    open.addAll(n.inputs());
            } else
                if (graph.inputs().contains(v))
                    found.add(v);
                else
                    if (graph.constant(v) instanceof Values c && c.type() == OnnxGraph.FLOAT && c.size() > 1)
                        found.add("weights");
        }
        return found;
    }

    private void embeddings(Norm norm, Features f) {
        agree(norm, f);
        Map<String, Values> tables = new HashMap<>();
        for (String t : sum(norm.x)) {
            for (String term : graph.producer(t) instanceof Node n && n.op().equals("Add") ? sum(t) : List.of(t)) {
                Node gather = node(term, "Gather", "an embedding");
                Values table = graph.constant(gather.input(0));
                if (table == null || table.shape().size() != 2 || gather.integer("axis", 0) != 0)
                    throw wrong(term, "rows of an embedding");
                Node cast = graph.producer(gather.input(1));
                String index = cast != null && cast.op().equals("Cast") ? cast.input(0) : gather.input(1);
                Set<String> from = origins(index);
                String kind = graph.source(index).equals("input_ids") ? "word"
                        : graph.source(index).equals("token_type_ids") ? "token_type"
                        : from.isEmpty() ? "position" : "";
                if (kind.equals("position"))
                    counts(index, table.shape().getFirst());
                if (kind.isEmpty() || tables.put(kind, floats(table, gather)) != null)
                    throw wrong(term, "embeddings of input_ids, token_type_ids and the positions 0, 1, ...; this one"
                            + " is computed from " + (from.isEmpty() ? "the same again" : String.join(", ", from)));
            }
        }
        for (String kind : List.of("word", "position", "token_type")) {
            Values table = tables.get(kind);
            if (table == null)
                throw wrong(norm.x, "the sum of word, position and token type embeddings");
            if (table.shape().get(1) != f.width)
                throw wrong(norm.x, "embeddings as wide as the layers, " + f.width);
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
            throw wrong(index, "the positions 0, 1, 2, ...");
    }

    /// The pooler, where there is one: a linear layer with tanh over the first token.
    private void pooler(String hidden) {
        for (Node n : graph.nodes()) {
            if (!n.op().equals("Tanh"))
                continue;
            Linear l = linear(n.input(0));
            Node first = l == null ? null : graph.producer(l.x);
            if (l == null || first == null || !first.op().equals("Gather") || !same(first.input(0), hidden)
                    || first.integer("axis", 0) != 1 || !is(first.input(1), 0))
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

    // ---- pieces of the graph

    /// A layer normalisation over the last dimension, as one node or taken apart; null if the value is none.
    private @Nullable Norm norm(String value) {
        Node n = graph.producer(value);
        if (n == null)
            return null;
        if (n.op().equals("LayerNormalization")) {
            long axis = n.integer("axis", -1);
            Values w = vector(n.input(1));
            Values b = vector(n.input(2));
            return w == null || b == null || axis != -1 && axis != 2 ? null
                    : new Norm(n.input(0), w, b, Double.parseDouble(Float.toString(n.number("epsilon", 1e-5f))));
        }
        if (!n.op().equals("Add"))
            return null;
        for (int side = 0; side < 2; side++) {
            Values bias = vector(n.input(side));
            Node scaled = graph.producer(n.input(1 - side));
            if (bias == null || scaled == null || !scaled.op().equals("Mul"))
                continue;
            for (int s = 0; s < 2; s++) {
                Values weight = vector(scaled.input(s));
                Norm bare = weight == null ? null : normalised(scaled.input(1 - s), weight, bias);
                if (bare != null)
                    return bare;
            }
        }
        return null;
    }

    /// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps)`.
    private @Nullable Norm normalised(String value, Values weight, Values bias) {
        Node div = graph.producer(value);
        if (div == null || !div.op().equals("Div"))
            return null;
        String x = centred(div.input(0));
        Node root = graph.producer(div.input(1));
        Node shifted = root == null || !root.op().equals("Sqrt") ? null : graph.producer(root.input(0));
        if (x == null || shifted == null || !shifted.op().equals("Add"))
            return null;
        for (int side = 0; side < 2; side++) {
            Double eps = graph.number(shifted.input(side));
            String square = eps == null ? null : mean(shifted.input(1 - side));
            Node power = square == null ? null : graph.producer(square);
            if (eps == null || power == null)
                continue;
            Double two = graph.number(power.input(1));
            boolean squared = power.op().equals("Pow") && two != null && two == 2
                    || power.op().equals("Mul") && same(power.input(0), power.input(1));
            String own = squared ? centred(power.input(0)) : null;
            if (own != null && same(own, x))
                return new Norm(x, weight, bias, eps);
        }
        return null;
    }

    /// x of `x - mean(x)`, or null.
    private @Nullable String centred(String value) {
        Node n = graph.producer(value);
        // of exports for half precision, which compute the norm in single
        if (n != null && n.op().equals("Cast") && n.integer("to", 0) == OnnxGraph.FLOAT)
            n = graph.producer(n.input(0));
        if (n == null || !n.op().equals("Sub"))
            return null;
        String of = mean(n.input(1));
        return of != null && same(of, n.input(0)) ? n.input(0) : null;
    }

    /// x of its mean over the last dimension, or null.
    private @Nullable String mean(String value) {
        Node n = graph.producer(value);
        if (n == null || !n.op().equals("ReduceMean") || n.integer("keepdims", 1) != 1)
            return null;
        long[] axes = n.inputs().size() > 1 ? graph.integers(n.input(1)) : n.integers("axes");
        return axes != null && axes.length == 1 && (axes[0] == -1 || axes[0] == 2) ? n.input(0) : null;
    }

    /// A linear layer with a bias; null if the value is none.
    private @Nullable Linear linear(String value) {
        Node n = graph.producer(value);
        if (n == null)
            return null;
        if (n.op().equals("Gemm")) {
            Values w = matrix(n.input(1));
            Values b = vector(n.input(2));
            return w == null || b == null || n.number("alpha", 1) != 1 || n.number("beta", 1) != 1
                    || n.integer("transA", 0) != 0 ? null
                            : fitting(new Linear(n.input(0), w, n.integer("transB", 0) == 0, b));
        }
        if (!n.op().equals("Add"))
            return null;
        for (int side = 0; side < 2; side++) {
            Values b = vector(n.input(side));
            Node product = graph.producer(n.input(1 - side));
            if (b == null || product == null || !product.op().equals("MatMul"))
                continue;
            Values w = matrix(product.input(1));
            if (w != null)
                return fitting(new Linear(product.input(0), w, true, b));
            Node t = graph.producer(product.input(1));
            if (t != null && t.op().equals("Transpose") && matrix(t.input(0)) instanceof Values own)
                return fitting(new Linear(product.input(0), own, false, b));
        }
        return null;
    }

    private static @Nullable Linear fitting(Linear l) {
        return l.bias.shape().getFirst() == l.outputs() ? l : null;
    }

    private @Nullable Values vector(String value) {
        return constant(value, 1);
    }

    private @Nullable Values matrix(String value) {
        return constant(value, 2);
    }

    private @Nullable Values constant(String value, int dimensions) {
        Values v = value.isEmpty() ? null : graph.constant(value);
        if (v == null || v.shape().size() != dimensions)
            return null;
        if (v.type() != OnnxGraph.FLOAT)
            throw refused("initializer '" + v.name() + "' is " + OnnxGraph.typeName(v.type())
                    + "; Gyre reads graphs in single precision (FLOAT): give the model that is not quantised");
        if (v.at() < 0)
            throw refused("initializer '" + v.name() + "' keeps its values neither raw nor as floats; save it again");
        return v;
    }

    private Values floats(Values v, Node where) {
        if (constant(where.input(0), 2) == null)
            throw wrong(where.input(0), "a matrix");
        return v;
    }

    /// GELU, exact or by tanh, or ReLU.
    private @Nullable Activated activated(String value) {
        Node n = graph.producer(value);
        if (n == null)
            return null;
        if (n.op().equals("Relu"))
            return new Activated(n.input(0), "relu");
        if (n.op().equals("Gelu"))
            return switch (n.text("approximate", "none")) {
                case "none" -> new Activated(n.input(0), "gelu");
                case "tanh" -> new Activated(n.input(0), "gelu_new");
                default -> null;
            };
        if (!n.op().equals("Mul"))
            return null;
        // x, a half, and 1 + erf(x / sqrt 2) or 1 + tanh(...), in any order
        List<String> factors = new ArrayList<>();
        for (String in : n.inputs()) {
            Node inner = graph.producer(in);
            if (inner != null && inner.op().equals("Mul"))
                factors.addAll(inner.inputs());
            else
                factors.add(in);
        }
        if (factors.size() != 3)
            return null;
        String half = factors.stream().filter(t -> is(t, 0.5)).findFirst().orElse(null);
        if (half == null)
            return null;
        factors.remove(half);
        for (int i = 0; i < 2; i++) {
            String x = factors.get(i);
            Node one = graph.producer(factors.get(1 - i));
            if (one == null || !one.op().equals("Add"))
                continue;
            for (int side = 0; side < 2; side++) {
                Node f = graph.producer(one.input(1 - side));
                if (!is(one.input(side), 1) || f == null)
                    continue;
                Scaled s = scaled(f.input(0));
                if (f.op().equals("Erf") && same(s.x, x) && near(s.by, Math.sqrt(0.5)))
                    return new Activated(x, "gelu");
                if (f.op().equals("Tanh") && near(s.by, Math.sqrt(2 / Math.PI)) && isCubic(s.x, x))
                    return new Activated(x, "gelu_new");
            }
        }
        return null;
    }

    /// Whether a value is `x + 0.044715 x^3`.
    private boolean isCubic(String value, String x) {
        Node n = graph.producer(value);
        if (n == null || !n.op().equals("Add"))
            return false;
        for (int side = 0; side < 2; side++) {
            Scaled s = scaled(n.input(1 - side));
            Node cube = graph.producer(s.x);
            if (same(n.input(side), x) && near(s.by, 0.044715) && cube != null && cube.op().equals("Pow")
                    && same(cube.input(0), x) && is(cube.input(1), 3))
                return true;
        }
        return false;
    }

    private boolean is(String value, double number) {
        Double v = graph.number(value);
        return v != null && near(v, number);
    }

    private static boolean near(double a, double b) {
        return Math.abs(a - b) <= SAME * Math.abs(b);
    }

    private List<String> sum(String value) {
        return node(value, "Add", "a sum").inputs();
    }

    private static String other(List<String> two, String one) {
        return two.getFirst().equals(one) ? two.getLast() : two.getFirst();
    }

    private boolean same(String a, String b) {
        return graph.source(a).equals(graph.source(b));
    }

    private Node node(String value, String op, String what) {
        Node n = graph.producer(value);
        if (n == null || !n.op().equals(op) || n.inputs().isEmpty() || op.equals("Add") && n.inputs().size() != 2)
            throw wrong(value, what + " (" + op + ")");
        return n;
    }

    private <T> T require(@Nullable T found, String value, String what) {
        if (found == null)
            throw wrong(value, what);
        return found;
    }

    private String said(String value) {
        Node n = graph.producer(value);
        return n == null ? "'" + value + "'" : n.said();
    }

    private FormatException wrong(String value, String expected) {
        return refused("is no BERT that Gyre knows: " + said(value) + " stands where " + expected
                + " is expected; export the model again with torch.onnx, or give its safetensors");
    }

    private FormatException refused(String problem) {
        return new FormatException(graph.file(), problem);
    }

    private void put(String module, Linear l) {
        put(module + ".weight", l.weight, new int[] {l.outputs(), l.inputs()}, l.transposed);
        put(module + ".bias", l.bias, new int[] {l.outputs()}, false);
    }

    private void put(String module, Norm n) {
        put(module + ".weight", n.weight, new int[] {n.weight.shape().getFirst()}, false);
        put(module + ".bias", n.bias, new int[] {n.bias.shape().getFirst()}, false);
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
                    throw refused("has " + names.getFirst() + " and " + name + " as one initializer '"
                            + place(name).values.name() + "', and they are no longer equal; export the model again"
                            + " without sharing equal initializers");
        AtomicFiles.write(to, out -> {
            try (FileChannel in = FileChannel.open(graph.file(), StandardOpenOption.READ)) {
                copy(in, out);
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
