package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtSession;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.SafeTensors;
import dev.langchain4j.model.embedding.onnx.OnnxEmbeddingModel;
import dev.langchain4j.model.embedding.onnx.PoolingMode;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// all-MiniLM-L6-v2, a real embedding model (Apache-2.0), as LangChain4j ships it: read, used, fine-tuned and written back,
/// held against ONNX Runtime and LangChain4j.
class OnnxModelTest {
    private static final double LIMIT = 1e-5;
    /// Tokens at which the tokenizer cuts, and so the directory that is made of it (max_seq_length).
    private static final int LONGEST = 128;

    @TempDir
    static Path dir;

    private static Path onnx;
    private static Path tokenizer;
    private static Path model;
    private static List<String> sentences;

    @BeforeAll
    static void imports() throws Exception {
        onnx = copied("all-minilm-l6-v2.onnx");
        tokenizer = copied("all-minilm-l6-v2-tokenizer.json");
        model = dir.resolve("minilm");
        Cli c = ok("import", onnx, "--out", model);
        assertThat(c.out).contains("22.57M parameters, 6 layers of 384, 12 heads, mean pooling");
        sentences = sentences();
    }

    private static Path copied(String resource) throws Exception {
        Path to = dir.resolve(resource);
        try (InputStream in = Objects.requireNonNull(OnnxEmbeddingModel.class.getResourceAsStream("/" + resource))) {
            Files.copy(in, to);
        }
        return to;
    }

    private static Cli ok(Object... args) {
        Cli c = Cli.gyre(args);
        assertThat(c.code).as(c.toString()).isZero();
        return c;
    }

    /// 200 sentences of our own documentation, with what tokenizers stumble over.
    private static List<String> sentences() throws Exception {
        List<String> out = new ArrayList<>(List.of("a", "?", "Ünïcödé naïve café", "漢字とかな", "🙂 well",
                "CAPITALS and MixedCase",
                "tab\tand  spaces", "antidisestablishmentarianism", "3.14159 2,000 10%", "word ".repeat(200).strip()));
        List<Path> pages;
        try (Stream<Path> all = Files.list(Path.of("../docs/decisions"))) {
            pages = all.filter(p -> p.toString().endsWith(".md")).sorted().toList();
        }
        for (Path page : pages)
            for (String s : Files.readString(page).replaceAll("\\s+", " ").split("(?<=[.?!:]) "))
                if (out.size() < 200 && s.length() > 20 && s.length() < 200 && !s.contains("---"))
                    out.add(s.strip());
        assertThat(out).hasSize(200);
        return out;
    }

    /// Gyre's embeddings, by the command.
    private static float[][] ours(Path from) throws Exception {
        Path lines = dir.resolve("sentences.txt");
        Files.write(lines, sentences);
        Path out = Files.createTempDirectory(dir, "vectors").resolve("vectors.safetensors");
        ok("embed", from, "--file", lines, "--out", out, "--device", "cpu");
        try (SafeTensors f = SafeTensors.open(out)) {
            float[] all = f.f32("embeddings");
            int width = all.length / sentences.size();
            float[][] rows = new float[sentences.size()][];
            for (int i = 0; i < rows.length; i++)
                rows[i] = Arrays.copyOfRange(all, i * width, (i + 1) * width);
            return rows;
        }
    }

    /// ONNX Runtime's last hidden states, their mean over the tokens in double, normalised.
    private static float[][] runtime(Path graph) throws Exception {
        float[][] rows = new float[sentences.size()][];
        try (OrtEnvironment env = OrtEnvironment.getEnvironment();
                OrtSession session = env.createSession(graph.toString());
                HuggingFaceTokenizer t = HuggingFaceTokenizer.builder().optTokenizerPath(tokenizer).optTruncation(true)
                        .optMaxLength(LONGEST).optPadding(false).build()) {
            for (int i = 0; i < rows.length; i++) {
                Encoding e = t.encode(sentences.get(i), true, false);
                try (OnnxTensor ids = OnnxTensor.createTensor(env, new long[][] {e.getIds()});
                        OnnxTensor mask = OnnxTensor.createTensor(env, new long[][] {e.getAttentionMask()});
                        OnnxTensor types = OnnxTensor.createTensor(env, new long[][] {e.getTypeIds()});
                        OrtSession.Result r = session.run(
                                Map.of("input_ids", ids, "attention_mask", mask, "token_type_ids", types))) {
                    rows[i] = pooled(((float[][][]) r.get(0).getValue())[0]);
                }
            }
        }
        return rows;
    }

    private static float[] pooled(float[][] tokens) {
        double[] mean = new double[tokens[0].length];
        for (float[] t : tokens)
            for (int c = 0; c < mean.length; c++)
                mean[c] += t[c] / tokens.length;
        double length = Math.sqrt(Arrays.stream(mean).map(x -> x * x).sum());
        float[] out = new float[mean.length];
        for (int c = 0; c < out.length; c++)
            out[c] = (float) (mean[c] / length);
        return out;
    }

