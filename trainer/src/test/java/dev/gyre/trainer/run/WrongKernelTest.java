package dev.gyre.trainer.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.model.transformer.Transformer;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

/// A new OFT adapter on a backend whose rotations turn the wrong way, which the identity hides.
class WrongKernelTest {
    private static final Batch BATCH = Batch.rows(2, 3, new int[] {3, 7, 1, 19, 4, 4},
            new int[] {7, 1, -100, 4, 4, -100});
    private static final AdamWStep STEP = new AdamWStep(1, 1e-3f, 0.9f, 0.999f, 1e-8f, 0f, 1f);

    /// The CPU backend with other operations in its programs.
    private record Changed(UnaryOperator<Op> change) implements Backend {
        @Override
        public String name() {
            return "opencl:9";
        }

        @Override
        public String describe() {
            return name();
        }

        @Override
        public Session open(List<Program> programs) {
            List<Program> changed = new ArrayList<>();
            for (Program p : programs) {
                Program.Builder b = Program.builder(p.name());
                p.ops().forEach(op -> b.add(change.apply(op)));
                changed.add(b.build());
            }
            return new ForwardingSession(new CpuBackend(1).open(changed)) {
                @Override
                public void run(Program program) {
                    super.run(changed.get(programs.indexOf(program)));
                }
            };
        }
    }

    private static TrainSession session(Backend backend) {
        Transformer model =
                Transformer.random(ModelConfig.llama(20, 16, 32, 1, 2, 1, 16, false, null, List.of(), null), 4);
        model.attach(Adapter.create(Oft.of(Targets.allLinear(), 8), model, 2));
        return new TrainSession(model, backend, List.of(BATCH.shape()), false, EnumSet.of(TrainSession.Use.TRAIN));
    }

    /// The first two steps of a device that does `change` to its operations; the second without a check.
    private static float[] steps(UnaryOperator<Op> change, List<FirstStepCheck.Result> told) {
        try (TrainSession device = session(new Changed(change))) {
            Trainable<Batch> t = new FirstStepCheck<>(device, "opencl:9", Precision.F32,
                    () -> session(new CpuBackend(1)), told::add);
            for (int i = 0; i < 2; i++) {
                t.microBatch(BATCH, 0.25f);
                t.update(STEP);
            }
            return t.state().params();
        }
    }

    @Test
    void rotationsTurnedTheWrongWayAreFoundBeforeTheSecondStep() {
        List<FirstStepCheck.Result> told = new ArrayList<>();
        assertThatThrownBy(() -> steps(op -> op instanceof RotateOps.BlockRotate o
                ? new RotateOps.BlockRotate(o.x(), o.r(), o.y(), o.N(), o.d(), o.b(), o.stored(), !o.transpose(),
                        o.accumulate())
                : op, told)).isInstanceOf(DeviceException.class)
                .hasMessageContaining("in step 1 with every parameter moved");
        assertThat(told).isEmpty();
    }

    @Test
    void aRightDeviceGoesOnAsIfNothingHadBeenTried() {
        List<FirstStepCheck.Result> told = new ArrayList<>();
        float[] checked = steps(op -> op, told);
        assertThat(told).hasSize(1);
        try (TrainSession alone = session(new CpuBackend(1))) {
            Trainable t = alone;
            for (int i = 0; i < 2; i++) {
                t.microBatch(BATCH, 0.25f);
                t.update(STEP);
            }
            assertThat(checked).isEqualTo(t.state().params());
        }
    }
}
