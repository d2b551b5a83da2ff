package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.check.GradCases;
import dev.gyre.kernels.check.GradCheck;
import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.op.Op;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/// No operation without a case, no gradient without finite differences.
class OpCoverageTest {
    private static final Set<String> OPS = Arrays.stream(Op.class.getPermittedSubclasses())
            .flatMap(family -> Arrays.stream(family.getPermittedSubclasses())).map(Class::getSimpleName)
            .collect(Collectors.toSet());

    @Test
    void everyOperationIsRunBySomeCaseNamedAfterIt() {
        Set<String> covered = OpCases.all().stream()
                .filter(c -> c.setup(OpCase.Layout.GUARDED).ops().stream()
                        .anyMatch(op -> op.getClass().getSimpleName().equals(c.op())))
                .map(OpCase::op).collect(Collectors.toSet());
        assertThat(covered).isEqualTo(OPS);
    }

    @Test
    void namesOfCasesAreUniqueBecauseTheySeedTheInputs() {
        assertThat(OpCases.all().stream().map(OpCase::name)).doesNotHaveDuplicates();
        assertThat(GradCases.all().stream().map(GradCheck.Case::name)).doesNotHaveDuplicates();
    }

    @Test
    void everyOperationNamedGradHasFiniteDifferences() {
        Set<String> checked = GradCases.all().stream().map(c -> c.name().split(" ")[0]).collect(Collectors.toSet());
        List<String> gradients = OPS.stream().filter(op -> op.endsWith("Grad")).toList();
        assertThat(gradients).hasSizeGreaterThan(10).allSatisfy(op -> assertThat(checked).contains(op));
    }
}
