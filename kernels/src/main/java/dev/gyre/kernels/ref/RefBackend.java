package dev.gyre.kernels.ref;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.OptimiserOps;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Runs programs in double precision. Every buffer has an array of its own, also activations, which are filled with
/// NaN before each run so that stale data shows. Slow on purpose: nothing here is clever.
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

    /// A [Session] whose numbers can also be written and read in double.
    public static final class RefSession implements Session {
        private final List<Program> programs;
        private final Map<Buf, double[]> doubles = new IdentityHashMap<>();
        private final Map<Buf, int[]> ints = new IdentityHashMap<>();

        private RefSession(List<Program> programs) {
            this.programs = List.copyOf(programs);
            for (Program p : programs)
                for (Buf root : p.roots())
                    switch (root.dtype()) {
                    case I32 -> ints.putIfAbsent(root, new int[root.length()]);
                    case F32, BF16, NF4 -> {
                        if (root.role() != Buf.Role.WEIGHT)
                            doubles.putIfAbsent(root, new double[root.length()]);
                    }
                    }
        }

        @Override
        public void bind(Buf weight, HostData data) {
            if (data.dtype() != weight.dtype())
                throw new IllegalArgumentException("bind: " + weight + " got " + data.dtype() + " data");
            double[] values = new double[Math.toIntExact(data.size())];
            for (int i = 0; i < values.length; i++)
                values[i] = switch (data) {
                    case HostData.F32 f -> f.values[i];
                    case HostData.BF16 h -> Float.intBitsToFloat(h.bits[i] << 16);
                    case HostData.NF4 n -> n.value(i);
                };
            bindDouble(weight, values);
        }

        /// Gives a WEIGHT of any type its numbers in double.
        public void bindDouble(Buf weight, double[] values) {
            if (weight.role() != Buf.Role.WEIGHT || weight.isView() || values.length != weight.size())
                throw new IllegalArgumentException("bind: " + weight + " of role " + weight.role()
                        + (weight.isView() ? " (a view)" : "") + " got " + values.length + " values");
            if (doubles.putIfAbsent(weight, values.clone()) != null)
                throw new IllegalStateException("bind: " + weight + " is bound already");
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
            System.arraycopy(values, 0, storage(buf), (int) buf.offset(), values.length);
        }

        @Override
        public void write(Buf buf, int[] values) {
            check(buf, DType.I32, values.length);
            System.arraycopy(values, 0, intStorage(buf), (int) buf.offset(), values.length);
        }

        @Override
        public void read(Buf buf, float[] into) {
            check(buf, DType.F32, into.length);
            double[] wide = readDouble(buf);
            for (int i = 0; i < into.length; i++)
                into[i] = (float) wide[i];
        }

        /// The buffer's numbers in double; here also those of an activation, as the last run left them.
        public double[] readDouble(Buf buf) {
            return vec(buf).toArray();
        }

        private static void check(Buf buf, DType dtype, int length) {
            if (buf.dtype() != dtype || buf.role() == Buf.Role.WEIGHT || buf.role() == Buf.Role.ACTIVATION
                    || buf.size() != length)
                throw new IllegalArgumentException(
                        "access to " + buf + " of role " + buf.role() + " with " + length + " values of " + dtype);
        }

        private double[] storage(Buf buf) {
            double[] a = doubles.get(buf.root());
            if (a == null)
                throw new IllegalStateException(
                        buf + (buf.role() == Buf.Role.WEIGHT ? " is not bound" : " is in no program of this session"));
            return a;
        }

        private int[] intStorage(Buf buf) {
            int[] a = ints.get(buf.root());
            if (a == null)
                throw new IllegalStateException(buf + " is in no program of this session");
            return a;
        }

        private Vec vec(Buf buf) {
            return Vec.of(storage(buf), (int) buf.offset(), buf.length());
        }

        private @Nullable Vec optional(@Nullable Buf buf) {
            return buf == null ? null : vec(buf);
        }

        private int[] ints(Buf buf) {
            int at = (int) buf.offset();
            return java.util.Arrays.copyOfRange(intStorage(buf), at, at + buf.length());
        }

        private int first(Buf buf) {
            return ints(buf)[0];
        }

        @Override
        public void run(Program program) {
            if (!programs.contains(program))
                throw new IllegalArgumentException(program + " was not opened with this session");
            for (Buf root : program.roots())
                if (root.role() == Buf.Role.ACTIVATION && root.dtype() != DType.I32)
                    vec(root).fill(Double.NaN);
            program.ops().forEach(this::run);
        }

        private void run(Op op) {
            switch (op) {
                case ElementOps.Fill(var x, var value) -> vec(x).fill(value);
                case ElementOps.Copy(var x, var y) -> ElementRef.copy(vec(x), vec(y));
                case ElementOps.Add(var x, var y, var out) -> ElementRef.add(vec(x), vec(y), vec(out));
                case ElementOps.Axpy(var a, var x, var y) -> ElementRef.axpy(Decimal.of(a), vec(x), vec(y));
                case TokenOps.Embed(var ids, var table, var out, int N, int V, int C) ->
                        EmbedRef.forward(ints(ids), vec(table), vec(out), N, C);
                case TokenOps.EmbedGrad(var ids, var dOut, var dTable, int N, int V, int C) ->
                        EmbedRef.backward(ints(ids), vec(dOut), vec(dTable), N, C);
                case NormOps.RmsNorm(var x, var weight, var y, var rstd, int N, int C, float eps) ->
                        NormRef.forward(vec(x), vec(weight), vec(y), vec(rstd), N, C, Decimal.of(eps));
                case NormOps.RmsNormGrad(var x, var weight, var rstd, var dY, var dX, int N, int C, var accumulate) ->
                        NormRef.backward(vec(x), vec(weight), vec(rstd), vec(dY), vec(dX), N, C, accumulate);
                case NormOps.RmsNormWeightGrad(var x, var rstd, var dY, var dWeight, int N, int C) ->
                        NormRef.weightGrad(vec(x), vec(rstd), vec(dY), vec(dWeight), N, C);
                case ProductOps.MatMul(var form, var a, var b, var c, int M, int N, int K, float alpha, var accumulate) ->
                        ProductRef.matMul(form, vec(a), vec(b), vec(c), M, N, K, Decimal.of(alpha), accumulate);
                case ColumnOps.AddBias(var y, var bias, int N, int C) -> ElementRef.addBias(vec(y), vec(bias), N, C);
                case ColumnOps.BiasGrad(var dY, var dBias, int N, int C) ->
                        ElementRef.biasGrad(vec(dY), vec(dBias), N, C);
                case RopeOps.Rope(var x, var cos, var sin, var positions, int N, int heads, int D, var inverse) ->
                        RopeRef.rope(vec(x), vec(cos), vec(sin), ints(positions), N, heads, D, inverse);
                case AttentionOps.Attention o ->
                        AttentionRef.forward(vec(o.q()), vec(o.k()), vec(o.v()), ints(o.start()),
                                vec(o.out()), vec(o.lse()), o.B(), o.T(), o.H(), o.KV(), o.D(), Decimal.of(o.scale()),
                                o.window());
                case AttentionOps.AttentionGrad o ->
                        AttentionRef.backward(vec(o.q()), vec(o.k()), vec(o.v()), ints(o.start()),
                                vec(o.out()), vec(o.lse()), vec(o.dOut()), vec(o.delta()), vec(o.dQ()), vec(o.dK()),
                                vec(o.dV()), o.B(), o.T(), o.H(), o.KV(), o.D(), Decimal.of(o.scale()), o.window());
                case AttentionOps.CacheStore(var k, var v, var kCache, var vCache, var start, int T, int P, int C) ->
                        AttentionRef.cacheStore(vec(k), vec(v), vec(kCache), vec(vCache), first(start), T, C);
                case AttentionOps.CachedAttention o -> AttentionRef.cached(vec(o.q()), vec(o.kCache()), vec(o.vCache()),
                        first(o.start()), vec(o.out()), o.T(), o.H(), o.KV(), o.D(), Decimal.of(o.scale()),
                        o.window());
                case ElementOps.SwiGlu(var gate, var up, var out) -> ElementRef.swiGlu(vec(gate), vec(up), vec(out));
                case ElementOps.SwiGluGrad(var gate, var up, var dOut, var dGate, var dUp) ->
                        ElementRef.swiGluGrad(vec(gate), vec(up), vec(dOut), vec(dGate), vec(dUp));
                case TokenOps.CrossEntropy(var logits, var labels, var rowLoss, var scale, int N, int V, var gradient) ->
                        CrossEntropyRef.crossEntropy(vec(logits), ints(labels), vec(rowLoss), vec(scale).get(0), N, V,
                                gradient);
                case CayleyOps.Cayley(var map, var v, var r, int blocks, int b) ->
                        CayleyRef.forward(map, vec(v), vec(r), blocks, b);
                case CayleyOps.CayleyGrad(var map, var v, var dR, var dV, int blocks, int b) ->
                        CayleyRef.backward(map, vec(v), vec(dR), vec(dV), blocks, b);
                case CayleyOps.CoftProject(var v, int blocks, int b, float limit) ->
                        CayleyRef.coftProject(vec(v), blocks, b, limit);
                case RotateOps.BlockRotate(var x, var r, var y, int N, int d, int b, int stored, var transpose, var accumulate) ->
                        RotateRef.rotate(vec(x), vec(r), vec(y), N, d, b, stored, transpose, accumulate);
                case RotateOps.BlockRotateGrad(var x, var dY, var dR, int N, int d, int b, int stored) ->
                        RotateRef.grad(vec(x), vec(dY), vec(dR), N, d, b, stored);
                case ProductOps.Decode(var w, var y) -> ElementRef.copy(vec(w), vec(y));
                case RotateOps.BlockDiagonal(var r, var dense, int d, int b, int stored) ->
                        RotateRef.blockDiagonal(vec(r), vec(dense), d, b, stored);
                case RotateOps.BlockDiagonalGrad(var dDense, var dR, int d, int b, int stored) ->
                        RotateRef.blockDiagonalGrad(vec(dDense), vec(dR), d, b, stored);
                case CayleyOps.MaskBlocks(var r, var mask, int blocks, int b, var identity) ->
                        RotateRef.maskBlocks(vec(r), ints(mask), blocks, b, identity);
                case ElementOps.Dropout(var x, var seed, var y, int salt, float p, var accumulate) ->
                        ElementRef.dropout(vec(x), first(seed), vec(y), salt, p, 1 / (1 - Decimal.of(p)),
                                accumulate);
                case ColumnOps.ScaleColumns(var x, var s, var y, int N, int C) ->
                        ElementRef.scaleColumns(vec(x), vec(s), vec(y), N, C);
                case ColumnOps.ColumnDot(var x, var y, var out, int N, int C) ->
                        ElementRef.columnDot(vec(x), vec(y), vec(out), N, C);
                case ColumnOps.PermuteColumns(var x, var perm, var y, int N, int C) ->
                        ElementRef.permuteColumns(vec(x), ints(perm), vec(y), N, C);
                case SubspaceOps.PsoftCore(var R, var va, var vb, var core, int r) ->
                        SubspaceRef.forward(vec(R), optional(va), optional(vb), vec(core), r);
                case SubspaceOps.PsoftCoreGrad(var R, var va, var vb, var dCore, var dR, var dVa, var dVb, int r) ->
                        SubspaceRef.backward(vec(R), optional(va), optional(vb), vec(dCore), vec(dR), optional(dVa),
                                optional(dVb), r);
                case GivensOps.GivensAngles(var phi, var g, int n) -> GivensRef.angles(vec(phi), vec(g), n);
                case GivensOps.GivensAnglesGrad(var phi, var dG, var dPhi, int n) ->
                        GivensRef.anglesGrad(vec(phi), vec(dG), vec(dPhi), n);
                case GivensOps.GivensSweep(var x, var g, var y, int N, int d) ->
                        GivensRef.sweep(vec(x), vec(g), vec(y), N, d);
                case GivensOps.GivensSweepGrad(var x, var g, var dY, var dX, var dG, int N, int d, var orthogonal, var accumulate) ->
                        GivensRef.sweepGrad(vec(x), vec(g), vec(dY), vec(dX), vec(dG), N, d, accumulate);
                case GivensOps.GivensPenalty(var g, var dG, var loss, int n, float lambda) ->
                        GivensRef.penalty(vec(g), vec(dG), vec(loss), n, Decimal.of(lambda));
                case ReflectOps.HouseholderVectors(var p, var u, int d, int r, var gramSchmidt) ->
                        ReflectRef.vectors(vec(p), vec(u), d, r, gramSchmidt);
                case ReflectOps.HouseholderVectorsGrad(var p, var u, var dU, var dP, int d, int r, var gramSchmidt) ->
                        ReflectRef.vectorsGrad(vec(p), vec(u), vec(dU), vec(dP), d, r, gramSchmidt);
                case ReflectOps.Householder(var x, var u, var y, int N, int d, int r) ->
                        ReflectRef.reflect(vec(x), vec(u), vec(y), N, d, r);
                case ReflectOps.HouseholderGrad(var x, var u, var dY, var dX, var dU, int N, int d, int r, var accumulate) ->
                        ReflectRef.reflectGrad(vec(x), vec(u), vec(dY), vec(dX), vec(dU), N, d, r, accumulate);
                case OptimiserOps.GradNorm(var grad, var norm) -> OptimiserRef.gradNorm(vec(grad), vec(norm));
                case OptimiserOps.AdamW(var param, var grad, var m, var v, var hp, var norm, var decay) ->
                        OptimiserRef.step(vec(param), vec(grad), vec(m), vec(v), vec(hp), vec(norm).get(0), decay);
            }
        }

        @Override
        public long bytes() {
            return doubles.values().stream().mapToLong(a -> 8L * a.length).sum()
                    + ints.values().stream().mapToLong(a -> 4L * a.length).sum();
        }

        @Override
        public void close() {
            doubles.clear();
            ints.clear();
        }
    }
}
