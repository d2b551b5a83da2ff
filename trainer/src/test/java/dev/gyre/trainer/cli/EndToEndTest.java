package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.report.Results;
import dev.gyre.trainer.run.FineTuning;
import dev.gyre.trainer.run.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/// The commands on a model of a few thousand weights, from pre-training to the merged model.
class EndToEndTest {
    @TempDir
    static Path dir;
    private static Path data;
    private static Path base;
    /// A finished run over `base`.
    private static Path run;

    @BeforeAll
    static void pretrainAndFineTune() throws IOException {
        TinyModel tiny = TinyModel.in(dir, "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1");
        data = dir.resolve("data");
        base = tiny.model();
        assertThat(tiny.pretraining().out).contains("   step      loss", "wrote " + base);
        assertThat(base.resolve("config.json")).exists();
        run = dir.resolve("run");
        Cli c = Cli.gyre("train", config("run", ""));
        assertThat(c.code).as(c.toString()).isZero();
    }

    private static Path config(String run, String more) throws IOException {
        Path file = dir.resolve(run + ".yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8%s}
                data: {train: %s, valid: %s}
                train: {steps: 6, seq_len: 40, micro_batch: 2, accumulate: 2, lr: 2e-2, schedule: linear}
                eval: {every: 3}
                output: {dir: %s, checkpoint_every: 2, log_every: 2}
                device: cpu:2
                """.formatted(base, more, data.resolve("train.jsonl"), data.resolve("valid.jsonl"), dir.resolve(run)));
        return file;
    }

    private static double loss(Cli c) {
        Matcher m = Pattern.compile("loss (\\d+\\.\\d+)").matcher(c.out);
        assertThat(m.find()).as(c.toString()).isTrue();
        return Double.parseDouble(m.group(1));
    }

    private static double lossOf(Object... model) {
        List<Object> words = new ArrayList<>(List.of("eval", model[0], data.resolve("valid.jsonl")));
        words.addAll(List.of(model).subList(1, model.length));
        return loss(Cli.gyre(words.toArray()));
    }

    private static Set<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(p -> p.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    @Test
    void aRunLeavesItsFilesAndItsLog() throws IOException {
        assertThat(names(run)).contains("run.yaml", "provenance.json", "metrics.jsonl", "program.txt", "log.txt",
                "adapter", "checkpoint-6");
        assertThat(Files.readString(run.resolve("log.txt"))).contains("adapter oft on 14 modules").contains("wrote ");
    }

    @Test
    void trainingLowersTheLossAndARunDirectoryStandsForItsResult() {
        double after = lossOf(base, "--adapter", run.resolve("adapter"));
        assertThat(after).isLessThan(lossOf(base) - 1e-3);
        assertThat(lossOf(run)).isEqualTo(after);
        assertThat(Cli.gyre("eval", run, data.resolve("valid.jsonl"), "--json").out)
                .startsWith("{\"model\":\"" + base).contains("\"perplexity\":");
    }

    @Test
    void aMergedModelGivesTheSameLossAndIsNotWrittenOver() {
        Path merged = dir.resolve("merged");
        Cli m = Cli.gyre("merge", run, "--out", merged, "--verify");
        assertThat(m.code).as(m.toString()).isZero();
        assertThat(m.out).contains("verified: largest difference", "(limit 1e-04, F32)", "14 weights merged");
        assertThat(lossOf(merged)).isCloseTo(lossOf(run), within(1e-4));
        Cli again = Cli.gyre("merge", run, "--out", merged);
        assertThat(again.code).isEqualTo(ExitCode.USAGE);
        assertThat(again.err).contains("exists already");
    }

    @Test
    void aMergeAboveItsLimitLeavesNothing() throws IOException {
        Path strict = dir.resolve("strict");
        Cli s = Cli.gyre("merge", run, "--out", strict, "--verify", "--dtype", "bf16", "--limit", "1e-9");
        assertThat(s.code).isEqualTo(ExitCode.NUMERIC);
        assertThat(s.err).contains("merge --verify: largest difference").contains("nothing was written");
        assertThat(strict).doesNotExist();
        assertThat(names(dir)).noneMatch(n -> n.startsWith("."));
    }

    @Test
    void generationIsSeededAndStopsWhereItShould() {
        Cli greedy = Cli.gyre("generate", base, "-p", "copy abc = ", "-n", 12);
        assertThat(greedy.code).as(greedy.toString()).isZero();
        assertThat(Cli.gyre("generate", base, "-p", "copy abc = ", "-n", 12).out).isEqualTo(greedy.out);
        String[] words =
                {"generate", base.toString(), "-p", "the ", "-n", "12", "--temperature", "1.5", "--top-p", "0.9",
                    "--seed"};
        String a = Cli.gyre((Object[]) with(words, "3")).out;
        assertThat(Cli.gyre((Object[]) with(words, "3")).out).isEqualTo(a);
        assertThat(List.of(Cli.gyre((Object[]) with(words, "4")).out, Cli.gyre((Object[]) with(words, "5")).out))
                .anyMatch(x -> !x.equals(a));
        Cli tooLong = Cli.gyre("generate", base, "-p", "x".repeat(100));
        assertThat(tooLong.code).isEqualTo(ExitCode.USAGE);
        assertThat(tooLong.err).contains("the prompt has 101 tokens, the model's context is 64");
    }

    private static String[] with(String[] words, String last) {
        return Stream.concat(Stream.of(words), Stream.of(last)).toArray(String[]::new);
    }

    @Test
    void aRunStoppedHalfWayEndsBitForBitLikeTheWholeOne() throws IOException {
        for (String more : new String[] {"", ", dropout: 0.5"}) {
            String name = more.isEmpty() ? "plain" : "dropped";
            assertThat(Cli.gyre("train", config(name + "-whole", more)).code).isZero();
            Path file = config(name + "-half", more);
            RunConfig c = ConfigReader.read(file, RunConfig.class, List.of());
            boolean[] stop = {false};
            try (TrainingRun<?> run = FineTuning.open(c, false, Devices.open(c.device()).backend(), "test")) {
                run.run(List.of(new TrainListener() {
                    @Override
                    public void onStep(Step s) {
                        stop[0] = s.t() == 3;
                    }
                }), () -> stop[0]);
            }
            assertThat(dir.resolve(name + "-half/adapter")).doesNotExist();
            Cli again = Cli.gyre("train", file, "--resume");
            assertThat(again.code).as(again.toString()).isZero();
            assertThat(again.out).contains("resume    from ").contains("checkpoint-3");
            for (String f : List.of("adapter/adapter_model.safetensors", "checkpoint-6/trainer_state.safetensors"))
                assertThat(dir.resolve(name + "-half").resolve(f)).as(f)
                        .hasSameBinaryContentAs(dir.resolve(name + "-whole").resolve(f));
        }
    }

    @Test
    void aFolderThatARunIsGoingOnInIsLeftAlone() throws IOException {
        Path file = config("busy", "");
        RunConfig c = ConfigReader.read(file, RunConfig.class, List.of());
        Path run = dir.resolve("busy");
        try (TrainingRun<?> first = FineTuning.open(c, false, Devices.open(c.device()).backend(), "test")) {
            Path half = Files.createDirectory(run.resolve(".checkpoint-3.tmp-0"));
            for (Object[] again : new Object[][] {{"train", file}, {"train", file, "--resume"}}) {
                Cli second = Cli.gyre(again);
                assertThat(second.code).as(second.toString()).isEqualTo(ExitCode.USAGE);
                assertThat(second.err).contains("busy: a run is going on there");
            }
            assertThat(half).as("a checkpoint that is being written").exists();
            assertThat(first.run(List.of(), () -> false).finished()).isTrue();
        }
        assertThat(run.resolve(".lock")).doesNotExist();
        assertThat(Cli.gyre("train", file, "--resume").code).isZero();

        Path killed = dir.resolve("killed-at-once");
        Files.createDirectory(killed);
        Files.createFile(killed.resolve(".lock"));
        assertThat(Cli.gyre("train", config("killed-at-once", "")).code).isZero();
    }

    @Test
    void resumingAnotherConfigurationOrOtherDataIsRefused() throws IOException {
        Path file = config("guarded", "");
        assertThat(Cli.gyre("train", file).code).isZero();
        Cli used = Cli.gyre("train", file);
        assertThat(used.code).isEqualTo(ExitCode.USAGE);
        assertThat(used.err).contains("exists and is not empty; continue that run with --resume");
        Cli other = Cli.gyre("train", file, "--resume", "--set", "train.lr=1e-3");
        assertThat(other.code).isEqualTo(ExitCode.USAGE);
        assertThat(other.err).contains("was started with train.lr: 0.02, now it is 0.001");
        Cli longer = Cli.gyre("train", file, "--resume", "--set", "train.steps=7");
        assertThat(longer.code).as(longer.toString()).isZero();
        assertThat(longer.out).contains("note      train.steps was 6, now 7");
        Path train = data.resolve("train.jsonl");
        byte[] was = Files.readAllBytes(train);
        try {
            Files.writeString(train, Files.readString(train).replaceFirst("=\"", "=?\""));
            Cli changed = Cli.gyre("train", file, "--resume", "--set", "train.steps=7");
            assertThat(changed.code).isEqualTo(ExitCode.USAGE);
            assertThat(changed.err).contains("train.jsonl: changed since the run in");
        } finally {
            Files.write(train, was);
        }
    }

    @Test
    void whatCannotRunLeavesNoFolder() throws IOException {
        Path file = config("large", "");
        Cli large = Cli.gyre("train", file, "--set", "train.micro_batch=60000", "--set", "train.seq_len=1000");
        assertThat(large.code).isNotZero();
        assertThat(large.err).startsWith("gyre: ");
        assertThat(dir.resolve("large")).doesNotExist();
        Path broken = dir.resolve("broken.jsonl");
        Files.writeString(broken, "{\"prompt\": \"a\"}\n");
        for (String command : new String[] {"train", "check"}) {
            Cli old = Cli.gyre(command, file, "--set", "results.forgetting=" + broken);
            assertThat(old.code).as("read before the training, not after").isEqualTo(ExitCode.USAGE);
            assertThat(old.err).contains("broken.jsonl:1: 'completion' is missing");
        }
        assertThat(dir.resolve("large")).doesNotExist();
    }

    @Test
    void aCompleteRunKeepsWhatItsTrainingTook() throws IOException {
        Path file = config("kept", "");
        assertThat(Cli.gyre("train", file).code).isZero();
        Path results = dir.resolve("kept/results.json");
        String first = Files.readString(results);
        String other = first.replaceAll("(\"process\": )\\d+", "$1123456789");
        assertThat(other).isNotEqualTo(first);
        Files.writeString(results, other);
        assertThat(Cli.gyre("train", file, "--resume").code).isZero();
        assertThat(Files.readString(results)).contains("\"process\": 123456789");
    }

    @Test
    void oneMicroBatchOfFourEqualsFourOfOne() throws IOException {
        Path four = config("four", "");
        assertThat(Cli.gyre("train", four, "--set", "train.micro_batch=4", "--set", "train.accumulate=1").code)
                .isZero();
        Path one = config("one", "");
        assertThat(Cli.gyre("train", one, "--set", "train.micro_batch=1", "--set", "train.accumulate=4").code).isZero();
        try (SafeTensors a = SafeTensors.open(dir.resolve("four/adapter/adapter_model.safetensors"));
                SafeTensors b = SafeTensors.open(dir.resolve("one/adapter/adapter_model.safetensors"))) {
            for (String name : a.names()) {
                float[] x = a.f32(name);
                float[] y = b.f32(name);
                for (int i = 0; i < x.length; i++)
                    // AdamW turns rounding of tiny gradients into a part of the learning rate
                    assertThat(!(Math.abs(x[i] - y[i]) <= 1e-3)).as(name + "[" + i + "] " + x[i] + " " + y[i])
                            .isFalse();
            }
        }
        assertThat(lastLoss("four")).isCloseTo(lastLoss("one"), within(1e-4));
    }

    private static double lastLoss(String run) throws IOException {
        Matcher m = Pattern.compile("\"step\":6,.*\"loss\":([0-9.]+)").matcher(
                Files.readString(dir.resolve(run).resolve("metrics.jsonl")));
        assertThat(m.find()).isTrue();
        return Double.parseDouble(m.group(1));
    }

    @Test
    void fullFineTuningWritesAModel() throws IOException {
        Path file = config("all", "");
        Cli c = Cli.gyre("train", file, "--set", "adapter={method: full}");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(loss(Cli.gyre("eval", dir.resolve("all/model"), data.resolve("valid.jsonl"))))
                .isLessThan(loss(Cli.gyre("eval", base, data.resolve("valid.jsonl"))));
    }

    @Test
    void exactAnswersAreCounted() {
        Cli c = Cli.gyre("eval", base, data.resolve("valid.jsonl"), "--exact", 5);
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).contains("exact answers 0 of 5 (0.0 %)");
    }

    @Test
    void aLossThatClimbsAwayStopsTheRun() throws IOException {
        Cli c = Cli.gyre("train", config("climbs", ""), "--set", "train.steps=200", "--set", "train.lr=3", "--set",
                "train.clip=0", "--set", "train.divergence=0.5", "--set", "train.schedule=constant", "--set",
                "train.warmup=100", "--set", "eval.every=0", "--set", "adapter={method: full}");
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.NUMERIC);
        assertThat(c.err).contains("the loss diverges: ");
    }

    @Test
    void patienceEndsARunAndTheBestNumbersBecomeTheResult() throws IOException {
        Path file = config("patient", "");
        Cli c = Cli.gyre("train", file, "--set", "train.steps=40", "--set", "train.lr=2", "--set",
                "adapter.cayley=exact", "--set", "eval.every=1",
                "--set", "eval.patience=2", "--set", "eval.result=best", "--set",
                "data.also_valid={same: " + data.resolve("valid.jsonl") + "}");
        assertThat(c.code).as(c.toString()).isZero();
        Matcher m = Pattern.compile("stopped early at step (\\d+) · best validation [0-9.]+ at step (\\d+)")
                .matcher(c.out);
        assertThat(m.find()).as(c.toString()).isTrue();
        assertThat(Integer.parseInt(m.group(1))).isEqualTo(Integer.parseInt(m.group(2)) + 2);
        Path run = dir.resolve("patient");
        assertThat(Results.read(run)).isNotNull().satisfies(r -> assertThat(r.steps())
                .isEqualTo(Long.parseLong(m.group(1))));
        assertThat(Files.readString(run.resolve("report.html"))).contains(m.group(1) + " of 40 steps, stopped early");
        assertThat(run.resolve("adapter/adapter_model.safetensors")).hasSameBinaryContentAs(
                run.resolve("checkpoint-" + m.group(2) + "/adapter/adapter_model.safetensors"));
        Matcher e = Pattern.compile("\"valid_loss\":([0-9.]+),.*\"also_valid\":\\{\"same\":([0-9.]+)\\}")
                .matcher(Files.readString(run.resolve("metrics.jsonl")));
        assertThat(e.find()).isTrue();
        assertThat(e.group(1)).isEqualTo(e.group(2));
        Cli again = Cli.gyre("train", file, "--set", "train.steps=40", "--set", "train.lr=2", "--set",
                "adapter.cayley=exact", "--set", "eval.every=1",
                "--set", "eval.patience=2", "--set", "eval.result=best", "--set",
                "data.also_valid={same: " + data.resolve("valid.jsonl") + "}", "--resume");
        assertThat(again.code).as(again.toString()).isZero();
        assertThat(again.out).contains("stopped early").doesNotContain("NaN");
    }

    @Test
    void heldOutTasksAreAnsweredAtEachEvaluationAndChangeNothing() throws IOException {
        Path file = config("silent", "");
        assertThat(Cli.gyre("train", file).code).isZero();
        Cli c = Cli.gyre("train", file, "--set", "output.dir=" + dir.resolve("asked"), "--set", "eval.samples=3",
                "--set",
                "data.also_valid={again: " + data.resolve("valid.jsonl") + "}", "--set",
                "results.forgetting=" + data.resolve("valid.jsonl"));
        assertThat(c.code).as(c.toString()).isZero();
        Path run = dir.resolve("asked");
        assertThat(run.resolve("adapter/adapter_model.safetensors"))
                .hasSameBinaryContentAs(dir.resolve("silent/adapter/adapter_model.safetensors"));
        List<JsonNode> asked = Metrics.read(run.resolve("metrics.jsonl")).with("samples");
        assertThat(asked).extracting(n -> n.path("step").intValue()).containsExactly(3, 6);
        assertThat(asked.getLast().path("samples")).hasSize(3);
        String last = asked.getLast().path("samples").path(2).path("answer").asString();
        assertThat(last).as("as gyre generate answers").isEqualTo(Cli.gyre("generate", run, "--prompt",
                asked.getLast().path("samples").path(2).path("prompt").asString(), "-n", 64).out.stripTrailing());
        assertThat(c.out).contains("of 3 right").containsPattern("\\d  again [0-9.]+");
        String page = Files.readString(run.resolve("report.html"));
        assertThat(page).contains("\"name\":\"validation\"", "\"name\":\"again\"", "\"answered\":[{\"step\":3");
    }

    @Test
    void aLearningRateIsFoundAndNothingIsWritten() throws IOException {
        Path file = config("found", "");
        Cli c = Cli.gyre("lr-find", file, "--steps", 30, "--from", "1e-4", "--to", 3, "--set",
                "adapter={method: full}");
        assertThat(c.code).as(c.toString()).isZero();
        Matcher m =
                Pattern.compile("falls fastest at (\\S+): a train.lr to try \\(now 2.0e-02\\); it is lowest at (\\S+),")
                        .matcher(c.out);
        assertThat(m.find()).as(c.toString()).isTrue();
        assertThat(Double.parseDouble(m.group(1))).isBetween(1e-4, Double.parseDouble(m.group(2)));
        assertThat(c.out.lines().filter(l -> l.endsWith("#"))).hasSizeBetween(10, 24);
        assertThat(dir.resolve("found")).doesNotExist();
        assertThat(Cli.gyre("lr-find", file, "--steps", 5).err).contains("a ramp of 5 steps")
                .contains("needs 10 steps at least");
    }

    @Test
    void shorterRowsForShortExamplesTrainTheSame() throws IOException {
        Path file = config("long-rows", "");
        assertThat(Cli.gyre("train", file, "--set", "data.packing=false").code).isZero();
        Cli c = Cli.gyre("train", file, "--set", "data.packing=false", "--set", "train.buckets=[24, 16]", "--set",
                "output.dir=" + dir.resolve("short-rows"), "--json");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out.lines()).allMatch(l -> l.startsWith("{\"step\":") && l.endsWith("}"));
        assertThat(lastLoss("short-rows")).isCloseTo(lastLoss("long-rows"), within(1e-4));
        assertThat(Files.readString(dir.resolve("short-rows/metrics.jsonl")))
                .containsPattern("\"tokens\":(96|64|128|80|112|144)\\D");
    }

    @Test
    void aLearningRateBeyondReasonStopsWithNumericExit() throws IOException {
        Cli c = Cli.gyre("train", config("wild", ""), "--set", "adapter={method: full}", "--set", "train.lr=1e30",
                "--set",
                "train.clip=0");
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.NUMERIC);
        assertThat(c.err).startsWith("gyre: step ").contains("train.jsonl line").contains("lower train.lr")
                .contains("the first result that is not finite comes from ");
        assertThat(dir.resolve("wild/model")).doesNotExist();
    }
}
