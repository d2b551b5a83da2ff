package dev.gyre.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.files.Json;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// What the tables, the page and the picture say of finished runs, made from written results.
class ComparisonTest {
    @TempDir
    Path dir;

    private void run(String name, String adapter, String train, double loss, double skewNorm, double defect)
            throws IOException {
        Path run = Files.createDirectories(dir.resolve(name));
        RunConfig c = ConfigReader.parse("run.yaml", """
                model: {path: base}
                adapter: {%s}
                data: {train: train.jsonl, valid: valid.jsonl}
                train: {steps: 8, seq_len: 32, micro_batch: 2, %s}
                output: {dir: %s}
                """.formatted(adapter, train, Json.MAPPER.writeValueAsString(run.toString())), RunConfig.class,
                List.of());
        Files.writeString(run.resolve("run.yaml"), ConfigWriter.resolved(c));
        Results r = new Results(c.adapter().method(), "nf4", "base", "cpu", 8, 1000, 10_000, 4000, 0.0201,
                1000, new Results.Memory(1_000_000, 1, 1, 1, 0), scores(9, 0.001, 1), scores(loss, 0.00096, 1),
                defect == 0 ? null : new Results.Rotation(skewNorm, 10, defect));
        Files.writeString(run.resolve(Results.FILE), Json.pretty(r.json()));
        Files.writeString(run.resolve("metrics.jsonl"), "");
    }

    private static Results.Scores scores(double loss, double forgetting, double kept) {
        return new Results.Scores(loss, 1.0, 1.0, 10, forgetting, kept, null);
    }

    private Comparison compare() {
        return Comparison.of(List.of(dir), null);
    }

    @Test
    void runsOfOneMethodAreToldApartByTheKeysInWhichTheyDiffer() throws IOException {
        run("exact", "method: oft, block_size: 8, cayley: exact", "lr: 1.5e-3", 0.5, 0.7, 1e-15);
        run("lora8", "method: lora, r: 8, dropout: 0.1", "lr: 2e-3", 0.5, 0, 0);
        run("lora16", "method: lora, r: 16, dropout: 0.1", "lr: 1.25e-3", 0.5, 0, 0);
        run("neumann", "method: oft, block_size: 8", "lr: 1e-2, beta2: 0.95", 0.5, 0.2, 1e-6);
        List<String> text = compare().table().text(false);
        assertThat(text.getFirst()).containsPattern("run +method +base +settings +lr ");
        assertThat(text.get(1)).containsPattern("exact +oft b=8 +nf4 +cayley=exact beta2=0.999 +1.5e-03 ");
        // alpha and r differ, but alpha follows r and r stands in the method's column
        assertThat(text.get(2)).containsPattern("lora16 +lora r=16 +nf4 +beta2=0.999 +1.25e-03 ");
        assertThat(text.get(3)).containsPattern("lora8 +lora r=8 +nf4 +beta2=0.999 +2e-03 ");
        assertThat(text.get(4)).containsPattern("neumann +oft b=8 +nf4 +cayley=neumann beta2=0.95 +1e-02 ");
        assertThat(compare().table().csv()).startsWith("run,method,variant,base,learning_rate")
                .contains(",settings\n", ",cayley=neumann beta2=0.95\n");
        assertThat(compare().table().latex(true)).startsWith("\\begin{tabular}{llllr")
                .contains("& cayley=neumann beta2=0.95 &");
        assertThat(compare().table().html("x")).contains("\"settings\":\"cayley=neumann beta2=0.95\"");
    }

    @Test
    void manySettingsAreCutOnAScreenOnly() throws IOException {
        String path = "x".repeat(50);
        run("a", "method: lora, r: 8, targets: [" + path + "]", "lr: 1e-3, warmup: 1", 0.5, 0, 0);
        run("b", "method: lora, r: 8", "lr: 1e-3, warmup: 2", 0.5, 0, 0);
        assertThat(compare().table().text(false)).last().asString()
                .isEqualTo("... more settings differ: --all shows them");
        assertThat(compare().table().text(false).get(1)).contains(" ... ").doesNotContain("warmup");
        assertThat(compare().table().text(true).get(1)).contains("targets=[" + path + "] warmup=1 ");
    }

    @Test
    void aRotationThatIsNoneAnyMoreIsMarkedAndExplained() throws IOException {
        run("far", "method: oft, block_size: 8", "lr: 1e-2", 0.5, 0.8, 0.7);
        run("near", "method: oft, block_size: 8", "lr: 1e-3", 0.5, 0.2, 1e-6);
        List<String> text = compare().table().text(false);
        assertThat(text.get(1)).endsWith(" 7e-01!");
        assertThat(text.get(2)).endsWith(" 1e-06");
        assertThat(text.get(2).indexOf("1e-06")).as("digits below digits").isEqualTo(text.get(1).indexOf("7e-01"));
        assertThat(text.getLast())
                .startsWith("! not a rotation any more (error above 1e-02): adapter.cayley: newton_schulz");
        assertThat(compare().table().markdown(true)).contains("| 7e-01! |", "\n\n! not a rotation")
                // a bar would end the cell
                .contains("| orth.err |", "| \\|\\|Q\\|\\| |");
        assertThat(compare().table().latex(true)).contains("7e-01!", "! not a rotation any more", "newton\\_schulz");
        assertThat(compare().table().csv()).doesNotContain("!");
        assertThat(compare().table().html("x")).contains("\"7e-01!\"", "\"note\":\"! not a rotation");
        run("far", "method: oft, block_size: 8, cayley: exact", "lr: 1e-2", 0.5, 0.8, 1e-15);
        assertThat(compare().table().text(false)).hasSize(3);
    }

