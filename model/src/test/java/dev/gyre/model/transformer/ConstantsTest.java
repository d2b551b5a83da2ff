package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.family.ModelConfig;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Constants of a model's programs are the doubles that its configuration means. As floats they are wrong by up to 6e-8
/// of themselves, which a reference in double precision would carry into every result.
class ConstantsTest {
    /// Heads of 12 elements: 1 / sqrt(12) is no float, and neither is the norm's 1e-5.
    private static final ModelConfig CONFIG =
            ModelConfig.llama(40, 24, 24, 2, 2, 1, 32, false, 1, List.of(2), null);

    private static final class Recorder implements Backend {
        final List<Op> ops = new ArrayList<>();

        @Override
        public String name() {
            return "recorder";
        }

        @Override
        public String describe() {
            return "remembers the operations of the programs it opens";
        }

        @Override
        public Session open(List<Program> programs) {
            programs.forEach(p -> ops.addAll(p.ops()));
            return new RefBackend().open(programs);
        }
    }

    @Test
    void attentionAndNormsGetTheConfigurationsDoubles() {
        Recorder recorder = new Recorder();
        try (TrainSession s = new TrainSession(Transformer.random(CONFIG, 3), recorder,
                List.of(new BatchShape(1, 4)), true)) {
            assertThat(s.bytes()).isPositive();
        }
        assertThat(recorder.ops).filteredOn(AttentionOps.Attention.class::isInstance).hasSize(4)
                .allSatisfy(op -> assertThat((double) ((AttentionOps.Attention) op).scale())
                        .isEqualTo(1 / Math.sqrt(12)));
        assertThat(recorder.ops).filteredOn(AttentionOps.AttentionGrad.class::isInstance).hasSize(2)
                .allSatisfy(op -> assertThat((double) ((AttentionOps.AttentionGrad) op).scale())
                        .isEqualTo(1 / Math.sqrt(12)));
        assertThat(recorder.ops).filteredOn(NormOps.RmsNorm.class::isInstance).isNotEmpty()
                .allSatisfy(op -> assertThat((double) ((NormOps.RmsNorm) op).eps()).isEqualTo(1e-5));
    }
}
