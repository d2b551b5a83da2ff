package dev.gyre.model.onnx;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.SafeTensors;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

public class OnnxBertTest {
    private static final Path MODEL = Golden.path("tasks/bert-embedding");
    private static final String QUERY = "encoder.layer.1.attention.self.query.weight";

    @TempDir
    Path dir;

    /// The tiny BERT of `golden/tasks/bert-embedding` as an exporter wrote it.
    public static byte[] graph(String name) throws IOException {
        try (InputStream in = new GZIPInputStream(
                Files.newInputStream(Golden.path("onnx").resolve(name + ".onnx.gz")))) {
            return in.readAllBytes();
        }
    }

    private Path file(byte[] bytes) throws IOException {
        return Files.write(dir.resolve("model.onnx"), bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"ts14-eager", "ts17-sdpa", "dyn18-sdpa", "dyn20-eager"})
    void everyTensorIsFoundByTheGraph(String name) throws Exception {
        OnnxBert bert = OnnxBert.read(file(graph(name)));
        try (SafeTensors want = SafeTensors.open(MODEL.resolve("model.safetensors"))) {
            assertThat(bert.tensors()).containsExactlyInAnyOrderElementsOf(want.names());
            for (String t : want.names()) {
                assertThat(bert.values(t)).as(t).isEqualTo(want.f32(t));
                assertThat(bert.shape(t)).as(t).isEqualTo(want.info(t).dims());
            }
        }
        assertThat(bert.unread()).isEmpty();
        ObjectNode had = Json.readObject(MODEL.resolve("config.json"));
        ObjectNode made = bert.config();
        for (String key : List.of("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                "intermediate_size", "hidden_act", "layer_norm_eps", "max_position_embeddings", "type_vocab_size",
                "model_type", "architectures"))
            assertThat(made.get(key)).as(key).isEqualTo(had.get(key));
    }

    @ParameterizedTest
    @ValueSource(strings = {"ts14-eager", "dyn18-sdpa"})
    void onlyWhatIsReplacedChanges(String name) throws Exception {
        byte[] before = graph(name);
        Path from = file(before);
        OnnxBert bert = OnnxBert.read(from);
        float[] weight = bert.values(QUERY);
        for (int i = 0; i < weight.length; i++)
            weight[i] = i;
        Path to = dir.resolve("new.onnx");
        bert.write(to, Set.of(QUERY), _ -> weight);
        OnnxBert made = OnnxBert.read(to);
        for (String t : made.tensors())
            assertThat(made.values(t)).as(t).isEqualTo(t.equals(QUERY) ? weight : bert.values(t));
        byte[] after = Files.readAllBytes(to);
        assertThat(after).hasSameSizeAs(before);
        int first = -1;
        int last = -1;
        for (int i = 0; i < after.length; i++)
            if (after[i] != before[i]) {
                first = first < 0 ? i : first;
                last = i;
            }
        assertThat(last - first).isBetween(1, 4 * weight.length - 1);
        // with nothing replaced it is a copy
        bert.write(to, Set.of(), _ -> weight);
        assertThat(Files.readAllBytes(to)).isEqualTo(before);
    }

    @Test
    void tensorsThatShareAnInitializerCannotPart() throws Exception {
        // all biases of a fresh model are equal, and its exporter stores equal ones once; here two layers get one name
        byte[] b = swapped(graph("ts14-eager"), "m.encoder.layer.0.output.LayerNorm.bias",
                "m.encoder.layer.1.output.LayerNorm.bias");
        OnnxBert bert = OnnxBert.read(file(b));
        String first = "encoder.layer.0.output.LayerNorm.bias";
        String second = "encoder.layer.1.output.LayerNorm.bias";
        assertThat(bert.values(first)).isEqualTo(bert.values(second));
        Path to = dir.resolve("new.onnx");
        assertThatThrownBy(() -> bert.write(to, Set.of(first), _ -> new float[32])).isInstanceOf(FormatException.class)
                .hasMessageContaining(first).hasMessageContaining(second).hasMessageContaining("one initializer");
        assertThat(to).doesNotExist();
        bert.write(to, Set.of(first, second), _ -> new float[32]);
        assertThat(OnnxBert.read(to).values(second)).containsOnly(0);
    }

    /// Uses of `name` in nodes' inputs become uses of `by`, which is as long.
    private static byte[] swapped(byte[] graph, String name, String by) {
        String text = new String(graph, StandardCharsets.ISO_8859_1);
        int at = text.indexOf((char) 10 + "" + (char) name.length() + name);
        while (at >= 0 && text.charAt(at + name.length() + 2) == 'B')
            at = text.indexOf((char) 10 + "" + (char) name.length() + name, at + 1);
        assertThat(at).isPositive();
        return (text.substring(0, at + 2) + by + text.substring(at + 2 + name.length()))
                .getBytes(StandardCharsets.ISO_8859_1);
    }

    /// An operator in place of another with a name of the same length; the messages name the node.
    @ParameterizedTest
    @CsvSource({"Softmax,Sigmoid,stands where probabilities", "Erf,Exp,GELU", "Tanh,Sqrt,",
        "ReduceMean,ReduceProd,last layer", "Slice,Split,positions 0", "Gather,CumSum,embedding"})
    void whatIsNoBertIsRefusedByName(String op, String other, String said) throws Exception {
        String text = new String(graph("ts14-eager"), StandardCharsets.ISO_8859_1);
        String changed = text.replace("\"" + (char) op.length() + op, "\"" + (char) op.length() + other);
        assertThat(changed).isNotEqualTo(text);
        Path file = file(changed.getBytes(StandardCharsets.ISO_8859_1));
        if (said == null) {
            // a pooler that is none is left out, and said so
            assertThat(OnnxBert.read(file).unread()).containsExactly("m.pooler.dense.weight");
            return;
        }
        assertThatThrownBy(() -> OnnxBert.read(file)).isInstanceOf(FormatException.class).hasMessageContaining(said)
                .hasMessageContaining("(");
    }

    @Test
    void quantisedAndForeignGraphsAreRefusedByName() throws Exception {
        String text = new String(graph("ts14-eager"), StandardCharsets.ISO_8859_1);
        Path quantised = file(text.replace("\"\nReduceMean", "\"\nDotInteger").getBytes(StandardCharsets.ISO_8859_1));
        assertThatThrownBy(() -> OnnxBert.read(quantised)).hasMessageContaining("is quantised")
                .hasMessageContaining("DotInteger");
        Path other = file(text.replace("token_type_ids", "token_kind_ids").getBytes(StandardCharsets.ISO_8859_1));
        assertThatThrownBy(() -> OnnxBert.read(other)).hasMessageContaining("no input 'token_type_ids'")
                .hasMessageContaining("token_kind_ids");
        for (String bad : List.of("", "PK\u0003\u0004 a zip", "{\"a\": 1}", "\n".repeat(100))) {
            Path f = file(bad.getBytes(StandardCharsets.ISO_8859_1));
            assertThatThrownBy(() -> OnnxBert.read(f)).isInstanceOf(FormatException.class)
                    .hasMessageContaining("ONNX");
        }
        assertThatThrownBy(() -> OnnxBert.read(dir)).hasMessageContaining("is a directory");
        assertThatThrownBy(() -> OnnxBert.read(dir.resolve("none.onnx"))).hasMessageContaining("no such file");
    }
}
