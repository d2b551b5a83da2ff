package dev.gyre.kernels.check;

import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/// The cases of all operations, one class per family.
public final class OpCases {
    /// Block size of rotations and rank of low-rank methods at the sizes of a model.
    static final int BLOCK = 32;
    static final int RANK = 16;

    private static final List<Cases> FAMILIES = List.of(new ProductCases(), new TokenCases(), new NormCases(),
            new RopeCases(), new AttentionCases(), new ElementCases(), new ColumnCases(), new CayleyCases(),
            new RotateCases(), new SubspaceCases(), new GivensCases(), new ReflectCases(), new OptimiserCases(),
            new ActivationCases(), new LayerNormCases(), new PartCases(), new HeadCases(), new DisentangledCases());

    private OpCases() {
    }

    private static List<OpCase> of(Function<Cases, List<OpCase>> which) {
        return FAMILIES.stream().flatMap(f -> which.apply(f).stream()).toList();
    }

    /// Every operation in every mode, at odd and unfriendly sizes.
    public static List<OpCase> all() {
        return of(Cases::odd);
    }

    /// Those of some operations, by name: `of("MatMul", "Embed")`.
    public static List<OpCase> of(String... ops) {
        return all().stream().filter(c -> Arrays.asList(ops).contains(c.op())).toList();
    }

    /// Every operation at the sizes of a training step of a model.
    public static List<OpCase> sized(Shape shape) {
        return of(f -> f.sized(shape));
    }

    /// Further sizes to time: 207 and 702, which no vector width divides, and single large operands.
    public static List<OpCase> timed() {
        return of(Cases::timed);
    }

    /// Small sizes at which gradients are compared with finite differences. Besides every operation that computes a
    /// gradient they include operations whose gradient is another one, or themselves.
    public static List<OpCase> gradients() {
        return of(Cases::gradients);
    }
}
