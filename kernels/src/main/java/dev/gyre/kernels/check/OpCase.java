package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.ProductOps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/// A tiny program with seeded inputs that any backend can run, and what it may differ from the reference by. The
/// recipe is executed anew for every run, so that each has buffers of its own; the seed is the case's name.
public record OpCase(String name, Recipe recipe) {
    /// Declares buffers and operations.
    @FunctionalInterface
    public interface Recipe {
        void emit(Setup s);
    }

    /// Where the operands live.
    public enum Layout {
        /// Persistent buffers, each a view with unaligned offset of a larger one whose other elements are guard words.
        GUARDED,
        /// Activations that the planner places side by side; copied in before and out after the case's operations.
        ARENA,
        /// Persistent buffers of their own, as a model has them: for timing.
        PLAIN
    }

    /// Name of the operation that the case is about: the first word.
    public String op() {
        return name.split(" ")[0];
    }

    public Setup setup(Layout layout) {
        Setup s = new Setup(layout, new Random(name.hashCode()));
        recipe.emit(s);
        return s;
    }

    @Override
    public String toString() {
        return name;
    }

    /// One F32 operand: the host writes `initial` to `host` before a run and reads `result` after it; elements
    /// `from .. from+size-1` are the operand, the others guards. Inputs have no tolerance: they must not change.
    public record Operand(String name, Buf host, Buf result, float[] initial, int from, int size,
            @Nullable Tol tol) {
    }

    /// The buffers and the program of one run of a case.
    public static final class Setup {
        /// NaNs, so that whoever reads a guard or a result that was never written shows it.
        static final float GUARD = Float.intBitsToFloat(0x7fc5a5a5);
        static final float UNWRITTEN = Float.intBitsToFloat(0x7fc3c3c3);
        private static final int BEFORE = 19;
        private static final int AFTER = 37;

        private final Layout layout;
        private final Random random;
        private final List<Operand> operands = new ArrayList<>();
        private final Map<Buf, int[]> ints = new LinkedHashMap<>();
        private final Map<Buf, HostData> weights = new LinkedHashMap<>();
        private final List<Op> copiesIn = new ArrayList<>();
        private final List<Op> ops = new ArrayList<>();
        private final List<Op> copiesOut = new ArrayList<>();

        private Setup(Layout layout, Random random) {
            this.layout = layout;
            this.random = random;
        }

        /// An input of normal numbers with the given standard deviation.
        public Buf in(String name, double std, int... dims) {
            return in(name, normal(std, dims), dims);
        }

        public Buf in(String name, float[] values, int... dims) {
            return operand(name, Buf.Role.INPUT, values, null, dims);
        }

        /// An output that the program overwrites.
        public Buf out(String name, Tol tol, int... dims) {
            return operand(name, Buf.Role.OUTPUT, null, tol, dims);
        }

        /// An operand that the program reads and writes, first full of normal numbers.
        public Buf inout(String name, double std, Tol tol, int... dims) {
            return inout(name, normal(std, dims), tol, dims);
        }

        public Buf inout(String name, float[] values, Tol tol, int... dims) {
            return operand(name, Buf.Role.STATE, values, tol, dims);
        }

        private Buf operand(String name, Buf.Role role, float @Nullable [] values, @Nullable Tol tol, int... dims) {
            int n = size(dims);
            return switch (layout) {
                case PLAIN -> {
                    Buf b = Buf.of(name, DType.F32, role, dims);
                    operands.add(new Operand(name, b, b, values == null ? filled(n, UNWRITTEN) : values, 0, n, tol));
                    yield b;
                }
                case GUARDED -> {
                    Buf root = Buf.of(name + " with guards", DType.F32, role, BEFORE + n + AFTER);
                    float[] initial = new float[BEFORE + n + AFTER];
                    Arrays.fill(initial, GUARD);
                    Arrays.fill(initial, BEFORE, BEFORE + n, UNWRITTEN);
                    if (values != null)
                        System.arraycopy(values, 0, initial, BEFORE, n);
                    operands.add(new Operand(name, root, root, initial, BEFORE, n, tol));
                    yield root.view(name, BEFORE, dims);
                }
                case ARENA -> {
                    Buf used = Buf.activation(name, dims);
                    Buf host = Buf.state(name + " before", dims);
                    Buf result = Buf.output(name + " after", dims);
                    if (values != null)
                        copiesIn.add(new ElementOps.Copy(host, used));
                    copiesOut.add(new ElementOps.Copy(used, result));
                    operands.add(new Operand(name, values == null ? result : host, result,
                            values == null ? filled(n, UNWRITTEN) : values, 0, n, tol));
                    yield used;
                }
            };
        }

