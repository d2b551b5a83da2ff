package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.gyre.kernels.op.Access;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MemoryPlanTest {
    /// Operations over buffers of random sizes, half of which are views that share one activation. Each reads buffers
    /// that were written before.
    private static Program random(Random random, int ops) {
        int[] sizes = {1, 5, 16, 17, 100, 1000};
        List<Buf> written = new ArrayList<>();
        Program.Builder p = Program.builder("random");
        for (int i = 0; i < ops; i++) {
            int n = sizes[random.nextInt(sizes.length)];
            List<Buf> fitting = written.stream().filter(b -> b.size() == n).toList();
            Buf out = random.nextInt(4) > 0 || fitting.isEmpty() ? Buf.activation("a" + i, n)
                    : fitting.get(random.nextInt(fitting.size()));
            if (random.nextInt(5) == 0)
                out = Buf.activation("base" + i, 3 * n + 7).view("view" + i, 7 + random.nextInt(n + 1), n);
            List<Buf> inputs = new ArrayList<>(fitting);
            inputs.remove(out);
            if (inputs.isEmpty())
                p.add(new ElementOps.Fill(out, i));
            else
                p.add(new ElementOps.Copy(inputs.get(random.nextInt(inputs.size())), out));
            if (!written.contains(out))
                written.add(out);
        }
        return p.build();
    }

    private static Set<Buf> activations(Program p) {
        Set<Buf> out = new LinkedHashSet<>();
        for (Op op : p.ops())
            for (Access a : op.accesses())
                if (a.buf().role() == Buf.Role.ACTIVATION)
                    out.add(a.buf().root());
        return out;
    }

    /// First and last operation that touches each activation, by search.
    private static Map<Buf, MemoryPlan.Lifetime> lifetimes(Program p) {
        Map<Buf, MemoryPlan.Lifetime> out = new LinkedHashMap<>();
        for (Buf b : activations(p)) {
            int first = -1;
            int last = -1;
            for (int i = 0; i < p.ops().size(); i++)
                if (p.ops().get(i).accesses().stream().anyMatch(a -> a.buf().root().equals(b))) {
                    first = first < 0 ? i : first;
                    last = i;
                }
            out.put(b, new MemoryPlan.Lifetime(first, last));
        }
        return out;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7, 30, 100})
    void noTwoLiveActivationsOverlap(int ops) {
        for (int seed = 0; seed < 50; seed++) {
            Program p = random(new Random(seed), ops);
            MemoryPlan plan = MemoryPlan.of(List.of(p));
            Map<Buf, MemoryPlan.Lifetime> lifetimes = lifetimes(p);
            long sum = 0;
            for (Buf x : lifetimes.keySet()) {
                MemoryPlan.Lifetime lx = lifetimes.get(x);
                assertThat(plan.lifetime(x)).isEqualTo(lx);
                MemoryPlan.Place px = plan.place(x);
                assertThat(px.offset() % MemoryPlan.ALIGN).isZero();
                assertThat(px.offset() + x.size()).isLessThanOrEqualTo(plan.slabs()[px.slab()]);
                sum += (x.size() + MemoryPlan.ALIGN - 1) / MemoryPlan.ALIGN * MemoryPlan.ALIGN;
                for (Buf y : lifetimes.keySet()) {
                    MemoryPlan.Lifetime ly = lifetimes.get(y);
                    MemoryPlan.Place py = plan.place(y);
                    boolean together = lx.first() <= ly.last() && ly.first() <= lx.last();
                    if (!x.equals(y) && together && px.slab() == py.slab() && px.offset() + x.size() > py.offset()
                            && py.offset() + y.size() > px.offset())
                        throw new AssertionError(x + " at " + px + " " + lx + " meets " + y + " at " + py + " " + ly);
                }
            }
            assertThat(plan.arenaBytes()).isLessThanOrEqualTo(4 * sum)
                    .isGreaterThanOrEqualTo(4 * mostLive(p.ops().size(), lifetimes));
        }
    }

    /// Elements of the activations that live at the busiest operation: no plan can do with less.
    private static long mostLive(int ops, Map<Buf, MemoryPlan.Lifetime> lifetimes) {
        long most = 0;
        for (int i = 0; i < ops; i++) {
            long live = 0;
            for (Map.Entry<Buf, MemoryPlan.Lifetime> e : lifetimes.entrySet())
                live += e.getValue().first() <= i && i <= e.getValue().last() ? e.getKey().size() : 0;
            most = Math.max(most, live);
        }
        return most;
    }

    @Test
    void theSamePlanEveryTime() {
        for (int seed = 0; seed < 20; seed++) {
            Program p = random(new Random(seed), 60);
            MemoryPlan one = MemoryPlan.of(List.of(p));
            MemoryPlan two = MemoryPlan.of(List.of(p));
            for (Buf b : activations(p))
                assertThat(one.place(b)).isEqualTo(two.place(b));
        }
    }

    @Test
    void inputAndOutputOfOneOperationDoNotShareMemory() {
        Buf in = Buf.input("in", DType.F32, 64);
        Buf a = Buf.activation("a", 64);
        Buf b = Buf.activation("b", 64);
        Buf c = Buf.activation("c", 64);
        Buf out = Buf.output("out", 64);
        MemoryPlan plan = MemoryPlan
                .of(List.of(Program.builder("chain").add(new ElementOps.Copy(in, a)).add(new ElementOps.Copy(a, b))
                        .add(new ElementOps.Copy(b, c)).add(new ElementOps.Copy(c, out)).build()));
        assertThat(plan.place(a)).isNotEqualTo(plan.place(b));
        assertThat(plan.place(b)).isNotEqualTo(plan.place(c));
        // a is last read where b is first written, c comes one later
        assertThat(plan.place(c)).isEqualTo(plan.place(a));
        assertThat(plan.arenaBytes()).isEqualTo(2 * 64 * 4);
        assertThat(plan.persistent()).containsExactly(in, out);
    }

    @Test
    void aViewKeepsItsWholeRootAlive() {
        Buf in = Buf.input("in", DType.F32, 32);
        Buf root = Buf.activation("root", 64);
        Buf other = Buf.activation("other", 32);
        Buf out = Buf.output("out", 32);
        MemoryPlan plan =
                MemoryPlan.of(List.of(Program.builder("views").add(new ElementOps.Copy(in, root.view("low", 0, 32)))
                        .add(new ElementOps.Copy(in, other)).add(new ElementOps.Copy(other, root.view("high", 32, 32)))
                        .add(new ElementOps.Copy(root.view("low again", 0, 32), out)).build()));
        assertThat(plan.lifetime(root)).isEqualTo(new MemoryPlan.Lifetime(0, 3));
        assertThat(plan.lifetime(other)).isEqualTo(new MemoryPlan.Lifetime(1, 2));
        assertThat(plan.arenaBytes()).isEqualTo((64 + 32) * 4);
    }

    @Test
    void programsShareTheArenaButNotTheirActivations() {
        Buf state = Buf.state("state", 100);
        Buf a = Buf.activation("a", 100);
        Buf b = Buf.activation("b", 40);
        Program one = Program.builder("one").add(new ElementOps.Copy(state, a)).add(new ElementOps.Axpy(1f, a, state))
                .build();
        Program two = Program.builder("two").add(new ElementOps.Fill(b, 1f)).build();
        MemoryPlan plan = MemoryPlan.of(List.of(one, two));
        assertThat(plan.arenaBytes()).isEqualTo(112 * 4);
        assertThat(plan.persistent()).containsExactly(state);
        assertThat(plan.bytes()).isEqualTo(112 * 4 + 400);
        Program three = Program.builder("three").add(new ElementOps.Fill(a, 1f)).build();
        assertThatIllegalArgumentException().isThrownBy(() -> MemoryPlan.of(List.of(one, three)))
                .withMessageContaining("a (100) F32 is an activation of two programs");
    }

    @Test
    void bytesByRoleCountStorageTypes() {
        Buf table = Buf.weight("table", DType.BF16, 10, 3);
        Buf w = Buf.weight("w", DType.NF4, 128);
        Buf ids = Buf.input("ids", DType.I32, 5);
        Buf out = Buf.output("out", 5, 3);
        Buf decoded = Buf.activation("decoded", 128);
        MemoryPlan plan = MemoryPlan.of(List.of(Program.builder("p").add(new TokenOps.Embed(ids, table, out, 5, 10, 3))
                .add(new ProductOps.Decode(w, decoded)).build()));
        assertThat(plan.bytesByRole()).containsEntry(Buf.Role.WEIGHT, 60L + 64 + 8)
                .containsEntry(Buf.Role.INPUT, 20L).containsEntry(Buf.Role.OUTPUT, 60L)
                .containsEntry(Buf.Role.ACTIVATION, 512L);
    }

    @Test
    void placesOfOtherBuffersAreRefused() {
        MemoryPlan plan = MemoryPlan.of(List.of());
        assertThatIllegalArgumentException().isThrownBy(() -> plan.place(Buf.activation("stranger", 3)))
                .withMessageContaining("stranger");
        assertThat(plan.bytes()).isZero();
    }

    @Test
    void activationsBeyondOneSlabGoToASecond() {
        int half = (int) (MemoryPlan.MAX_SLAB / 2);
        Buf in = Buf.input("in", DType.F32, 1);
        Program.Builder p = Program.builder("large");
        List<Buf> big = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Buf b = Buf.activation("big" + i, half);
            big.add(b);
            p.add(new ElementOps.Fill(b, 0f));
        }
        for (Buf b : big)
            p.add(new ElementOps.Axpy(1f, in, b.view("first", 0, 1)));
        MemoryPlan plan = MemoryPlan.of(List.of(p.build()));
        assertThat(plan.slabs()).containsExactly(2L * half, half);
        Program tooLarge =
                Program.builder("too large").add(new ElementOps.Fill(Buf.activation("x", 1 << 30, 2), 0f)).build();
        assertThatExceptionOfType(InputException.class).isThrownBy(() -> MemoryPlan.of(List.of(tooLarge)))
                .withMessageContaining("use a smaller micro-batch");
    }
}
