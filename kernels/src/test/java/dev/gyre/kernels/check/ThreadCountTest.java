package dev.gyre.kernels.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// How many threads share the work of an operation must not show in its results.
class ThreadCountTest {
    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void everyOperationGivesTheBitsOfOneThread(int threads) {
        for (OpCase c : OpCases.all()) {
            List<float[]> one = results(c, 1);
            List<float[]> more = results(c, threads);
            for (int i = 0; i < one.size(); i++)
                assertThat(more.get(i)).as(c.name() + ", result " + i).isEqualTo(one.get(i));
        }
    }

    private static List<float[]> results(OpCase c, int threads) {
        OpCase.Setup setup = c.setup(OpCase.Layout.GUARDED);
        Program program = setup.program(c.name());
        try (Session session = new CpuBackend(threads).open(List.of(program))) {
            setup.weights().forEach(session::bind);
            return OpCheck.run(session, program, setup);
        }
    }
}
