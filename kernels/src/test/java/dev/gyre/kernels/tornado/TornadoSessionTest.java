package dev.gyre.kernels.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.DeviceException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/// What several programs and the host see of each other's buffers.
class TornadoSessionTest {
    private static final int N = 10;

    private final Buf weight = Buf.weight("weight", DType.F32, N);
    private final Buf params = Buf.param("params", 2 * N);
    private final Buf grads = Buf.grad("grads", 2 * N);
    private final Buf input = Buf.input("input", DType.F32, N);
    private final Buf table = Buf.input("table", DType.F32, 1 << 15);
    private final Buf sum = Buf.output("sum", N);
    private final Buf hidden = Buf.activation("hidden", N);
    private final Buf loss = Buf.activation("loss", N);

    /// grads[N..] += input * weight
    private final Program accumulate =
            Program.builder("accumulate").add(new ColumnOps.ScaleColumns(input, weight, hidden, 1, N))
                    .add(new ElementOps.Axpy(1f, hidden, grads.view("upper", N, N))).build();
    /// params -= grads, grads = 0
    private final Program update = Program.builder("update").add(new ElementOps.Axpy(-1f, grads, params))
            .add(new ElementOps.Fill(grads, 0f)).build();
    /// sum = params[N..] + table[7..]
    private final Program look = Program.builder("look").add(new ElementOps.Copy(params.view("upper", N, N), loss))
            .add(new ElementOps.Add(loss, table.view("part", 7, N), sum)).build();

    private Session open() {
        Session s = TornadoBackend.open(TornadoDevices.list().getFirst().name())
                .open(List.of(accumulate, update, look));
        s.bind(weight, new HostData.F32(filled(N, 3f)));
        return s;
    }

    private static float[] filled(int n, float value) {
        float[] a = new float[n];
        Arrays.fill(a, value);
        return a;
    }

    @Test
    void aKernelIsCompiledOnceForTasksThatDifferOnlyInTheirOffsets() {
        Buf x = Buf.param("x", 6 * N);
        Program.Builder b = Program.builder("many");
        for (int i = 1; i < 6; i++)
            b.add(new ElementOps.Axpy(2f, x.view("x" + (i - 1), (i - 1) * N, N), x.view("x" + i, i * N, N)));
        Program many = b.build();
        Program other = Program.builder("other").add(new ElementOps.Axpy(3f, x.view("a", 0, N), x.view("b", N, N)))
                .add(new ElementOps.Axpy(2f, x.view("c", 0, N), x.view("d", N, N))).build();
        try (Session s = TornadoBackend.open(TornadoDevices.list().getFirst().name()).open(List.of(many, other))) {
            s.write(x, filled(6 * N, 1f));
            s.run(many);
            // equal tasks of one graph need different names, at most three, and each name is compiled
            assertThat(s.compiled().kernels()).isEqualTo(3);
            s.run(other);
            assertThat(s.compiled().kernels()).isEqualTo(4);
            s.run(many);
            assertThat(s.compiled().kernels()).isEqualTo(4);
            float[] got = s.read(x);
            // many: x1 = 3, x2 = 7, ...; other: b = 3 + 3 + 2
            assertThat(got[N]).isEqualTo(10f);
        }
    }

    @Test
    void stateStaysOnTheDeviceBetweenProgramsInAnyOrder() {
        try (Session s = open()) {
            s.write(params, filled(2 * N, 100f));
            for (int k = 1; k <= 3; k++) {
                s.write(input, filled(N, k));
                s.run(accumulate);
            }
            assertThat(s.read(grads.view("upper", N, N))).containsOnly(18f);
            s.run(update);
            s.run(look);
            assertThat(s.read(sum)).containsOnly(82f);
            s.run(accumulate);
            s.run(look);
            s.run(update);
            s.run(update);
            s.run(look);
            assertThat(s.read(sum)).containsOnly(73f);
            assertThat(s.read(params.view("lower", 0, N))).containsOnly(100f);
            assertThat(s.read(grads)).containsOnly(0f);
        }
    }

    @Test
    void writesOfTheHostReachTheDeviceAndLeaveTheRestAsTheDeviceHasIt() {
        try (Session s = open()) {
            s.write(params, filled(2 * N, 1f));
            s.write(input, filled(N, 1f));
            s.run(accumulate);
            s.run(update);
            s.write(params.view("lower", 0, N), filled(N, 50f));
            s.run(accumulate);
            s.write(table, filled(1 << 15, 1000f));
            s.run(look);
            assertThat(s.read(sum)).containsOnly(998f);
            assertThat(s.read(params.view("lower", 0, N))).containsOnly(50f);
            assertThat(s.read(grads.view("upper", N, N))).containsOnly(3f);
            s.run(update);
            s.run(look);
            assertThat(s.read(sum)).containsOnly(995f);
        }
    }

    @Test
    void aViewWrittenAfterTheDeviceWroteTheRestKeepsTheRest() {
        try (Session s = open()) {
            s.write(input, filled(N, 1f));
            s.run(accumulate);
            s.write(grads.view("lower", 0, N), filled(N, 7f));
            s.run(update);
            assertThat(s.read(params.view("upper", N, N))).containsOnly(-3f);
            assertThat(s.read(params.view("lower", 0, N))).containsOnly(-7f);
        }
    }

