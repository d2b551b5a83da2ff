package dev.gyre.quant;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// How bitsandbytes names and shapes the parts of a 4-bit weight P of shape (n, d) in a file; only names, bytes and
/// [HostData.NF4], no file is touched here.
///
/// | key | dtype, shape | content |
/// |---|---|---|
/// | `P` | U8 `(ceil(n d/2), 1)` | packed codes |
/// | `P.absmax` | F32 or, nested, U8 `(blocks)` | block maxima |
/// | `P.quant_map` | F32 `(16)` | code book |
/// | `P.nested_absmax` | F32 `(ceil(blocks/256))` | only nested |
/// | `P.nested_quant_map` | F32 `(256)` | only nested |
/// | `P.quant_state.bitsandbytes__nf4` | U8 `(bytes)` | JSON, see [QuantState] |
///
/// Bytes are little-endian.
public final class BnbLayout {
    static final String ABSMAX = ".absmax";
    static final String QUANT_MAP = ".quant_map";
    static final String NESTED_ABSMAX = ".nested_absmax";
    static final String NESTED_QUANT_MAP = ".nested_quant_map";
    static final String STATE = ".quant_state.bitsandbytes__";
    static final String STATE_NF4 = STATE + "nf4";
    static final String STATE_FP4 = STATE + "fp4";

    private BnbLayout() {
    }

    /// One tensor as a file holds it. `dtype` is the safetensors tag, `U8` or `F32`; `data` is little-endian, from
    /// position to limit.
    public record Tensor(String name, String dtype, List<Integer> shape, ByteBuffer data) {
    }

    /// A 4-bit weight together with what its JSON says.
    public record Weight(QuantState state, HostData.NF4 data) {
    }

    /// Nested quantisation of the block maxima.
    public record Nested(int blockSize, String dtype, float offset) {
    }

    /// The JSON of a weight: `dtype` and `shape` are those of the original weight.
    public record QuantState(int blockSize, String dtype, List<Integer> shape, @Nullable Nested nested) {
        private static final Set<String> DTYPES = Set.of("float32", "float16", "bfloat16");
        private static final JsonMapper JSON = JsonMapper.builder()
                .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

        public QuantState {
            shape = List.copyOf(shape);
            if (!DTYPES.contains(dtype))
                throw new IllegalArgumentException(
                        "dtype \"" + dtype + "\" of a 4-bit weight is none of float32, float16, bfloat16");
        }

        /// Describes `q`, made from a weight of this dtype and shape.
        public static QuantState of(HostData.NF4 q, String dtype, List<Integer> shape) {
            Nested nested = q.absmax != null ? null : new Nested(q.nestedBlockSize, "float32", q.nestedOffset);
            return new QuantState(q.blockSize, dtype, shape, nested);
        }

        /// Byte for byte what Python's `json.dumps` writes for the library's dictionary.
        public String json() {
            StringBuilder s = new StringBuilder("{\"quant_type\": \"nf4\", \"blocksize\": ").append(blockSize)
                    .append(", \"dtype\": \"").append(dtype).append("\", \"shape\": ").append(shape);
            if (nested != null)
                s.append(", \"nested_blocksize\": ").append(nested.blockSize).append(", \"nested_dtype\": \"")
                        .append(nested.dtype).append("\", \"nested_offset\": ").append(pythonFloat(nested.offset));
            return s.append('}').toString();
        }

