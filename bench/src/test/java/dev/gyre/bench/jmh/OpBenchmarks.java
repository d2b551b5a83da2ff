package dev.gyre.bench.jmh;

import dev.gyre.bench.Cases;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.kernels.op.ProductOps.MatMul.Form;
import org.openjdk.jmh.annotations.Param;

/// The operations, one class each: sizes of real layers, and 207 and 702, which no vector width divides.
public final class OpBenchmarks {
    private OpBenchmarks() {
    }

    /// Shapes M x N x K.
    public static class Product extends OpBenchmark {
        @Param({"NT", "NN", "TN"})
        public Form form = Form.NT;

        @Param({"1024x2048x768", "1024x768x2048", "512x512x512", "207x702x207", "702x207x702"})
        public String shape = "";

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.product(form, DType.F32, n[0], n[1], n[2]);
        }
    }

    /// The same with a frozen weight in fewer bits.
    public static class CodedProduct extends OpBenchmark {
        @Param({"NT", "NN"})
        public Form form = Form.NT;

        @Param({"BF16", "NF4"})
        public DType type = DType.NF4;

        @Param({"1024x2048x768", "1024x768x2048", "207x702x207"})
        public String shape = "";

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.product(form, type, n[0], n[1], n[2]);
        }
    }

    /// Shapes N x d x b.
    public static class Rotation extends OpBenchmark {
        @Param({"2048x4096x32", "1024x768x32", "207x702x26"})
        public String shape = "";

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.rotate(n[0], n[1], n[2]);
        }
    }

    /// Both gradients of [Rotation].
    public static class RotationGradient extends Rotation {
        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.rotateBack(n[0], n[1], n[2]);
        }
    }

    /// Rotations from skew blocks; shapes blocks x b.
    public static class Orthogonalisation extends OpBenchmark {
        @Param({"NEUMANN", "CAYLEY_PLUS", "NEWTON_SCHULZ"})
        public Orthogonal.Form form = Orthogonal.Form.NEUMANN;

        @Param({"128x32", "24x32", "27x26", "1x207"})
        public String shape = "";

        Orthogonal map() {
            return switch (form) {
                case NEUMANN, NEUMANN_LEGACY -> Orthogonal.of(form, 5);
                case NEWTON_SCHULZ -> Orthogonal.of(form, 6);
                case CAYLEY_PLUS, CAYLEY_MINUS -> Orthogonal.of(form, 0);
            };
        }

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.orthogonal(map(), n[0], n[1], 0.01);
        }
    }

    /// The gradient of [Orthogonalisation].
    public static class OrthogonalisationGradient extends Orthogonalisation {
        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.orthogonalBack(map(), n[0], n[1], 0.01);
        }
    }

    /// Shapes N x d.
    public static class GivensSweep extends OpBenchmark {
        @Param({"2048x4096", "1024x768", "207x702"})
        public String shape = "";

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.givens(n[0], n[1]);
        }
    }

    /// Both gradients of [GivensSweep].
    public static class GivensSweepGradient extends GivensSweep {
        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.givensBack(n[0], n[1]);
        }
    }

    /// PSOFT's three products; shapes N x d x n x r.
    public static class Subspace extends OpBenchmark {
        @Param({"1024x768x2048x64", "207x702x207x13"})
        public String shape = "";

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.subspace(n[0], n[1], n[2], n[3]);
        }
    }

    /// A whole weight decoded to F32; shapes n x d.
    public static class Decode extends OpBenchmark {
        @Param({"BF16", "NF4"})
        public DType type = DType.NF4;

        @Param({"4096x4096", "207x702"})
        public String shape = "";

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.decode(type, n[0], n[1]);
        }
    }

    /// Shapes B x T x H x KV x D.
    public static class Attention extends OpBenchmark {
        @Param({"4x256x12x4x64", "1x207x6x2x26"})
        public String shape = "";

        /// Whether the gradient follows.
        @Param({"false", "true"})
        public boolean gradient;

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.attention(n[0], n[1], n[2], n[3], n[4], gradient);
        }
    }

    /// Shapes N x C.
    public static class Norm extends OpBenchmark {
        @Param({"1024x768", "512x2048", "207x702"})
        public String shape = "";

        @Param({"false", "true"})
        public boolean gradient;

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return gradient ? Cases.normBack(n[0], n[1]) : Cases.norm(n[0], n[1]);
        }
    }

    /// Shapes N x V.
    public static class CrossEntropy extends OpBenchmark {
        @Param({"256x32000", "207x702"})
        public String shape = "";

        @Param({"false", "true"})
        public boolean gradient;

        @Override
        protected OpCase operation() {
            int[] n = numbers(shape);
            return Cases.crossEntropy(n[0], n[1], gradient);
        }
    }

    /// One step on so many numbers.
    public static class AdamW extends OpBenchmark {
        @Param({"1238016", "207"})
        public int size;

        @Override
        protected OpCase operation() {
            return Cases.adamW(size);
        }
    }
}
