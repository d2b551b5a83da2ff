package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.ref.RefBackend.RefSession;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Adapted layers of PEFT and peft-givens, forward, backward and merged, as programs of operations. Any backend is
/// compared with the float32 values, the reference with the float64 ones.
public final class GoldenLayers {
    /// Methods whose layers are no programs of single operations here: tested where they are built.
    private static final List<String> ELSEWHERE = List.of("nf4", "qoft", "dora", "adalora");

    private GoldenLayers() {
    }

    /// One case of the index.
    public record Case(String method, String name, JsonNode json) {
        @Override
        public String toString() {
            return method + " " + name;
        }
    }

    public static List<Case> cases() {
        List<Case> out = new ArrayList<>();
        for (JsonNode c : new JsonMapper().readTree(GoldenFile.resource("index.json")).get("cases"))
            if (!ELSEWHERE.contains(c.get("method").asString()))
                out.add(new Case(c.get("method").asString(), c.get("name").asString(), c));
        return out;
    }

    /// @return the largest error as a fraction of what is allowed
    /// @throws AssertionError naming case, output, index and both values
    public static double check(Backend backend, Case c) {
        Layer l = new Layer(c);
        l.emit(c.method());
        l.config.expectAllRead();
        Program program = l.program.build();
        double worst = 0;
        try (Session session = backend.open(List.of(program))) {
            l.weights.forEach((buf, values) -> session.bind(buf, new HostData.F32(values)));
            l.floats.forEach((buf, values) -> session.write(buf, values));
            l.ints.forEach((buf, values) -> session.write(buf, values));
            session.run(program);
            boolean inDouble = session instanceof RefSession;
            for (Map.Entry<String, JsonNode> e : c.json().get("outputs").properties()) {
                String output = e.getKey();
                // the library's inverse is not a program; perm is an input here
                if (output.equals("W_unmerged") || output.equals("perm"))
                    continue;
                Buf buf = l.outputs.get(output);
                if (buf == null)
                    throw new AssertionError(c + ": nothing computes " + output);
                double[] got = session instanceof RefSession ref ? ref.readDouble(buf) : widened(session.read(buf));
                worst = Math.max(worst, compare(c, output, inDouble ? "f64" : "f32", got,
                        l.file.doubles(e.getValue().get(inDouble ? "f64" : "f32").asString())));
            }
        }
        return worst;
    }

    private static double compare(Case c, String output, String precision, double[] got, double[] expected) {
        JsonNode override = c.json().get("tolerance").path("overrides").path(output);
        JsonNode tolerance = (override.isMissingNode() ? c.json().get("tolerance") : override).get(precision);
        double max = 0;
        for (double v : expected)
            max = Math.max(max, Math.abs(v));
        double allowed = tolerance.get("atol").asDouble() + tolerance.get("rtol").asDouble() * max;
        if (got.length != expected.length)
            throw new AssertionError(c + ": " + output + " has " + got.length + " elements, expected "
                    + expected.length);
        double worst = 0;
        for (int i = 0; i < got.length; i++) {
            double diff = Math.abs(got[i] - expected[i]);
            if (!(diff <= allowed))
                throw new AssertionError(
                        String.format("%s: %s[%d] = %s, expected %s: differs by %.3g, allowed %.3g (%s)",
                                c, output, i, got[i], expected[i], diff, allowed, precision));
            worst = Math.max(worst, diff);
        }
        return worst / allowed;
    }

    private static double[] widened(float[] a) {
        double[] out = new double[a.length];
        for (int i = 0; i < a.length; i++)
            out[i] = a[i];
        return out;
    }

    /// The program of one case while it is built: `y = f(x) W^T + bias`, its gradients, and the merged weight.
    private static final class Layer {
        final GoldenFile file;
        final JsonNode json;
        final GoldenOptions config;
        final Program.Builder program;
        final Map<Buf, float[]> weights = new LinkedHashMap<>();
        final Map<Buf, float[]> floats = new LinkedHashMap<>();
        final Map<Buf, int[]> ints = new LinkedHashMap<>();
        final Map<String, Buf> outputs = new LinkedHashMap<>();
        final int N;
        final int d;
        final int n;
        final Buf x;
        final Buf gy;
        final Buf W;
        final Buf y;
        final Buf gx;

