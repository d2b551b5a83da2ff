package dev.gyre.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.check.OpCase;
import dev.gyre.kernels.check.OpCases;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.op.Op;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// No operation without cases at odd sizes and at those of a model, no gradient without finite differences.
class OpCoverageTest {
    private static final Set<String> OPS = names(leaves(Op.class));

    /// The records of a sealed type, through families of any depth.
    private static List<Class<?>> leaves(Class<?> type) {
        if (!type.isSealed())
            return List.of(type);
        List<Class<?>> out = new ArrayList<>();
        for (Class<?> below : type.getPermittedSubclasses())
            out.addAll(leaves(below));
        return out;
    }

    private static Set<String> names(List<Class<?>> ops) {
        return ops.stream().map(Class::getSimpleName).collect(Collectors.toCollection(TreeSet::new));
    }

    /// Operations that a case named after them really runs.
    private static Set<String> covered(Collection<OpCase> cases, OpCase.Layout layout) {
        return cases.stream()
                .filter(c -> c.setup(layout).ops().stream()
                        .anyMatch(op -> op.getClass().getSimpleName().equals(c.op())))
                .map(OpCase::op).collect(Collectors.toCollection(TreeSet::new));
    }

    @Test
    void everyOperationHasCasesAtOddSizes() {
        assertThat(covered(OpCases.all(), OpCase.Layout.GUARDED)).isEqualTo(OPS);
    }

    @Test
    void everyOperationHasACaseAtTheSizesOfAModel() {
        assertThat(covered(OpCases.sized(Size.XS.shape()), OpCase.Layout.PLAIN)).isEqualTo(OPS);
    }

    @Test
    void everyOperationNamedGradHasFiniteDifferences() {
        Set<String> checked = OpCases.gradients().stream().map(OpCase::op).collect(Collectors.toSet());
        List<String> gradients = OPS.stream().filter(op -> op.endsWith("Grad")).toList();
        assertThat(gradients).hasSizeGreaterThan(10).allSatisfy(op -> assertThat(checked).contains(op));
    }

    /// One family of operations, one class of cases with the same stem that states all of its operations.
    @Test
    void casesLieInTheClassOfTheirFamily() {
        for (Class<?> family : Op.class.getPermittedSubclasses()) {
            String stem = family.getSimpleName().replaceAll("Ops$", "");
            Set<String> stated = OpCases.all().stream().map(OpCase::getClass)
                    .filter(c -> c.getEnclosingClass().getSimpleName().equals(stem + "Cases"))
                    .map(Class::getSimpleName).collect(Collectors.toSet());
            assertThat(stated).as(stem + "Cases").containsExactlyInAnyOrderElementsOf(names(leaves(family)));
        }
    }

    @ParameterizedTest
    @EnumSource
    void namesOfCasesAreUniqueBecauseTheySeedTheInputs(Size size) {
        assertThat(OpCases.all()).extracting(OpCase::name).doesNotHaveDuplicates();
        assertThat(OpCases.gradients()).extracting(OpCase::name).doesNotHaveDuplicates();
        List<OpCase> timed = new ArrayList<>(OpCases.sized(size.shape()));
        timed.addAll(OpCases.timed());
        assertThat(timed.stream().distinct()).extracting(OpCase::name).doesNotHaveDuplicates();
    }
}
