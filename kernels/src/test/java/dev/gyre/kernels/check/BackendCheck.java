package dev.gyre.kernels.check;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.kernels.ref.RefBackend;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/// What every session must do besides computing: keep, share, view and start buffers as [Session] says, and run long
/// programs whose activations take turns in one arena.
public final class BackendCheck {
    private BackendCheck() {
    }

    /// @throws AssertionError saying what is wrong
    public static void check(Backend backend) {
        persistentBuffers(backend);
        views(backend);
        for (int seed = 0; seed < 5; seed++)
            arena(backend, seed);
    }

    /// PARAM, GRAD and STATE start as zeros, live on between runs, and are the same buffers in all programs.
    private static void persistentBuffers(Backend backend) {
        Buf one = Buf.input("one", DType.F32, 5);
        Buf grad = Buf.grad("grad", 5);
        Buf state = Buf.state("state", 5);
        Buf param = Buf.param("param", 5);
        Buf out = Buf.output("out", 5);
        Program accumulate = Program.builder("accumulate").add(new ElementOps.Axpy(1f, one, grad)).build();
        Program use =
                Program.builder("use").add(new ElementOps.Add(grad, state, out)).add(new ElementOps.Copy(out, state))
                        .add(new ElementOps.Axpy(-2f, grad, param)).add(new ElementOps.Fill(grad, 0f)).build();
        try (Session s = backend.open(List.of(accumulate, use))) {
            for (Buf b : List.of(grad, state, param))
                expect(backend, b.name() + " before the first run", s.read(b), 0, 0, 0, 0, 0);
            s.write(one, new float[] {1, 2, 3, 4, 5});
            s.run(accumulate);
            s.run(accumulate);
            expect(backend, "grad of two runs", s.read(grad), 2, 4, 6, 8, 10);
            s.run(use);
            expect(backend, "out", s.read(out), 2, 4, 6, 8, 10);
            expect(backend, "grad set to zero", s.read(grad), 0, 0, 0, 0, 0);
            s.write(one, new float[] {1, 0, 0, 0, 0});
            s.run(accumulate);
            s.run(use);
            expect(backend, "state of two runs", s.read(state), 3, 4, 6, 8, 10);
            expect(backend, "param of two runs", s.read(param), -6, -8, -12, -16, -20);
            if (s.bytes() < 4 * 5 * 5)
                throw new AssertionError(backend.name() + ": a session of 25 floats states " + s.bytes() + " bytes");
        }
    }

    /// The host writes and reads views, F32 and I32; operations on views of weights, parameters and activations.
    private static void views(Backend backend) {
        Buf table = Buf.weight("table", DType.F32, 6, 2);
        Buf ids = Buf.input("ids", DType.I32, 5);
        Buf params = Buf.param("params", 7);
        Buf bias = params.view("bias", 3, 2);
        Buf activations = Buf.activation("activations", 11);
        Buf rows = activations.view("rows", 5, 3, 2);
        Buf out = Buf.output("out", 9);
        Buf outRows = out.view("out rows", 1, 3, 2);
        Program p = Program.builder("views")
                .add(new TokenOps.Embed(ids.view("ids 1..3", 1, 3), table.view("rows 2..5", 4, 4, 2), rows, 3, 4, 2))
                .add(new ColumnOps.AddBias(rows, bias, 3, 2)).add(new ElementOps.Copy(rows, outRows)).build();
        try (Session s = backend.open(List.of(p))) {
            s.bind(table, new HostData.F32(new float[] {-1, -1, -1, -1, 20, 21, 30, 31, 40, 41, 50, 51}));
            s.write(ids, new int[] {9, 9, 9, 9, 9});
            s.write(ids.view("written", 1, 3), new int[] {3, 0, 2});
            s.write(params, new float[] {1, 2, 3, 4, 5, 6, 7});
            s.write(bias, new float[] {0.5f, 0.25f});
            s.write(out, new float[] {7, 7, 7, 7, 7, 7, 7, 7, 7});
            s.run(p);
            expect(backend, "params", s.read(params), 1, 2, 3, 0.5f, 0.25f, 6, 7);
            expect(backend, "out", s.read(out), 7, 50.5f, 51.25f, 20.5f, 21.25f, 40.5f, 41.25f, 7, 7);
            expect(backend, "a view of out", s.read(outRows.view("first row", 0, 2)), 50.5f, 51.25f);
        }
    }