        Layer(Case c) {
            json = c.json();
            config = new GoldenOptions(c.toString(), json.get("config"));
            file = new GoldenFile(json.get("file").asString());
            program = Program.builder(c.toString());
            d = config.get("in_features").asInt();
            n = config.get("out_features").asInt();
            float[] xs = values("inputs", "x");
            N = xs.length / d;
            x = input("x", xs, N, d);
            gy = input("gy", values("inputs", "gy"), N, n);
            W = Buf.weight("W", DType.F32, n, d);
            weights.put(W, values("inputs", "W"));
            y = output("y", N, n);
            gx = output("grad.x", N, d);
        }

        void emit(String method) {
            switch (method) {
                case "oft" -> oft();
                case "psoft" -> psoft();
                case "goft" -> goft();
                case "lora" -> lora();
                case "boft" -> boft();
                case "hra" -> hra();
                default -> throw new IllegalArgumentException(method);
            }
        }

        private boolean has(String group, String name) {
            return json.get(group).has(name);
        }

        private float[] values(String group, String name) {
            double[] wide = file.doubles(json.get(group).get(name).asString());
            float[] out = new float[wide.length];
            for (int i = 0; i < out.length; i++)
                out[i] = (float) wide[i];
            return out;
        }

        private Buf input(String name, float[] values, int... dims) {
            Buf b = Buf.input(name, DType.F32, dims);
            floats.put(b, values);
            return b;
        }

        private Buf given(String name, int... dims) {
            return input(name, values("inputs", name), dims);
        }

        private Buf identity(int k) {
            float[] e = new float[k * k];
            for (int i = 0; i < k; i++)
                e[i * k + i] = 1;
            return input("I", e, k, k);
        }

        private Buf param(String name, int... dims) {
            Buf b = Buf.param(name, dims);
            floats.put(b, values("params", name));
            return b;
        }

        private @Nullable Buf optionalParam(String name, int... dims) {
            return has("params", name) ? param(name, dims) : null;
        }

        /// Gradient of a parameter: zero at the start, an expected output.
        private Buf grad(String name, int... dims) {
            Buf b = Buf.grad("grad." + name, dims);
            outputs.put(b.name(), b);
            return b;
        }

        private Buf output(String name, int... dims) {
            Buf b = Buf.output(name, dims);
            outputs.put(name, b);
            return b;
        }

        private static Buf act(String name, int... dims) {
            return Buf.activation(name, dims);
        }

        private void op(Op op) {
            program.add(op);
        }

        private void matMul(Form form, Buf a, Buf b, Buf c, int M, int N, int K) {
            op(new ProductOps.MatMul(form, a, b, c, M, N, K, 1f, false));
        }

        private void addBias() {
            if (has("inputs", "bias"))
                op(new ColumnOps.AddBias(y, given("bias", n), N, n));
        }

        private Buf decoded(Buf w) {
            Buf out = act("W decoded", n, d);
            op(new ProductOps.Decode(w, out));
            return out;
        }

        /// `W_merged = W M^T` where rows of x are multiplied by M (d,d).
        private void merged(Buf M) {
            matMul(Form.NT, decoded(W), M, output("W_merged", n, d), n, d, d);
        }

        private void oft() {
            int asked = config.get("oft_block_size").asInt();
            int b = asked == 0 ? d / config.get("r").asInt() : d % asked == 0 ? asked : d;
            config.expect("r", asked == 0 ? d / b : 0);
            config.expect("effective_block_size", b);
            config.expect("effective_r", d / b);
            config.expect("module_dropout", 0.0);
            int stored = config.get("block_share").asBoolean() ? 1 : d / b;
            int m = b * (b - 1) / 2;
            int terms = config.get("num_cayley_neumann_terms").asInt();
            Orthogonal map = config.get("use_cayley_neumann").asBoolean() ? Orthogonal.neumann(terms)
                    : Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0);
            Buf v = param("oft_R.weight", stored, m);
            double eps = config.get("eps").asDouble();
            if (config.get("coft").asBoolean()) {
                op(new CayleyOps.CoftProject(v, stored, b, (float) (eps / Math.sqrt(stored))));
                outputs.put("projected.oft_R.weight", v);
            }
            Buf R = output("R_blocks", stored, b, b);
            op(new CayleyOps.Cayley(map, v, R, stored, b));
            Buf rotated = act("x R", N, d);
            op(new RotateOps.BlockRotate(x, R, rotated, N, d, b, stored, false, false));
            matMul(Form.NT, rotated, W, y, N, n, d);
            addBias();
            Buf dRotated = act("d(x R)", N, d);
            matMul(Form.NN, gy, W, dRotated, N, d, n);
            op(new RotateOps.BlockRotate(dRotated, R, gx, N, d, b, stored, true, false));
            Buf dR = act("dR", stored, b, b);
            op(new RotateOps.BlockRotateGrad(x, dRotated, dR, N, d, b, stored));
            op(new CayleyOps.CayleyGrad(map, v, dR, grad("oft_R.weight", stored, m), stored, b));
            op(new RotateOps.BlockRotate(decoded(W), R, output("W_merged", n, d), n, d, b, stored, true, false));
        }