        /// The operands, with what they may differ by on a backend: it may round the factors of products.
        List<Operand> operands(Backend on) {
            List<Operand> out = new ArrayList<>();
            for (Operand o : operands) {
                Tol tol = o.tol();
                for (Op op : ops)
                    if (tol != null && op instanceof ProductOps.MatMul product)
                        tol = tol.rounded(on.precision(product));
                out.add(new Operand(o.name(), o.host(), o.result(), o.initial(), o.from(), o.size(), tol));
            }
            return out;
        }

        /// Integers set by the host; guards around them are indices that nobody may use.
        public Buf ints(String name, int... values) {
            if (layout != Layout.GUARDED) {
                Buf plain = Buf.input(name, DType.I32, values.length);
                ints.put(plain, values);
                return plain;
            }
            Buf root = Buf.input(name + " with guards", DType.I32, BEFORE + values.length + AFTER);
            int[] all = new int[BEFORE + values.length + AFTER];
            Arrays.fill(all, Integer.MIN_VALUE);
            System.arraycopy(values, 0, all, BEFORE, values.length);
            ints.put(root, all);
            return root.view(name, BEFORE, values.length);
        }

        /// A frozen weight of normal numbers (NF4: random codes and maxima); guarded where views exist.
        public Buf weight(String name, DType dtype, double std, int... dims) {
            return dtype == DType.NF4
                    ? nf4(name, Nf4Data.plain(size(dims), 64, random), dims)
                    : weight(name, dtype, normal(std, dims), dims);
        }

        private Buf weight(String name, DType dtype, float[] values, int... dims) {
            int before = layout == Layout.GUARDED ? BEFORE : 0;
            int after = layout == Layout.GUARDED ? AFTER : 0;
            float[] all = filled(before + values.length + after, GUARD);
            System.arraycopy(values, 0, all, before, values.length);
            Buf root = Buf.weight(name + " with guards", dtype, all.length);
            weights.put(root, dtype == DType.F32 ? new HostData.F32(all) : new HostData.BF16(upperHalves(all)));
            return root.view(name, before, dims);
        }

        public Buf nf4(String name, HostData.NF4 data, int... dims) {
            Buf b = Buf.weight(name, DType.NF4, dims);
            weights.put(b, data);
            return b;
        }

        private static short[] upperHalves(float[] values) {
            short[] bits = new short[values.length];
            for (int i = 0; i < bits.length; i++)
                bits[i] = (short) (Float.floatToRawIntBits(values[i]) >> 16);
            return bits;
        }

        public void op(Op op) {
            ops.add(op);
        }

        /// For numbers that a case must choose itself; seeded.
        public Random random() {
            return random;
        }

        public float[] normal(double std, int... dims) {
            float[] a = new float[size(dims)];
            for (int i = 0; i < a.length; i++)
                a[i] = (float) (std * random.nextGaussian());
            return a;
        }

        /// The numbers that an operand of this setup starts with.
        public float[] values(Buf used) {
            Operand o = operands.stream().filter(x -> x.name().equals(used.name())).findFirst().orElseThrow();
            return Arrays.copyOfRange(o.initial(), o.from(), o.from() + o.size());
        }

        /// `n` integers below `bound`.
        public int[] below(int bound, int n) {
            return random.ints(n, 0, bound).toArray();
        }

        private static float[] filled(int n, float value) {
            float[] a = new float[n];
            Arrays.fill(a, value);
            return a;
        }

        private static int size(int... dims) {
            int n = 1;
            for (int d : dims)
                n = Math.multiplyExact(n, d);
            return n;
        }

        public Program program(String name) {
            Program.Builder p = Program.builder(name);
            copiesIn.forEach(p::add);
            ops.forEach(p::add);
            copiesOut.forEach(p::add);
            return p.build();
        }

        public List<Operand> operands() {
            return operands;
        }

        public Map<Buf, int[]> intInputs() {
            return ints;
        }

        public Map<Buf, HostData> weights() {
            return weights;
        }

        /// The case's own operations, without the copies of [Layout#ARENA].
        public List<Op> ops() {
            return ops;
        }
    }
}
