package dev.gyre.model.onnx;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.onnx.OnnxGraph.Node;
import dev.gyre.model.onnx.OnnxGraph.Values;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What a value of a graph is computed by: layer normalisations, linear layers and activations in the spellings of known
/// exporters, and the refusal of what is none.
record OnnxPatterns(OnnxGraph graph) {
    private static final double SAME = 1e-5;

    record Norm(String x, Values weight, Values bias, double eps) {
    }

    record Linear(String x, Values weight, boolean transposed, Values bias) {
        int outputs() {
            return weight.shape().get(transposed ? 1 : 0);
        }

        int inputs() {
            return weight.shape().get(transposed ? 0 : 1);
        }
    }

    record Activated(String x, String name) {
    }

    record Scaled(String x, double by) {
    }

    /// A value without a constant factor.
    Scaled scaled(String value) {
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

    void permuted(Node n, long... order) {
        long[] is = n.integers("perm");
        if (is == null || !Arrays.equals(is, order))
            throw new FormatException(graph.file(), n.said() + " orders dimensions as " + Arrays.toString(is)
                    + ", and BERT has " + Arrays.toString(order) + " there");
    }

    /// The inputs of the graph that a value is computed from, and `weights` if large initializers are among it; what is
    /// only asked for its shape does not count.
    Set<String> origins(String value) {
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

    /// A layer normalisation over the last dimension, as one node or taken apart; null if the value is none.
    @Nullable Norm norm(String value) {
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
    @Nullable Linear linear(String value) {
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

    @Nullable Values constant(String value, int dimensions) {
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

    Values floats(Values v, Node where) {
        if (constant(where.input(0), 2) == null)
            throw wrong(where.input(0), "a matrix");
        return v;
    }

    /// GELU, exact or by tanh, or ReLU.
    @Nullable Activated activated(String value) {
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

    boolean is(String value, double number) {
        Double v = graph.number(value);
        return v != null && near(v, number);
    }

    private static boolean near(double a, double b) {
        return Math.abs(a - b) <= SAME * Math.abs(b);
    }

    List<String> sum(String value) {
        return node(value, "Add", "a sum").inputs();
    }

    static String other(List<String> two, String one) {
        return two.getFirst().equals(one) ? two.getLast() : two.getFirst();
    }

    boolean same(String a, String b) {
        return graph.source(a).equals(graph.source(b));
    }

    Node node(String value, String op, String what) {
        Node n = graph.producer(value);
        if (n == null || !n.op().equals(op) || n.inputs().isEmpty() || op.equals("Add") && n.inputs().size() != 2)
            throw wrong(value, what + " (" + op + ")");
        return n;
    }

    <T> T require(@Nullable T found, String value, String what) {
        if (found == null)
            throw wrong(value, what);
        return found;
    }

    String said(String value) {
        Node n = graph.producer(value);
        return n == null ? "'" + value + "'" : n.said();
    }

    FormatException wrong(String value, String expected) {
        return refused("is no BERT that Gyre knows: " + said(value) + " stands where " + expected
                + " is expected; export the model again with torch.onnx, or give its safetensors");
    }

    FormatException refused(String problem) {
        return new FormatException(graph.file(), problem);
    }
}
