package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.cli.screen.ExitCode;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A sweep of three tiny runs, one of which cannot work, each in a process of its own; then the comparison.
class SweepTest {
    @TempDir
    static Path dir;
    private static Path sweep;

    @BeforeAll
    static void aModelOfAFewThousandWeights() throws IOException {
        Path data = dir.resolve("data");
        assertThat(Cli.gyre("skills", "--out", data, "--skill", "copy", "--train", 20, "--valid", 3).code).isZero();
        Path pretrain = dir.resolve("pretrain.yaml");
        Files.writeString(pretrain, """
                model: {preset: tiny, hidden_size: 16, intermediate_size: 24, heads: 2, kv_heads: 1, context: 64}
                data: {train: %s}
                train: {steps: 1, seq_len: 32, micro_batch: 2}
                output: {dir: %s}
                """.formatted(data.resolve("train.jsonl"), dir.resolve("base")));
        assertThat(Cli.gyre("pretrain", pretrain).code).isZero();
        Path run = dir.resolve("run.yaml");
        Files.writeString(run, """
                model: {path: %s}
                data: {train: %s, valid: %s}
                train: {steps: 4, seq_len: 32, micro_batch: 2, lr: 1e-2}
                results: {answers: 2, forgetting: %s}
                output: {dir: replaced}
                device: cpu:1
                """.formatted(dir.resolve("base/model"), data.resolve("train.jsonl"), data.resolve("valid.jsonl"),
                data.resolve("valid.jsonl")));
        sweep = dir.resolve("sweep.yaml");
        Files.writeString(sweep, """
                run: %s
                output: %s
                runs:
                  oft: {adapter.method: oft, adapter.block_size: 8}
                  broken: {adapter.method: lora, adapter.targets: "[no_such_module]"}
                  lora: {adapter.method: lora, adapter.r: 2}
                """.formatted(run, dir.resolve("sweep")));
    }

