package dev.gyre.bench.jmh;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.cpu.SimdChoice;
import dev.gyre.kernels.tornado.TornadoBackend;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/// Times one operation on one backend, after its result agreed with the double-precision reference. Operands lie where the
/// backend wants them; on a device the time is launch and kernel, without transfers. [OpBenchmarks] runs it for many.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class OpBenchmark {
    /// Name of a case of [OpBenchmarks#cases].
    @Param({})
    public String op = "";

    /// `scalar` and `vector` are the CPU's two; `jvm`, `opencl:0`, `cuda:0` name a TornadoVM device.
    @Param({"scalar", "vector"})
    public String backend = "vector";

    /// Threads of the CPU.
    @Param("2")
    public int threads = 1;

    @SuppressWarnings("NullAway.Init") // prepare()
    private Session session;

    @SuppressWarnings("NullAway.Init") // prepare()
    private Program program;

    @Setup
    public void prepare() {
        Backend on = switch (backend) {
            case "scalar" -> new CpuBackend(threads, SimdChoice.SCALAR);
            case "vector" -> new CpuBackend(threads, SimdChoice.VECTOR);
            default -> TornadoBackend.open(backend);
        };
        OpCase c = OpBenchmarks.named(op);
        OpCheck.deviation(on, c, OpCase.Layout.PLAIN);
        OpCase.Setup s = c.setup(OpCase.Layout.PLAIN);
        program = s.program(c.name());
        session = on.open(List.of(program));
        s.weights().forEach(session::bind);
        s.intInputs().forEach(session::write);
        s.operands().forEach(o -> session.write(o.host(), o.initial()));
    }

    @Benchmark
    public void run() {
        session.run(program);
    }

    @TearDown
    public void close() {
        session.close();
    }
}