    @Test
    void whatIsWrongIsSaidBeforeAnythingRuns() {
        TornadoBackend backend = TornadoBackend.open(TornadoDevices.list().getFirst().name());
        try (Session s = backend.open(List.of(accumulate, look))) {
            assertThatThrownBy(() -> s.run(accumulate)).hasMessageContaining("weights without values")
                    .hasMessageContaining("weight (10) F32");
            assertThatThrownBy(() -> s.bind(weight, new HostData.F32(new float[3]))).hasMessageContaining("3 elements");
            assertThatThrownBy(() -> s.run(update)).hasMessageContaining("not a program of this session");
            assertThatThrownBy(() -> s.write(params, new float[3])).hasMessageContaining("3 values");
            assertThatThrownBy(() -> s.write(hidden, new float[N])).hasMessageContaining("ACTIVATION");
            assertThatThrownBy(() -> s.read(weight)).hasMessageContaining("WEIGHT");
        }
        assertThatThrownBy(() -> TornadoBackend.open("metal:7")).isInstanceOf(InputException.class)
                .hasMessageContaining("no device metal:7");
        Program writesInput = Program.builder("bad").add(new ElementOps.Fill(input, 1f)).build();
        assertThatThrownBy(() -> backend.open(List.of(writesInput))).hasMessageContaining("writes the input");
    }

    @Test
    void activationsWhoseLifetimesDoNotMeetShareMemory() {
        Buf a = Buf.activation("a", 5000);
        Buf b = Buf.activation("b", 5000);
        Buf c = Buf.activation("c", 4000);
        Buf end = Buf.output("end", 4000);
        Program chain = Program.builder("chain").add(new ElementOps.Fill(a, 1f)).add(new ElementOps.Copy(a, b))
                .add(new ElementOps.Copy(b.view("part", 0, 4000), c)).add(new ElementOps.Copy(c, end)).build();
        try (Session s = TornadoBackend.open(TornadoDevices.list().getFirst().name()).open(List.of(chain))) {
            s.run(chain);
            assertThat(s.read(end)).containsOnly(1f);
            long activations = 4L * 2 * 5000;
            assertThat(new DeviceMemory(List.of(chain), new Lowering.Choice(true, null, false, false),
                    _ -> DeviceMemory.Nf4Form.of(true), Long.MAX_VALUE).floats
                    .bytes()).isBetween(activations, activations + 400);
        }
    }

    @Test
    void aProgramOfManyTasksBecomesSeveralGraphs() {
        Program.Builder p = Program.builder("long");
        for (int i = 0; i < 500; i++)
            p.add(new ElementOps.Axpy(1f, input, grads.view("lower", 0, N)));
        Program many = p.build();
        try (Session s = TornadoBackend.open(TornadoDevices.list().getFirst().name()).open(List.of(many))) {
            s.write(input, filled(N, 1f));
            s.run(many);
            s.write(input, filled(N, 2f));
            s.run(many);
            assertThat(s.read(grads.view("lower", 0, N))).containsOnly(1500f);
        }
    }

    @Test
    void whatDoesNotFitIsRefusedWithBothSizes() {
        Buf huge = Buf.state("huge", 1 << 30, 1 << 6);
        Program p = Program.builder("huge").add(new ElementOps.Copy(huge, Buf.output("out", 1 << 30, 1 << 6))).build();
        assertThatThrownBy(() -> TornadoBackend.open(TornadoDevices.list().getFirst().name()).open(List.of(p)))
                .isInstanceOf(DeviceException.class).hasMessageContaining("out of memory")
                .hasMessageContaining("524289 MiB")
                .hasMessageContaining("take a smaller micro-batch");
        assertThat(TornadoDevices.parseBytes("4GB")).isEqualTo(4L << 30);
        assertThat(TornadoDevices.parseBytes("512mb")).isEqualTo(512L << 20);
        assertThat(TornadoDevices.parseBytes("77")).isEqualTo(77);
    }

    @Test
    void theDeviceIsNamedWithItsMemory() {
        TornadoDevices.Info device = TornadoDevices.list().getFirst();
        assertThat(device.memory()).isPositive();
        assertThat(TornadoBackend.open(device.name()).describe()).startsWith(device.name() + ": ").contains("MiB");
    }

    @Test
    void anSdkWithoutItsDriverSaysSoInOneLine() {
        assertThatThrownBy(() -> TornadoDevices.runtime(() -> {
            throw new ExceptionInInitializerError(
                    new UnsatisfiedLinkError("libtornado-ptx.so: libcuda.so.1: cannot open\nshared object file"));
        })).isInstanceOf(DeviceException.class)
                .hasMessageStartingWith("the TornadoVM SDK cannot start: UnsatisfiedLinkError: libtornado-ptx.so: "
                        + "libcuda.so.1: cannot open shared object file; ")
                .hasMessageNotContaining("\n");
    }
}