    @Test
    void allThatLookLikeTheBestAreTheBest() throws IOException {
        run("a", "method: lora, r: 8", "lr: 1e-3", 0.00021, 0, 0);
        run("b", "method: lora, r: 8", "lr: 1e-3", 0.00023, 0, 0);
        run("c", "method: lora, r: 8", "lr: 1e-3", 0.0013, 0, 0);
        List<String> rows = compare().table().markdown(true).lines().toList();
        assertThat(rows.get(2)).contains("| **0.0002** |");
        assertThat(rows.get(3)).contains("| **0.0002** |");
        assertThat(rows.get(4)).contains("| 0.0013 |");
        // equal for all, and nothing rather than a little less than nothing
        assertThat(rows).filteredOn(r -> r.contains("| 20.1 |") && r.contains("| 1,000 |") && r.contains("| +0.0000 |"))
                .hasSize(3);
    }

    @Test
    void anAlarmNeedsLostAnswersOrWhereThereAreNoneLostSureness() {
        assertThat(forgot(0.0000, 0.0004, 1.0, 1.0)).isFalse();
        assertThat(forgot(0.2, 0.6, 1.0, 0.99)).isFalse();
        assertThat(forgot(0.2, 0.21, 1.0, 0.95)).isTrue();
        assertThat(forgot(2.0, 2.04, null, null)).isFalse();
        assertThat(forgot(2.0, 2.06, null, null)).isTrue();
        // a model that answered nothing before has no answers to lose
        assertThat(forgot(2.0, 2.06, 0.0, 0.0)).isTrue();
        assertThat(forgot(null, null, null, null)).isFalse();
    }

    private static boolean forgot(Double before, Double after, Double kept, Double keptAfter) {
        return Report.forgot(new Results("lora", "f32", "base", "cpu", 1, 1, 1, 1, 1, 1,
                new Results.Memory(1, 1, 1, 1, 1), new Results.Scores(1.0, null, null, 0, before, kept, null),
                new Results.Scores(1.0, null, null, 0, after, keptAfter, null), null));
    }

    @Test
    void aLossOfManySizesIsDrawnOnALogarithmicAxis() throws IOException {
        // on a linear axis all but the first third would lie at the bottom
        assertThat(rows(picture(1e-4))).isGreaterThan(70);
        assertThat(rows(picture(0.6))).isLessThan(70);
    }

    /// A loss that falls from 10 to `end` by the same factor at each step, then is 0 for one step.
    private static BufferedImage picture(double end) throws IOException {
        ObjectNode o = JsonNodeFactory.instance.objectNode().put("name", "x").put("summary", "y");
        ObjectNode steps = o.putObject("steps");
        List<ArrayNode> curves = List.of("step", "loss", "grad_norm", "lr", "tokens_per_second").stream()
                .map(steps::putArray).toList();
        for (int i = 0; i <= 100; i++) {
            curves.forEach(c -> c.add(1));
            curves.get(0).set(i, i);
            curves.get(1).set(i, i == 100 && end < 1 ? 0 : 10 * Math.pow(end / 10, i / 100.0));
        }
        return ImageIO.read(new ByteArrayInputStream(CurvesPicture.png(o)));
    }

    /// Rows of pixels over which the smoothed loss goes from its middle on; the legend lies further right.
    private static int rows(BufferedImage image) {
        int least = Integer.MAX_VALUE;
        int most = 0;
        for (int y = 200; y < 720; y++)
            for (int x = image.getWidth() / 2; x < 7 * image.getWidth() / 10; x++)
                if (image.getRGB(x, y) == 0xff2563c9) {
                    least = Math.min(least, y);
                    most = Math.max(most, y);
                }
        return most - least;
    }

    @Test
    void anyNameOfARunIsText() throws IOException {
        run("=cmd|' -C calc'!A0", "method: lora, r: 8", "lr: 1e-3", 0.5, 0, 0);
        run("a,\"b\"\n@x", "method: lora, r: 8", "lr: 1e-3", 0.5, 0, 0);
        run("\\x{~^} <b>|`_*\u001b[2J", "method: lora, r: 8", "lr: 1e-3", 0.5, 0, 0);
        ComparisonTable t = compare().table();
        assertThat(t.csv().lines()).hasSize(4).anyMatch(l -> l.startsWith("'=cmd|' -C calc'!A0,lora,"))
                .anyMatch(l -> l.startsWith("\"a,\"\"b\"\" @x\",lora,")).noneMatch(l -> l.contains("\u001b"));
        assertThat(t.markdown(true).lines()).hasSize(5).anyMatch(l -> l.startsWith("| =cmd\\|' -C calc'!A0 |"))
                .anyMatch(l -> l.startsWith("| \\\\x{\\~^} &lt;b>\\|\\`\\_\\* \\[2J |"))
                .noneMatch(l -> l.contains("\u001b"));
        assertThat(t.latex(true).lines()).hasSize(4 + 3 + 2)
                .anyMatch(l -> l.startsWith(
                        "\\textbackslash{}x\\{\\textasciitilde{}\\textasciicircum{}\\} \\textless{}b\\textgreater{}\\textbar{}`\\_{*} {[}2J &"));
        assertThat(t.text(true)).hasSize(4).noneMatch(l -> l.contains("\u001b") || l.contains("\n"));
    }
}