        /// Reads the JSON of weight `name`, keys in any order; unknown keys are ignored.
        ///
        /// @throws IllegalArgumentException for other quantisation types (FP4 among them) and for sizes the format
        ///         does not have
        public static QuantState parse(String name, String json) {
            JsonNode root;
            try {
                root = JSON.readTree(json);
            } catch (JacksonException e) {
                throw new IllegalArgumentException(
                        name + ": its quant_state is not JSON: " + e.getOriginalMessage(), e);
            }
            String type = text(name, root, "quant_type");
            if (!type.equals("nf4"))
                throw new IllegalArgumentException(name + ": quantisation type \"" + type
                        + "\" is not supported; quantise the original model to nf4");
            List<Integer> shape = new ArrayList<>();
            for (JsonNode dim : field(name, root, "shape"))
                shape.add(integer(name, dim, "shape"));
            int blockSize = integer(name, field(name, root, "blocksize"), "blocksize");
            Nested nested = null;
            if (root.has("nested_blocksize") || root.has("nested_offset")) {
                JsonNode offset = field(name, root, "nested_offset");
                if (!offset.isNumber())
                    throw wrong(name, "nested_offset", offset);
                nested = new Nested(integer(name, field(name, root, "nested_blocksize"), "nested_blocksize"),
                        text(name, root, "nested_dtype"), (float) offset.asDouble());
                if (nested.blockSize != DoubleQuant.BLOCK || !nested.dtype.equals("float32"))
                    throw new IllegalArgumentException(
                            name + ": block maxima nested in blocks of " + nested.blockSize + " " + nested.dtype
                                    + "; only blocks of " + DoubleQuant.BLOCK + " float32 are defined");
            }
            try {
                Nf4.checkBlockSize(blockSize);
                return new QuantState(blockSize, text(name, root, "dtype"), shape, nested);
            } catch (IllegalArgumentException | InputException e) {
                throw new IllegalArgumentException(name + ": " + e.getMessage(), e);
            }
        }

        /// Number of weight elements.
        public long size() {
            long n = 1;
            for (int dim : shape)
                n = Math.multiplyExact(n, dim);
            return n;
        }

        private static JsonNode field(String name, JsonNode root, String key) {
            JsonNode value = root.get(key);
            if (value == null)
                throw new IllegalArgumentException(
                        name + ": its quant_state lacks \"" + key + "\"; is the file damaged?");
            return value;
        }

        private static String text(String name, JsonNode root, String key) {
            JsonNode value = field(name, root, key);
            if (!value.isString())
                throw wrong(name, key, value);
            return value.asString();
        }

        private static int integer(String name, JsonNode value, String key) {
            if (!value.isInt() || value.asInt() < 0)
                throw wrong(name, key, value);
            return value.asInt();
        }

        private static IllegalArgumentException wrong(String name, String key, JsonNode value) {
            return new IllegalArgumentException(
                    name + ": its quant_state has " + value + " where \"" + key
                            + "\" is expected; is the file damaged?");
        }
    }

    /// True for a key that belongs to some 4-bit weight and is no weight of its own.
    public static boolean isCompanion(String key) {
        return key.contains(STATE) || key.endsWith(ABSMAX) || key.endsWith(QUANT_MAP) || key.endsWith(NESTED_ABSMAX)
                || key.endsWith(NESTED_QUANT_MAP);
    }

    /// The name of the weight whose JSON has the key `key`, whatever its 4-bit type; empty for every other key. The
    /// weights for which this finds a name are the quantised ones of a file.
    public static Optional<String> weightOf(String key) {
        int i = key.indexOf(STATE);
        return i < 0 ? Optional.empty() : Optional.of(key.substring(0, i));
    }

    /// The tensors of one weight, in the order of the table above.
    ///
    /// @param dtype `float32`, `float16` or `bfloat16`: what the weight was before
    public static List<Tensor> write(String name, HostData.NF4 q, String dtype, List<Integer> shape) {
        QuantState state = QuantState.of(q, dtype, shape);
        if (state.size() != q.size)
            throw new IllegalArgumentException(
                    name + ": shape " + shape + " does not hold the " + q.size + " elements that were quantised");
        List<Tensor> out = new ArrayList<>();
        out.add(new Tensor(name, "U8", List.of(q.codes.length, 1), ByteBuffer.wrap(q.codes)));
        if (q.absmax != null)
            out.add(floats(name + ABSMAX, q.absmax));
        else
            if (q.absmaxCodes != null)
                out.add(bytes(name + ABSMAX, q.absmaxCodes));
        out.add(floats(name + QUANT_MAP, q.codeBook));
        if (q.nestedAbsmax != null && q.nestedMap != null) {
            out.add(floats(name + NESTED_ABSMAX, q.nestedAbsmax));
            out.add(floats(name + NESTED_QUANT_MAP, q.nestedMap));
        }
        out.add(bytes(name + STATE_NF4, state.json().getBytes(StandardCharsets.UTF_8)));
        return out;
    }