    private static void expect(Backend backend, String what, float[] got, float... expected) {
        if (!Arrays.equals(got, expected))
            throw new AssertionError(backend.name() + ": " + what + " is " + Arrays.toString(got) + ", expected "
                    + Arrays.toString(expected));
    }

    /// A chain of 60 random operations over activations of several sizes, of which few live at a time.
    private static void arena(Backend backend, int seed) {
        Random random = new Random(seed);
        int[] rows = {1, 3, 17};
        int C = 19;
        Buf w = Buf.weight("w", DType.F32, C, C);
        Program.Builder p = Program.builder("random " + seed);
        List<List<Buf>> live = new ArrayList<>();
        Map<Buf, float[]> inputs = new LinkedHashMap<>();
        for (int n : rows) {
            Buf in = Buf.input("in" + n, DType.F32, n, C);
            inputs.put(in, normal(random, n * C));
            live.add(new ArrayList<>(List.of(in)));
        }
        List<Buf> outputs = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            int k = random.nextInt(rows.length);
            List<Buf> from = live.get(k);
            Buf a = from.get(random.nextInt(from.size()));
            Buf b = from.get(random.nextInt(from.size()));
            Buf y = Buf.activation("a" + i, rows[k], C);
            switch (random.nextInt(4)) {
                case 0 -> p.add(new ProductOps.MatMul(Form.NT, a, w, y, rows[k], C, C, 0.2f, false));
                case 1 -> p.add(new ElementOps.Copy(a, y)).add(new ElementOps.Axpy(-0.5f, b, y));
                case 2 -> p.add(a.equals(b) ? new ElementOps.Copy(a, y) : new ElementOps.SwiGlu(a, b, y));
                default -> p.add(a.equals(b) ? new ElementOps.Fill(y, i) : new ElementOps.Add(a, b, y));
            }
            from.add(y);
            if (from.size() > 3)
                from.remove(random.nextInt(from.size()));
            if (i % 7 == 0) {
                Buf out = Buf.output("out" + i, rows[k], C);
                p.add(new ElementOps.Copy(y, out));
                outputs.add(out);
            }
        }
        Program program = p.build();
        float[] weights = normal(random, C * C);
        List<float[]> got = run(backend, program, inputs, w, weights, outputs);
        List<float[]> expected = run(new RefBackend(), program, inputs, w, weights, outputs);
        for (int i = 0; i < outputs.size(); i++) {
            double max = 0;
            for (float v : expected.get(i))
                max = Math.max(max, Math.abs(v));
            for (int e = 0; e < expected.get(i).length; e++)
                // up to 60 operations in a row
                if (!(Math.abs(got.get(i)[e] - expected.get(i)[e]) <= 1e-4 * max))
                    throw new AssertionError(backend.name() + ": " + program + ": " + outputs.get(i) + "[" + e + "] = "
                            + got.get(i)[e] + ", reference " + expected.get(i)[e]);
        }
    }

    private static List<float[]> run(Backend backend, Program program, Map<Buf, float[]> inputs, Buf w,
            float[] weights, List<Buf> outputs) {
        try (Session s = backend.open(List.of(program))) {
            if (program.roots().contains(w))
                s.bind(w, new HostData.F32(weights));
            for (Map.Entry<Buf, float[]> e : inputs.entrySet())
                if (program.roots().contains(e.getKey()))
                    s.write(e.getKey(), e.getValue());
            s.run(program);
            s.run(program);
            return outputs.stream().map(s::read).toList();
        }
    }

    private static float[] normal(Random random, int n) {
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = (float) random.nextGaussian();
        return a;
    }
}
