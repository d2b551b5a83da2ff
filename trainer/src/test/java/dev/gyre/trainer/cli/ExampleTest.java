package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.files.Json;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `gyre example` with small data in place of the packages'.
class ExampleTest {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden/tasks");

    @TempDir
    Path dir;

    private static void idx(Path images, Path labels, int n) throws Exception {
        Random random = new Random(n);
        ByteArrayOutputStream p = new ByteArrayOutputStream();
        ByteArrayOutputStream l = new ByteArrayOutputStream();
        try (DataOutputStream pixels = new DataOutputStream(p); DataOutputStream of = new DataOutputStream(l)) {
            for (int v : new int[] {0x803, n, 28, 28})
                pixels.writeInt(v);
            of.writeInt(0x801);
            of.writeInt(n);
            for (int i = 0; i < n; i++) {
                int label = i % 10;
                of.writeByte(label);
                // a bright bar whose place is the class
                for (int at = 0; at < 28 * 28; at++)
                    pixels.writeByte((at / 28 / 2 == label ? 200 : 0) + random.nextInt(50));
            }
        }
        for (var e : List.of(java.util.Map.entry(images, p), java.util.Map.entry(labels, l)))
            try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(e.getKey()))) {
                e.getValue().writeTo(out);
            }
    }

    @Test
    void imagesOfNewKindsAreLearnedAndOldOnesMeasured() throws Exception {
        Path data = Files.createDirectory(dir.resolve("data"));
        idx(data.resolve("train-images-idx3-ubyte.gz"), data.resolve("train-labels-idx1-ubyte.gz"), 320);
        idx(data.resolve("t10k-images-idx3-ubyte.gz"), data.resolve("t10k-labels-idx1-ubyte.gz"), 100);
        Path out = dir.resolve("out");
        Cli c = Cli.gyre("example", "images", "--data", data, "--out", out, "--methods", "oft,full", "--set",
                "train.epochs=1", "--set", "train.warmup=0");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).contains("| oft |").contains("| full |").contains("| before |").doesNotContain("NaN");
        assertThat(Files.readString(out.resolve("table.md"))).contains("| six kinds |").contains("| oft |");
        assertThat(Json.readObject(out.resolve("oft/task.json")).path("labels")).hasSize(4);
        assertThat(Json.readObject(out.resolve("six-kinds/task.json")).path("labels")).hasSize(6);
        assertThat(out.resolve("oft-old")).doesNotExist();
    }

    @Test
    void textsAreClassifiedAndTheEmbeddingModelMeasured() throws Exception {
        Path data = Files.createDirectory(dir.resolve("fortunes"));
        String filler = " and so on, as such texts are wont to go on for a while before they end at last";
        for (String category : List.of("art", "food", "people")) {
            List<String> texts = new ArrayList<>();
            for (int i = 0; i < 24; i++)
                texts.add("Number " + i + " of the " + category + "\n\tkind"
                        + filler.repeat(category.equals("people") ? 3 : 1));
            Files.writeString(data.resolve(category), String.join("\n%\n", texts) + "\n%\n", StandardCharsets.UTF_8);
        }
        Path model = Files.createDirectory(dir.resolve("model"));
        for (String f : List.of("config.json", "model.safetensors"))
            Files.copy(GOLDEN.resolve("bert-embedding").resolve(f), model.resolve(f));
        StringBuilder vocabulary = new StringBuilder("{\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3");
        int id = 4;
        for (String word : "number of the art food people kind and so on 1 2 3 4 5 6 7 8 9".split(" "))
            vocabulary.append(", \"").append(word).append("\": ").append(id++);
        Files.writeString(model.resolve("tokenizer.json"), """
                {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"},
                "post_processor": null, "decoder": null, "model": {"type": "WordPiece", "unk_token": "[UNK]",
                "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": %s}}}
                """.formatted(vocabulary));
        Path out = dir.resolve("out");
        Cli c = Cli.gyre("example", "classify", "--model", model, "--data", data, "--out", out, "--methods", "lora",
                "--set", "train.seq_len=20", "--set", "train.buckets=[]", "--set", "train.warmup=0", "--set",
                "train.epochs=1");
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.out).contains("36 texts of 2 categories, 12 held out").contains("| lora |").doesNotContain("NaN");
        assertThat(Json.readObject(out.resolve("lora/task.json")).path("labels").toString())
                .isEqualTo("[\"art\",\"food\"]");
    }

    @Test
    void whatIsMissingIsSaidInOneLine() {
        Path none = dir.resolve("none");
        for (Cli c : List.of(Cli.gyre("example", "images", "--data", none, "--out", dir.resolve("a")),
                Cli.gyre("example", "classify", "--model", GOLDEN.resolve("bert-embedding"), "--data", none, "--out",
                        dir.resolve("a")))) {
            assertThat(c.code).isEqualTo(2);
            assertThat(c.err.strip().lines()).hasSize(1);
            assertThat(c.err).contains("not there; install it with: apt-get install").contains("--data");
            assertThat(dir.resolve("a")).doesNotExist();
        }
        Cli c = Cli.gyre("example", "classify", "--model", none);
        assertThat(c.err.strip().lines()).hasSize(1);
        assertThat(c.err).contains(none.toString()).contains("docs/onnx.md");
        assertThat(Cli.gyre("example").err).contains("gyre example classify or images");
    }
}
