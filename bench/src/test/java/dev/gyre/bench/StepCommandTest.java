package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.gyre.kernels.Precision;
import dev.gyre.kernels.check.Size;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.cli.Cli;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import tools.jackson.databind.JsonNode;

class StepCommandTest {
    private static final Pattern PROFILE_ROW =
            Pattern.compile("(?<kind>\\S.*?) +(?<calls>[0-9.]+)? +(?<share>[0-9.]+) % *(?<speed>[0-9.]+)?");

    /// One step of the smallest model; on one thread, since a busy machine makes two wait for each other.
    private static Cli step(Object... more) {
        List<Object> all =
                new ArrayList<>(List.of("bench", "step", "--size", "xs", "--batch", 1, "--seq", 16, "--steps", 1,
                        "--warm-up", 0, "--patience", 0));
        all.addAll(List.of(more));
        if (!all.contains("--device"))
            all.addAll(List.of("--threads", 1));
        return Cli.gyre(all.toArray());
    }

    @Test
    void classifiersAreMeasuredToo() {
        Cli r = Cli.gyre("bench", "step", "--size", "bert", "--batch", 1, "--seq", 8, "--steps", 1, "--warm-up", 0,
                "--patience", 0, "--threads", 1, "--method", "lora2", "--json");
        assertThat(r.code()).as(r.err()).isZero();
        JsonNode j = r.json();
        assertThat(j.get("size").asString()).isEqualTo("bert");
        assertThat(j.get("tokens").asInt()).isEqualTo(8);
        // 12 layers: q, k, v, o and the pooler of 768 x 768, two of 768 x 3072; the classifier of two classes
        assertThat(j.get("trainable").asInt())
                .isEqualTo(2 * (12 * (4 * 1536 + 2 * (768 + 3072)) + 1536) + 2 * 768 + 2);
        assertThat(j.get("step_ms").asDouble()).isPositive();
        assertThat(step("--size", "vit", "--seq", 16).err()).contains("an image has 197 tokens");
        assertThat(step("--size", "bert", "--method", "floor").err()).contains("with a method in the layers");
    }

    @Test
    void jsonSaysWhatWasMeasured() {
        Cli r = step("--method", "oft8", "--json", "--profile");
        assertThat(r.code()).as(r.err()).isZero();
        JsonNode j = r.json();
        assertThat(j.get("size").asString()).isEqualTo("XS");
        assertThat(j.get("method").asString()).isEqualTo("oft8");
        assertThat(j.get("tokens").asInt()).isEqualTo(16);
        assertThat(j.get("threads").asInt()).isEqualTo(1);
        assertThat(j.get("precision").asString()).isEqualTo("f32");
        assertThat(j.get("step_ms").asDouble()).isPositive();
        assertThat(j.get("step_ms").asDouble()).isGreaterThanOrEqualTo(j.get("opt_ms").asDouble());
        assertThat(j.get("peak_gflops").asDouble()).isPositive();
        assertThat(j.get("share_of_peak").asDouble())
                .isCloseTo(j.get("gflops").asDouble() / j.get("peak_gflops").asDouble(), withinPercentage(1));
        // 2 layers: 7 modules of 64 or 160 features, 7 / 2 numbers each
        assertThat(j.get("trainable").asInt()).isEqualTo(2 * (6 * 64 + 160) * 7 / 2);
        assertThat(j.get("samples").size()).isEqualTo(1);
        double shares = 0;
        for (JsonNode op : j.get("profile"))
            shares += op.get("share").asDouble();
        assertThat(shares).isBetween(0.99, 1.01);
    }

    @Test
    void tableSaysTheSameForPeople() {
        Cli r = step("--profile");
        assertThat(r.code()).as(r.err()).isZero();
        assertThat(r.out()).contains("XS, oft32 over f32, 1 x 16 tokens", "MiB planned", "numbers");
        List<String> lines = r.out().lines().toList();
        int heading = lines.indexOf("operation                      calls/step   share   GFLOP/s");
        assertThat(heading).as(r.out()).isPositive();
        // which operations are the longest is the machine's business
        List<Matcher> rows = lines.stream().skip(heading + 1).map(PROFILE_ROW::matcher).toList();
        assertThat(rows).as(r.out()).hasSize(StepCommand.LISTED + 1).allMatch(Matcher::matches);
        assertThat(rows.getLast().group("kind")).matches("\\d+ others");
        assertThat(rows.subList(0, StepCommand.LISTED)).allMatch(m -> Double.parseDouble(m.group("calls")) > 0);
        assertThat(rows.stream().mapToDouble(m -> Double.parseDouble(m.group("share"))).sum())
                .as("shares, each rounded to a tenth").isBetween(99.0, 101.0);
    }

