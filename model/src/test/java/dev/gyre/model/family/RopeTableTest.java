package dev.gyre.model.family;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.format.Golden;
import dev.gyre.model.format.SafeTensors;
import java.util.List;
import org.junit.jupiter.api.Test;

class RopeTableTest {
    private static ModelConfig config(int D, double theta, int maxPositions, RopeScaling scaling) {
        ModelConfig c = ModelConfig.llama(8, D, 8, 1, 1, 1, maxPositions, false, null, List.of(), null);
        return new ModelConfig(c.family(), c.shape(), c.attention(),
                new ModelConfig.Positions(maxPositions, new ModelConfig.Rotary(theta, scaling), List.of(0)), c.mlp(),
                c.norms(), c.tokens(),
                c.stored());
    }

    private static ModelConfig.Rotary rotary(ModelConfig c) {
        return c.positions().rotaries().getFirst();
    }

    private static void assertClose(float[] got, float[] expected) {
        assertThat(got).hasSameSizeAs(expected);
        for (int i = 0; i < got.length; i++)
            // two units in the last place: float pow may differ by one between libraries
            assertThat(Math.abs(got[i] - expected[i]) <= 1 * Math.ulp(expected[i]))
                    .as("%d: %s, expected %s", i, got[i], expected[i]).isTrue();
    }

    private static void assertClose(double[] got, double... expected) {
        assertThat(got).hasSameSizeAs(expected);
        for (int i = 0; i < got.length; i++)
            assertThat(Math.abs(got[i] - expected[i]) <= 1e-14 * expected[i])
                    .as("%d: %s, expected %s", i, got[i], expected[i]).isTrue();
    }

    @Test
    void frequenciesAreThoseOfTheReferenceLibrary() {
        try (SafeTensors golden = SafeTensors.open(Golden.path("rope.safetensors"))) {
            ModelConfig c = config(64, 500000, 131072, new RopeScaling.Llama3(32, 1, 4, 8192));
            assertClose(RopeTable.inverseFrequencies(c, rotary(c), 16), golden.f32("llama3_2_1b"));
            c = config(64, 10000, 4096, new RopeScaling.Linear(2));
            assertClose(RopeTable.inverseFrequencies(c, rotary(c), 16), golden.f32("linear2"));
        }
    }

    /// Expected values: the formulas of the YaRN paper, evaluated by a separate program in double precision.
    @Test
    void yarnBlendsInterpolatedAndOriginalFrequencies() {
        ModelConfig c = config(16, 10000, 8192, new RopeScaling.Yarn(4, 2048, 32, 1, null, null, null, true));
        assertClose(RopeTable.inverseFrequenciesF64(c, rotary(c), 8192), 1.0, 0.31622776601683794, 0.1,
                0.02569350598886808,
                0.00625, 0.001383496476323666, 0.00025, 7.905694150420948e-05);
        ModelConfig soft = config(16, 10000, 8192, new RopeScaling.Yarn(4, 2048, 32, 1, null, null, null, false));
        assertClose(RopeTable.inverseFrequenciesF64(soft, rotary(soft), 8192), 1.0, 0.31622776601683794, 0.1,
                0.023870192321736323,
                0.005056971521129435, 0.000811290381701431, 0.00025, 7.905694150420948e-05);
    }

    @Test
    void yarnScalesBothTablesByItsAttentionFactor() {
        ModelConfig plain = config(16, 10000, 64, new RopeScaling.Default());
        assertThat(RopeTable.attentionFactor(plain, rotary(plain))).isEqualTo(1);
        assertThat(factor(4, null, null, null)).isEqualTo(0.1 * Math.log(4) + 1);
        assertThat(factor(4, 1.25, null, null)).isEqualTo(1.25);
        assertThat(factor(4, null, 0.7, 1.0)).isEqualTo((0.07 * Math.log(4) + 1) / (0.1 * Math.log(4) + 1));
        ModelConfig c = config(4, 100, 64, new RopeScaling.Yarn(4, 64, 32, 1, 1.25, null, null, true));
        double[] f = RopeTable.inverseFrequenciesF64(c, rotary(c), 3);
        assertThat(RopeTable.cosF64(c, rotary(c), 3)[2 * 2 + 1]).isEqualTo(1.25 * Math.cos(2 * f[1]));
        assertThat(RopeTable.sinF64(c, rotary(c), 3)[2 * 2 + 1]).isEqualTo(1.25 * Math.sin(2 * f[1]));
        assertThat(RopeTable.cos(c, rotary(c), 3)[0]).isEqualTo(1.25f);
        assertThat(RopeTable.sin(c, rotary(c), 3)[0]).isZero();
    }

