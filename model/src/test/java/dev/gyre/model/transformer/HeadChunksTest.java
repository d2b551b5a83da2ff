package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.model.family.ModelConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/// The output head takes as many rows at once as the backend wants logits held.
class HeadChunksTest {
    private static final int V = 20;

    /// The CPU backend with room for `logits`; keeps the programs it is given.
    private record Roomy(int logits, List<Program> programs) implements Backend {
        @Override
        public String name() {
            return "cpu";
        }

        @Override
        public String describe() {
            return "cpu";
        }

        @Override
        public Session open(List<Program> all) {
            programs.addAll(all);
            return new CpuBackend(1).open(all);
        }
    }

    private static long chunks(Roomy backend) {
        return backend.programs.getFirst().ops().stream().filter(o -> o instanceof TokenOps.CrossEntropy).count();
    }

    @Test
    void chunksChangeNeitherLossNorGradients() {
        Transformer model =
                Transformer.random(ModelConfig.llama(V, 16, 32, 1, 2, 1, 16, false, null, List.of(), null), 4);
        Batch batch = Batch.rows(2, 3, new int[] {3, 7, 1, 19, 4, 4}, new int[] {7, 1, -100, 4, 4, -100});
        List<Double> losses = new ArrayList<>();
        List<float[]> heads = new ArrayList<>();
        for (int rows : new int[] {1, 4, 6, 1000}) {
            Roomy backend = new Roomy(rows * V, new ArrayList<>());
            try (TrainSession s = new TrainSession(model, backend, List.of(batch.shape()), true,
                    Set.of(TrainSession.Use.TRAIN))) {
                losses.add(s.microBatch(batch, 0.25f));
                heads.add(s.gradients().entrySet().stream().filter(g -> g.getKey().name().equals("lm_head.weight"))
                        .findFirst().orElseThrow().getValue());
            }
            assertThat(chunks(backend)).isEqualTo(rows == 1 ? 6 : rows == 4 ? 2 : 1);
        }
        for (int i = 1; i < losses.size(); i++) {
            assertThat(losses.get(i)).isCloseTo(losses.getFirst(), within(1e-6));
            assertThat(heads.get(i)).hasSize(V * 16).containsExactly(heads.getFirst(),
                    within(1e-6f));
        }
    }
}