    @Test
    void runsOnTheStandIn() {
        Cli r = step("--device", "jvm", "--method", "lora2", "--json");
        assertThat(r.code()).as(r.err()).isZero();
        assertThat(r.json().get("device").asString()).isEqualTo("jvm");
        assertThat(r.json().get("peak_gflops").isNull()).isTrue();
    }

    @Test
    void threadsCountWhereTheCpuIsNamed() {
        assertThat(BackendArgs.backend("cpu", 3, Precision.F32)).isInstanceOfSatisfying(CpuBackend.class,
                b -> assertThat(b.threads()).isEqualTo(3));
        assertThat(BackendArgs.backend(null, 3, Precision.F32).describe())
                .isEqualTo(BackendArgs.backend("cpu", 3, Precision.F32).describe());
    }

    @ParameterizedTest
    @EnumSource(Method.Kind.class)
    void everyMethodTrains(Method.Kind kind) {
        Method m = new Method(kind, Math.min(8, Method.of(kind).number()));
        StepBench.Result r =
                StepBench.run(new StepBench.Settings(StepBench.config(Size.XS, 16), m, m.base(), 1, 16, 100, 0,
                        new Sampler(1, 0, 0, 2), false), new CpuBackend(1));
        assertThat(r.trainable()).isPositive();
        assertThat(r.lastLoss()).isLessThan(r.firstLoss());
        assertThat(r.planned()).isPositive();
    }

    @Test
    void fourBitBaseTakesLessMemory() {
        Cli r = step("--json", "--base", "nf4-double", "--method", "qoft");
        assertThat(r.json().get("base").asString()).isEqualTo("nf4-double");
        assertThat(Method.of("qlora4", null, null).base()).isEqualTo(Storage.NF4);
        assertThat(planned(Storage.NF4)).isLessThan(planned(Storage.BF16));
        assertThat(planned(Storage.BF16)).isLessThan(planned(Storage.F32));
    }

    private static long planned(Storage base) {
        return StepBench
                .run(new StepBench.Settings(StepBench.config(Size.XS, 16), Method.of(Method.Kind.OFT), base, 1, 16, 100,
                        0,
                        new Sampler(1, 0, 0, 1), false), new CpuBackend(1))
                .planned();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --size Q                        | --size Q: unknown; use one of XS, S, M, L, 7B4, 7B
            --method oftt                   | --method oftt: unknown; use one of
            --method oft32 --rank 4         | --rank: the method oft has no rank
            --method lora --block-size 4    | --block-size: the method lora has no block size
            --method lora4 --rank 4         | --rank: the method lora has its number in its name already
            --method goft4                  | --method goft4: the method goft takes no number
            --method oft --block-size 0     | --method oft: 0 is below 1
            --base int8                     | --base int8: unknown; use f32, bf16, nf4 or nf4-double
            --trained 0                     | --trained 0 is not a percentage from 1 to 100
            --threads 0                     | --threads 0 is below 1
            --threads 2 --device jvm        | --threads is for the CPU
            --device tpu                    | device tpu: unknown
            --precision tf32                | precision tf32 needs cuBLAS, which only devices cuda:N have; the CPU
            --precision f16                 | --precision
            --batch 0                       | --batch 0 is below 1
            --seconds 0                     | --seconds must be positive
            --stepz 3                       | did you mean --steps?
            """)
    void wrongFlagGivesOneLine(String flags, String expected) {
        Cli r = Cli.gyre((Object[]) ("bench step --steps 1 " + flags).split(" +"));
        assertThat(r.code()).isEqualTo(2);
        assertThat(r.err().strip()).contains(expected).doesNotContain("\n");
        assertThat(r.out()).isEmpty();
    }
}
