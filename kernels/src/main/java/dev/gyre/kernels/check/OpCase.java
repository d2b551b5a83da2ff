package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Precision;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// One operation at one size: a tiny program with seeded inputs that any backend can run, and the tolerance of its
/// results against the reference. Implemented once per operation by a record of that operation's name whose components
/// are the dimensions and modes; the same statement serves checking, timing and finite differences.
public interface OpCase {
    /// Declares operands and operations. Called anew for every run, so that each has its own buffers.
    void emit(Setup s);

    /// Name of the operation that the case is about.
    default String op() {
        return getClass().getSimpleName();
    }

    /// The operation and its dimensions and modes, such as `BlockRotate N7 d15 b5 stored3 transpose`; components that are
    /// false, zero, null or without text are left out. Unique, and the seed of the inputs.
    default String name() {
        StringBuilder name = new StringBuilder(op());
        for (RecordComponent c : getClass().getRecordComponents()) {
            Object value;
            try {
                value = c.getAccessor().invoke(this);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e);
            }
            switch (value) {
                case null -> {
                }
                case Boolean set -> name.append(set ? " " + c.getName() : "");
                case Number n -> name.append(n.doubleValue() == 0 ? "" : " " + c.getName() + n);
                case Orthogonal map -> name.append(' ').append(map.form()).append(map.terms() > 0 ? map.terms() : "")
                        .append(map.skew() == Orthogonal.Skew.FULL ? " full" : "")
                        .append(map.maxNorm() > 0 ? " maxNorm" + map.maxNorm() : "");
                default -> name.append(value.toString().isEmpty() ? "" : " " + value);
            }
        }
        return name.toString();
    }

    default Setup setup(Layout layout) {
        return setup(layout, Precision.F32);
    }

    /// @param activations their precision on the backend that will run it, to which inputs are rounded in [Layout#ARENA]
    default Setup setup(Layout layout, Precision activations) {
        Setup s = new Setup(layout, activations, new Random(name().hashCode()));
        emit(s);
        return s;
    }

    /// Where the operands are stored.
    enum Layout {
        /// Persistent buffers, each an unaligned view into a larger one whose other elements are guard words.
        GUARDED,
        /// Activations, placed by the memory plan; copied in before the case's operations and out after them.
        ARENA,
        /// One persistent buffer each, as in a model: for timing.
        PLAIN,
        /// Persistent buffers of the reference. The forward operations and those of the gradient are separate programs, so
        /// that gradients can be compared with finite differences.
        GRADIENT
    }

    /// One F32 operand: the host writes `initial` to `host` before a run and reads `result` after it; elements
    /// `from .. from+size-1` are the operand, the others guards. Inputs have no tolerance because they must not change.
    record Operand(String name, Buf host, Buf result, float[] initial, int from, int size,
            @Nullable Tol tol) {
    }

    /// Gradient of the loss with respect to `variable`, in `got`, which starts as `before`.
    record Gradient(Buf variable, Buf got, float[] before, boolean accumulate) {
    }

    /// The buffers and the program of one run of a case.
    final class Setup {
        /// NaNs, so that reading a guard or an unwritten result shows.
        static final float GUARD = Float.intBitsToFloat(0x7fc5a5a5);
        static final float UNWRITTEN = Float.intBitsToFloat(0x7fc3c3c3);
        private static final int BEFORE = 19;
        private static final int AFTER = 37;

        private final Layout layout;
        private final Precision activations;
        private final Random random;
        private final List<Operand> operands = new ArrayList<>();
        private final Map<Buf, int[]> ints = new LinkedHashMap<>();
        private final Map<Buf, HostData> weights = new LinkedHashMap<>();
        private final List<Op> copiesIn = new ArrayList<>();
        private final List<Op> ops = new ArrayList<>();
        private final List<Op> copiesOut = new ArrayList<>();
        private final Map<Buf, float[]> cotangents = new LinkedHashMap<>();
        private final List<Gradient> gradients = new ArrayList<>();
        private final List<Op> backward = new ArrayList<>();
        private boolean inBackward;

        private Setup(Layout layout, Precision activations, Random random) {
            this.layout = layout;
            this.activations = layout == Layout.ARENA ? activations : Precision.F32;
            this.random = random;
        }

        /// An input of normal values with the given standard deviation.
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

        /// An operand that the program reads and writes, initially normal values.
        public Buf inout(String name, double std, Tol tol, int... dims) {
            return inout(name, normal(std, dims), tol, dims);
        }

        public Buf inout(String name, float[] values, Tol tol, int... dims) {
            return operand(name, Buf.Role.STATE, values, tol, dims);
        }

        private Buf operand(String name, Buf.Role role, float @Nullable [] given, @Nullable Tol tol, int... dims) {
            int n = size(dims);
            float[] values = given == null || activations == Precision.F32 ? given : inBf16(given);
            return switch (layout) {
                case GRADIENT -> {
                    Buf used = Buf.state(name, dims);
                    Buf host = used;
                    if (role == Buf.Role.STATE) {
                        host = Buf.state(name + " before", dims);
                        ops.add(new ElementOps.Copy(host, used));
                    }
                    operands.add(new Operand(name, host, used, values == null ? filled(n, UNWRITTEN) : values, 0, n,
                            tol));
                    yield used;
                }
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

        /// The operands with their tolerances on a backend, which may round the factors of products.
        List<Operand> operands(Backend on) {
            List<Operand> out = new ArrayList<>();
            for (Operand o : operands) {
                Tol tol = o.tol();
                for (Op op : ops)
                    if (tol != null && op instanceof ProductOps.MatMul product)
                        tol = tol.rounded(on.precision(product));
                    else
                        if (tol != null && op instanceof AttentionOps.Attention attention)
                            tol = tol.attention(on.attentionPrecision(attention.D()));
                if (tol != null)
                    tol = tol.stored(activations);
                out.add(new Operand(o.name(), o.host(), o.result(), o.initial(), o.from(), o.size(), tol));
            }
            return out;
        }

        /// Integers set by the host; the guards around them are not valid indices.
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

        /// A frozen weight of normal values (NF4: random codes and maxima); guarded where views exist.
        public Buf weight(String name, DType dtype, double std, int... dims) {
            return dtype == DType.NF4
                    ? nf4(name, Nf4Data.plain(size(dims), 64, random), dims)
                    : weight(name, dtype, normal(std, dims), dims);
        }

        private Buf weight(String name, DType dtype, float[] values, int... dims) {
            if (layout == Layout.GRADIENT)
                return in(name, values, dims);
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

        private static float[] inBf16(float[] values) {
            float[] out = new float[values.length];
            for (int i = 0; i < out.length; i++) {
                int bits = Float.floatToRawIntBits(values[i]);
                out[i] = Float.intBitsToFloat(bits + 0x7fff + (bits >>> 16 & 1) & 0xffff0000);
            }
            return out;
        }

        private static short[] upperHalves(float[] values) {
            short[] bits = new short[values.length];
            for (int i = 0; i < bits.length; i++)
                bits[i] = (short) (Float.floatToRawIntBits(values[i]) >> 16);
            return bits;
        }

        /// Adds an operation: of the forward program, or after [#cotangent] of the gradient's.
        public void op(Op op) {
            (inBackward ? backward : ops).add(op);
        }

        /// Adds the forward operation whose gradient the case is about: finite differences need it, the case itself runs
        /// the gradient alone.
        public void forward(Op op) {
            if (differences())
                ops.add(op);
        }

        /// Whether the gradient is compared with finite differences. Cases of forward operations declare their gradient
        /// only then; its operations have cases of their own.
        public boolean differences() {
            return layout == Layout.GRADIENT;
        }

        /// An input of [#forward] that the gradient does not read.
        public Buf variable(String name, double std, int... dims) {
            return differences() ? in(name, std, dims) : Buf.input(name, DType.F32, dims);
        }

        /// A result of [#forward] that the gradient does not read.
        public Buf result(String name, int... dims) {
            return differences() ? out(name, Tol.EXACT, dims) : Buf.activation(name, dims);
        }

        /// A result of [#forward] that the gradient reads: with these values where the forward operation does not run.
        public Buf saved(String name, Supplier<float[]> values, int... dims) {
            return differences() ? out(name, Tol.EXACT, dims) : in(name, values.get(), dims);
        }

        /// The gradient of the loss with respect to a result, normal values. Operations added from here on belong to the
        /// gradient.
        public Buf cotangent(String name, Buf result) {
            float[] values = normal(1, result.dims());
            if (differences()) {
                inBackward = true;
                cotangents.put(result, values);
            }
            return in(name, values, result.dims());
        }

        /// Lets a result enter the loss with the same factor for every element. Operations added from here on belong to
        /// the gradient.
        public void loss(Buf result, double factor) {
            inBackward = true;
            cotangents.put(result, filled(result.length(), (float) factor));
        }

        /// Receives the gradient with respect to an operand, added to normal values (`accumulate`) or overwriting.
        public Buf gradient(String name, Buf of, Tol tol, boolean accumulate) {
            if (!differences())
                return accumulate ? inout(name, 1, tol, of.dims()) : out(name, tol, of.dims());
            Buf b = Buf.state(name, of.dims());
            gradients.add(new Gradient(host(of), b,
                    accumulate ? normal(1, of.dims()) : filled(of.length(), UNWRITTEN), accumulate));
            return b;
        }

        /// Starts as the gradient with respect to the operand's final values; the operations that follow turn it in place
        /// into the gradient with respect to its initial ones.
        public Buf gradientInPlace(Buf of) {
            Buf d = gradient("d " + of.name(), of, Tol.EXACT, false);
            op(new ElementOps.Copy(cotangent("d result", of), d));
            return d;
        }

        /// The operation replaces the operand by the gradient of the loss with respect to it.
        public void becomesGradient(Buf operand) {
            gradients.add(new Gradient(host(operand), operand, filled(operand.length(), UNWRITTEN), false));
        }

        private Buf host(Buf used) {
            return operands.stream().filter(o -> o.result() == used).findFirst().orElseThrow().host();
        }

        /// Seeded, for values that a case chooses itself.
        public Random random() {
            return random;
        }

        public float[] normal(double std, int... dims) {
            float[] a = new float[size(dims)];
            for (int i = 0; i < a.length; i++)
                a[i] = (float) (std * random.nextGaussian());
            return a;
        }

        /// Initial values of an operand.
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

        /// The forward operations and the gradient's.
        Program gradientProgram(String name) {
            Program.Builder p = Program.builder(name);
            ops.forEach(p::add);
            backward.forEach(p::add);
            return p.build();
        }

        Map<Buf, float[]> cotangents() {
            return cotangents;
        }

        List<Gradient> gradients() {
            return gradients;
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
