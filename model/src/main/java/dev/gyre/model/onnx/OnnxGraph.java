package dev.gyre.model.onnx;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Inputs;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// The graph of an `.onnx` file: its nodes, and where in the file the values of its initializers are. The values themselves
/// are read when asked for, so that a graph takes little memory whatever its weights do.
final class OnnxGraph {
    /// Element types of ONNX.
    static final int FLOAT = 1;
    static final int INT64 = 7;
    private static final List<String> TYPES = List.of("UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32",
            "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16");

    private static final int MOST_NODES = 1_000_000;
    private static final int MOST_DIMENSIONS = 16;
    private static final int MOST_INTEGERS = 1 << 16;
    /// Bytes of a value that the graph computes with, such as a shape or an exponent.
    private static final int SMALL = 1 << 20;

    private final Path file;
    private final List<Node> nodes = new ArrayList<>();
    private final Map<String, Node> producers = new HashMap<>();
    private final Map<String, Values> initializers = new LinkedHashMap<>();
    private final List<String> inputs = new ArrayList<>();
    private final List<String> outputs = new ArrayList<>();

    /// A tensor in the file.
    ///
    /// @param type of the elements, a number of ONNX
    /// @param at where its values begin in the file, row-major and little-endian, `bytes` long
    record Values(String name, int type, List<Integer> shape, long at, long bytes) {
        long size() {
            return shape.stream().mapToLong(Integer::longValue).reduce(1, Math::multiplyExact);
        }
    }

    /// @param name "" if it has none
    record Node(String op, String domain, String name, List<String> inputs, List<String> outputs,
            Map<String, Attribute> attributes) {
        String input(int i) {
            return i < inputs.size() ? inputs.get(i) : "";
        }

        /// How messages call it.
        String said() {
            return (name.isEmpty() ? "the node of " + (outputs.isEmpty() ? "nothing" : "'" + outputs.getFirst() + "'")
                    : "node '" + name + "'") + " (" + (domain.isEmpty() ? "" : domain + ".") + op + ")";
        }

        long integer(String attribute, long absent) {
            Attribute a = attributes.get(attribute);
            return a == null ? absent : a.integer;
        }

        float number(String attribute, float absent) {
            Attribute a = attributes.get(attribute);
            return a == null ? absent : a.number;
        }

        String text(String attribute, String absent) {
            Attribute a = attributes.get(attribute);
            return a == null ? absent : a.text;
        }

        long @Nullable [] integers(String attribute) {
            Attribute a = attributes.get(attribute);
            return a == null ? null : a.integers;
        }
    }

    record Attribute(long integer, float number, String text, long[] integers, @Nullable Values tensor,
            float @Nullable [] floats) {
    }

    private OnnxGraph(Path file) {
        this.file = file;
    }

