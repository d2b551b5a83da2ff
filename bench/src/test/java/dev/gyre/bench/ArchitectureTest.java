package dev.gyre.bench;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaCodeUnit;
import com.tngtech.archunit.core.domain.JavaField;
import com.tngtech.archunit.core.domain.JavaMember;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import dev.gyre.api.LanguageModel;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
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

    /// What signatures of the library name besides itself and the JDK: records that only carry values, what users implement,
    /// and the exceptions they catch. Everything else may change without notice.
    private static final List<String> PART_OF_THE_LIBRARY = List.of("dev.gyre.kernels.check.DeviceCheck$Findings",
            "dev.gyre.model.adapter.AdapterOptions",
            "dev.gyre.model.token.ChatTemplate$Message", "dev.gyre.model.weights.Storage",
            "dev.gyre.trainer.data.Example", "dev.gyre.trainer.loop.TrainListener",
            "dev.gyre.trainer.loop.TrainListener$Step", "dev.gyre.trainer.loop.TrainLoop$Result",
            "dev.gyre.trainer.measure.Evaluation$Answers", "dev.gyre.trainer.measure.Evaluation$Loss",
            "dev.gyre.trainer.measure.WeightGeometry", "dev.gyre.trainer.plan.RunPlan$Row",
            "dev.gyre.trainer.report.Results", "dev.gyre.trainer.run.LrFinder$Found");

    @Test
    void theLibraryNamesOnlyItselfTheJdkAndAShortList() {
        List<String> found = new ArrayList<>();
        for (JavaClass c : GYRE.get(LanguageModel.class).getPackage().getClasses()) {
            if (!c.getModifiers().contains(JavaModifier.PUBLIC))
                continue;
            for (JavaCodeUnit m : c.getCodeUnits())
                if (visible(m))
                    Stream.of(Stream.of(m.getReturnType()), m.getParameterTypes().stream(),
                            m.getExceptionTypes().stream()).flatMap(s -> s)
                            .flatMap(t -> t.getAllInvolvedRawTypes().stream())
                            .forEach(t -> require(t, m.getFullName(), found));
            for (JavaField f : c.getFields())
                if (visible(f))
                    f.getType().getAllInvolvedRawTypes().forEach(t -> require(t, f.getFullName(), found));
        }
        assertThat(found).isEmpty();
    }

    private static boolean visible(JavaMember m) {
        return m.getModifiers().contains(JavaModifier.PUBLIC) || m.getModifiers().contains(JavaModifier.PROTECTED);
    }

    private static void require(JavaClass t, String where, List<String> found) {
        JavaClass type = t.getBaseComponentType();
        if (type.getName().startsWith("dev.gyre.") && !type.getPackageName().equals("dev.gyre.api")
                && !PART_OF_THE_LIBRARY.contains(type.getName()))
            found.add(where + " names " + type.getName());
    }

    @Test
    void onlyMeasuringAndTheCommandLineCollectGarbage() {
        holds(noClasses().that()
                .resideOutsideOfPackages("dev.gyre.trainer.measure", "dev.gyre.trainer.cli", "dev.gyre.bench..")
                .should()
                .callMethod(System.class, "gc"));
    }
}
