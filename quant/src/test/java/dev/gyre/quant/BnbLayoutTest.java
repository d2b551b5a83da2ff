package dev.gyre.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.op.HostData;
import dev.gyre.quant.BnbLayout.QuantState;
import dev.gyre.quant.BnbLayout.Tensor;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BnbLayoutTest {
    private static final String Q_PROJ = "model.layers.0.self_attn.q_proj.weight";
    private static final String NESTED = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", "
            + "\"shape\": [16, 64], \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", "
            + "\"nested_offset\": 0.138580322265625}";

    @Test
    void aWeightOfATransformersModelIsReadExactly() {
        Golden file = Golden.open("tiny-llama-nf4-q_proj.safetensors");
        BnbLayout.Weight weight = BnbLayout.read(Q_PROJ, file::buffer);
        assertThat(weight.state().shape()).containsExactly(64, 64);
        assertThat(weight.state().dtype()).isEqualTo("float32");
        assertThat(Nf4.dequantize(weight.data())).isEqualTo(file.floats("dequantized/" + Q_PROJ));
    }

    @Test
    void aWeightOfATransformersModelIsWrittenBackByteForByte() {
        Golden file = Golden.open("tiny-llama-nf4-q_proj.safetensors");
        BnbLayout.Weight weight = BnbLayout.read(Q_PROJ, file::buffer);
        List<Tensor> written = BnbLayout.write(Q_PROJ, weight.data(), "float32", List.of(64, 64));
        assertThat(written).hasSize(6);
        for (Tensor t : written) {
            byte[] bytes = new byte[t.data().remaining()];
            t.data().duplicate().get(bytes);
            assertThat(bytes).as(t.name()).isEqualTo(file.bytes(t.name()));
        }
        assertThat(written.getFirst().shape()).containsExactly(2048, 1);
        assertThat(written.getFirst().dtype()).isEqualTo("U8");
    }

    @Test
    void plainWeightsOfOddSizeSurviveTheRoundTrip() {
        HostData.NF4 q = Nf4.quantize(Golden.gaussian(7 * 9, 3), 32);
        List<Tensor> written = BnbLayout.write("w", q, "float16", List.of(7, 9));
        assertThat(written).extracting(Tensor::name).containsExactly("w", "w.absmax", "w.quant_map",
                "w.quant_state.bitsandbytes__nf4");
        BnbLayout.Weight back = BnbLayout.read("w", map(written)::get);
        assertThat(back.data().codes).isEqualTo(q.codes);
        assertThat(back.data().absmax).isEqualTo(q.absmax);
        assertThat(back.data().size).isEqualTo(63);
        assertThat(back.state().dtype()).isEqualTo("float16");
    }

    @Test
    void jsonIsWrittenAsTheLibraryDoes() {
        Golden golden = Golden.open("nf4.safetensors");
        HostData.NF4 q = Nf4.quantize(new HostData.BF16(golden.shorts("bf16_nested_16x64/w")), 64);
        assertThat(QuantState.of(DoubleQuant.of(q), "bfloat16", List.of(16, 64)).json()).isEqualTo(NESTED);
        assertThat(QuantState.of(q, "float32", List.of(8, 128)).json()).isEqualTo(
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [8, 128]}");
    }

    /// Right column: `repr(float(numpy.float32(left)))`.
    @ParameterizedTest
    @CsvSource({"0,0.0", "-0.0,-0.0", "1,1.0", "0.1,0.10000000149011612", "1e-5,9.999999747378752e-06",
        "1e-4,9.999999747378752e-05", "0.0001220703125,0.0001220703125", "123456.789,123456.7890625",
        "1e16,1.0000000272564224e+16", "1e15,999999986991104.0", "3.4e38,3.3999999521443642e+38",
        "-5.5e-7,-5.499999815583578e-07", "1e-45,1.401298464324817e-45", "9007199254740992,9007199254740992.0",
        "18014398509481984,1.8014398509481984e+16", "3.0517578125e-05,3.0517578125e-05"})
    void numbersArePrintedAsPythonDoes(float v, String expected) {
        assertThat(BnbLayout.pythonFloat(v)).isEqualTo(expected);
    }

    @Test
    void jsonKeysMayComeInAnyOrderAndUnknownOnesPass() {
        QuantState expected = QuantState.parse("w", NESTED);
        assertThat(expected.json()).isEqualTo(NESTED);
        assertThat(QuantState.parse("w",
                "{\"nested_offset\":0.138580322265625,\"shape\":[16,64],\"future\":[{}],\"nested_dtype\":\"float32\","
                        + "\"dtype\":\"bfloat16\",\"nested_blocksize\":256,\"blocksize\":64,\"quant_type\":\"nf4\"}"))
                .isEqualTo(expected);
    }

    @Test
    void everyOffsetReadsBackAsItself() {
        for (float offset : new float[] {0f, 0.051299989f, 1e-9f, 3e20f, 1f / 3}) {
            QuantState s = new QuantState(64, "float32", List.of(1, 64), new BnbLayout.Nested(256, "float32", offset));
            assertThat(QuantState.parse("w", s.json())).isEqualTo(s);
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"\"nf4\" | \"fp4\" | quantisation type \"fp4\" is not supported",
        "\"nf4\" | 4 | \"quant_type\" is expected", "\"blocksize\": 64 | \"blocksize\": 63 | block size 63",
        "\"blocksize\": 64 | \"blocksize\": \"64\" | \"blocksize\" is expected",
        "\"blocksize\": 64, | '' | lacks \"blocksize\"",
        "\"nested_blocksize\": 256 | \"nested_blocksize\": 128 | nested in blocks of 128",
        "\"nested_dtype\": \"float32\" | \"nested_dtype\": \"float16\" | only blocks of 256 float32",
        "bfloat16 | int8 | dtype \"int8\"", "[16, 64] | [16, -64] | \"shape\" is expected",
        "0.138580322265625} | 0.138580322265625 | not JSON",
        "0.138580322265625 | null | \"nested_offset\" is expected"})
    void whatTheFormatDoesNotHaveIsRefused(String from, String to, String message) {
        assertThat(NESTED).contains(from);
        assertThatThrownBy(() -> QuantState.parse("layer.weight", NESTED.replace(from, to)))
                .isInstanceOf(IllegalArgumentException.class).hasMessageStartingWith("layer.weight: ")
                .hasMessageContaining(message);
    }

    @Test
    void missingAndShortTensorsAreNamed() {
        Map<String, ByteBuffer> file = map(
                BnbLayout.write("w", DoubleQuant.of(Nf4.quantize(new float[128], 64)), "float32", List.of(2, 64)));
        for (String key : List.copyOf(file.keySet())) {
            ByteBuffer data = file.remove(key);
            assertThatThrownBy(() -> BnbLayout.read("w", file::get)).hasMessageContaining(key);
            if (!key.contains("quant_state")) {
                file.put(key, ByteBuffer.allocate(data.remaining() - 1));
                assertThatThrownBy(() -> BnbLayout.read("w", file::get)).hasMessageStartingWith(key + ": ");
            }
            file.put(key, data);
        }
        assertThat(BnbLayout.read("w", file::get).data().size).isEqualTo(128);
    }

    @Test
    void fp4IsRefusedByName() {
        Map<String, ByteBuffer> file = Map.of("w.quant_state.bitsandbytes__fp4",
                ByteBuffer.wrap("{}".getBytes(StandardCharsets.UTF_8)));
        assertThatThrownBy(() -> BnbLayout.read("w", file::get)).hasMessageContaining("FP4");
    }

    @ParameterizedTest
    @ValueSource(strings = {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map",
        ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"})
    void companionsAreToldFromWeights(String suffix) {
        assertThat(BnbLayout.isCompanion(Q_PROJ + suffix)).isTrue();
        assertThat(BnbLayout.isCompanion(Q_PROJ)).isFalse();
        assertThat(BnbLayout.weightOf(Q_PROJ + suffix).isPresent()).isEqualTo(suffix.contains("quant_state"));
        assertThat(BnbLayout.weightOf(Q_PROJ + suffix).orElse(Q_PROJ)).isEqualTo(Q_PROJ);
    }

    private static Map<String, ByteBuffer> map(List<Tensor> tensors) {
        Map<String, ByteBuffer> m = new HashMap<>();
        for (Tensor t : tensors)
            m.put(t.name(), t.data());
        return m;
    }
}
