package dev.gyre.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.cli.TinyEncoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Models with a head from Java.
class ClassifierTest {
    private static final Offset<Float> NEAR = Offset.offset(1e-6f);

    @TempDir
    Path dir;

    private Path trained() throws IOException {
        StringBuilder s = new StringBuilder("text,label\n");
        for (int i = 0; i < 60; i++)
            s.append(i % 2 == 0 ? "good film " : "bad film ").append(1 + i % 9).append(i % 2 == 0 ? ",yes\n" : ",no\n");
        Path data = Files.writeString(dir.resolve("reviews.csv"), s);
        Path yaml = Files.writeString(dir.resolve("run.yaml"), """
                model: {path: %s}
                task: {kind: class}
                adapter: {method: oft, block_size: 8, targets: [query, value]}
                data: {train: %s, valid: 30%%}
                train: {epochs: 8, seq_len: 16, micro_batch: 8, lr: 1e-2}
                output: {dir: %s}
                device: cpu
                """.formatted(TinyEncoder.in("bert-embedding", dir.resolve("model")), data, dir.resolve("run")));
        Runs.Outcome o = Runs.train(yaml, RunOptions.DEFAULT);
        assertThat(o.ended().finished()).isTrue();
        return o.directory();
    }

    @Test
    void aTrainedClassifierAnswersMeasuresAndMerges() throws IOException {
        Path run = trained();
        try (Classifier c = Classifier.load(run)) {
            assertThat(c.labels()).containsExactly("no", "yes");
            List<Classifier.Answer> a = c.classify(List.of("good film 3", "bad film 8"));
            assertThat(a).extracting(Classifier.Answer::label).containsExactly("yes", "no");
            Map<String, Double> scores = a.getFirst().scores();
            assertThat(scores.keySet()).containsExactly("no", "yes");
            assertThat(scores.values().stream().mapToDouble(x -> x).sum()).isCloseTo(1, Offset.offset(1e-9));
            Map<String, Double> measured = c.evaluate(dir.resolve("reviews.csv"));
            assertThat(measured).containsKeys("loss", "accuracy", "f1");
            assertThat(Objects.requireNonNull(measured.get("accuracy"))).isGreaterThan(0.95);
            c.merge(dir.resolve("merged"));
            try (Classifier merged = Classifier.load(dir.resolve("merged"))) {
                assertThat(merged.classify(List.of("good film 3")).getFirst().scores().get("yes"))
                        .isCloseTo(Objects.requireNonNull(scores.get("yes")), Offset.offset(1e-4));
            }
            assertThatThrownBy(() -> c.classifyPairs(List.of("a"), List.of())).isInstanceOf(InputException.class)
                    .hasMessageContaining("1 first and 0 second");
            assertThat(c.classifyPairs(List.of("good film"), List.of("3"))).hasSize(1);
        }
        assertThatThrownBy(() -> Classifier.load(dir.resolve("model"))).isInstanceOf(InputException.class)
                .hasMessageContaining("gives embeddings");
        assertThatThrownBy(() -> Embedder.load(run)).isInstanceOf(InputException.class)
                .hasMessageContaining("Classifier");
    }

    @Test
    void textsAreCutAndCasedAsSentenceTransformersDoes() throws IOException {
        Path model = TinyEncoder.in("bert-embedding", dir.resolve("model"));
        String text = "good film 1 2 3 4 5 6 7 8 9";
        List<float[]> whole;
        try (Embedder e = Embedder.load(model)) {
            assertThat(e.width()).isEqualTo(32);
            whole = e.embed(List.of(text, "good film 1 2", "GOOD film 1 2"));
        }
        assertThat(Embedder.cosine(whole.get(0), whole.get(0))).isCloseTo(1, NEAR);
        Files.writeString(model.resolve("sentence_bert_config.json"),
                "{\"max_seq_length\": 6, \"do_lower_case\": true}");
        try (Embedder e = Embedder.load(model)) {
            List<float[]> cut = e.embed(List.of(text, "good film 1 2", "GOOD film 1 2"));
            assertThat(cut.get(1)).containsExactly(whole.get(1), NEAR);
            assertThat(cut.get(0)).as("six tokens: two around four words").containsExactly(whole.get(1), NEAR);
            assertThat(cut.get(2)).containsExactly(whole.get(1), NEAR);
        }
        assertThat(Embedder.cosine(whole.get(0), whole.get(1))).isLessThan(0.999f);
        assertThat(Embedder.cosine(whole.get(2), whole.get(1))).isLessThan(0.999f);
    }

    @Test
    void whatSentenceTransformersAddsAndGyreDoesNotReadIsRefused() throws IOException {
        Path model = TinyEncoder.in("bert-embedding", dir.resolve("model"));
        Path pooling = Files.createDirectory(model.resolve("1_Pooling")).resolve("config.json");
        Files.writeString(pooling, "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}");
        assertThatThrownBy(() -> Embedder.load(model)).isInstanceOf(FormatException.class)
                .hasMessageContaining("pools by cls_token and mean_tokens");
        Files.writeString(pooling, "{\"pooling_mode_max_tokens\": true}");
        assertThatThrownBy(() -> Embedder.load(model)).isInstanceOf(FormatException.class)
                .hasMessageContaining("pools by max_tokens");
        Files.delete(pooling);
        Files.writeString(model.resolve("modules.json"), """
                [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]""");
        assertThatThrownBy(() -> Embedder.load(model)).isInstanceOf(FormatException.class)
                .hasMessageContaining("has a module Dense (2_Dense)");
    }
}
