package dev.gyre.kernels.ref;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.ActivationOps;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.DisentangledOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.HeadOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.LayerNormOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.PartOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.List;

/// Runs programs in double precision. Every buffer has an array of its own, also activations, which are filled with
/// NaN before each run, so that reading stale data is noticed. Not optimised.
public final class RefBackend implements Backend {
    @Override
    public String name() {
        return "ref";
    }

    @Override
    public String describe() {
        return "double-precision reference, plain loops, one thread";
    }

    @Override
    public RefSession open(List<Program> programs) {
        return new RefSession(programs);
    }

    /// A [Session] whose buffers can also be written and read in double.
    public static final class RefSession implements Session {
        private final List<Program> programs;
        private final Operands operands;

        private RefSession(List<Program> programs) {
            this.programs = List.copyOf(programs);
            this.operands = new Operands(programs);
        }

        @Override
        public void bind(Buf weight, HostData data) {
            if (data.dtype() != weight.dtype())
                throw new IllegalArgumentException("bind: " + weight + " got " + data.dtype() + " data");
            float[] floats = data.floats();
            double[] values = new double[floats.length];
            for (int i = 0; i < values.length; i++)
                values[i] = floats[i];
            bindDouble(weight, values);
        }

        /// Gives a WEIGHT of any type its values in double.
        public void bindDouble(Buf weight, double[] values) {
            if (weight.role() != Buf.Role.WEIGHT || weight.isView() || values.length != weight.size())
                throw new IllegalArgumentException("bind: " + weight + " of role " + weight.role()
                        + (weight.isView() ? " (a view)" : "") + " got " + values.length + " values");
            operands.bind(weight, values.clone());
        }

        @Override
        public void write(Buf buf, float[] values) {
            double[] wide = new double[values.length];
            for (int i = 0; i < wide.length; i++)
                wide[i] = values[i];
            writeDouble(buf, wide);
        }

        /// [#write] with double values.
        public void writeDouble(Buf buf, double[] values) {
            check(buf, DType.F32, values.length);
            operands.vec(buf).write(values);
        }

        @Override
        public void write(Buf buf, int[] values) {
            check(buf, DType.I32, values.length);
            operands.write(buf, values);
        }

        @Override
        public void read(Buf buf, float[] into) {
            check(buf, DType.F32, into.length);
            double[] wide = readDouble(buf);
            for (int i = 0; i < into.length; i++)
                into[i] = (float) wide[i];
        }

        /// The buffer's elements in double; also those of an activation, as the last run left them.
        public double[] readDouble(Buf buf) {
            return operands.vec(buf).toArray();
        }

        private static void check(Buf buf, DType dtype, int length) {
            if (buf.dtype() != dtype || buf.role() == Buf.Role.WEIGHT || buf.role() == Buf.Role.ACTIVATION
                    || buf.size() != length)
                throw new IllegalArgumentException(
                        "access to " + buf + " of role " + buf.role() + " with " + length + " values of " + dtype);
        }

        @Override
        public void run(Program program) {
            if (!programs.contains(program))
                throw new IllegalArgumentException(program + " was not opened with this session");
            for (Buf root : program.roots())
                if (root.role() == Buf.Role.ACTIVATION && root.dtype() != DType.I32)
                    operands.vec(root).fill(Double.NaN);
            program.ops().forEach(this::run);
        }

        private void run(Op op) {
            switch (op) {
                case ElementOps o -> ElementRef.run(o, operands);
                case ColumnOps o -> ColumnRef.run(o, operands);
                case NormOps o -> NormRef.run(o, operands);
                case ProductOps o -> ProductRef.run(o, operands);
                case TokenOps o -> TokenRef.run(o, operands);
                case RopeOps o -> RopeRef.run(o, operands);
                case AttentionOps o -> AttentionRef.run(o, operands);
                case CayleyOps o -> CayleyRef.run(o, operands);
                case RotateOps o -> RotateRef.run(o, operands);
                case SubspaceOps o -> SubspaceRef.run(o, operands);
                case GivensOps o -> GivensRef.run(o, operands);
                case ReflectOps o -> ReflectRef.run(o, operands);
                case OptimiserOps o -> OptimiserRef.run(o, operands);
                case ActivationOps o -> ActivationRef.run(o, operands);
                case LayerNormOps o -> LayerNormRef.run(o, operands);
                case PartOps o -> PartRef.run(o, operands);
                case HeadOps o -> HeadRef.run(o, operands);
                case DisentangledOps o -> DisentangledRef.run(o, operands);
            }
        }

        @Override
        public long bytes() {
            return operands.bytes();
        }

        @Override
        public void close() {
            operands.clear();
        }
    }
}