    private static double factor(double factor, Double given, Double mscale, Double mscaleAllDim) {
        ModelConfig c =
                config(16, 10000, 64, new RopeScaling.Yarn(factor, 64, 32, 1, given, mscale, mscaleAllDim, true));
        return RopeTable.attentionFactor(c, rotary(c));
    }

    @Test
    void dynamicScalingStartsAboveTheTrainedLength() {
        ModelConfig plain = config(16, 10000, 128, new RopeScaling.Default());
        ModelConfig dynamic = config(16, 10000, 128, new RopeScaling.Dynamic(2));
        assertThat(RopeTable.inverseFrequencies(dynamic, rotary(dynamic), 128))
                .isEqualTo(RopeTable.inverseFrequencies(plain, rotary(plain), 128));
        assertClose(RopeTable.inverseFrequenciesF64(dynamic, rotary(dynamic), 300), 1.0, 0.26244498694699975,
                0.06887737117361087,
                0.01807652077860196, 0.004744092259787361, 0.0012450632311952565, 0.00032676060345922844,
                8.575668230965097e-05);
    }

    @Test
    void singlePrecisionTablesAreNearTheDoubleOnes() {
        ModelConfig c = config(32, 500000, 512, new RopeScaling.Llama3(8, 1, 4, 64));
        float[] cos = RopeTable.cos(c, rotary(c), 512);
        float[] sin = RopeTable.sin(c, rotary(c), 512);
        double[] cos64 = RopeTable.cosF64(c, rotary(c), 512);
        double[] sin64 = RopeTable.sinF64(c, rotary(c), 512);
        double worst = 0;
        for (int i = 0; i < cos.length; i++) {
            worst = Math.max(worst, Math.max(Math.abs(cos[i] - cos64[i]), Math.abs(sin[i] - sin64[i])));
            assertThat(Math.abs(cos[i] * cos[i] + sin[i] * sin[i] - 1) <= 3e-7).isTrue();
        }
        // a float angle of up to 512 is off by up to 3e-5
        assertThat(worst <= 6e-5).as("worst %s", worst).isTrue();
    }

    /// Expected values: `1 / (factor 100^(2j/8))`, and `sqrt(1 + ln 4 / ln 16)`, of which the latter is `sqrt(1.5)`.
    @Test
    void longRopeHasFactorsOfItsOwnForLongSequences() {
        ModelConfig c = config(8, 100, 64, new RopeScaling.LongRope(List.of(1.0, 1.0, 2.0, 4.0),
                List.of(2.0, 4.0, 8.0, 16.0), 16, null, null));
        double[] shorter = {1, 1 / Math.pow(100, 0.25), 1 / (2 * 10.0), 1 / (4 * Math.pow(100, 0.75))};
        double[] longer = {1 / 2.0, 1 / (4 * Math.pow(100, 0.25)), 1 / (8 * 10.0), 1 / (16 * Math.pow(100, 0.75))};
        assertClose(RopeTable.inverseFrequenciesF64(c, rotary(c), 16), shorter);
        assertClose(RopeTable.inverseFrequenciesF64(c, rotary(c), 17), longer);
        double a = Math.sqrt(1.5);
        assertClose(new double[] {RopeTable.attentionFactor(c, rotary(c))}, a);
        assertThat(RopeTable.twoSets(c, 16)).isFalse();
        assertThat(RopeTable.cosF64(c, rotary(c), 16)).hasSize(16 * 4);
        double[] cos = RopeTable.cosF64(c, rotary(c), 20);
        double[] sin = RopeTable.sinF64(c, rotary(c), 20);
        assertThat(cos).hasSize(2 * 20 * 4);
        assertThat(sin[3 * 4 + 2]).isEqualTo(Math.sin(3 * shorter[2]) * a);
        assertThat(cos[(20 + 3) * 4 + 1]).isEqualTo(Math.cos(3 * longer[1]) * a);
        assertThat(RopeTable.rows(c, new int[] {0, 1, 15, 3}, 20)).containsExactly(0, 1, 15, 3);
        assertThat(RopeTable.rows(c, new int[] {0, 1, 16, 3}, 20)).containsExactly(20, 21, 36, 23);
        for (double[] given : new double[][] {{1.3, 1.3}, {Double.NaN, 1}}) {
            ModelConfig f = config(8, 100, 64, new RopeScaling.LongRope(List.of(1.0, 1.0, 1.0, 1.0),
                    List.of(1.0, 1.0, 1.0, 1.0), 16, 1.0, Double.isNaN(given[0]) ? null : given[0]));
            assertThat(RopeTable.attentionFactor(f, rotary(f))).isEqualTo(given[1]);
        }
    }
}