    private static float[][] langChain(Path graph) {
        OnnxEmbeddingModel m = new OnnxEmbeddingModel(graph, tokenizer, PoolingMode.MEAN);
        return sentences.stream().map(s -> m.embed(s).content().vector()).toArray(float[][]::new);
    }

    private static double difference(float[][] a, float[][] b) {
        assertThat(a.length).isEqualTo(b.length);
        double most = 0;
        for (int i = 0; i < a.length; i++) {
            assertThat(a[i]).hasSameSizeAs(b[i]);
            for (int c = 0; c < a[i].length; c++) {
                double d = Math.abs(a[i][c] - b[i][c]);
                // NaN is no agreement
                most = d <= most ? most : d;
            }
        }
        return most;
    }

    @Test
    void embeddingsAreOnnxRuntimesAndLangChainsOwn() throws Exception {
        float[][] own = ours(model);
        assertThat(difference(own, runtime(onnx))).isLessThan(LIMIT);
        assertThat(difference(own, langChain(onnx))).isLessThan(LIMIT);
        // and they mean something
        assertThat(difference(own, ours(model))).isZero();
        assertThat(dot(own[0], own[1])).isLessThan(0.99);
    }

    private static double dot(float[] a, float[] b) {
        double s = 0;
        for (int i = 0; i < a.length; i++)
            s += (double) a[i] * b[i];
        return s;
    }

    @Test
    void aFineTunedModelGoesBackIntoTheGraph() throws Exception {
        Path run = dir.resolve("pairs");
        Path yaml = pairs(run, "{method: oft, block_size: 32, targets: [query, key, value, dense]}");
        ok("train", yaml);
        Path merged = dir.resolve("merged");
        ok("merge", run, "--out", merged, "--device", "cpu");
        // what sentence-transformers needs stays beside the model
        for (String f : List.of("modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json"))
            assertThat(merged.resolve(f)).hasSameTextualContentAs(model.resolve(f));
        Path made = dir.resolve("tuned.onnx");
        Cli c = ok("merge", run, "--onnx", onnx, "--out", made, "--device", "cpu");
        assertThat(c.out).contains("36 weights of");
        float[][] own = ours(merged);
        assertThat(difference(own, ours(model))).isGreaterThan(1e-3);
        assertThat(difference(own, runtime(made))).isLessThan(LIMIT);
        assertThat(difference(own, langChain(made))).isLessThan(LIMIT);
        assertThat(Files.size(made)).isEqualTo(Files.size(onnx));
        // the model that was merged goes into the graph by itself, with the same bytes
        Path whole = dir.resolve("whole.onnx");
        ok("merge", merged, "--onnx", onnx, "--out", whole, "--device", "cpu");
        assertThat(Files.mismatch(made, whole)).isEqualTo(-1);
        // an adapter that was trained on other weights does not
        Cli wrong = Cli.gyre("merge", run, "--onnx", made, "--out", dir.resolve("no.onnx"), "--device", "cpu");
        assertThat(wrong.code).isNotZero();
        assertThat(wrong.err).contains("is of another model than").contains("has other values");
        assertThat(dir.resolve("no.onnx")).doesNotExist();
    }

    private Path pairs(Path run, String adapter) throws Exception {
        List<String> lines = new ArrayList<>();
        for (int i = 10; i < 74; i += 2)
            lines.add(Json.MAPPER.createObjectNode().put("text", sentences.get(i)).put("pair", sentences.get(i + 1))
                    .toString());
        Path data = dir.resolve("pairs.jsonl");
        Files.write(data, lines);
        Path yaml = dir.resolve("run.yaml");
        Files.writeString(yaml, """
                model: {path: %s}
                task: {kind: pairs}
                adapter: %s
                data: {train: %s, pair: pair}
                train: {steps: 4, seq_len: 64, micro_batch: 8, lr: 1e-3}
                output: {dir: %s}
                device: cpu
                """.formatted(model, adapter, data, run));
        return yaml;
    }

    @Test
    void aWrongFileIsOneLine() throws Exception {
        for (Path f : List.of(tokenizer, dir.resolve("none.onnx"), dir)) {
            Cli c = Cli.gyre("import", f, "--out", dir.resolve("no"));
            assertThat(c.code).isEqualTo(2);
            assertThat(c.err.strip().lines()).hasSize(1);
            assertThat(c.err).contains(f.toString());
            assertThat(dir.resolve("no")).doesNotExist();
        }
        Path alone = Files.createDirectories(dir.resolve("alone")).resolve("model.onnx");
        Files.createLink(alone, onnx);
        Cli c = Cli.gyre("import", alone, "--out", dir.resolve("no"));
        assertThat(c.err).contains("--tokenizer FILE");
        ok("import", alone, "--tokenizer", tokenizer, "--pooling", "cls", "--out", dir.resolve("cls"));
        assertThat(Files.readString(dir.resolve("cls/1_Pooling/config.json")))
                .contains("\"pooling_mode_cls_token\": true");
    }
}
