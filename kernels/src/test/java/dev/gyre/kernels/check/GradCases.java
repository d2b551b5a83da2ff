package dev.gyre.kernels.check;

import dev.gyre.kernels.check.GradCheck.Case;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.ColumnOps;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.GivensOps;
import dev.gyre.kernels.op.NormOps;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.Orthogonal.Skew;
import dev.gyre.kernels.op.ProductOps;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.kernels.op.RotateOps;
import dev.gyre.kernels.op.SubspaceOps;
import dev.gyre.kernels.op.TokenOps;
import java.util.ArrayList;
import java.util.List;

/// A forward and backward pair for every gradient operation, and for operations that serve as the gradient of another
/// (a transposed rotation, a product with the other operand). The first word of a name is the gradient operation.
public final class GradCases {
    private final List<Case> cases = new ArrayList<>();

    private GradCases() {
    }

    public static List<Case> all() {
        GradCases t = new GradCases();
        t.layers();
        t.attention();
        t.rotations();
        t.givens();
        t.householder();
        return List.copyOf(t.cases);
    }

    private void add(String name, GradCheck.Recipe recipe) {
        cases.add(new Case(name, recipe));
    }

    private void layers() {
        add("EmbedGrad", g -> {
            Buf ids = g.ints("ids", 3, 0, 3, 1);
            Buf table = g.in("table", 1, 5, 3);
            Buf out = g.result("out", 4, 3);
            g.forward(new TokenOps.Embed(ids, table, out, 4, 5, 3));
            g.backward(new TokenOps.EmbedGrad(ids, g.cotangent(out), g.gradient(table, true), 4, 5, 3));
        });
        for (boolean adds : new boolean[] {false, true})
            add("RmsNormGrad" + (adds ? " accumulated" : ""), g -> {
                Buf x = g.in("x", 1, 3, 7);
                Buf weight = g.in("weight", 1, 7);
                Buf y = g.result("y", 3, 7);
                Buf rstd = g.scratch("rstd", 3);
                g.forward(new NormOps.RmsNorm(x, weight, y, rstd, 3, 7, 1e-2f));
                Buf dY = g.cotangent(y);
                g.backward(new NormOps.RmsNormGrad(x, weight, rstd, dY, g.gradient(x, adds), 3, 7, adds));
                g.backward(new NormOps.RmsNormWeightGrad(x, rstd, dY, g.gradient(weight, true), 3, 7));
            });
        add("RmsNormWeightGrad", g -> {
            Buf x = g.in("x", 1, 5, 3);
            Buf weight = g.in("weight", 1, 3);
            Buf y = g.result("y", 5, 3);
            Buf rstd = g.scratch("rstd", 5);
            g.forward(new NormOps.RmsNorm(x, weight, y, rstd, 5, 3, 1e-5f));
            g.backward(new NormOps.RmsNormWeightGrad(x, rstd, g.cotangent(y), g.gradient(weight, true), 5, 3));
        });
        add("MatMul as the gradient of NT", g -> {
            Buf a = g.in("a", 1, 3, 5);
            Buf b = g.in("b", 1, 7, 5);
            Buf c = g.result("c", 3, 7);
            g.forward(new ProductOps.MatMul(Form.NT, a, b, c, 3, 7, 5, 1.5f, false));
            Buf dC = g.cotangent(c);
            g.backward(new ProductOps.MatMul(Form.NN, dC, b, g.gradient(a, false), 3, 5, 7, 1.5f, false));
            g.backward(new ProductOps.MatMul(Form.TN, dC, a, g.gradient(b, true), 7, 5, 3, 1.5f, true));
        });
        add("BiasGrad", g -> {
            Buf y = g.result("y", 5, 3);
            Buf x = g.in("x", 1, 5, 3);
            Buf bias = g.in("bias", 1, 3);
            g.forward(new ElementOps.Copy(x, y));
            g.forward(new ColumnOps.AddBias(y, bias, 5, 3));
            g.backward(new ColumnOps.BiasGrad(g.cotangent(y), g.gradient(bias, true), 5, 3));
        });
        add("Rope inverse as its gradient", g -> {
            Buf x = g.in("x", 1, 3, 2 * 6);
            Buf y = g.result("y", 3, 2 * 6);
            Buf cos = g.in("cos", 1, 5, 3);
            Buf sin = g.in("sin", 1, 5, 3);
            Buf positions = g.ints("positions", 4, 0, 2);
            g.forward(new ElementOps.Copy(x, y));
            g.forward(new RopeOps.Rope(y, cos, sin, positions, 3, 2, 6, false));
            Buf dX = g.gradient(x, false);
            g.backward(new ElementOps.Copy(g.cotangent(y), dX));
            g.backward(new RopeOps.Rope(dX, cos, sin, positions, 3, 2, 6, true));
        });
        add("SwiGluGrad", g -> {
            Buf gate = g.in("gate", 2, 13);
            Buf up = g.in("up", 1, 13);
            Buf out = g.result("out", 13);
            g.forward(new ElementOps.SwiGlu(gate, up, out));
            g.backward(new ElementOps.SwiGluGrad(gate, up, g.cotangent(out), g.gradient(gate, false),
                    g.gradient(up, false)));
        });
        add("CrossEntropy gradient", g -> {
            Buf logits = g.in("logits", 2, 4, 7);
            Buf labels = g.ints("labels", 6, TokenOps.CrossEntropy.IGNORE, 0, 3);
            Buf scale = g.in("scale", new double[] {0.3}, 1);
            Buf rowLoss = g.result("rowLoss", new double[] {0.3, 0.3, 0.3, 0.3});
            g.forward(new TokenOps.CrossEntropy(logits, labels, rowLoss, scale, 4, 7, false));
            Buf dLogits = g.gradient(logits, false);
            g.backward(new ElementOps.Copy(logits, dLogits));
            g.backward(new TokenOps.CrossEntropy(dLogits, labels, g.scratch("rowLoss again", 4), scale, 4, 7, true));
        });
        for (boolean adds : new boolean[] {false, true})
            add("Dropout as its gradient" + (adds ? " accumulated" : ""), g -> {
                Buf x = g.in("x", 1, 33);
                Buf seed = g.ints("seed", 99);
                Buf y = g.result("y", 33);
                g.forward(new ElementOps.Dropout(x, seed, y, 5, 0.3f, false));
                g.backward(new ElementOps.Dropout(g.cotangent(y), seed, g.gradient(x, adds), 5, 0.3f, adds));
            });
        add("ColumnDot as the gradient of ScaleColumns", g -> {
            Buf x = g.in("x", 1, 5, 3);
            Buf s = g.in("s", 1, 3);
            Buf y = g.result("y", 5, 3);
            g.forward(new ColumnOps.ScaleColumns(x, s, y, 5, 3));
            Buf dY = g.cotangent(y);
            g.backward(new ColumnOps.ScaleColumns(dY, s, g.gradient(x, false), 5, 3));
            g.backward(new ColumnOps.ColumnDot(x, dY, g.gradient(s, true), 5, 3));
        });
        add("PermuteColumns by the inverse as its gradient", g -> {
            Buf x = g.in("x", 1, 2, 4);
            Buf y = g.result("y", 2, 4);
            g.forward(new ColumnOps.PermuteColumns(x, g.ints("perm", 2, 0, 3, 1), y, 2, 4));
            g.backward(
                    new ColumnOps.PermuteColumns(g.cotangent(y), g.ints("inverse", 1, 3, 0, 2), g.gradient(x, false), 2,
                            4));
        });
    }

