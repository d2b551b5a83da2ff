package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HeldOutTest {
    @TempDir
    Path dir;

    private static String line(int i) {
        return "{\"prompt\":\"p" + i + " = \",\"completion\":\"" + "c".repeat(1 + i % 9) + "\"}";
    }

    private static List<String> lines(int n) {
        return IntStream.range(0, n).mapToObj(HeldOutTest::line).toList();
    }

    private DataSets sets(List<String> lines, String data, int T, long seed) throws IOException {
        Path file = dir.resolve("a.jsonl");
        Files.write(file, lines);
        RunConfig.Data d = ConfigReader.parse("data", "{train: " + file + ", cache: " + dir.resolve("cache") + ", "
                + data + "}", RunConfig.Data.class, List.of());
        return new DataSets(d, T, seed, ModelText.bytes());
    }

    /// Prompts of a set, to the `=`.
    private static TreeSet<String> prompts(TokenizedSet s) {
        TreeSet<String> out = new TreeSet<>();
        for (int i = 0; i < s.size(); i++) {
            StringBuilder t = new StringBuilder();
            for (int j = 1; s.token(i, j) != ' '; j++)
                t.append((char) s.token(i, j));
            out.add(t.toString());
        }
        return out;
    }

    @Test
    void aShareIsHeldOutExactlyAndNothingIsLost() throws IOException {
        DataSets s = sets(lines(305), "valid: 10%", 60, 1);
        assertThat(s.valid().size()).isEqualTo(31);
        assertThat(s.train().size()).isEqualTo(274);
        TreeSet<String> all = prompts(s.train());
        all.addAll(prompts(s.valid()));
        assertThat(all).hasSize(305);
        assertThat(s.train().read() + s.valid().read()).isEqualTo(305);
        assertThat(s.train().tokens() + s.valid().tokens()).isEqualTo(sets(lines(305), "valid: null", 60, 1).train()
                .tokens());
        assertThat(sets(lines(305), "valid: 7", 60, 1).valid().size()).isEqualTo(7);
        assertThat(sets(lines(3), "valid: 1%", 60, 1).valid().size()).isEqualTo(1);
    }

    @Test
    void whatIsHeldOutFollowsFromContentAndSeedAlone() throws IOException {
        TreeSet<String> held = prompts(sets(lines(200), "valid: 20%", 60, 1).valid());
        List<String> other = new ArrayList<>(lines(200));
        Collections.shuffle(other, new Random(5));
        assertThat(prompts(sets(other, "valid: 20%", 60, 1).valid())).as("order").isEqualTo(held);
        assertThat(prompts(sets(lines(200), "valid: 20%", 11, 1).valid())).as("row length").isEqualTo(held);
        assertThat(prompts(sets(lines(200), "{valid: 20%, memory: 0}".replaceAll("[{}]", ""), 60, 1).valid()))
                .as("from a file of tokens").isEqualTo(held);
        assertThat(prompts(sets(lines(200), "valid: 20%", 60, 2).valid())).as("seed").isNotEqualTo(held).hasSize(40);
        TreeSet<String> more = prompts(sets(lines(220), "valid: 20%", 60, 1).valid());
        more.retainAll(held);
        assertThat(more).as("few change sides when examples are added").hasSizeGreaterThan(34);
    }

    @Test
    void equalExamplesAreOnOneSide() throws IOException {
        List<String> twice = new ArrayList<>(lines(100));
        twice.addAll(lines(100));
        DataSets s = sets(twice, "valid: 10%", 60, 3);
        assertThat(s.valid().size()).isEqualTo(20);
        TreeSet<String> train = prompts(s.train());
        train.retainAll(prompts(s.valid()));
        assertThat(train).isEmpty();
    }

    @Test
    void tasksAreThoseThatAreHeldOutAndTheRecordNamesThem() throws IOException {
        DataSets s = sets(lines(50), "valid: 10%", 60, 1);
        List<String> tasks = s.validTasks(100).stream()
                .map(e -> ((Example.Completion) e).prompt().replace(" = ", "")).toList();
        assertThat(new TreeSet<>(tasks)).isEqualTo(prompts(s.valid())).hasSize(5);
        assertThat(s.validTasks(2)).hasSize(2);
        List<String> record = s.record().lines().toList();
        assertThat(record.getFirst()).isEqualTo(
                "# held out of data.train for validation: data.valid 10%, seed 1, 5 of 50 examples");
        assertThat(record.subList(1, 6)).allMatch(l -> l.matches(".*a\\.jsonl:\\d+"))
                .allSatisfy(l -> assertThat(prompts(s.valid()))
                        .contains("p" + (Integer.parseInt(l.substring(l.lastIndexOf(':') + 1)) - 1)));
        assertThat(sets(lines(50), "valid: null", 60, 1).record()).isNull();
    }

    @Test
    void plainTextIsHeldOutByWindows() throws IOException {
        Path text = dir.resolve("b.txt");
        StringBuilder all = new StringBuilder();
        for (int i = 0; i < 500; i++)
            all.append("word").append(i).append(' ');
        Files.writeString(text, all);
        RunConfig.Data d = ConfigReader.parse("data", "{train: " + text + ", valid: 25%}", RunConfig.Data.class,
                List.of());
        DataSets s = new DataSets(d, 16, 1, ModelText.bytes());
        int windows = (all.length() + 1 - 1 + 15) / 16;
        assertThat(s.train().size() + s.valid().size()).isEqualTo(windows);
        assertThat(s.valid().size()).isEqualTo(Math.round(windows * 0.25f));
    }

    @Test
    void aPartThatLeavesNothingIsRefused() {
        assertThatThrownBy(() -> sets(lines(5), "valid: 5", 60, 1).train()).isInstanceOf(DataException.class)
                .hasMessageContaining("data.valid takes 5 of its 5 examples");
        assertThatThrownBy(() -> sets(Collections.nCopies(9, line(1)), "valid: 2", 60, 1).train())
                .isInstanceOf(DataException.class).hasMessageContaining("too much alike to hold some out");
    }
}