        private void psoft() {
            int r = config.get("r").asInt();
            double s = config.get("psoft_alpha").asDouble() / r;
            boolean orthogonal = config.get("psoft_orth").asBoolean();
            // only the Neumann series scales Q down to a norm
            JsonNode eps = config.get("cayley_neumann_eps");
            int terms = config.get("num_cayley_neumann_terms").asInt();
            Orthogonal map = config.get("use_cayley_neumann").asBoolean()
                    ? new Orthogonal(Orthogonal.Form.NEUMANN, terms, eps.isNull() ? 0 : eps.floatValue(), Skew.PACKED)
                    : Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0);
            int m = orthogonal ? r * (r - 1) / 2 : r * r;
            Buf A = given("A", r, d);
            Buf B = given("B", n, r);
            Buf v = param("psoft_R.weight", m);
            // how the library found the factors shows in their values alone
            config.expect("ab_svd_init", config.get("ab_svd_init").asString().equals("pissa_init") ? "pissa_init"
                    : "psoft_init");
            config.expect("psoft_svd", "full");
            Buf va = optionalParam("psoft_R.vector_a", r);
            Buf vb = optionalParam("psoft_R.vector_b", r);
            config.expect("psoft_mag_a", va != null);
            config.expect("psoft_mag_b", vb != null);
            Buf R = orthogonal ? act("R", r, r) : v;
            if (orthogonal)
                op(new CayleyOps.Cayley(map, v, R, 1, r));
            Buf core = act("core", r, r);
            op(new SubspaceOps.PsoftCore(R, va, vb, core, r));
            op(new ElementOps.Add(core, identity(r), output("R_scaled", r, r)));
            Buf z = act("z", N, r);
            Buf u = act("u", N, r);
            matMul(Form.NT, x, A, z, N, r, d);
            matMul(Form.NT, z, core, u, N, r, r);
            matMul(Form.NT, x, W, y, N, n, d);
            op(new ProductOps.MatMul(Form.NT, u, B, y, N, n, r, s, true));
            addBias();

            Buf h = act("h", N, r);
            op(new ProductOps.MatMul(Form.NN, gy, B, h, N, r, n, s, false));
            Buf dCore = act("dCore", r, r);
            matMul(Form.TN, h, z, dCore, r, r, N);
            Buf dR = orthogonal ? act("dR", r, r) : output("grad.psoft_R.weight", r, r);
            op(new SubspaceOps.PsoftCoreGrad(R, va, vb, dCore, dR, va == null ? null : grad("psoft_R.vector_a", r),
                    vb == null ? null : grad("psoft_R.vector_b", r), r));
            if (orthogonal)
                op(new CayleyOps.CayleyGrad(map, v, dR, grad("psoft_R.weight", m), 1, r));
            Buf dz = act("dz", N, r);
            matMul(Form.NN, h, core, dz, N, r, r);
            matMul(Form.NN, gy, W, gx, N, d, n);
            op(new ProductOps.MatMul(Form.NN, dz, A, gx, N, d, r, 1f, true));