    /// Puts a weight together from a file's tensors.
    ///
    /// @param tensors the bytes of a tensor by its key, little-endian from position to limit; null where there is none.
    ///        A file may give the codes another dtype than U8: the bytes are the same
    public static Weight read(String name, Function<String, @Nullable ByteBuffer> tensors) {
        ByteBuffer json = tensors.apply(name + STATE_NF4);
        if (json == null)
            throw new IllegalArgumentException(tensors.apply(name + STATE_FP4) != null
                    ? name + ": FP4 weights are not supported; quantise the original model to nf4"
                    : name + ": no tensor " + name + STATE_NF4 + "; not a 4-bit weight, or the file is incomplete");
        QuantState state = QuantState.parse(name, StandardCharsets.UTF_8.decode(json.duplicate()).toString());
        long size = state.size();
        int blocks = Math.toIntExact((size + state.blockSize - 1) / state.blockSize);
        byte[] codes = bytes(name, tensors, Math.toIntExact((size + 1) / 2));
        float[] codeBook = floats(name + QUANT_MAP, tensors, 16);
        if (state.nested == null)
            return new Weight(state, new HostData.NF4(size, codes, state.blockSize, codeBook,
                    floats(name + ABSMAX, tensors, blocks)));
        int nestedBlocks = (blocks + state.nested.blockSize - 1) / state.nested.blockSize;
        return new Weight(state, new HostData.NF4(size, codes, state.blockSize, codeBook,
                bytes(name + ABSMAX, tensors, blocks), floats(name + NESTED_ABSMAX, tensors, nestedBlocks),
                floats(name + NESTED_QUANT_MAP, tensors, 256), state.nested.blockSize, state.nested.offset));
    }

    private static Tensor bytes(String name, byte[] a) {
        return new Tensor(name, "U8", List.of(a.length), ByteBuffer.wrap(a));
    }

    private static Tensor floats(String name, float[] a) {
        ByteBuffer b = ByteBuffer.allocate(Math.multiplyExact(4, a.length)).order(ByteOrder.LITTLE_ENDIAN);
        b.asFloatBuffer().put(a);
        return new Tensor(name, "F32", List.of(a.length), b);
    }

    private static byte[] bytes(String key, Function<String, @Nullable ByteBuffer> tensors, int n) {
        byte[] a = new byte[n];
        expect(key, tensors, n).get(a);
        return a;
    }

    private static float[] floats(String key, Function<String, @Nullable ByteBuffer> tensors, int n) {
        float[] a = new float[n];
        expect(key, tensors, 4L * n).asFloatBuffer().get(a);
        return a;
    }

    private static ByteBuffer expect(String key, Function<String, @Nullable ByteBuffer> tensors, long size) {
        ByteBuffer b = tensors.apply(key);
        if (b == null || b.remaining() != size)
            throw new IllegalArgumentException(key + ": " + size + " bytes expected, "
                    + (b == null ? "the tensor is missing" : b.remaining() + " found") + "; is the file damaged?");
        return b.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    /// A number as Python prints it: the shortest decimal that reads back as the same double, in plain notation for
    /// exponents -4..15, else like `1e-05`. (Java finds the same digits, but writes `1.0E-5`, and plain only from 1e-3
    /// to 1e7.)
    static String pythonFloat(double v) {
        BigDecimal d = new BigDecimal(Double.toString(v)).stripTrailingZeros();
        if (d.signum() == 0)
            return 1 / v < 0 ? "-0.0" : "0.0";
        int exponent = d.precision() - d.scale() - 1;
        if (exponent >= -4 && exponent < 16) {
            String plain = d.toPlainString();
            return plain.contains(".") ? plain : plain + ".0";
        }
        String digits = d.unscaledValue().abs().toString();
        return (d.signum() < 0 ? "-" : "") + digits.charAt(0) + (digits.length() > 1 ? "." + digits.substring(1) : "")
                + (exponent < 0 ? "e-" : "e+") + (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
    }
}
