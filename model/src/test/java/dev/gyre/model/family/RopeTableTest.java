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
                new ModelConfig.Positions(maxPositions, theta, scaling, List.of(0)), c.mlp(), c.norms(), c.tokens(),
                c.stored());
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
            assertClose(RopeTable.inverseFrequencies(
                    config(64, 500000, 131072, new RopeScaling.Llama3(32, 1, 4, 8192)), 16), golden.f32("llama3_2_1b"));
            assertClose(RopeTable.inverseFrequencies(config(64, 10000, 4096, new RopeScaling.Linear(2)), 16),
                    golden.f32("linear2"));
        }
    }

    /// Expected values: the formulas of the YaRN paper, evaluated by a separate program in double precision.
    @Test
    void yarnBlendsInterpolatedAndOriginalFrequencies() {
        ModelConfig c = config(16, 10000, 8192, new RopeScaling.Yarn(4, 2048, 32, 1, null, null, null, true));
        assertClose(RopeTable.inverseFrequenciesF64(c, 8192), 1.0, 0.31622776601683794, 0.1, 0.02569350598886808,
                0.00625, 0.001383496476323666, 0.00025, 7.905694150420948e-05);
        ModelConfig soft = config(16, 10000, 8192, new RopeScaling.Yarn(4, 2048, 32, 1, null, null, null, false));
        assertClose(RopeTable.inverseFrequenciesF64(soft, 8192), 1.0, 0.31622776601683794, 0.1, 0.023870192321736323,
                0.005056971521129435, 0.000811290381701431, 0.00025, 7.905694150420948e-05);
    }

    @Test
    void yarnScalesBothTablesByItsAttentionFactor() {
        ModelConfig plain = config(16, 10000, 64, new RopeScaling.Default());
        assertThat(RopeTable.attentionFactor(plain)).isEqualTo(1);
        assertThat(factor(4, null, null, null)).isEqualTo(0.1 * Math.log(4) + 1);
        assertThat(factor(4, 1.25, null, null)).isEqualTo(1.25);
        assertThat(factor(4, null, 0.7, 1.0)).isEqualTo((0.07 * Math.log(4) + 1) / (0.1 * Math.log(4) + 1));
        ModelConfig c = config(4, 100, 64, new RopeScaling.Yarn(4, 64, 32, 1, 1.25, null, null, true));
        double[] f = RopeTable.inverseFrequenciesF64(c, 3);
        assertThat(RopeTable.cosF64(c, 3)[2 * 2 + 1]).isEqualTo(1.25 * Math.cos(2 * f[1]));
        assertThat(RopeTable.sinF64(c, 3)[2 * 2 + 1]).isEqualTo(1.25 * Math.sin(2 * f[1]));
        assertThat(RopeTable.cos(c, 3)[0]).isEqualTo(1.25f);
        assertThat(RopeTable.sin(c, 3)[0]).isZero();
    }

    private static double factor(double factor, Double given, Double mscale, Double mscaleAllDim) {
        return RopeTable.attentionFactor(
                config(16, 10000, 64, new RopeScaling.Yarn(factor, 64, 32, 1, given, mscale, mscaleAllDim, true)));
    }

    @Test
    void dynamicScalingStartsAboveTheTrainedLength() {
        ModelConfig plain = config(16, 10000, 128, new RopeScaling.Default());
        ModelConfig dynamic = config(16, 10000, 128, new RopeScaling.Dynamic(2));
        assertThat(RopeTable.inverseFrequencies(dynamic, 128)).isEqualTo(RopeTable.inverseFrequencies(plain, 128));
        assertClose(RopeTable.inverseFrequenciesF64(dynamic, 300), 1.0, 0.26244498694699975, 0.06887737117361087,
                0.01807652077860196, 0.004744092259787361, 0.0012450632311952565, 0.00032676060345922844,
                8.575668230965097e-05);
    }

    @Test
    void singlePrecisionTablesAreNearTheDoubleOnes() {
        ModelConfig c = config(32, 500000, 512, new RopeScaling.Llama3(8, 1, 4, 64));
        float[] cos = RopeTable.cos(c, 512);
        float[] sin = RopeTable.sin(c, 512);
        double[] cos64 = RopeTable.cosF64(c, 512);
        double[] sin64 = RopeTable.sinF64(c, 512);
        double worst = 0;
        for (int i = 0; i < cos.length; i++) {
            worst = Math.max(worst, Math.max(Math.abs(cos[i] - cos64[i]), Math.abs(sin[i] - sin64[i])));
            assertThat(Math.abs(cos[i] * cos[i] + sin[i] * sin[i] - 1) <= 3e-7).isTrue();
        }
        // a float angle of up to 512 is off by up to 3e-5
        assertThat(worst <= 6e-5).as("worst %s", worst).isTrue();
    }
}