    static OnnxGraph read(Path file) {
        if (Files.isDirectory(file))
            throw new FormatException(file, "is a directory, expected an .onnx file");
        Inputs.requireFile(file);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            OnnxGraph g = new OnnxGraph(file);
            g.model(Wire.of(file, channel));
            return g;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    private void model(Wire w) throws IOException {
        boolean found = false;
        while (w.next())
            switch (w.field()) {
            case 7 -> {
                if (found)
                    throw w.bad("has two graphs");
                found = true;
                graph(w.message());
            }
            case 25 -> throw refused("has functions of its own (field 25); export it without them");
            default -> w.skip();
            }
        if (!found)
            throw w.bad("has no graph");
        for (Node n : nodes)
            for (String o : n.outputs)
                if (!o.isEmpty() && (producers.put(o, n) != null || initializers.containsKey(o)))
                    throw refused("two things in the graph are called '" + o + "'");
    }

    private void graph(Wire w) throws IOException {
        while (w.next())
            switch (w.field()) {
            case 1 -> {
                if (nodes.size() == MOST_NODES)
                    throw refused("has more than " + MOST_NODES + " nodes");
                nodes.add(node(w.message()));
            }
            case 5 -> {
                Values v = tensor(w.message());
                if (initializers.put(v.name, v) != null)
                    throw refused("has two initializers called '" + v.name + "'");
            }
            case 11 -> inputs.add(name(w.message()));
            case 12 -> outputs.add(name(w.message()));
            case 15 -> throw refused("has sparse initializers; export it with dense ones");
            default -> w.skip();
            }
        // before version 4 of the format initializers were inputs as well
        inputs.removeIf(initializers::containsKey);
    }

    private static String name(Wire w) throws IOException {
        String name = "";
        while (w.next())
            if (w.field() == 1)
                name = w.text();
            else
                w.skip();
        return name;
    }

    private Node node(Wire w) throws IOException {
        String op = "";
        String domain = "";
        String name = "";
        List<String> in = new ArrayList<>();
        List<String> out = new ArrayList<>();
        Map<String, Attribute> attributes = new HashMap<>();
        while (w.next())
            switch (w.field()) {
            case 1 -> in.add(w.text());
            case 2 -> out.add(w.text());
            case 3 -> name = w.text();
            case 4 -> op = w.text();
            case 5 -> attribute(w.message(), attributes);
            case 7 -> domain = w.text();
            default -> w.skip();
            }
        return new Node(op, domain.equals("ai.onnx") ? "" : domain, name, List.copyOf(in), List.copyOf(out),
                attributes);
    }

    private void attribute(Wire w, Map<String, Attribute> into) throws IOException {
        String name = "";
        long integer = 0;
        float number = 0;
        String text = "";
        List<long[]> integers = new ArrayList<>();
        int count = 0;
        List<Float> floats = new ArrayList<>();
        Values tensor = null;
        while (w.next())
            switch (w.field()) {
            case 1 -> name = w.text();
            case 2 -> number = w.float32();
            case 3 -> integer = w.varint();
            case 4 -> {
                // texts of attributes need not be UTF-8, and none that matters here is long
                if (w.length() <= 256)
                    text = w.text();
                else
                    w.skip();
            }
            case 5 -> tensor = tensor(w.message());
            case 7 -> {
                if (w.type() == Wire.FIXED32 && floats.size() < 64)
                    floats.add(w.float32());
                else
                    w.skip();
            }
            case 8 -> {
                integers.add(w.numbers(MOST_INTEGERS));
                count += integers.getLast().length;
                if (count > MOST_INTEGERS)
                    throw w.bad("has a list of more than " + MOST_INTEGERS + " numbers");
            }
            default -> w.skip();
            }
        float[] values = new float[floats.size()];
        for (int i = 0; i < values.length; i++)
            values[i] = floats.get(i);
        into.put(name, new Attribute(integer, number, text,
                integers.stream().flatMapToLong(Arrays::stream).toArray(), tensor, values));
    }

    private Values tensor(Wire w) throws IOException {
        String name = "";
        int type = 0;
        List<Integer> shape = new ArrayList<>();
        long at = -1;
        long bytes = 0;
        // those of other types are not read: nothing that matters here keeps its values so
        String kept = "raw_data";
        while (w.next())
            switch (w.field()) {
            case 1 -> {
                for (long d : w.numbers(MOST_DIMENSIONS)) {
                    if (d < 0 || d > Integer.MAX_VALUE || shape.size() == MOST_DIMENSIONS)
                        throw w.bad("has a tensor with a dimension of " + d);
                    shape.add((int) d);
                }
            }
            case 2 -> type = (int) Math.clamp(w.varint(), 0, Integer.MAX_VALUE);
            // floats one after the other are the same bytes as raw ones
            case 4, 9 -> {
                if (w.type() != Wire.BYTES || at >= 0)
                    throw w.bad("has a tensor whose values are in several pieces; save it again");
                at = w.position();
                bytes = w.length();
                w.skip();
            }
            case 8 -> name = w.text();
            case 13, 14 -> {
                kept = w.field() == 14 && w.type() == Wire.VARINT && w.varint() == 0 ? kept : "external data";
                if (w.field() == 13 || w.type() != Wire.VARINT)
                    w.skip();
            }
            case 5, 6, 7, 10, 11 -> {
                kept = "typed data";
                w.skip();
            }
            default -> w.skip();
            }
        long width = switch (type) {
            case FLOAT, 6, 12 -> 4;
            case INT64, 11, 13, 14 -> 8;
            case 2, 3, 9 -> 1;
            case 4, 5, 10, 16 -> 2;
            default -> 0;
        };
        if (kept.equals("external data"))
            throw refused("keeps the values of '" + name
                    + "' in another file (external data); save it in one file of less than 2 GB");
        if (at < 0 && kept.equals("raw_data"))
            at = w.position();
        boolean read = at >= 0 && width > 0;
        if (read) {
            long size = 1;
            for (int d : shape) {
                size *= d;
                if (size > Integer.MAX_VALUE)
                    throw refused("initializer '" + name + "' has more than " + Integer.MAX_VALUE + " values");
            }
            if (bytes != size * width)
                throw refused("initializer '" + name + "' has " + bytes + " bytes, but " + typeName(type) + " "
                        + shape + " takes " + size * width);
        }
        return new Values(name, type, List.copyOf(shape), read ? at : -1, bytes);
    }

    static String typeName(int type) {
        return type < TYPES.size() ? TYPES.get(type) : "type " + type;
    }

    private FormatException refused(String problem) {
        return new FormatException(file, problem);
    }

    Path file() {
        return file;
    }

    List<Node> nodes() {
        return nodes;
    }

    List<String> inputs() {
        return inputs;
    }

    List<String> outputs() {
        return outputs;
    }

    Map<String, Values> initializers() {
        return initializers;
    }

    /// The node that computes a value, past those that only hand it on; null for inputs and initializers.
    @Nullable
    Node producer(String value) {
        return producers.get(source(value));
    }

    /// The value that a name stands for, past nodes that only hand it on.
    String source(String value) {
        String at = value;
        for (int i = 0; i < MOST_NODES; i++) {
            Node n = producers.get(at);
            if (n == null || !(n.op.equals("Identity") || n.op.equals("Dropout")))
                return at;
            at = n.input(0);
        }
        throw refused("value '" + value + "' depends on itself");
    }

    /// The initializer or constant that a value is, or null.
    @Nullable
    Values constant(String value) {
        String at = source(value);
        Values v = initializers.get(at);
        if (v != null)
            return v;
        Node n = producers.get(at);
        if (n == null || !n.op.equals("Constant"))
            return null;
        Attribute a = n.attributes.get("value");
        return a == null ? null : a.tensor;
    }

    /// The integers of a constant, or null.
    long @Nullable [] integers(String value) {
        Node n = producer(value);
        if (n != null && n.op.equals("Constant")) {
            if (n.attributes.containsKey("value_int"))
                return new long[] {n.integer("value_int", 0)};
            if (n.attributes.containsKey("value_ints"))
                return n.integers("value_ints");
        }
        Values v = constant(value);
        if (v == null || v.type != INT64 || v.at < 0 || v.bytes > SMALL)
            return null;
        ByteBuffer b = bytes(v);
        long[] out = new long[(int) v.size()];
        for (int i = 0; i < out.length; i++)
            out[i] = b.getLong();
        return out;
    }

    /// The number that a constant of one value is, or null.
    @Nullable
    Double number(String value) {
        Node n = producer(value);
        if (n != null && n.op.equals("Constant") && n.attributes.containsKey("value_float"))
            return (double) n.number("value_float", 0);
        Values v = constant(value);
        if (v == null || v.size() != 1 || v.at < 0)
            return null;
        if (v.type == FLOAT)
            // as a person writes it: 1e-12, not 9.99999996e-13
            return Double.valueOf(Float.toString(bytes(v).getFloat()));
        return v.type == INT64 ? Double.valueOf(bytes(v).getLong()) : v.type == 11 ? bytes(v).getDouble() : null;
    }

    private ByteBuffer bytes(Values v) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return read(channel, v.at, Math.toIntExact(v.bytes));
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
    }

    private static ByteBuffer read(FileChannel channel, long at, int n) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(n).order(ByteOrder.LITTLE_ENDIAN);
        while (b.hasRemaining())
            if (channel.read(b, at + b.position()) < 0)
                throw new EOFException("the file became shorter while it was read");
        return b.flip();
    }

    /// The values of a tensor of floats.
    float[] floats(Values v) {
        float[] out = new float[Math.toIntExact(v.size())];
        int piece = 1 << 18;
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            for (int from = 0; from < out.length; from += piece) {
                int n = Math.min(piece, out.length - from);
                read(channel, v.at + 4L * from, 4 * n).asFloatBuffer().get(out, from, n);
            }
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        }
        return out;
    }

    /// Operators of the graph with how many of each there are, the rarest first.
    String operators() {
        Map<String, Long> counts = nodes.stream().collect(Collectors.groupingBy(n -> n.op, Collectors.counting()));
        return counts.entrySet().stream().sorted(Map.Entry.comparingByValue()).map(e -> e.getKey())
                .limit(12).collect(Collectors.joining(", "));
    }
}
