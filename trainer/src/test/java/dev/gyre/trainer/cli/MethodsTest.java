package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.plan.RunPlan;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Every method over every base, by the commands: train, eval, merge, generate.
class MethodsTest {
    @TempDir
    static Path dir;
    private static Path data;
    private static Path base;

    @BeforeAll
    static void pretrain() {
        data = dir.resolve("data");
        base = TinyModel.in(dir, "hidden_size: 32, intermediate_size: 48, heads: 2, kv_heads: 1").model();
    }

    static List<Arguments> runs() {
        List<Arguments> out = new ArrayList<>();
        for (String method : List.of("{method: oft, block_size: 8}", "{method: oft, block_size: 8, cayley: exact}",
                "{method: oft, block_size: 8, cayley: newton_schulz, terms: 6, dropout: 0.3}",
                "{method: oft, block_size: 8, form: weight_dense}", "{method: oft, block_size: 8, form: weight_block}",
                "{method: psoft, r: 4}", "{method: goft}", "{method: qgoft}", "{method: lora, r: 4, dropout: 0.1}",
                "{method: boft, block_size: 4, factors: 2}", "{method: hra, r: 4}",
                "{method: dora, r: 4, dropout: 0.1}", "{method: adalora, init_r: 4, target_r: 2, tinit: 1, tfinal: 2}"))
            for (String held : List.of("as_stored", "bf16", "nf4", "nf4_double"))
                out.add(Arguments.of(method, held));
        return out;
    }

    @ParameterizedTest
    @MethodSource("runs")
    void trainsEvaluatesAndMerges(String method, String held) throws IOException {
        String name = Integer.toHexString((method + held).hashCode());
        Path file = dir.resolve(name + ".yaml");
        Path run = dir.resolve(name);
        Files.writeString(file, """
                model: {path: %s, base: %s}
                adapter: %s
                data: {train: %s}
                train: {steps: 8, seq_len: 40, micro_batch: 3, lr: 1e-2, schedule: constant}
                output: {dir: %s}
                device: cpu:2
                """.formatted(base, held, method, data.resolve("train.jsonl"), run));
        Path valid = data.resolve("valid.jsonl");
        double before = loss(Cli.gyre("eval", base, valid, "--base", held));
        Cli t = Cli.gyre("train", file);
        assertThat(t.code).as(t.toString()).isZero();
        assertThat(run.resolve("adapter/adapter_config.json")).exists();
        Cli e = Cli.gyre("eval", run, valid);
        assertThat(loss(e)).as(e.toString()).isLessThan(before);
        Path merged = dir.resolve(name + "-merged");
        Cli m = Cli.gyre("merge", run, "--out", merged, "--verify", "--dtype", "f32");
        assertThat(m.code).as(m.toString()).isZero();
        assertThat(Cli.gyre("generate", run, "-p", "copy a = ", "-n", 3).code).isZero();
    }

