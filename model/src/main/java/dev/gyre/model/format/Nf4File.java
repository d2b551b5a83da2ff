package dev.gyre.model.format;

import dev.gyre.kernels.HostData;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// How bitsandbytes lays a 4-bit NormalFloat weight `P` out in safetensors: the packed codes under `P` itself and
/// beside it `P.absmax`, `P.quant_map`, `P.quant_state.bitsandbytes__nf4` (a JSON text as bytes) and, when the block
/// maxima are quantised too, `P.nested_absmax` and `P.nested_quant_map`. Shards may part what belongs together, so
/// every tensor is looked up by its own name.
final class Nf4File {
    private static final String STATE = ".quant_state.bitsandbytes__";
    private static final List<String> SUFFIXES = List.of(".absmax", ".quant_map", ".nested_absmax",
            ".nested_quant_map", STATE + "nf4");
    private static final Set<Integer> BLOCK_SIZES = Set.of(32, 64, 128, 256, 512, 1024, 2048, 4096);

    private final Path directory;
    private final Map<String, SafeTensors> tensors;

    /// @param tensors where each tensor of the model in `directory` lies
    Nf4File(Path directory, Map<String, SafeTensors> tensors) {
        this.directory = directory;
        this.tensors = tensors;
    }

    /// What the quantisation state of one weight says.
    record State(List<Long> shape, TensorType original, int blockSize, boolean nested, int nestedBlockSize,
            float nestedOffset) {
        long size() {
            return shape.get(0) * shape.get(1);
        }

        long blocks() {
            return (size() + blockSize - 1) / blockSize;
        }
    }

    /// Whether `weight` has a quantisation state of any type.
    boolean isQuantized(String weight) {
        String prefix = weight + STATE;
        return tensors.containsKey(prefix + "nf4") || tensors.containsKey(prefix + "fp4");
    }

    private SafeTensors file(String name) {
        SafeTensors file = tensors.get(name);
        if (file == null)
            throw new FormatException(directory, "tensor '" + name
                    + "' of a 4-bit weight is missing; quantise the model again");
        return file;
    }

    /// Whether `tensor` is one of the tensors beside a quantised weight.
    static boolean isCompanion(String tensor) {
        return SUFFIXES.stream().anyMatch(tensor::endsWith);
    }

    static List<String> companions(String weight) {
        return SUFFIXES.stream().map(weight::concat).toList();
    }

    /// Reads and checks the state, and the sizes of everything beside it.
    State state(String weight) {
        if (tensors.containsKey(weight + STATE + "fp4"))
            throw new FormatException(directory, "tensor '" + weight
                    + "' is quantised as fp4, which is not supported; quantise the model as nf4");
        String key = weight + STATE + "nf4";
        SafeTensors file = file(key);
        TensorInfo info = file.info(key);
        if (info.type() != TensorType.U8 || info.bytes() > 65536)
            throw new FormatException(file.file(), "tensor '" + info + "' is no quantisation state; expected a JSON"
                    + " text as U8; quantise the model again");
        byte[] text = file.u8(key);
        ObjectNode json = Json.parseObject(file.file(), "tensor '" + key + "': ", text, 0, text.length);
        var f = new Fields(file.file(), "tensor '" + key + "': ", json);
        if (!f.text("quant_type", "nf4").equals("nf4"))
            throw f.bad("quant_type", "\"nf4\"");
        int blockSize = f.integer("blocksize");
        if (!BLOCK_SIZES.contains(blockSize))
            throw f.bad("blocksize", "one of 32, 64, 128, ..., 4096");
        JsonNode dims = f.node("shape");
        if (dims.size() != 2 || !natural(dims.path(0)) || !natural(dims.path(1))
                || dims.path(0).longValue() > (Integer.MAX_VALUE - 8) / dims.path(1).longValue())
            throw f.bad("shape", "two positive numbers with a product below 2^31");
        TensorType original = switch (f.text("dtype", "float32")) {
            case "float32" -> TensorType.F32;
            case "float16" -> TensorType.F16;
            case "bfloat16" -> TensorType.BF16;
            default -> throw f.bad("dtype", "float32, float16 or bfloat16");
        };
        boolean nested = f.isSet("nested_blocksize") || f.isSet("nested_offset");
        int nestedBlockSize = nested ? f.integer("nested_blocksize") : 0;
        if (nested && nestedBlockSize <= 0)
            throw f.bad("nested_blocksize", "a positive number, normally 256");
        if (!f.text("nested_dtype", "float32").equals("float32"))
            throw f.bad("nested_dtype", "\"float32\"");
        float offset = nested ? (float) f.number("nested_offset") : 0;
        var state = new State(List.of(dims.path(0).longValue(), dims.path(1).longValue()), original, blockSize, nested,
                nestedBlockSize, offset);

        TensorInfo codes = file(weight).info(weight);
        if (codes.bytes() != (state.size() + 1) / 2)
            throw wrong(file(weight), codes.toString(), (state.size() + 1) / 2 + " bytes of codes", state);
        require(weight + ".quant_map", TensorType.F32, 16, state);
        require(weight + ".absmax", nested ? TensorType.U8 : TensorType.F32, state.blocks(), state);
        if (nested) {
            require(weight + ".nested_quant_map", TensorType.F32, 256, state);
            require(weight + ".nested_absmax", TensorType.F32,
                    (state.blocks() + nestedBlockSize - 1) / nestedBlockSize, state);
        }
        return state;
    }

