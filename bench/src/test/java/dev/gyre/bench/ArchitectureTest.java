package dev.gyre.bench;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import org.junit.jupiter.api.Test;

/// The rules of docs/architecture.md that a compiler does not hold.
class ArchitectureTest {
    private static final JavaClasses GYRE = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .withImportOption(l -> !l.contains("-tests.jar") && !l.contains("test-classes"))
            .importPackages("dev.gyre");

    private static void holds(ArchRule rule) {
        rule.allowEmptyShould(false).check(GYRE);
    }

    @Test
    void packagesHaveNoCycles() {
        holds(slices().matching("dev.gyre.(**)").should().beFreeOfCycles());
    }

    @Test
    void onlyTheCpuBackendAndTheMeasuredCeilingUseTheVectorApi() {
        holds(noClasses().that().resideOutsideOfPackage("dev.gyre.kernels.cpu").and()
                .doNotHaveFullyQualifiedName(FmaLoop.class.getName()).should().dependOnClassesThat()
                .resideInAPackage("jdk.incubator.vector.."));
    }

    @Test
    void onlyTheTornadoBackendUsesTornadoVm() {
        holds(noClasses().that().resideInAPackage("dev.gyre..").and()
                .resideOutsideOfPackages("dev.gyre.kernels.tornado..", "dev.gyre.tornadojvm..").should()
                .dependOnClassesThat().resideInAPackage("uk.ac.manchester.tornado.."));
    }

    @Test
    void onlyTheCommandLinePrintsOrExits() {
        holds(noClasses().that().resideOutsideOfPackages("dev.gyre.trainer.cli..", "dev.gyre.bench..").should()
                .accessField(System.class, "out").orShould().accessField(System.class, "err").orShould()
                .callMethod(System.class, "exit", int.class));
    }

    @Test
    void kernelsDoNotKnowModelsAndModelsDoNotKnowTheTrainer() {
        holds(noClasses().that().resideInAPackage("dev.gyre.kernels..").should().dependOnClassesThat()
                .resideInAnyPackage("dev.gyre.quant..", "dev.gyre.model..", "dev.gyre.trainer..", "dev.gyre.bench.."));
        holds(noClasses().that().resideInAPackage("dev.gyre.model..").should().dependOnClassesThat()
                .resideInAnyPackage("dev.gyre.trainer..", "dev.gyre.bench.."));
        holds(noClasses().that().resideInAPackage("dev.gyre.trainer..").should().dependOnClassesThat()
                .resideInAPackage("dev.gyre.bench.."));
    }

    @Test
    void fileFormatsDoNoArithmetic() {
        holds(noClasses().that().resideInAPackage("dev.gyre.model.format").should().dependOnClassesThat()
                .resideInAnyPackage("dev.gyre.model.transformer..", "dev.gyre.model.adapter..", "dev.gyre.model.emit..",
                        "dev.gyre.kernels.cpu..", "dev.gyre.kernels.tornado.."));
    }
}
