package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCheck;
import dev.gyre.kernels.check.Tol;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import java.util.List;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;

/// The check finds what it is there to find.
class OpCheckTest {
    private record AddFive() implements OpCase {
        @Override
        public void emit(Setup s) {
            s.op(new ElementOps.Add(s.in("x", 1, 5), s.in("y", 1, 5), s.out("out", Tol.roundings(1), 5)));
        }
    }

    /// The reference, with something done to a buffer's numbers whenever the host reads it.
    private record Sabotaged(BiConsumer<Buf, float[]> onRead) implements Backend {
        @Override
        public String name() {
            return "sabotaged";
        }

        @Override
        public String describe() {
            return name();
        }

        @Override
        public Session open(List<Program> programs) {
            Session honest = new RefBackend().open(programs);
            return new Session() {
                @Override
                public void bind(Buf weight, HostData data) {
                    honest.bind(weight, data);
                }

                @Override
                public void write(Buf buf, float[] values) {
                    honest.write(buf, values);
                }

                @Override
                public void write(Buf buf, int[] values) {
                    honest.write(buf, values);
                }

                @Override
                public void read(Buf buf, float[] into) {
                    honest.read(buf, into);
                    onRead.accept(buf, into);
                }

                @Override
                public void run(Program program) {
                    honest.run(program);
                }

                @Override
                public long bytes() {
                    return honest.bytes();
                }

                @Override
                public void close() {
                    honest.close();
                }
            };
        }
    }

    private static void finds(BiConsumer<Buf, float[]> onRead, String message) {
        assertThatThrownBy(() -> OpCheck.check(new Sabotaged(onRead), new AddFive(), OpCase.Layout.GUARDED))
                .isInstanceOf(AssertionError.class).hasMessageContaining("AddFive").hasMessageContaining(message);
    }

    private static BiConsumer<Buf, float[]> at(String buf, int i, float value) {
        return (b, values) -> {
            if (b.name().startsWith(buf))
                values[i] = value;
        };
    }

    @Test
    void aValueOutOfTolerance() {
        finds(at("out", 21, 3.5f), "out[2] = 3.5, reference");
    }

    @Test
    void notANumber() {
        finds(at("out", 20, Float.NaN), "out[1] = NaN");
    }

    @Test
    void aGuardWordBeforeAndBehindTheOutput() {
        finds(at("out", 18, 0f), "guard word -1 of 0..4");
        finds(at("out", 24, 0f), "guard word 5 of 0..4");
    }

    @Test
    void aGuardThatIsAnotherNaN() {
        finds(at("out", 18, Float.NaN), "guard word -1");
    }

    @Test
    void aChangedInput() {
        finds(at("y", 19, 7f), "y: input changed");
    }

    @Test
    void aSecondRunWithOtherBits() {
        int[] reads = new int[1];
        finds((b, values) -> {
            if (b.name().startsWith("out") && reads[0]++ == 1)
                values[20] = Math.nextUp(values[20]);
        }, "second run differs");
    }
}
