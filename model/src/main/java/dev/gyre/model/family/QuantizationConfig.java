package dev.gyre.model.family;

import java.util.List;

/// `quantization_config` of a model whose linear weights are stored as bitsandbytes 4-bit NormalFloat.
///
/// @param doubleQuant whether block maxima are quantised, too
/// @param computeDtype `bnb_4bit_compute_dtype`, informative: Gyre computes in F32
/// @param storage `bnb_4bit_quant_storage`, the dtype that the packed bytes are labelled with
/// @param skipModules modules left unquantised besides the output head
public record QuantizationConfig(boolean doubleQuant, String computeDtype, String storage, List<String> skipModules) {
    public QuantizationConfig {
        skipModules = List.copyOf(skipModules);
    }
}
