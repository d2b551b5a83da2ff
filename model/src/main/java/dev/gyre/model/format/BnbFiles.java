package dev.gyre.model.format;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FormatException;
import dev.gyre.quant.BnbLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/// Weights that bitsandbytes stored in 4-bit NormalFloat, among the tensors of a model directory.
public final class BnbFiles {
    private BnbFiles() {
    }

    /// The quantisation state of every 4-bit weight.
    ///
    /// @param tensors the file of each tensor
    public static Map<String, BnbLayout.QuantState> states(Map<String, ? extends WeightFile> tensors) {
        Map<String, BnbLayout.QuantState> quantized = new TreeMap<>();
        tensors.forEach((key, file) -> BnbLayout.weightOf(key).ifPresent(weight -> {
            TensorInfo t = file.info(key);
            if (!(file instanceof SafeTensors stored) || t.type() != TensorType.U8 || t.bytes() > 65536)
                throw new FormatException(file.file(), "tensor " + t + " is no quantisation state; expected a JSON text"
                        + " as U8; quantise the model again");
            try {
                quantized.put(weight,
                        BnbLayout.QuantState.parse(weight, new String(stored.u8(key), StandardCharsets.UTF_8)));
            } catch (IllegalArgumentException | InputException | ArithmeticException e) {
                throw new FormatException(file.file(), "tensor " + e.getMessage(), e);
            }
        }));
        return quantized;
    }

    /// A 4-bit weight. bnb_4bit_quant_storage labels the packed bytes with another type (BF16, F32, ...), it does not change
    /// them. Shards may separate a weight from its quantisation state.
    public static HostData.NF4 weight(String name, Map<String, ? extends WeightFile> tensors) {
        WeightFile file = tensors.get(name);
        if (file == null)
            throw new IllegalArgumentException(name);
        try {
            return BnbLayout.read(name, key -> {
                return tensors.get(key) instanceof SafeTensors in ? ByteBuffer.wrap(in.bytes(key)) : null;
            }).data();
        } catch (IllegalArgumentException | InputException | ArithmeticException e) {
            throw new FormatException(file.file(), "tensor " + e.getMessage(), e);
        }
    }
}