    /// `gyre plan` states before a run what its session takes on a device.
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {method: oft, block_size: 8} | as_stored
            {method: oft, block_size: 8} | nf4_double
            {method: psoft, r: 4}        | bf16
            {method: qgoft}              | nf4
            {method: hra, r: 4}          | as_stored
            {method: dora, r: 4}         | nf4
            {method: adalora, init_r: 4, target_r: 2} | bf16
            {method: full}               | as_stored
            """)
    void plannedDeviceMemoryIsWhatTheSessionTakes(String method, String held) {
        RunConfig c = ConfigReader.parse("run.yaml", """
                model: {path: %s, base: %s}
                adapter: %s
                data: {train: %s}
                train: {steps: 2, seq_len: 40, micro_batch: 3}
                output: {dir: %s}
                device: jvm
                check_device: false
                """.formatted(base, held, method, data.resolve("train.jsonl"), dir.resolve("planned" + method.hashCode()
                + held)), RunConfig.class, List.of());
        long planned = RunPlan.with(c, 1, p -> p.own(RunPlan.load(c)).memory()).device();
        try (TrainingRun<?> run = FineTuning.open(c, false, Devices.open("jvm").backend(), "test")) {
            run.run(List.of(), () -> false);
            assertThat(run.session().bytes()).isEqualTo(planned);
        }
    }

    private static Path trained(String name, String adapter) throws IOException {
        Path file = dir.resolve(name + ".yaml");
        Path run = dir.resolve(name);
        Files.writeString(file, """
                model: {path: %s}
                adapter: %s
                data: {train: %s}
                train: {steps: 6, seq_len: 40, micro_batch: 3, lr: 3e-2, schedule: constant}
                output: {dir: %s}
                """.formatted(base, adapter, data.resolve("train.jsonl"), run));
        Cli t = Cli.gyre("train", file);
        assertThat(t.code).as(t.toString()).isZero();
        return run;
    }

    @Test
    void adaptersStackSwitchOffMergeAndComeOutAgain() throws IOException {
        Path turn = trained("turn", "{method: oft, block_size: 8}");
        Path add = trained("add", "{method: lora, r: 4}");
        Path valid = data.resolve("valid.jsonl");
        double plain = loss(Cli.gyre("eval", base, valid));
        double both = loss(Cli.gyre("eval", base, valid, "--adapter", turn, "--adapter", add));
        double one = loss(Cli.gyre("eval", turn, valid));
        assertThat(both).isNotEqualTo(one);
        assertThat(loss(Cli.gyre("eval", base, valid, "--adapter", turn, "--adapter", add, "--off", "add")))
                .isEqualTo(one);
        assertThat(loss(Cli.gyre("eval", turn, valid, "--off", "turn"))).isEqualTo(plain);
        Cli wrong = Cli.gyre("eval", turn, valid, "--off", "other");
        assertThat(wrong.code).isEqualTo(ExitCode.USAGE);
        assertThat(wrong.err).contains("--off other").contains("turn");

        Path merged = dir.resolve("both-merged");
        Cli m = Cli.gyre("merge", base, "--adapter", turn, "--adapter", add, "--out", merged, "--verify");
        assertThat(m.code).as(m.toString()).isZero();
        assertThat(loss(Cli.gyre("eval", merged, valid))).isCloseTo(both,
                org.assertj.core.data.Offset.offset(2e-5));
        Path back = dir.resolve("both-undone");
        Cli u = Cli.gyre("merge", merged, "--undo", "--adapter", turn, "--adapter", add, "--out", back, "--verify");
        assertThat(u.code).as(u.toString()).isZero();
        assertThat(u.out).contains("without the adapter");
        assertThat(loss(Cli.gyre("eval", back, valid))).isCloseTo(plain, org.assertj.core.data.Offset.offset(2e-5));
        Cli none = Cli.gyre("merge", merged, "--undo", "--out", dir.resolve("nothing"));
        assertThat(none.code).isEqualTo(ExitCode.USAGE);
        assertThat(none.err).contains("--adapter");
        Path one1 = dir.resolve("turn-merged");
        assertThat(Cli.gyre("merge", base, "--adapter", turn, "--out", one1).code).isZero();
        Cli foreign = Cli.gyre("merge", one1, "--undo", "--adapter", add, "--out", dir.resolve("nothing"));
        assertThat(foreign.code).isEqualTo(ExitCode.USAGE);
        assertThat(foreign.err).contains("turn-merged: does not have the adapter").contains("but turn (");
        assertThat(dir.resolve("nothing")).doesNotExist();

        Path tokens = dir.resolve("stack.json");
        Files.writeString(tokens, "{\"input_ids\": [[1, 2, 3, 4]], \"labels\": [[1, 2, 3, 4]]}");
        Path out = dir.resolve("stack.safetensors");
        assertThat(Cli.gyre("logits", base, "--adapter", turn, "--adapter", add, "--tokens", tokens, "--out", out,
                "--gradients").code).isZero();
        try (dev.gyre.model.format.SafeTensors f = dev.gyre.model.format.SafeTensors.open(out)) {
            assertThat(f.names()).anyMatch(n -> n.startsWith("grad/turn/base_model.model.model.layers.0"))
                    .anyMatch(n -> n.startsWith("grad/add/base_model.model.model.layers.0"));
        }
    }

    @Test
    void geometryShowsThatARotationKeepsTheEnergyAndLoraDoesNot() throws IOException {
        double[] change = new double[2];
        String[] methods = {"{method: oft, block_size: 8, cayley: exact}", "{method: lora, r: 4}"};
        for (int i = 0; i < 2; i++) {
            Path run = dir.resolve("geometry" + i);
            Path file = dir.resolve("geometry" + i + ".yaml");
            Files.writeString(file, """
                    model: {path: %s}
                    adapter: %s
                    data: {train: %s}
                    train: {steps: 8, seq_len: 40, micro_batch: 3, lr: 3e-2, schedule: constant}
                    output: {dir: %s}
                    """.formatted(base, methods[i], data.resolve("train.jsonl"), run));
            assertThat(Cli.gyre("train", file).code).isZero();
            assertThat(Files.readString(run.resolve("metrics.jsonl")).contains("orthogonality_defect"))
                    .isEqualTo(i == 0);
            Cli e = Cli.gyre("eval", run, data.resolve("valid.jsonl"), "--geometry", "--json");
            assertThat(e.code).as(e.toString()).isZero();
            Matcher m = Pattern.compile("\"energy_before\":([0-9.E-]+),\"energy_after\":([0-9.E-]+)").matcher(e.out);
            while (m.find())
                change[i] = Math.max(change[i],
                        Math.abs(Double.parseDouble(m.group(2)) / Double.parseDouble(m.group(1)) - 1));
        }
        assertThat(change[0]).isLessThan(1e-5);
        assertThat(change[1]).isGreaterThan(1e-4);
    }

    @Test
    void aQuantisedDirectoryIsTheModelHeldInFourBits() {
        Path valid = data.resolve("valid.jsonl");
        for (boolean nested : new boolean[] {false, true}) {
            Path out = dir.resolve("nf4-" + nested);
            Cli q = nested ? Cli.gyre("quantize", base, "--out", out, "--double-quant")
                    : Cli.gyre("quantize", base, "--out", out);
            assertThat(q.code).as(q.toString()).isZero();
            assertThat(loss(Cli.gyre("eval", out, valid)))
                    .isEqualTo(loss(Cli.gyre("eval", base, valid, "--base", nested ? "nf4_double" : "nf4")));
            Cli again = Cli.gyre("quantize", base, "--out", out);
            assertThat(again.code).isEqualTo(ExitCode.USAGE);
            assertThat(again.err).contains("exists already");
        }
        Cli bad = Cli.gyre("quantize", base, "--out", dir.resolve("bad"), "--block-size", "48");
        assertThat(bad.code).isEqualTo(ExitCode.USAGE);
        assertThat(bad.err).contains("--block-size 48");
    }

    @Test
    void taskGraphsOnTheJvmGiveTheLossOfTheCpu() throws IOException {
        Path few = dir.resolve("few.jsonl");
        Files.write(few, Files.readAllLines(data.resolve("valid.jsonl")).subList(0, 2));
        assertThat(loss(Cli.gyre("eval", base, few, "--device", "jvm", "--seq-len", "24", "--batch", "2")))
                .isCloseTo(loss(Cli.gyre("eval", base, few, "--device", "cpu", "--seq-len", "24", "--batch", "2")),
                        org.assertj.core.data.Offset.offset(1e-4));
        Cli none = Cli.gyre("eval", base, few, "--device", "cuda:0");
        assertThat(none.code).isEqualTo(ExitCode.USAGE);
        assertThat(none.err.strip()).startsWith("gyre: no device cuda:0; there is cpu").hasLineCount(1);
    }

    @Test
    void aRunMovesFromATaskGraphDeviceToTheCpuAndBackAndFirstStepsAreTheCpus() throws IOException {
        Path file = dir.resolve("moves.yaml");
        Path run = dir.resolve("moves");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8}
                data: {train: %s}
                train: {seq_len: 24, micro_batch: 2, lr: 1e-2, schedule: constant}
                output: {dir: %s, log_every: 1}
                """.formatted(base, data.resolve("train.jsonl"), run));
        Cli first = Cli.gyre("train", file, "--set", "train.steps=2", "--set", "device=jvm");
        assertThat(first.code).as(first.toString()).isZero();
        assertThat(first.out).containsPattern("check +step 1 is the CPU's: loss [0-9.]+ and ");
        assertThat(Files.readString(run.resolve("provenance.json"))).contains("first_step_check", "\"jvm: ");
        Cli then = Cli.gyre("train", file, "--set", "train.steps=4", "--set", "device=cpu", "--resume");
        assertThat(then.code).as(then.toString()).isZero();
        assertThat(then.out).doesNotContain("is the CPU's", "compile");
        Cli back = Cli.gyre("train", file, "--set", "train.steps=6", "--set", "device=jvm", "--resume");
        assertThat(back.code).as(back.toString()).isZero();
        assertThat(back.out).containsPattern("check +step 5 is the CPU's: ")
                .containsPattern(
                        "compile +first step compiled in [0-9.]+ s, [1-9][0-9]* kernels, [1-9][0-9]* graphs, [1-9][0-9]? arrays");
        List<Double> moved = losses(run);
        Cli whole = Cli.gyre("train", file, "--set", "train.steps=6", "--set", "output.dir=" + dir.resolve("stays"));
        assertThat(whole.code).as(whole.toString()).isZero();
        List<Double> stayed = losses(dir.resolve("stays"));
        assertThat(moved).hasSize(6);
        for (int i = 0; i < 6; i++)
            assertThat(moved.get(i)).isCloseTo(stayed.get(i), org.assertj.core.data.Offset.offset(1e-3));
    }

    private static List<Double> losses(Path run) throws IOException {
        return Pattern.compile("\"loss\":([0-9.Ee-]+)").matcher(Files.readString(run.resolve("metrics.jsonl")))
                .results().map(m -> Double.valueOf(m.group(1))).toList();
    }

    private static double loss(Cli c) {
        assertThat(c.code).as(c.toString()).isZero();
        Matcher m = Pattern.compile("loss (\\d+\\.\\d+)").matcher(c.out);
        assertThat(m.find()).as(c.toString()).isTrue();
        return Double.parseDouble(m.group(1));
    }

    @Test
    void psoftIsExportedAsTheSameLora() throws IOException {
        Path file = dir.resolve("psoft.yaml");
        Path run = dir.resolve("psoft");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: psoft, r: 6}
                data: {train: %s}
                train: {steps: 6, seq_len: 40, micro_batch: 3, lr: 2e-2, schedule: constant}
                output: {dir: %s}
                """.formatted(base, data.resolve("train.jsonl"), run));
        assertThat(Cli.gyre("train", file).code).isZero();
        assertThat(run.resolve("adapter/psoft_factors.safetensors")).exists();
        Path lora = dir.resolve("as-lora");
        Cli x = Cli.gyre("export", run, "--out", lora);
        assertThat(x.code).as(x.toString()).isZero();
        Path valid = data.resolve("valid.jsonl");
        assertThat(loss(Cli.gyre("eval", base, valid, "--adapter", lora)))
                .isCloseTo(loss(Cli.gyre("eval", run, valid)), org.assertj.core.data.Offset.offset(2e-5));
        Files.delete(run.resolve("adapter/psoft_factors.safetensors"));
        Cli without = Cli.gyre("eval", run, valid);
        assertThat(without.code).isNotZero();
        assertThat(without.err).contains("principal factors");
    }
}
