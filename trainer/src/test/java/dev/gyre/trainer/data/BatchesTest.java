package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BatchesTest {
    private static final int T = 24;

    @TempDir
    Path dir;
    private TokenizedSet set;

    @BeforeEach
    void examples() throws IOException {
        Random random = new Random(7);
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < 203; i++)
            s.append("{\"prompt\":\"%s\",\"completion\":\"%s\"}\n".formatted("p".repeat(random.nextInt(6)),
                    "c".repeat(1 + random.nextInt(14))));
        Path file = dir.resolve("a.jsonl");
        Files.writeString(file, s);
        set = TokenizedSet.read(file, new TokenizedSet.Rules(Format.AUTO, TrainOn.COMPLETION, TooLong.TRUNCATE, T),
                ModelText.bytes());
    }

    private static int[] sorted(List<BatchStream.Micro<Batch>> micros) {
        return micros.stream().flatMapToInt(m -> Arrays.stream(m.examples())).sorted().toArray();
    }

    @Test
    void packedRowsKeepExamplesApart() {
        Batches b = new Batches(set, 2, T, true, true, 3, 1);
        for (BatchStream.Micro<Batch> m : b.next(5)) {
            Batch x = m.batch();
            int trained = 0;
            for (int i = 0; i < 2 * T; i++) {
                int t = i % T;
                if (x.labels()[i] >= 0) {
                    trained++;
                    boolean next = t + 1 < T && x.start()[i + 1] == x.start()[i];
                    if (next)
                        assertThat(x.ids()[i + 1]).isEqualTo(x.labels()[i]);
                    else
                        assertThat(x.labels()[i]).as("the end of an example is a target only").isEqualTo(257);
                }
                boolean padding = x.start()[i] == t && x.ids()[i] == 0;
                assertThat(x.positions()[i]).isEqualTo(padding ? 0 : t - x.start()[i]);
                assertThat(x.ids()[i] == 256).isEqualTo(x.positions()[i] == 0 && !padding);
            }
            assertThat(m.trained()).isEqualTo(trained).isEqualTo(x.trained());
        }
    }

    @Test
    void everyExampleComesOnceAnEpochAndPackedRowsAreNearlyFull() {
        Batches b = new Batches(set, 1, T, true, true, 3, 1);
        int rows = b.epochRows();
        List<BatchStream.Micro<Batch>> all = b.next(rows);
        assertThat(sorted(all)).hasSize(set.size()).doesNotHaveDuplicates();
        assertThat(b.next(1).getFirst().trained()).as("the only epoch is over").isZero();
        int used = 0;
        for (int i = 0; i < set.size(); i++)
            used += set.length(i) - 1;
        assertThat((double) used / (rows * T)).isGreaterThan(0.9);
        assertThat(new Batches(set, 1, T, false, true, 3, 1).epochRows()).isEqualTo(set.size());
    }

    @Test
    void theOrderFollowsFromSeedAndEpochOnly() {
        Batches a = new Batches(set, 2, T, true, true, 3, Double.POSITIVE_INFINITY);
        Batches b = new Batches(set, 2, T, true, true, 3, Double.POSITIVE_INFINITY);
        int half = (a.epochRows() + 1) / 2;
        List<BatchStream.Micro<Batch>> first = a.next(half);
        assertThat(sorted(first)).isEqualTo(sorted(b.next(half)));
        assertThat(first.getFirst().examples()).isNotEqualTo(a.next(half).getFirst().examples());
        assertThat(new Batches(set, 2, T, true, true, 4, 1).next(1).getFirst().examples())
                .isNotEqualTo(first.getFirst().examples());
    }

    @Test
    void aStreamContinuesExactlyFromAPosition() {
        Batches a = new Batches(set, 2, T, true, true, 3, Double.POSITIVE_INFINITY);
        List<int[]> seen = new ArrayList<>();
        List<Batches.Position> positions = new ArrayList<>();
        for (int i = 0; i < 3 * a.epochRows(); i++) {
            positions.add(a.position());
            seen.add(a.next(1).getFirst().batch().ids());
        }
        Batches b = new Batches(set, 2, T, true, true, 3, Double.POSITIVE_INFINITY);
        for (int i = seen.size() - 1; i >= 0; i -= 5) {
            b.seek(positions.get(i));
            assertThat(b.next(1).getFirst().batch().ids()).isEqualTo(seen.get(i));
        }
    }

    @Test
    void partsOfAnEpochCountInRows() {
        Batches half = new Batches(set, 1, T, false, true, 3, 2.5);
        assertThat(half.rows()).isEqualTo(203 + 203 + 102);
        long n = 0;
        while (half.next(1).getFirst().trained() > 0)
            n++;
        assertThat(n).isEqualTo(half.rows());
    }

    @Test
    void evaluationSeesTheFileInOrder() {
        List<BatchStream.Micro<Batch>> all = Batches.inOrder(set, 4, T, false, 0);
        assertThat(all).hasSize(51);
        assertThat(all.getFirst().examples()).containsExactly(0, 1, 2, 3);
        List<BatchStream.Micro<Batch>> some = Batches.inOrder(set, 4, T, false, 3);
        assertThat(some.stream().flatMapToInt(m -> Arrays.stream(m.examples())).toArray())
                .as("12 of 203 rows, evenly spread")
                .containsExactly(0, 16, 33, 50, 67, 84, 101, 118, 135, 152, 169, 186);
        assertThat(all.stream().mapToInt(BatchStream.Micro::trained).sum()).isEqualTo(set.targets());
    }

    @Test
    void aMicroBatchNamesItsLines() {
        Batches b = new Batches(set, 2, T, false, false, 3, 1);
        assertThat(b.describe(b.next(1).getFirst())).endsWith("a.jsonl lines 1, 2");
    }
}