    @Test
    void aSweepGoesOnAfterAFailureAndAfterAnInterruptionAndIsComparedOnOnePage() throws IOException {
        Path out = dir.resolve("sweep");
        Cli checked = Cli.gyre("check", sweep);
        assertThat(checked.code).as(checked.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(checked.out).containsPattern("oft +oft +as_stored +1.0e-02 +[0-9]")
                .contains("not possible: ", "no_such_module", sweep + ": 1 not possible of 3 runs into " + out);
        Cli shared = Cli.gyre("check", dir.resolve("run.yaml"));
        assertThat(shared.code).isEqualTo(ExitCode.USAGE);
        assertThat(shared.err).contains("'adapter.method' is missing: oft, ", "Then check the sweep's file");
        Cli dry = Cli.gyre("sweep", sweep, "--dry-run");
        assertThat(dry.out).contains("to do        oft", "to do        broken", "3 runs in " + out);
        assertThat(out).doesNotExist();
        // as after a kill in the first moment of the second run: a folder, and nothing whole of the run in it
        Files.createDirectories(out.resolve("lora"));
        Files.writeString(out.resolve("lora/.run.yaml.tmp-01234567-89ab-cdef-0123-456789abcdef"), "{");

        // one run done before, as the sweep would do it: processes cost seconds
        assertThat(Cli.gyre("train", dir.resolve("run.yaml"), "--set", "adapter={method: oft, block_size: 8}", "--set",
                "output.dir=" + out.resolve("oft")).code).isZero();

        Cli first = Cli.gyre("sweep", sweep);
        assertThat(first.code).as(first.toString()).isEqualTo(ExitCode.FAILURE);
        assertThat(first.err).contains("2/3  broken  FAILED: ").contains("no_such_module");
        assertThat(first.out).contains("1/3  oft  done before", "3/3  lora  exact ", "2 of 3 runs done, 1 failed");
        assertThat(Files.readString(out.resolve("lora.log"))).contains("gyre ", "result");

        Cli again = Cli.gyre("sweep", sweep);
        assertThat(again.out).contains("2/3  broken  failed before: ", "3/3  lora  done before");

        Cli table = Cli.gyre("compare", out, "--relative", "lora");
        assertThat(table.code).as(table.toString()).isZero();
        assertThat(table.out.lines().toList()).hasSize(4);
        assertThat(table.out).contains("trained / lora", "oft   oft b=8", "lora  lora r=2", "broken: failed: ")
                .contains(" 1.00");
        assertThat(Cli.gyre("compare", out.resolve("oft"), out.resolve("lora"), "--markdown").out)
                .startsWith("| run | method | base | lr |").contains("| oft | oft b=8 | as_stored | 1e-02 |");
        assertThat(Cli.gyre("compare", out, "--latex").out).startsWith("\\begin{tabular}{lll")
                .contains("as\\_stored", "\\bottomrule");
        List<String> csv = Cli.gyre("compare", out, "--csv").out.lines().toList();
        assertThat(csv).hasSize(3);
        assertThat(csv.getFirst())
                .startsWith("run,method,variant,base,learning_rate,trained,trained_share,exact_before");
        assertThat(csv.get(1).split(",", -1)).hasSameSizeAs(csv.getFirst().split(",", -1));

        Path page = dir.resolve("compare.html");
        assertThat(Cli.gyre("compare", out, "--out", page).code).isZero();
        assertThat(Files.readString(page)).contains("\"name\":\"lora\"", "What a gain costs")
                .doesNotContainPattern("(src|href)=\"?http");
        String report = Files.readString(out.resolve("oft/report.html"));
        assertThat(report).contains("\"kind\":\"AdamW\"", "\"energy\":[{", "\"relative\":", "Rotation by layer")
                .doesNotContainPattern("(src|href)=\"?http");
        Files.delete(out.resolve("oft/report.html"));
        assertThat(Cli.gyre("report", out.resolve("oft")).out).contains("wrote " + out.resolve("oft/report.html"));
        assertThat(out.resolve("oft/report.html")).hasContent(report);

        Path png = dir.resolve("curves.png");
        assertThat(Cli.gyre("report", out.resolve("oft"), "--png", png).out).contains("wrote " + png);
        BufferedImage image = ImageIO.read(png.toFile());
        assertThat(image.getWidth()).isEqualTo(2240);
        boolean[] drawn = new boolean[2];
        for (int y = 0; y < image.getHeight(); y++)
            for (int x = 0; x < image.getWidth(); x++) {
                // the smoothed loss and the validation loss
                drawn[0] |= image.getRGB(x, y) == 0xff2563c9;
                drawn[1] |= image.getRGB(x, y) == 0xffd9622b;
            }
        assertThat(drawn).as("blue and orange").containsOnly(true);

        Files.writeString(sweep, Files.readString(sweep).replace("adapter.r: 2", "adapter.r: 3"));
        Cli changed = Cli.gyre("sweep", sweep);
        assertThat(changed.code).isEqualTo(ExitCode.USAGE);
        assertThat(changed.err).contains("lora: is finished with adapter.alpha: 4, the sweep now says 6");
    }

    @Test
    void aMistakeInOneRunIsToldBeforeTheFirstOneStarts() throws IOException {
        Path bad = dir.resolve("bad.yaml");
        Files.writeString(bad, Files.readString(sweep).replace("adapter.r: 2", "adapter.rank: 2")
                .replace(dir.resolve("sweep").toString(), dir.resolve("bad").toString()));
        Cli c = Cli.gyre("sweep", bad);
        assertThat(c.code).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains("run lora: --set adapter.rank=2: unknown key 'rank'");
        assertThat(dir.resolve("bad")).doesNotExist();
    }

    /// A sweep into a folder that is not its own: whatever is in the way stays as it is, and nothing is trained.
    @Test
    void whatASweepDidNotMakeIsNeitherRemovedNorWrittenOver() throws IOException {
        Path mine = dir.resolve("mine");
        Path file = dir.resolve("mine.yaml");
        Files.writeString(file, Files.readString(sweep).replace(dir.resolve("sweep").toString(), mine.toString())
                .replace("broken: ", "skipped: "));
        for (String name : List.of("lora/chapter1.tex", "lora", "lora.yaml", "lora.log", "sweep.json",
                "lora/results.json")) {
            Path work = mine.resolve(name);
            Files.createDirectories(work.getParent());
            Files.writeString(work, "{\"a\": 1}");
            for (String[] more : new String[][] {{}, {"--retry"}, {"--dry-run"}}) {
                Cli c = Cli.gyre(Stream.concat(Stream.of("sweep", file), Stream.of(more)).toArray());
                assertThat(c.code).as(name + c).isEqualTo(ExitCode.USAGE);
                assertThat(c.err).contains(name.startsWith("lora/") ? mine.resolve("lora").toString() : work.toString())
                        .contains("move it away");
                assertThat(work).hasContent("{\"a\": 1}");
                try (Stream<Path> all = Files.walk(mine)) {
                    assertThat(all.filter(Files::isRegularFile).toList()).containsExactly(work);
                }
            }
            Files.delete(work);
            if (name.contains("/"))
                Files.delete(work.getParent());
        }
    }

    /// A run that failed is started anew only if all that its folder holds is the run's.
    @Test
    void retryRemovesNothingThatIsNotTheRuns() throws IOException {
        Path mine = dir.resolve("retried");
        Path file = dir.resolve("retried.yaml");
        Files.writeString(file, """
                run: %s
                output: %s
                runs:
                  lora: {adapter.method: lora, adapter.r: 2}
                """.formatted(dir.resolve("run.yaml"), mine));
        Files.createDirectories(mine.resolve("lora"));
        Files.writeString(mine.resolve("sweep.json"),
                "{\"runs\": [\"lora\"], \"failed\": {\"lora\": \"out of memory\"}}");
        Files.writeString(mine.resolve("lora/run.yaml"), "");
        Files.writeString(mine.resolve("lora/notes.txt"), "work");
        Cli c = Cli.gyre("sweep", file, "--retry");
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains("also holds what is not the run's: notes.txt");
        assertThat(mine.resolve("lora/notes.txt")).hasContent("work");
    }
}
