package dev.gyre.trainer.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.Precision;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.trainer.loop.FakeTrainable;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class FirstStepCheckTest {
    private static final Batch BATCH = Batch.rows(1, 4, new int[] {1, 2, 3, 4}, new int[] {2, 3, 4, -100});
    private static final AdamWStep STEP = new AdamWStep(1, 1e-2f, 0.9f, 0.999f, 1e-8f, 0f, 0f);

    private int opened;
    private int closed;
    private final List<FirstStepCheck.Result> told = new ArrayList<>();

    private FirstStepCheck<Batch> check(Trainable<Batch> device) {
        return new FirstStepCheck<>(device, "opencl:9", Precision.F32, () -> {
            opened++;
            return new FakeTrainable() {
                @Override
                public void close() {
                    closed++;
                }
            };
        }, told::add);
    }

    private static double step(Trainable t) {
        t.microBatch(BATCH, 0.125f);
        t.microBatch(BATCH, 0.125f);
        return t.update(STEP);
    }

    @Test
    void aDeviceThatAgreesGoesOnAlone() {
        FakeTrainable plain = new FakeTrainable();
        FirstStepCheck<Batch> checked = check(new FakeTrainable());
        for (int i = 0; i < 3; i++)
            assertThat(step(checked)).isEqualTo(step(plain));
        assertThat(opened).isEqualTo(1);
        assertThat(closed).isEqualTo(1);
        assertThat(checked.draws()).isEqualTo(plain.draws());
        assertThat(checked.state().params()).isEqualTo(plain.state().params());
        assertThat(checked.state().m()).isEqualTo(plain.state().m());
        assertThat(checked.state().v()).isEqualTo(plain.state().v());
        assertThat(told).hasSize(1);
        assertThat(told.getFirst().first().lossError()).isZero();
        assertThat(told.getFirst().first().update()).isZero();
    }

    @Test
    void itStartsWhereTheDeviceStands() {
        FakeTrainable device = new FakeTrainable();
        step(device);
        step(check(device));
        assertThat(told.getFirst().first().gradient()).isZero();
    }

    /// A fault that hides where all parameters are 0, as a wrong rotation does at the identity.
    @Test
    void aFaultThatOnlyShowsAwayFromTheStartStopsTheRun() {
        FakeTrainable wrong = new FakeTrainable() {
            @Override
            public double microBatch(Batch b, float scale) {
                boolean start = true;
                for (float x : state().params())
                    start &= x == 0;
                return super.microBatch(b, start ? scale : 1.01f * scale);
            }
        };
        FirstStepCheck<Batch> c = check(wrong);
        c.microBatch(BATCH, 0.125f);
        assertThatThrownBy(() -> c.update(STEP)).isInstanceOf(DeviceException.class)
                .hasMessageContaining("in step 1 with every parameter moved");
        assertThat(told).isEmpty();
        assertThat(closed).isEqualTo(1);
    }

    private static void stops(FirstStepCheck<Batch> c) {
        assertThatThrownBy(() -> step(c)).isInstanceOf(DeviceException.class)
                .hasMessageContaining("device opencl:9 computes something else than the CPU in step 1")
                .hasMessageContaining("check_device: false").hasMessageNotContaining("\n");
    }

    @Test
    void aWrongLossGradientOrUpdateStopsTheRun() {
        stops(check(new FakeTrainable() {
            @Override
            public double microBatch(Batch b, float scale) {
                return super.microBatch(b, scale) * 1.001;
            }
        }));
        stops(check(new FakeTrainable() {
            @Override
            public double microBatch(Batch b, float scale) {
                return super.microBatch(b, scale * 1.01f);
            }
        }));
        stops(check(new FakeTrainable() {
            @Override
            public double update(AdamWStep s) {
                return super.update(new AdamWStep(s.t(), 1.1f * s.lr(), s.beta1(), s.beta2(), s.eps(), 0f, 0f));
            }
        }));
        stops(check(new FakeTrainable() {
            @Override
            public TrainState state() {
                TrainState s = super.state();
                if (s.m()[7] != 0)
                    s.params()[7] = Float.NaN;
                return s;
            }
        }));
        assertThat(told).isEmpty();
        assertThat(closed).isEqualTo(opened).isEqualTo(4);
    }
}
