package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.OptimiserOps;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Loops over more than 2^30 elements, as `full` fine-tuning of 1.07 billion weights has them. Nothing of that size is allocated.
class LongLoopsTest {
    private static final Lowering.Choice CHOICE = new Lowering.Choice(true, null, false, false);

    /// The loop that TornadoVM makes of `for (@Parallel int i = 0; i < n; i++)`, of the last work items, in the same `int`s.
    @ParameterizedTest
    @ValueSource(ints = {1, 1000, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 1_200_000_000, DeviceMemory.MAX_PART})
    void theIndexOfEveryWorkItemEndsBehindTheLast(int n) {
        int items = TaskGraphs.items(n).x();
        long visited = 0;
        for (int item = Math.max(0, items - 1000); item < items; item++) {
            int count = 0;
            for (int i = item; i < n; i += items) {
                assertThat(i).isNotNegative();
                count++;
            }
            visited += count;
            assertThat(count).isEqualTo(Math.ceilDiv(n - item, items));
        }
        assertThat(visited).isPositive();
    }

    /// What the optimiser and the elementwise operations launch for 1.2 billion parameters.
    @Test
    void anUpdateOfMoreThanABillionParametersHasGridsThatDoNotOverflow() {
        int n = 1_200_000_000;
        Buf p = Buf.param("p", n);
        Buf g = Buf.grad("g", n);
        Buf m = Buf.state("m", n);
        Buf v = Buf.state("v", n);
        Buf hp = Buf.input("hp", DType.F32, OptimiserOps.AdamW.HP);
        Buf norm = Buf.output("norm", 1);
        List<Program> programs = List.of(Program.builder("update").add(new OptimiserOps.GradNorm(g, norm))
                .add(new OptimiserOps.AdamW(p, g, m, v, hp, norm, true)).add(new ElementOps.Fill(g, 0f))
                .add(new ElementOps.Copy(p, m)).add(new ElementOps.Axpy(2f, p, g)).add(new ElementOps.Scale(2f, p, v))
                .add(new ElementOps.Scale(2f, p, p)).add(new ElementOps.Add(p, g, m)).build());
        DevicePlan plan = DevicePlan.outline(programs,
                new DeviceMemory(programs, CHOICE, _ -> DeviceMemory.Nf4Form.of(true), Long.MAX_VALUE), CHOICE);
        int grids = 0;
        for (TaskGraphs.Graph graph : plan.tasks.graphs())
            for (String id : graph.names()) {
                long[] items = Objects.requireNonNull(plan.tasks.grids().get("gyre." + id), id).getGlobalWork();
                assertThat(items[0]).as(id).isBetween(1L, (long) TaskGraphs.MAX_ITEMS);
                grids++;
            }
        assertThat(grids).isGreaterThan(15);
    }
}
