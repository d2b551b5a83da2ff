package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.model.adapter.MethodCases.Layer;
import dev.gyre.model.adapter.lora.Lora;
import org.junit.jupiter.api.Test;

/// The scale alpha / r of LoRA reaches the double-precision reference unrounded: 8/3 as a float is wrong by 3e-8.
class LoraScaleTest {
    private static final int R = 3;
    private static final double ALPHA = 8;

    /// `x (W + (8/3) B A)^T + bias`, element by element.
    @Test
    void alphaEightOverRankThreeAgreesInDouble() {
        Layer l = MethodCases.layer("alpha 8 over rank 3", Lora.of(MethodCases.ANY, R, ALPHA)).disturbed(0.5);
        float[] a = l.adapter.tensors().get(0).values();
        float[] b = l.adapter.tensors().get(1).values();
        int in = l.site.in();
        double[] x = l.input();
        double[] got = l.output();
        for (int t = 0; t < MethodCases.ROWS; t++)
            for (int o = 0; o < MethodCases.OUT; o++) {
                double expected = l.bias[o];
                for (int i = 0; i < in; i++) {
                    double sum = 0;
                    for (int k = 0; k < R; k++)
                        sum += (double) b[o * R + k] * a[k * in + i];
                    expected += x[t * in + i] * (l.weight[o * in + i] + ALPHA / R * sum);
                }
                assertThat(got[t * MethodCases.OUT + o]).as("row %d, output %d", t, o).isCloseTo(expected,
                        within(1e-12));
            }
    }
}
