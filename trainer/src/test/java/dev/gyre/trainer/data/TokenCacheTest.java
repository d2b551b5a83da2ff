package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.token.ByteTokenizer;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.config.RunConfig.TooLong;
import dev.gyre.trainer.config.RunConfig.TrainOn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TokenCacheTest {
    private static final int T = 23;

    @TempDir
    Path dir;

    private Path cache() {
        return dir.resolve("cache");
    }

    private List<Path> cached() throws IOException {
        if (!Files.exists(cache()))
            return List.of();
        try (Stream<Path> s = Files.list(cache())) {
            return s.toList();
        }
    }

    /// Examples of every kind in three files, some too long, some without an answer.
    private ExampleFiles files(int n) throws IOException {
        Random random = new Random(4);
        StringBuilder json = new StringBuilder();
        StringBuilder csv = new StringBuilder("prompt,completion\n");
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < n; i++) {
            json.append(i % 5 == 0 ? "{\"text\":\"%s\"}\n".formatted("t".repeat(random.nextInt(60)))
                    : "{\"prompt\":\"%s\",\"completion\":\"%s\"}\n".formatted("p".repeat(random.nextInt(30)),
                            "c".repeat(random.nextInt(9))));
            csv.append("q").append(i).append(',').append("a".repeat(1 + i % 7)).append('\n');
            text.append("some words ").append(i).append(i % 9 == 0 ? "\n" : " ");
        }
        Files.writeString(dir.resolve("a.jsonl"), json);
        Files.writeString(dir.resolve("b.csv"), csv);
        Files.writeString(dir.resolve("c.txt"), text);
        return ExampleFiles.of(DataFiles.of(dir.resolve("a.jsonl").toString(), dir.resolve("b.csv").toString(),
                dir.resolve("c.txt").toString()), Format.AUTO, Map.of());
    }

    private static TokenizedSet.Rules rules(TooLong tooLong) {
        return new TokenizedSet.Rules(Format.AUTO, TrainOn.COMPLETION, tooLong, T);
    }

    private static List<String> content(TokenizedSet s) {
        List<String> out = new ArrayList<>();
        for (int i = 0; i < s.size(); i++) {
            StringBuilder b = new StringBuilder(s.file(i).getFileName() + ":" + s.line(i));
            for (int j = 0; j < s.length(i); j++)
                b.append(' ').append(s.token(i, j)).append(s.isTarget(i, j) ? "!" : "");
            out.add(b.toString());
        }
        out.add(s.read() + " " + s.size() + " " + s.tokens() + " " + s.targets() + " " + s.truncated() + " "
                + s.dropped() + " " + s.tasks() + " " + s.notes());
        return out;
    }

    private TokenizedSet read(long memory, ExampleFiles files, TooLong tooLong) {
        return TokenizedSet.read(files, rules(tooLong), ModelText.bytes(), new TokenCache(memory, cache()));
    }

    @ParameterizedTest
    @EnumSource
    void aFileOfTokensHoldsWhatMemoryHolds(TooLong tooLong) throws IOException {
        ExampleFiles files = files(700);
        TokenizedSet memory = read(1 << 28, files, tooLong);
        assertThat(memory.isInFile()).isFalse();
        assertThat(cached()).as("a small set leaves nothing on the disk").isEmpty();
        for (long some : new long[] {0, 1000, 40_000}) {
            TokenizedSet file = read(some, files, tooLong);
            assertThat(file.isInFile()).isTrue();
            assertThat(content(file)).isEqualTo(content(memory));
            assertThat(file.heapBytes()).isLessThan(memory.heapBytes() / 8);
        }
        assertThat(cached()).hasSize(1);
        assertThat(read(1 << 28, files, tooLong).isInFile()).as("what fits is in memory all the same").isFalse();
    }

    @Test
    void fourBytesHoldLargeVocabularies() throws IOException {
        List<String> many = new ArrayList<>();
        for (int i = 0; i < 40_000; i++)
            many.add("<" + i + ">");
        Path model = Files.createDirectory(dir.resolve("model"));
        new ByteTokenizer(many, null).save(model);
        Path file = dir.resolve("d.jsonl");
        Files.writeString(file, "{\"text\":\"a <39999> b\"}\n".repeat(5) + "{\"text\":\"<7>\"}\n");
        try (ModelText text = ModelText.load(model)) {
            ExampleFiles files = ExampleFiles.of(file, Format.AUTO);
            TokenizedSet a = TokenizedSet.read(files, rules(TooLong.TRUNCATE), text, new TokenCache(0, cache()));
            assertThat(a.isInFile()).isTrue();
            assertThat(content(a)).isEqualTo(content(TokenizedSet.read(files, rules(TooLong.TRUNCATE), text,
                    new TokenCache(1 << 20, cache()))));
            Files.writeString(model.resolve("chat_template.jinja"), "{{ messages }}");
        }
        try (ModelText text = ModelText.load(model)) {
            TokenizedSet.read(ExampleFiles.of(file, Format.AUTO), rules(TooLong.TRUNCATE), text,
                    new TokenCache(0, cache()));
            assertThat(cached()).as("another template, other tokens").hasSize(2);
        }
    }

    @Test
    void otherDataRulesAndNamesHaveOtherFiles() throws IOException {
        ExampleFiles files = files(50);
        read(0, files, TooLong.TRUNCATE);
        Path first = cached().getFirst();
        long made = Files.getLastModifiedTime(first.resolve("tokens.bin")).toMillis();
        read(0, files, TooLong.TRUNCATE);
        assertThat(Files.getLastModifiedTime(first.resolve("tokens.bin")).toMillis()).as("not made again")
                .isEqualTo(made);
        read(0, files, TooLong.DROP);
        assertThat(cached()).hasSize(2);
        Files.writeString(dir.resolve("b.csv"), Files.readString(dir.resolve("b.csv")).replace("q1,", "Q1,"));
        TokenizedSet changed = read(0, files, TooLong.TRUNCATE);
        assertThat(cached()).hasSize(3);
        assertThat(content(changed)).isEqualTo(content(read(1 << 28, files, TooLong.TRUNCATE)));
    }

    @Test
    void aDamagedFileIsNamed() throws IOException {
        ExampleFiles files = files(50);
        read(0, files, TooLong.TRUNCATE);
        Path tokens = cached().getFirst().resolve("tokens.bin");
        byte[] all = Files.readAllBytes(tokens);
        Files.write(tokens, java.util.Arrays.copyOf(all, all.length - 3));
        assertThatThrownBy(() -> read(0, files, TooLong.TRUNCATE)).isInstanceOf(FormatException.class)
                .hasMessageContaining("holds a damaged file of tokens; remove the folder");
    }

    @Test
    void aBadLineLeavesNothingBehind() throws IOException {
        Path file = dir.resolve("bad.jsonl");
        Files.writeString(file, "{\"text\":\"good\"}\n".repeat(500) + "{\"text\":3}\n");
        assertThatThrownBy(() -> read(100, ExampleFiles.of(file, Format.AUTO), TooLong.TRUNCATE))
                .isInstanceOf(DataException.class).hasMessageContaining("bad.jsonl:501: 'text' must be a string");
        assertThat(cached()).isEmpty();
    }

    @Test
    void severalThatNeedTheSameFileMakeItOnce() throws Exception {
        ExampleFiles files = files(3000);
        List<String> expected = content(read(1 << 28, files, TooLong.TRUNCATE));
        try (ExecutorService pool = Executors.newFixedThreadPool(4)) {
            List<Future<List<String>>> all = new ArrayList<>();
            for (int i = 0; i < 4; i++)
                all.add(pool.submit(() -> content(read(0, files, TooLong.TRUNCATE))));
            for (Future<List<String>> f : all)
                assertThat(f.get()).isEqualTo(expected);
        }
        assertThat(cached()).hasSize(1);
    }

    @Test
    void whatAKilledProcessLeftIsCleanedUp() throws IOException {
        ExampleFiles files = files(50);
        read(0, files, TooLong.TRUNCATE);
        Path made = cached().getFirst();
        try (Stream<Path> s = Files.list(made)) {
            for (Path p : s.toList())
                Files.delete(p);
        }
        Files.delete(made);
        Path left = made.resolveSibling("." + made.getFileName() + ".tmp-01234567-89ab-cdef-0123-456789abcdef");
        Files.createDirectory(left);
        Files.writeString(left.resolve("tokens.bin"), "half");
        read(0, files, TooLong.TRUNCATE);
        assertThat(cached()).containsExactly(made);
    }

    @Test
    void examplesOfAProgramMayBeMoreThanMemoryHolds() {
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < 3_000_000; i++)
            examples.add(new Example.Completion("p", "abcdefghijklmnopqrstu"));
        TokenizedSet s = TokenizedSet.of(examples, rules(TooLong.TRUNCATE), ModelText.bytes());
        assertThat(s.isInFile()).isTrue();
        assertThat(s.size()).isEqualTo(3_000_000);
        assertThat(s.token(2_999_999, 2)).isEqualTo('a');
    }

    @Test
    void batchesAreTheSame() throws IOException {
        ExampleFiles files = files(700);
        TokenizedSet memory = read(1 << 28, files, TooLong.TRUNCATE);
        TokenizedSet file = read(0, files, TooLong.TRUNCATE);
        Batches a = new Batches(memory, 3, T, true, true, 9, Double.POSITIVE_INFINITY);
        Batches b = new Batches(file, 3, T, true, true, 9, Double.POSITIVE_INFINITY);
        for (int i = 0; i < 2 * a.epochRows() / 3; i++) {
            BatchStream.Micro<Batch> x = a.next(1).getFirst();
            BatchStream.Micro<Batch> y = b.next(1).getFirst();
            assertThat(y.batch().ids()).isEqualTo(x.batch().ids());
            assertThat(y.batch().labels()).isEqualTo(x.batch().labels());
            assertThat(b.describe(y)).isEqualTo(a.describe(x));
        }
    }
}
