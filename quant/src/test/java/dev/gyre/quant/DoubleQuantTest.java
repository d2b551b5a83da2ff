package dev.gyre.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.op.HostData;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DoubleQuantTest {
    private final Golden golden = Golden.open("nf4.safetensors");

    @Test
    void dynamicMapIsThatOfTheLibrary() {
        assertThat(Golden.sha256(DoubleQuant.dynamicMap()))
                .isEqualTo("e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c");
        assertThat(DoubleQuant.dynamicMap()).isEqualTo(golden.floats("tables/dynamic_map_8bit"));
        assertThat(DoubleQuant.dynamicMap()[127]).isZero();
        assertThat(DoubleQuant.dynamicMap()[254]).isEqualTo(0.99296874f);
    }

    @Test
    void goldenBlockMaximaHaveTheLibrarysBytes() {
        HostData.NF4 q = DoubleQuant
                .of(Nf4.quantize(new HostData.BF16(golden.shorts("bf16_nested_16x64/w")), 64));
        assertThat(q.absmaxCodes).isEqualTo(golden.bytes("bf16_nested_16x64/absmax_u8"));
        assertThat(q.nestedAbsmax).isEqualTo(golden.floats("bf16_nested_16x64/nested_absmax"));
        assertThat(q.nestedOffset).isEqualTo(golden.floats("bf16_nested_16x64/offset")[0]);
        short[] expected = golden.shorts("bf16_nested_16x64/dequantized");
        float[] w = Nf4.dequantize(q);
        for (int i = 0; i < w.length; i++)
            assertThat(roundToBf16(w[i])).as("element %d", i).isEqualTo(Golden.bf16(expected[i]));
    }

    @Test
    void goldenRowMajorWeightHasTheLibrarysBytesAndDecodesExactlyFromThem() {
        Golden qoft = Golden.open("qoft.safetensors");
        String name = "nf4_double_b16";
        HostData.NF4 q = DoubleQuant.of(Nf4.quantize(qoft.floats(name + "/W"), 64));
        float offset = qoft.floats(name + "/offset")[0];
        assertThat(q.absmaxCodes).isEqualTo(qoft.bytes(name + "/absmax_u8"));
        assertThat(q.nestedOffset).isCloseTo(offset, within(Math.ulp(offset)));
        HostData.NF4 theirs = new HostData.NF4(q.size, q.codes, 64, q.codeBook, q.absmaxCodes,
                qoft.floats(name + "/nested_absmax"), q.nestedMap, 256, offset);
        assertThat(Arrays.equals(Nf4.dequantize(theirs), qoft.floats(name + "/W_dequantized"))).isTrue();
    }

    @Test
    void theNearestEntryIsFoundForEveryValue() {
        float[] map = DoubleQuant.dynamicMap();
        java.util.Random random = new java.util.Random(1);
        for (int n = 0; n < 20000; n++) {
            float v = (float) (random.nextBoolean() ? random.nextDouble(-1.1, 1.1)
                    : Math.copySign(Math.pow(10, random.nextDouble(-8, 0)), random.nextGaussian()));
            int code = DoubleQuant.code(v);
            for (int other : new int[] {code - 1, code + 1})
                if (other >= 0 && other < 256)
                    assertThat(Math.abs((double) map[code] - v)).as("code %d of %s", code, v)
                            .isLessThanOrEqualTo(Math.abs((double) map[other] - v) * (1 + 1e-6));
        }
        for (int c = 0; c < 256; c++)
            assertThat(DoubleQuant.code(map[c])).isEqualTo(c);
        for (int c = 0; c < 255; c++)
            assertThat(DoubleQuant.code((map[c] + map[c + 1]) / 2)).as("a tie goes down").isEqualTo(c);
    }

    /// 1 nested block short, exactly one, one and a short second, several.
    @ParameterizedTest
    @ValueSource(ints = {1, 255, 256, 257, 700})
    void decodedMaximaAreCloseToThePlainOnes(int blocks) {
        HostData.NF4 plain = Nf4.quantize(Golden.gaussian(blocks * 32, blocks), 32);
        HostData.NF4 nested = DoubleQuant.of(plain);
        float[] before = plain.absmax;
        float[] after = DoubleQuant.maxima(nested);
        assertThat(nested.nestedAbsmax).hasSize((blocks + 255) / 256);
        assertThat(nested.codes).isSameAs(plain.codes);
        for (int k = 0; k < blocks; k++) {
            // The widest gap of the map is 0.0141 of the block's range: half of it, and a rounding.
            double limit = 0.0071 * nested.nestedAbsmax[k / 256] + 1e-7;
            assertThat(Math.abs((double) after[k] - before[k])).as("maximum %d", k).isLessThanOrEqualTo(limit);
        }
        assertThat(Nf4.dequantize(DoubleQuant.undo(nested))).isEqualTo(Nf4.dequantize(nested));
    }

    @Test
    void equalMaximaDecodeExactly() {
        float[] w = new float[300 * 32];
        for (int k = 0; k < 300; k++)
            w[k * 32 + k % 32] = 0.5f;
        assertThat(DoubleQuant.maxima(DoubleQuant.of(Nf4.quantize(w, 32)))).containsOnly(0.5f);
    }

    @Test
    void aWeightOfZerosStaysZero() {
        assertThat(Nf4.dequantize(DoubleQuant.of(Nf4.quantize(new float[1000], 64)))).containsOnly(0f);
    }

    @Test
    void quantisingTheMaximaTwiceIsRefused() {
        HostData.NF4 nested = DoubleQuant.of(Nf4.quantize(new float[64], 64));
        assertThatThrownBy(() -> DoubleQuant.of(nested)).hasMessageContaining("already");
    }

    private static float roundToBf16(float v) {
        int bits = Float.floatToRawIntBits(v);
        return Float.intBitsToFloat(bits + 0x7fff + (bits >> 16 & 1) & 0xffff0000);
    }
}
