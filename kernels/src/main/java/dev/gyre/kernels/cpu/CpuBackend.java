package dev.gyre.kernels.cpu;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import java.util.List;

/// Runs programs on the CPU, in F32, by a pool of threads per session and the Vector API where the JVM offers it.
/// Results are the same from run to run for a fixed number of threads.
public final class CpuBackend implements Backend {
    private final int threads;
    private final Simd simd;

    /// All processors, the widest vectors.
    public CpuBackend() {
        this(Runtime.getRuntime().availableProcessors(), SimdChoice.AUTO);
    }

    public CpuBackend(int threads) {
        this(threads, SimdChoice.AUTO);
    }

    public CpuBackend(int threads, SimdChoice choice) {
        if (threads < 1)
            throw new IllegalArgumentException("threads must be at least 1, not " + threads);
        this.threads = threads;
        this.simd = Simd.choose(choice);
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public String describe() {
        return "cpu: " + threads + (threads == 1 ? " thread, " : " threads, ") + simd.why() + ", "
                + System.getProperty("os.arch") + ", Java " + Runtime.version().feature();
    }

    public int threads() {
        return threads;
    }

    /// Floats that one instruction handles; 1 without the Vector API.
    public int lanes() {
        return simd.lanes();
    }

    @Override
    public Session open(List<Program> programs) {
        return new CpuSession(List.copyOf(programs), threads, simd);
    }
}