    private static boolean natural(JsonNode n) {
        return n.isIntegralNumber() && n.canConvertToLong() && n.longValue() > 0;
    }

    private void require(String name, TensorType type, long size, State state) {
        SafeTensors file = file(name);
        TensorInfo t = file.info(name);
        if (t.type() != type || t.size() != size)
            throw wrong(file, t.toString(), type + " of " + size + " elements", state);
    }

    private static FormatException wrong(SafeTensors file, String found, String expected, State state) {
        return new FormatException(file.file(), "tensor " + found + ": expected " + expected + " for a weight of "
                + TensorInfo.text(state.shape()) + " in blocks of " + state.blockSize() + "; quantise the model again");
    }

    HostData.NF4 read(String weight) {
        State s = state(weight);
        // bnb_4bit_quant_storage relabels the packed bytes (BF16, F32, ...), it does not change them
        byte[] codes = file(weight).bytes(weight);
        float[] codeBook = floats(weight + ".quant_map");
        if (!s.nested())
            return new HostData.NF4(s.size(), codes, s.blockSize(), codeBook, floats(weight + ".absmax"));
        return new HostData.NF4(s.size(), codes, s.blockSize(), codeBook,
                file(weight + ".absmax").u8(weight + ".absmax"),
                floats(weight + ".nested_absmax"), floats(weight + ".nested_quant_map"), s.nestedBlockSize(),
                s.nestedOffset());
    }

    private float[] floats(String name) {
        return file(name).f32(name);
    }

    /// The tensors that store `data` as weight `name` of shape (n, d); `original` is the dtype it was quantised from.
    static List<SafeTensorsWriter.Entry> entries(String name, HostData.NF4 data, long n, long d, TensorType original) {
        if (n * d != data.size)
            throw new IllegalArgumentException(name + ": " + data.size + " elements for (" + n + ", " + d + ")");
        boolean nested = data.absmaxCodes != null;
        var state = new StringBuilder("{\"quant_type\": \"nf4\", \"blocksize\": ").append(data.blockSize);
        state.append(", \"dtype\": \"").append(switch (original) {
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            case F64, I64, I32, I16, I8, U8, BOOL -> throw new IllegalArgumentException(name + ": " + original);
        }).append("\", \"shape\": [").append(n).append(", ").append(d).append(']');
        if (nested)
            state.append(", \"nested_blocksize\": ").append(data.nestedBlockSize)
                    .append(", \"nested_dtype\": \"float32\", \"nested_offset\": ")
                    .append(Json.number(data.nestedOffset));
        byte[] text = state.append('}').toString().getBytes(StandardCharsets.UTF_8);
        List<SafeTensorsWriter.Entry> all = new ArrayList<>();
        all.add(SafeTensorsWriter.Entry.u8(name, data.codes, data.codes.length, 1));
        if (data.absmaxCodes != null && data.nestedAbsmax != null && data.nestedMap != null) {
            float[] maxima = data.nestedAbsmax;
            float[] map = data.nestedMap;
            all.add(SafeTensorsWriter.Entry.u8(name + ".absmax", data.absmaxCodes, data.absmaxCodes.length));
            all.add(floats(name + ".nested_absmax", maxima));
            all.add(floats(name + ".nested_quant_map", map));
        } else if (data.absmax != null) {
            all.add(floats(name + ".absmax", data.absmax));
        }
        all.add(floats(name + ".quant_map", data.codeBook));
        all.add(SafeTensorsWriter.Entry.u8(name + STATE + "nf4", text, text.length));
        return all;
    }

    private static SafeTensorsWriter.Entry floats(String name, float[] values) {
        return SafeTensorsWriter.Entry.floats(name, TensorType.F32, () -> values, values.length);
    }
}
