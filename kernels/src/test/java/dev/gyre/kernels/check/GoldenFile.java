package dev.gyre.kernels.check;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Tensors of a safetensors file under `golden/`: an 8-byte header length, a JSON header, data. Just enough of the
/// format for files we trust.
final class GoldenFile {
    private final JsonNode header;
    private final ByteBuffer data;

    GoldenFile(String name) {
        byte[] all = resource(name);
        int n = (int) ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        header = new JsonMapper().readTree(new String(all, 8, n, StandardCharsets.UTF_8));
        data = ByteBuffer.wrap(all, 8 + n, all.length - 8 - n).slice();
    }

    static byte[] resource(String name) {
        try (InputStream in = GoldenFile.class.getResourceAsStream("/golden/" + name)) {
            if (in == null)
                throw new IllegalStateException("no test resource golden/" + name);
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    int[] shape(String tensor) {
        JsonNode shape = header.get(tensor).get("shape");
        return IntStream.range(0, shape.size()).map(i -> shape.get(i).asInt()).toArray();
    }

    /// The numbers widened to double; F64, F32 or I64.
    double[] doubles(String tensor) {
        JsonNode t = header.get(tensor);
        int from = t.get("data_offsets").get(0).asInt();
        int to = t.get("data_offsets").get(1).asInt();
        ByteBuffer bytes = data.slice(from, to - from).order(ByteOrder.LITTLE_ENDIAN);
        String dtype = t.get("dtype").asString();
        int width = dtype.equals("F32") ? 4 : 8;
        return IntStream.range(0, (to - from) / width).mapToDouble(i -> switch (dtype) {
            case "F32" -> bytes.getFloat(4 * i);
            case "F64" -> bytes.getDouble(8 * i);
            case "I64" -> bytes.getLong(8 * i);
            default -> throw new IllegalStateException(tensor + " has type " + dtype);
        }).toArray();
    }
}
