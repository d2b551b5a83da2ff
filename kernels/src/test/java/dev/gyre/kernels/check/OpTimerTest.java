package dev.gyre.kernels.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.HostData;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

class OpTimerTest {
    /// Slow in its first forty runs, as code is that the JVM has yet to compile.
    private static final class GettingWarm implements Backend, Session {
        private int runs;

        @Override
        public String name() {
            return "warm";
        }

        @Override
        public String describe() {
            return "warm later";
        }

        @Override
        public Session open(List<Program> programs) {
            return this;
        }

        @Override
        public void bind(Buf weight, HostData data) {
        }

        @Override
        public void write(Buf buf, float[] values) {
        }

        @Override
        public void write(Buf buf, int[] values) {
        }

        @Override
        public void read(Buf buf, float[] into) {
        }

        @Override
        public void run(Program program) {
            long until = System.nanoTime() + Math.max(100_000, 20_000_000 - 500_000 * ++runs);
            while (System.nanoTime() < until)
                LockSupport.parkNanos(10_000);
        }

        @Override
        public long bytes() {
            return 0;
        }

        @Override
        public void close() {
        }
    }

    @Test
    void whatIsTimedIsWarm() {
        OpCase copy = OpCases.of("Copy").getFirst();
        assertThat(OpTimer.measure(new GettingWarm(), copy, false, 0.02).ms()).isLessThan(8);
    }
}