    private void attention() {
        for (int window : new int[] {0, 3})
            for (int kv : new int[] {1, 2, 4})
                add("AttentionGrad window " + window + " KV" + kv, g -> {
                    int B = 2;
                    int T = 6;
                    int H = 4;
                    int D = 3;
                    Buf q = g.in("q", 1, B * T, H * D);
                    Buf k = g.in("k", 1, B * T, kv * D);
                    Buf v = g.in("v", 1, B * T, kv * D);
                    Buf start = g.ints("start", 0, 0, 0, 3, 3, 3, 0, 1, 1, 1, 1, 1);
                    Buf out = g.result("out", B * T, H * D);
                    Buf lse = g.scratch("lse", B * T, H);
                    g.forward(new AttentionOps.Attention(q, k, v, start, out, lse, B, T, H, kv, D, 0.6f, window));
                    g.backward(new AttentionOps.AttentionGrad(q, k, v, start, out, lse, g.cotangent(out),
                            g.scratch("delta", B * T, H), g.gradient(q, false), g.gradient(k, false),
                            g.gradient(v, false), B, T, H, kv, D, 0.6f, window));
                });
    }

    private void rotations() {
        for (Orthogonal.Form form : Orthogonal.Form.values())
            for (int terms : switch (form) {
                case NEUMANN -> new int[] {0, 1, 2, 3, 4, 5, 6, 9};
                case NEUMANN_LEGACY -> new int[] {0, 1, 2, 5};
                case CAYLEY_PLUS, CAYLEY_MINUS -> new int[] {0};
                case NEWTON_SCHULZ -> new int[] {1, 6};
            })
                for (Skew skew : Skew.values())
                    // never active, active in some blocks
                    for (float maxNorm : new float[] {0f, 0.9f})
                        for (int b : new int[] {1, 2, 5}) {
                            Orthogonal map = new Orthogonal(form, terms, maxNorm, skew);
                            add("CayleyGrad " + map + " b" + b, g -> {
                                Buf v = g.in("v", 0.3, 3, map.stored(b));
                                Buf r = g.result("r", 3, b, b);
                                g.forward(new CayleyOps.Cayley(map, v, r, 3, b));
                                g.backward(new CayleyOps.CayleyGrad(map, v, g.cotangent(r), g.gradient(v, true), 3, b));
                            });
                        }
        for (int stored : new int[] {1, 3})
            for (boolean transpose : new boolean[] {false, true})
                for (boolean adds : new boolean[] {false, true})
                    add("BlockRotate transposed as its gradient, stored " + stored + (transpose ? " transposed" : "")
                            + (adds ? " accumulated" : ""), g -> {
                                Buf x = g.in("x", 1, 4, 6);
                                Buf r = g.in("r", 1, stored, 2, 2);
                                Buf y = g.result("y", 4, 6);
                                g.forward(new RotateOps.BlockRotate(x, r, y, 4, 6, 2, stored, transpose, false));
                                g.backward(new RotateOps.BlockRotate(g.cotangent(y), r, g.gradient(x, adds), 4, 6, 2,
                                        stored, !transpose, adds));
                            });
        for (int stored : new int[] {1, 3})
            add("BlockRotateGrad stored " + stored, g -> {
                Buf x = g.in("x", 1, 4, 9);
                Buf r = g.in("r", 1, stored, 3, 3);
                Buf y = g.result("y", 4, 9);
                g.forward(new RotateOps.BlockRotate(x, r, y, 4, 9, 3, stored, false, false));
                g.backward(new RotateOps.BlockRotateGrad(x, g.cotangent(y), g.gradient(r, false), 4, 9, 3, stored));
            });
        for (int stored : new int[] {1, 3})
            add("BlockDiagonalGrad stored " + stored, g -> {
                Buf r = g.in("r", 1, stored, 2, 2);
                Buf dense = g.result("dense", 6, 6);
                g.forward(new RotateOps.BlockDiagonal(r, dense, 6, 2, stored));
                g.backward(new RotateOps.BlockDiagonalGrad(g.cotangent(dense), g.gradient(r, false), 6, 2, stored));
            });
        add("MaskBlocks zero as the gradient of identity", g -> {
            Buf r = g.in("r", 1, 3, 2, 2);
            Buf masked = g.result("masked", 3, 2, 2);
            Buf mask = g.ints("mask", 0, 1, 0);
            g.forward(new ElementOps.Copy(r, masked));
            g.forward(new CayleyOps.MaskBlocks(masked, mask, 3, 2, true));
            Buf dR = g.gradient(r, false);
            g.backward(new ElementOps.Copy(g.cotangent(masked), dR));
            g.backward(new CayleyOps.MaskBlocks(dR, mask, 3, 2, false));
        });
        for (boolean a : new boolean[] {false, true})
            for (boolean b : new boolean[] {false, true})
                add("PsoftCoreGrad" + (a ? " va" : "") + (b ? " vb" : ""), g -> {
                    Buf R = g.in("R", 1, 4, 4);
                    Buf va = a ? g.in("va", 1, 4) : null;
                    Buf vb = b ? g.in("vb", 1, 4) : null;
                    Buf core = g.result("core", 4, 4);
                    g.forward(new SubspaceOps.PsoftCore(R, va, vb, core, 4));
                    g.backward(new SubspaceOps.PsoftCoreGrad(R, va, vb, g.cotangent(core), g.gradient(R, false),
                            a ? g.gradient(va, true) : null, b ? g.gradient(vb, true) : null, 4));
                });
    }