            Buf coreA = act("core A", r, d);
            matMul(Form.NN, core, A, coreA, r, d, r);
            mergedSum(B, coreA, s, r);
        }

        /// `delta_W = s left right` of rank r, `W_merged = W + delta_W`.
        private void mergedSum(Buf left, Buf right, double s, int r) {
            Buf delta = output("delta_W", n, d);
            op(new ProductOps.MatMul(Form.NN, left, right, delta, n, d, r, s, false));
            op(new ElementOps.Add(decoded(W), delta, output("W_merged", n, d)));
        }

        private void lora() {
            int r = config.get("r").asInt();
            double divisor = config.get("use_rslora").asBoolean() ? Math.sqrt(r) : r;
            double s = config.get("lora_alpha").asDouble() / divisor;
            Buf A = param("lora_A.weight", r, d);
            Buf B = param("lora_B.weight", n, r);
            Buf z = act("z", N, r);
            matMul(Form.NT, x, A, z, N, r, d);
            matMul(Form.NT, x, W, y, N, n, d);
            op(new ProductOps.MatMul(Form.NT, z, B, y, N, n, r, s, true));
            addBias();
            Buf h = act("h", N, r);
            matMul(Form.NN, gy, B, h, N, r, n);
            op(new ProductOps.MatMul(Form.TN, h, x, grad("lora_A.weight", r, d), r, d, N, s, true));
            op(new ProductOps.MatMul(Form.TN, gy, z, grad("lora_B.weight", n, r), n, r, N, s, true));
            matMul(Form.NN, gy, W, gx, N, d, n);
            op(new ProductOps.MatMul(Form.NN, h, A, gx, N, d, r, s, true));
            mergedSum(B, A, s, r);
        }

        private void goft() {
            boolean strict = config.get("strict_oft").asBoolean();
            Buf phi = strict ? param("givens_hard", d - 1) : null;
            Buf g = phi != null ? act("g", d - 1, 4) : param("givens_soft", d - 1, 4);
            if (phi != null)
                op(new GivensOps.GivensAngles(phi, g, d - 1));
            Buf scaler = optionalParam("givens_scaler", d);
            config.expect("variant", strict ? "goft" : "qgoft");
            config.expect("informational_only", false);
            // free matrices scale by themselves
            config.expect("no_scaling", strict && scaler == null);
            Buf swept = act("swept", N, d);
            op(new GivensOps.GivensSweep(x, g, swept, N, d));
            Buf scaled = scaled(swept, scaler, N);
            matMul(Form.NT, scaled, W, y, N, n, d);
            addBias();

            Buf dScaled = act("d scaled", N, d);
            matMul(Form.NN, gy, W, dScaled, N, d, n);
            if (scaler != null)
                op(new ColumnOps.ColumnDot(swept, dScaled, grad("givens_scaler", d), N, d));
            Buf dSwept = scaled(dScaled, scaler, N);
            Buf dG = phi != null ? act("dG", d - 1, 4) : output("grad.givens_soft", d - 1, 4);
            op(new GivensOps.GivensSweepGrad(x, g, dSwept, gx, dG, N, d, strict, false));
            if (phi != null)
                op(new GivensOps.GivensAnglesGrad(phi, dG, grad("givens_hard", d - 1), d - 1));

            Buf M = output("M", d, d);
            Buf unscaled = act("M unscaled", d, d);
            op(new GivensOps.GivensSweep(identity(d), g, unscaled, d, d));
            op(new ElementOps.Copy(scaled(unscaled, scaler, d), M));
            merged(M);
        }

        private Buf scaled(Buf rows, @Nullable Buf scaler, int count) {
            if (scaler == null)
                return rows;
            Buf out = act(rows.name() + " scaled", count, d);
            op(new ColumnOps.ScaleColumns(rows, scaler, out, count, d));
            return out;
        }

        private void hra() {
            int r = config.get("r").asInt();
            boolean gramSchmidt = config.get("apply_GS").asBoolean();
            Buf p = param("hra_u", d, r);
            Buf u = act("u", r, d);
            op(new ReflectOps.HouseholderVectors(p, u, d, r, gramSchmidt));
            Buf reflected = act("reflected", N, d);
            op(new ReflectOps.Householder(x, u, reflected, N, d, r));
            matMul(Form.NT, reflected, W, y, N, n, d);
            addBias();

            Buf dReflected = act("d reflected", N, d);
            matMul(Form.NN, gy, W, dReflected, N, d, n);
            Buf dU = act("dU", r, d);
            op(new ReflectOps.HouseholderGrad(x, u, dReflected, gx, dU, N, d, r, false));
            op(new ReflectOps.HouseholderVectorsGrad(p, u, dU, grad("hra_u", d, r), d, r, gramSchmidt));

            // rows are multiplied by H^T
            Buf I = identity(d);
            Buf Ht = act("H^T", d, d);
            op(new ReflectOps.Householder(I, u, Ht, d, d, r));
            matMul(Form.NT, I, Ht, output("H", d, d), d, d, d);
            merged(Ht);
        }

        private void boft() {
            int factors = config.get("boft_n_butterfly_factor").asInt();
            int number = config.get("boft_block_num").asInt();
            int b = number == 0 ? config.get("boft_block_size").asInt() : d / number;
            config.expect("boft_block_size", number == 0 ? b : 0);
            int blocks = d / b;
            Orthogonal map = new Orthogonal(Orthogonal.Form.CAYLEY_MINUS, 0, 0f, Skew.FULL);
            Buf X = param("boft_R", factors, blocks, b, b);
            Buf s = param("boft_s", n);
            Buf K = act("K", factors, blocks, b, b);
            op(new CayleyOps.Cayley(map, X, K, factors * blocks, b));
            Buf[] perm = new Buf[factors];
            Buf[] inverse = new Buf[factors];
            for (int k = 0; k < factors; k++) {
                int[] p = permutation(k);
                int[] q = new int[d];
                for (int j = 0; j < d; j++)
                    q[p[j]] = j;
                perm[k] = ints("perm" + k, p);
                inverse[k] = ints("inverse" + k, q);
            }
            // factor k of a row: v P_k, blocks, v P_k^T; the last factor comes first
            Buf[] met = new Buf[factors];
            Buf rotated = butterfly(x, N, factors, blocks, b, K, perm, inverse, met);
            Buf z = act("z", N, n);
            matMul(Form.NT, rotated, W, z, N, n, d);
            op(new ColumnOps.ScaleColumns(z, s, y, N, n));
            addBias();

            op(new ColumnOps.ColumnDot(z, gy, grad("boft_s", n), N, n));
            Buf dz = act("dz", N, n);
            op(new ColumnOps.ScaleColumns(gy, s, dz, N, n));
            Buf g = act("g", N, d);
            matMul(Form.NN, dz, W, g, N, d, n);
            Buf dK = act("dK", factors, blocks, b, b);
            for (int k = 0; k < factors; k++) {
                Buf turned = act("g turned " + k, N, d);
                op(new ColumnOps.PermuteColumns(g, inverse[k], turned, N, d));
                op(new RotateOps.BlockRotateGrad(met[k], turned, factor(dK, k, blocks, b), N, d, b, blocks));
                Buf back = act("g back " + k, N, d);
                op(new RotateOps.BlockRotate(turned, factor(K, k, blocks, b), back, N, d, b, blocks, true, false));
                g = act("g" + k, N, d);
                op(new ColumnOps.PermuteColumns(back, perm[k], g, N, d));
            }
            op(new ElementOps.Copy(g, gx));
            op(new CayleyOps.CayleyGrad(map, X, dK, grad("boft_R", factors, blocks, b, b), factors * blocks, b));

            Buf I = identity(d);
            Buf R = output("rotation", d, d);
            op(new ElementOps.Copy(butterfly(I, d, factors, blocks, b, K, perm, inverse, new Buf[factors]), R));
            // rows of W R^T are scaled by s: columns of its transpose
            Buf transposed = act("R W^T", d, n);
            matMul(Form.NT, R, W, transposed, d, n, d);
            Buf scaled = act("R W^T s", d, n);
            op(new ColumnOps.ScaleColumns(transposed, s, scaled, d, n));
            matMul(Form.TN, scaled, I, output("W_merged", n, d), n, d, d);
        }

        private static Buf factor(Buf K, int k, int blocks, int b) {
            return K.view(K.name() + k, (long) k * blocks * b * b, blocks, b, b);
        }

        /// `met[k]` receives what the blocks of factor k saw.
        private Buf butterfly(Buf rows, int count, int factors, int blocks, int b, Buf K, Buf[] perm, Buf[] inverse,
                Buf[] met) {
            Buf v = rows;
            for (int k = factors - 1; k >= 0; k--) {
                met[k] = act(rows.name() + " P" + k, count, d);
                op(new ColumnOps.PermuteColumns(v, inverse[k], met[k], count, d));
                Buf turned = act(rows.name() + " turned " + k, count, d);
                op(new RotateOps.BlockRotate(met[k], factor(K, k, blocks, b), turned, count, d, b, blocks, false,
                        false));
                v = act(rows.name() + " F" + k, count, d);
                op(new ColumnOps.PermuteColumns(turned, perm[k], v, count, d));
            }
            return v;
        }

        /// Row k of the stored permutations: P_k has a 1 at (j, perm[j]).
        private int[] permutation(int k) {
            double[] all = file.doubles(json.get("outputs").get("perm").asString());
            int[] p = new int[d];
            for (int j = 0; j < d; j++)
                p[j] = (int) all[k * d + j];
            return p;
        }

        private Buf ints(String name, int... values) {
            Buf b = Buf.input(name, DType.I32, values.length);
            ints.put(b, values);
            return b;
        }
    }
}
