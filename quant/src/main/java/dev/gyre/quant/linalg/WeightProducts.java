package dev.gyre.quant.linalg;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.ProductOps.MatMul;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import java.util.List;

/// Products of a weight A (n,d) with l rows at a time, on a backend: the two forms that every frozen linear layer uses,
/// so they are its fast ones, and A may be F32, BF16 or NF4. Rows are doubles here and F32 there.
final class WeightProducts implements AutoCloseable {
    private final int l;
    private final Buf x;
    private final Buf t;
    private final Buf z;
    private final Program forward;
    private final Program backward;
    private final Program gram;
    private final Session session;
    private int count;

    WeightProducts(HostData a, int n, int d, int l, Backend backend) {
        this.l = l;
        Buf w = Buf.weight("A", a.dtype(), n, d);
        x = Buf.input("X", DType.F32, l, d);
        t = Buf.output("XA'", l, n);
        z = Buf.output("TA", l, d);
        MatMul toOut = new MatMul(Form.NT, x, w, t, l, n, d, 1, false);
        MatMul toIn = new MatMul(Form.NN, t, w, z, l, d, n, 1, false);
        forward = Program.builder("svd forward").add(toOut).build();
        backward = Program.builder("svd backward").add(toIn).build();
        gram = Program.builder("svd gram").add(toOut).add(toIn).build();
        session = backend.open(List.of(forward, backward, gram));
        session.bind(w, a);
    }

    /// `rows A^T`: (<=l, d) to (<=l, n).
    double[][] forward(double[][] rows) {
        return run(forward, rows, x, t, 1);
    }

    /// `rows A`: (<=l, n) to (<=l, d).
    double[][] backward(double[][] rows) {
        return run(backward, rows, t, z, 1);
    }

    /// `rows A^T A`: (<=l, d) to (<=l, d).
    double[][] gram(double[][] rows) {
        return run(gram, rows, x, z, 2);
    }

    /// Products with A so far, each of `2 l n d` FLOP.
    int count() {
        return count;
    }

    private double[][] run(Program program, double[][] rows, Buf in, Buf out, int products) {
        int length = in.dim(1);
        float[] flat = new float[l * length];
        for (int i = 0; i < rows.length; i++)
            for (int j = 0; j < length; j++)
                flat[i * length + j] = (float) rows[i][j];
        session.write(in, flat);
        session.run(program);
        count += products;
        float[] result = session.read(out);
        int width = out.dim(1);
        double[][] wide = new double[rows.length][width];
        for (int i = 0; i < rows.length; i++)
            for (int j = 0; j < width; j++)
                wide[i][j] = result[i * width + j];
        return wide;
    }

    @Override
    public void close() {
        session.close();
    }
}