    private void givens() {
        add("GivensAnglesGrad", g -> {
            Buf phi = g.in("phi", 0.8, 7);
            Buf pairs = g.result("g", 7, 4);
            g.forward(new GivensOps.GivensAngles(phi, pairs, 7));
            g.backward(new GivensOps.GivensAnglesGrad(phi, g.cotangent(pairs), g.gradient(phi, true), 7));
        });
        for (int d : new int[] {1, 2, 3, 7, 8, 13})
            for (boolean adds : new boolean[] {false, true})
                add("GivensSweepGrad d" + d + (adds ? " accumulated" : ""), g -> {
                    Buf x = g.in("x", 1, 3, d);
                    Buf pairs = g.in("g", 1, d - 1, 4);
                    Buf y = g.result("y", 3, d);
                    g.forward(new GivensOps.GivensSweep(x, pairs, y, 3, d));
                    g.backward(new GivensOps.GivensSweepGrad(x, pairs, g.cotangent(y), g.gradient(x, adds),
                            g.gradient(pairs, false), 3, d, false, adds));
                });
        add("GivensPenalty gradient", g -> {
            Buf pairs = g.in("g", 1, 5, 4);
            Buf loss = g.result("loss", new double[] {1});
            g.forward(new GivensOps.GivensPenalty(pairs, g.scratch("unused", 5, 4), loss, 5, 0.05f));
            g.backward(
                    new GivensOps.GivensPenalty(pairs, g.gradient(pairs, true), g.scratch("loss again", 1), 5, 0.05f));
        });
    }

