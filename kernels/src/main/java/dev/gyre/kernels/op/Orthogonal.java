package dev.gyre.kernels.op;


/// How a rotation R is made from a skew-symmetric Q, per block. With `p` the highest power of the polynomial
/// forms, `R^T R = (I - Q^p)^T (I - Q^p)` for [Form#NEUMANN] of three terms and more.
///
/// @param form the map
/// @param terms `num_cayley_neumann_terms` of PEFT for the two Neumann forms; iterations for Newton-Schulz; else 0
/// @param maxNorm when positive: a block with `||Q||_F > maxNorm` is first scaled to about that norm
///        (`Q maxNorm / (||Q||_F + 1e-12)`, PSOFT's `cayley_neumann_eps`); the gradient passes through the scaling
/// @param skew how the block is stored
public record Orthogonal(Form form, int terms, double maxNorm, Skew skew) {
    public enum Form {
        /// PEFT's Cayley-Neumann polynomial since 0.18: `I + 2Q + ... + 2Q^(p-1) + Q^p`, `p = max(t, 4) - 1`;
        /// t = 2: `I + 2Q`; t below 2: `I`, without gradient.
        NEUMANN,
        /// The polynomial of PEFT 0.16 and 0.17: `I + 2Q + ... + 2Q^(t-1)`.
        NEUMANN_LEGACY,
        /// `(I + Q)(I - Q)^-1`: the OFTv2 paper, PSOFT.
        CAYLEY_PLUS,
        /// `(I - Q)(I + Q)^-1`: PEFT's OFT with `use_cayley_neumann: false`, BOFT.
        CAYLEY_MINUS,
        /// Orthogonal polar factor of `I + Q` (the rotation by `arctan(theta)` where Cayley turns by
        /// `2 arctan(theta)`), without a solve: `X_0 = I + Q`, then `terms` times
        /// `X <- a X + b X X^T X` with the minimax pairs of [#newtonSchulz].
        NEWTON_SCHULZ
    }

    public enum Skew {
        /// Strict upper triangle, row-major, `b(b-1)/2` elements per block.
        PACKED,
        /// A full b x b matrix X per block, `Q = (X - X^T) / 2` (BOFT).
        FULL
    }

    public Orthogonal {
        if (terms < 0 || (form == Form.NEWTON_SCHULZ && terms < 1))
            throw new IllegalArgumentException("orthogonalisation " + form + " with " + terms + " terms");
    }

    public static Orthogonal neumann(int terms) {
        return new Orthogonal(Form.NEUMANN, Math.max(0, terms), 0, Skew.PACKED);
    }

    public static Orthogonal of(Form form, int terms) {
        return new Orthogonal(form, Math.max(0, terms), 0, Skew.PACKED);
    }

    /// Elements stored for one block of size `b`.
    public int stored(int b) {
        return skew == Skew.PACKED ? b * (b - 1) / 2 : b * b;
    }

    /// Coefficients `c[0..p]` of the polynomial `sum c[j] Q^j`; only for the two Neumann forms.
    public float[] coefficients() {
        int p = switch (form) {
            case NEUMANN -> terms < 2 ? 0 : terms == 2 ? 1 : Math.max(terms, 4) - 1;
            case NEUMANN_LEGACY -> Math.max(terms, 1) - 1;
            case CAYLEY_PLUS, CAYLEY_MINUS, NEWTON_SCHULZ ->
                    throw new IllegalStateException(form + " is not a polynomial of fixed coefficients");
        };
        float[] c = new float[p + 1];
        java.util.Arrays.fill(c, 2f);
        c[0] = 1f;
        if (form == Form.NEUMANN && terms >= 3)
            c[p] = 1f;
        return c;
    }

    /// Singular values of `I + Q` are in `[1, sqrt(1 + theta^2)]`; the pairs are tuned for up to this bound
    /// (theta up to 3.87), and the iteration still converges below `sqrt(21)`.
    public static final double NEWTON_SCHULZ_RANGE = 4.0;

    /// Pairs (a, b) for the iterations of [Form#NEWTON_SCHULZ]. Before step k singular values are in `[l, u]`, first
    /// `[1, 4]`, and the step applies the odd cubic `a x + b x^3` with the smallest largest deviation from 1 on that
    /// interval: with `s = (l^2 + l u + u^2) / 3`, `b = -2 / (2 s^1.5 + l u (l + u))`, `a = -3 s b`; the next interval
    /// is `1 -+ e`, `e = -2 b s^1.5 - 1`.
    public static double[][] newtonSchulz(int iterations) {
        double[][] out = new double[iterations][2];
        double l = 1;
        double u = NEWTON_SCHULZ_RANGE;
        for (int k = 0; k < iterations; k++) {
            double s = (l * l + l * u + u * u) / 3;
            double b = -2 / (2 * s * Math.sqrt(s) + l * u * (l + u));
            double e = Math.max(0, -2 * b * s * Math.sqrt(s) - 1);
            out[k][0] = -3 * s * b;
            out[k][1] = b;
            l = 1 - e;
            u = 1 + e;
        }
        return out;
    }
}