    private void householder() {
        for (boolean gramSchmidt : new boolean[] {false, true})
            for (int r : new int[] {1, 2, 4})
                add("HouseholderVectorsGrad r" + r + (gramSchmidt ? " Gram-Schmidt" : ""), g -> {
                    Buf p = g.in("p", 1, 6, r);
                    Buf u = g.result("u", r, 6);
                    g.forward(new ReflectOps.HouseholderVectors(p, u, 6, r, gramSchmidt));
                    g.backward(new ReflectOps.HouseholderVectorsGrad(p, u, g.cotangent(u), g.gradient(p, true), 6, r,
                            gramSchmidt));
                });
        for (boolean adds : new boolean[] {false, true})
            add("HouseholderGrad" + (adds ? " accumulated" : ""), g -> {
                Buf x = g.in("x", 1, 3, 6);
                // free vectors: the gradient for u must not assume that they have length 1
                Buf u = g.in("u", 0.4, 4, 6);
                Buf y = g.result("y", 3, 6);
                g.forward(new ReflectOps.Householder(x, u, y, 3, 6, 4));
                g.backward(new ReflectOps.HouseholderGrad(x, u, g.cotangent(y), g.gradient(x, adds),
                        g.gradient(u, false), 3,
                        6, 4, adds));
            });
    }
}
