package dev.gyre.model.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.weights.Site;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelDirTest {
    private static final String Q = "model.layers.0.self_attn.q_proj.weight";
    @TempDir
    Path dir;

    private Path copyOf(String model) throws IOException {
        Path target = dir.resolve("model");
        Files.createDirectory(target);
        for (String f : List.of("config.json", "model.safetensors"))
            Files.copy(Golden.path(model + "/" + f), target.resolve(f));
        return target;
    }

    /// Writes the weights of `model` again with some tensors changed; an empty list of bytes leaves one out.
    private static void rewrite(Path model, UnaryOperator<SafeTensorsWriter.Entry> change) throws IOException {
        Path file = model.resolve("model.safetensors");
        try (SafeTensors s = SafeTensors.open(file)) {
            var w = new SafeTensorsWriter();
            for (String name : s.names()) {
                var e = change.apply(SafeTensorsWriter.Entry.copy(s, name));
                if (e != null)
                    w.add(e);
            }
            w.write(file);
        }
    }

    private static Map<String, List<Byte>> bytes(Path model) {
        Map<String, List<Byte>> all = new TreeMap<>();
        try (ModelDir m = ModelDir.open(model)) {
            m.tensors().forEach((name, site) -> all.put(site.toString(), boxed(m.file(name).bytes(name))));
        }
        return all;
    }

    private static List<Byte> boxed(byte[] b) {
        List<Byte> list = new java.util.ArrayList<>(b.length);
        for (byte x : b)
            list.add(x);
        return list;
    }

    @Test
    void aSingleFileModelIsRead() {
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama"))) {
            assertThat(m.config().shape().layers()).isEqualTo(2);
            assertThat(m.unusedTensors()).isEmpty();
            assertThat(m.isQuantized(Q)).isFalse();
            assertThat(m.originalType(Q)).isEqualTo(TensorType.F32);
            assertThat(((HostData.F32) m.weight(Q)).values).hasSize(64 * 64);
            assertThatThrownBy(() -> m.weight("nothing")).isInstanceOf(FormatException.class)
                    .hasMessageContaining("no tensor 'nothing'");
        }
    }

    @Test
    void nf4WeightsDecodeToTheReferenceBitForBit() {
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama-nf4"));
                SafeTensors golden = SafeTensors.open(Golden.path("tiny-llama-nf4/reference_oft.safetensors"))) {
            assertThat(m.unusedTensors()).isEmpty();
            assertThat(m.isQuantized(Q)).isTrue();
            assertThat(m.isQuantized("lm_head.weight")).isFalse();
            assertThat(m.shape(Q)).containsExactly(64L, 64L);
            assertThat(m.originalType(Q)).isEqualTo(TensorType.F32);
            var q = (HostData.NF4) m.weight(Q);
            float[] expected = golden.f32("dequantized/" + Q);
            float[] got = new float[expected.length];
            for (int i = 0; i < got.length; i++)
                got[i] = q.value(i);
            assertThat(got).containsExactly(expected);
            assertThat(q.absmaxCodes).isNotNull();
        }
    }

    @ParameterizedTest
    @CsvSource({"tiny-llama,50000", "tiny-llama,1", "tiny-llama-nf4,20000", "tiny-llama-nf4,1"})
    void shardsHoldTheSameBytesAsOneFile(String model, long limit) throws IOException {
        Path target = dir.resolve("sharded");
        try (ModelDir m = ModelDir.open(Golden.path(model))) {
            ModelDirWriter.like(m).shardLimit(limit).write(target);
        }
        assertThat(target.resolve("model.safetensors")).doesNotExist();
        assertThat(target.resolve("model.safetensors.index.json")).exists();
        assertThat(bytes(target)).isEqualTo(bytes(Golden.path(model)));
        assertThat(Json.readObject(target.resolve("model.safetensors.index.json")).path("metadata").path("total_size")
                .longValue()).isEqualTo(bytes(target).values().stream().mapToLong(List::size).sum());
        assertThat(Json.readObject(target.resolve("config.json")))
                .isEqualTo(Json.readObject(Golden.path(model + "/config.json")));
    }

    @Test
    void aCopyKeepsWeightFileAndTokenizerFilesAndReplacesOnlyWhatWasAsked() throws IOException {
        Path source = copyOf("tiny-llama");
        Files.writeString(source.resolve("tokenizer.json"), "{}");
        Files.writeString(source.resolve("tokenizer_config.json"), "{}");
        Files.writeString(source.resolve("generation_config.json"), "{}");
        Files.writeString(source.resolve("pytorch_model.bin"), "junk");
        Path target = dir.resolve("merged");
        float[] ones = new float[64 * 64];
        java.util.Arrays.fill(ones, 1 + 0x1p-12f);
        try (ModelDir m = ModelDir.open(source)) {
            ModelDirWriter.like(m).tensor(Q, TensorType.F32, () -> ones, 64, 64).write(target);
        }
        try (var files = Files.list(target)) {
            assertThat(files.map(f -> f.getFileName().toString())).containsExactlyInAnyOrder("config.json",
                    "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json");
        }
        var before = bytes(source);
        var after = bytes(target);
        String key = Q + " F32 (64, 64)";
        assertThat(after.remove(key)).isNotEqualTo(before.remove(key));
        assertThat(after).isEqualTo(before);
        try (ModelDir m = ModelDir.open(target)) {
            assertThat(((HostData.F32) m.weight(Q)).values).containsExactly(ones);
        }
        try (ModelDir m = ModelDir.open(source)) {
            assertThatThrownBy(() -> ModelDirWriter.like(m).write(target)).isInstanceOf(FormatException.class)
                    .hasMessageContaining("exists already");
        }
    }

    @Test
    void halfPrecisionModelsAreReadAndWrittenInTheirType() {
        Path target = dir.resolve("half");
        float[] values = new float[64 * 64];
        for (int i = 0; i < values.length; i++)
            values[i] = (i - 2048) / 512f;
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama"))) {
            ModelDirWriter.like(m).tensor(Q, TensorType.BF16, () -> values, 64, 64)
                    .tensor(Q.replace("q_", "o_"), TensorType.F16, () -> values, 64, 64).write(target);
        }
        try (ModelDir m = ModelDir.open(target)) {
            short[] bits = ((HostData.BF16) m.weight(Q)).bits;
            float[] wide = m.weight(Q).floats();
            for (int i = 0; i < bits.length; i++) {
                assertThat(Float.floatToRawIntBits(wide[i])).isEqualTo(bits[i] << 16);
                assertThat(Math.abs(wide[i] - values[i]) <= Math.abs(values[i]) * 0x1p-8f).isTrue();
            }
            assertThat(((HostData.F32) m.weight(Q.replace("q_", "o_"))).values).containsExactly(values);
            assertThat(m.originalType(Q)).isEqualTo(TensorType.BF16);
        }
    }

    @Test
    void nf4WeightsCanBeWrittenAgainAndDequantisedModelsLoseTheirQuantisation() throws IOException {
        Path again = dir.resolve("again");
        Path plain = dir.resolve("plain");
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama-nf4"))) {
            var copy = ModelDirWriter.like(m);
            var decoded = ModelDirWriter.like(m);
            for (Site l : m.config().linears()) {
                String name = l.path() + ".weight";
                var q = (HostData.NF4) m.weight(name);
                copy.nf4(name, q, l.out(), l.in(), m.originalType(name));
                decoded.tensor(name, TensorType.F32, () -> {
                    float[] v = new float[(int) q.size];
                    for (int i = 0; i < v.length; i++)
                        v[i] = q.value(i);
                    return v;
                }, l.out(), l.in());
            }
            copy.write(again);
            decoded.write(plain);
        }
        assertThat(bytes(again)).isEqualTo(bytes(Golden.path("tiny-llama-nf4")));
        try (ModelDir m = ModelDir.open(plain)) {
            assertThat(m.config().stored().quantization()).isNull();
            assertThat(m.unusedTensors()).isEmpty();
            assertThat(m.isQuantized(Q)).isFalse();
        }
    }

    /// transformers takes every linear layer for a 4-bit one that llm_int8_skip_modules does not name; without such a list
    /// it leaves the head alone by itself, with one it does not.
    @Test
    void aWeightThatIsNoLongerIn4BitsIsNamedInTheConfiguration() {
        String up = Q.replace("self_attn.q_proj", "mlp.up_proj");
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama-nf4"))) {
            var q = (HostData.NF4) m.weight(up);
            ModelDirWriter.like(m).tensor(Q, TensorType.F32, () -> new float[64 * 64], 64, 64)
                    .tensor("lm_head.weight", TensorType.F32, () -> new float[128 * 64], 128, 64)
                    .tensor(up, TensorType.F32, () -> new float[128 * 64], 128, 64)
                    .nf4(up, q, 128, 64, TensorType.F32).write(dir.resolve("mixed"));
        }
        try (ModelDir m = ModelDir.open(dir.resolve("mixed"))) {
            assertThat(m.config().stored().quantization().skipModules()).containsExactly("lm_head",
                    "model.layers.0.self_attn.q_proj");
            assertThat(m.isQuantized(Q)).isFalse();
            assertThat(m.isQuantized(up)).isTrue();
            ModelDirWriter.like(m).tensor(Q.replace("q_", "k_"), TensorType.F32, () -> new float[32 * 64], 32, 64)
                    .write(dir.resolve("more"));
        }
        try (ModelDir m = ModelDir.open(dir.resolve("more"))) {
            assertThat(m.config().stored().quantization().skipModules()).containsExactly("lm_head",
                    "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj");
        }
    }

    @Test
    void missingTensorsWrongShapesAndTypesAreNamedWithTheExpectation() throws IOException {
        Path model = copyOf("tiny-llama");
        rewrite(model, e -> e.name().equals(Q) ? null : e);
        assertRefused(model, "'" + Q + "' (64, 64) is missing");
        Files.delete(model.resolve("model.safetensors"));
        Files.copy(Golden.path("tiny-llama/model.safetensors"), model.resolve("model.safetensors"));
        rewrite(model, e -> e.name().equals(Q)
                ? SafeTensorsWriter.Entry.floats(Q, TensorType.F32, () -> new float[32 * 64], 32, 64)
                : e);
        assertRefused(model, "'" + Q + "' has shape (32, 64), but config.json calls for (64, 64)");
        rewrite(model, e -> e.name().equals(Q) ? SafeTensorsWriter.Entry.u8(Q, new byte[64 * 64], 64, 64) : e);
        assertRefused(model, "'" + Q + "' is U8 and has no NF4 quantisation state");
    }

    @Test
    void aMissingHeadOrPrefixComesWithItsUsualReason() throws IOException {
        Path model = copyOf("tiny-llama");
        rewrite(model, e -> e.name().equals("lm_head.weight") ? null : e);
        assertRefused(model, "set tie_word_embeddings to true");
        rewrite(model, e -> new SafeTensorsWriter.Entry(e.name().replaceFirst("^model\\.", ""), e.type(), e.shape(),
                e.bytes(), e.body()));
        assertRefused(model, "lack the prefix 'model.'");
    }

    /// transformers ties the two only where they are equal, and warns; older versions take the embedding.
    @Test
    void aTiedHeadThatIsAnotherThanTheEmbeddingIsRefused() throws IOException {
        Path model = copyOf("tiny-llama");
        Path config = model.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"tie_word_embeddings\": false",
                "\"tie_word_embeddings\": true"));
        assertRefused(model, "lm_head.weight");
        rewrite(model, e -> {
            try (SafeTensors s = SafeTensors.open(Golden.path("tiny-llama/model.safetensors"))) {
                float[] embedding = s.f32("model.embed_tokens.weight");
                long[] shape = e.shape().stream().mapToLong(Long::longValue).toArray();
                return e.name().equals("lm_head.weight")
                        ? SafeTensorsWriter.Entry.floats(e.name(), TensorType.F32, () -> embedding, shape)
                        : e;
            }
        });
        try (ModelDir m = ModelDir.open(model)) {
            assertThat(m.config().tieWordEmbeddings()).isTrue();
            assertThat(m.unusedTensors()).isEmpty();
            // a copy whose embedding changes must not keep the head as it was
            ModelDirWriter.like(m).tensor("model.embed_tokens.weight", TensorType.F32, () -> new float[128 * 64], 128,
                    64).write(dir.resolve("trained"));
        }
        try (ModelDir m = ModelDir.open(dir.resolve("trained"))) {
            assertThat(m.contains("lm_head.weight")).isFalse();
        }
    }

    private static void assertRefused(Path model, String problem) {
        assertThatThrownBy(() -> {
            try (ModelDir m = ModelDir.open(model)) {
                m.weight(Q);
            }
        }).isInstanceOf(FormatException.class)
                .hasMessageContaining(model.toString()).hasMessageContaining(problem).message().doesNotContain("\n");
    }

    @Test
    void brokenIndexesAreRefused() throws IOException {
        Path model = dir.resolve("sharded");
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama"))) {
            ModelDirWriter.like(m).shardLimit(100_000).write(model);
        }
        Path index = model.resolve("model.safetensors.index.json");
        String good = Files.readString(index);
        String shard = Json.readObject(index).path("weight_map").path(Q).stringValue();
        assertThat(shard).matches("model-0000\\d-of-0000\\d\\.safetensors");
        String other = "model-00001" + shard.substring("model-00001".length());
        assertThat(other).isNotEqualTo(shard);

        Files.writeString(index, good.replace("\"" + Q + "\": \"" + shard, "\"" + Q + "\": \"../x"));
        assertRefused(model, "is not a file name");
        Files.writeString(index, "{}");
        assertRefused(model, "weight_map is missing");
        Files.writeString(index, good);
        Files.delete(model.resolve(other));
        assertRefused(model, "names shard " + other);
        Files.delete(index);
        assertRefused(model, "has neither model.safetensors nor");
        Files.delete(model.resolve("config.json"));
        assertRefused(model, "no such file");
        assertRefused(dir.resolve("nowhere"), "no such directory");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "blocksize\": 64 | blocksize\": 63 | 63",
        "blocksize\": 64 | blocksize\": 32 | absmax: 128 bytes expected",
        "[64, 64] | [64, 65] | calls for (64, 64)",
        "[64, 64] | [32, 128] | calls for (64, 64)",
        "[64, 64] | [4096] | calls for (64, 64)",
        "[64, 64] | [9999999, 99999999] | calls for (64, 64)",
        "[64, 64] | [-64, -64] | shape",
        "[64, 64] | 64 | calls for (64, 64)",
        "\"nf4\" | \"fp4\" | fp4",
        "\"float32\", \"shape | \"int8\", \"shape | int8",
        "nested_dtype\": \"float32\" | nested_dtype\": \"float16\" | float16",
        "nested_blocksize\": 256 | nested_blocksize\": 0 | nested in blocks of 0",
        "nested_offset\": | nested_offset\": \"x\", \"y\": | nested_offset",
        "{ | [ | JSON"})
    void aDamagedQuantisationStateIsRefused(String from, String to, String problem) throws IOException {
        Path model = copyOf("tiny-llama-nf4");
        String key = Q + ".quant_state.bitsandbytes__nf4";
        byte[] text;
        try (SafeTensors s = SafeTensors.open(model.resolve("model.safetensors"))) {
            String state = new String(s.u8(key), java.nio.charset.StandardCharsets.UTF_8);
            assertThat(state).contains(from.strip());
            text = state.replace(from.strip(), to.strip()).getBytes(java.nio.charset.StandardCharsets.UTF_8);
        }
        rewrite(model, e -> e.name().equals(key) ? SafeTensorsWriter.Entry.u8(key, text, text.length) : e);
        assertRefused(model, problem);
    }

    @Test
    void missingPartsOfA4BitWeightAreNamed() throws IOException {
        for (String part : List.of(".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")) {
            Path model = Files.createDirectory(dir.resolve(part));
            for (String f : List.of("config.json", "model.safetensors"))
                Files.copy(Golden.path("tiny-llama-nf4/" + f), model.resolve(f));
            rewrite(model, e -> e.name().equals(Q + part) ? null : e);
            assertRefused(model, Q + part + ": ");
        }
    }

    @Test
    void tensorsThatNoConfigurationCallsForAreReported() throws IOException {
        Path target = dir.resolve("more");
        try (ModelDir m = ModelDir.open(Golden.path("tiny-llama"))) {
            ModelDirWriter.like(m).tensor(Q.replace("weight", "bias"), TensorType.F32, () -> new float[64], 64)
                    .tensor("model.layers.0.self_attn.rotary_emb.inv_freq", TensorType.F32, () -> new float[8], 8)
                    .write(target);
        }
        try (ModelDir m = ModelDir.open(target)) {
            assertThat(m.unusedTensors()).containsExactly(Q.replace("weight", "bias"));
        }
    }

    /// The weights of tiny-llama in two shards.
    private Path sharded(Map<String, String> more) throws IOException {
        Path target = Files.createDirectory(dir.resolve("shards"));
        Files.copy(Golden.path("tiny-llama/config.json"), target.resolve("config.json"));
        var index = Json.MAPPER.createObjectNode();
        var map = index.putObject("weight_map");
        try (SafeTensors s = SafeTensors.open(Golden.path("tiny-llama/model.safetensors"))) {
            var a = new SafeTensorsWriter();
            var b = new SafeTensorsWriter();
            for (String name : s.names()) {
                boolean first = name.contains("layers.0");
                (first ? a : b).add(SafeTensorsWriter.Entry.copy(s, name));
                map.put(name, first ? "a.safetensors" : "b.safetensors");
            }
            a.write(target.resolve("a.safetensors"));
            b.write(target.resolve("b.safetensors"));
        }
        more.forEach((name, file) -> {
            if (file.isEmpty())
                map.remove(name);
            else
                map.put(name, file);
        });
        Files.writeString(target.resolve("model.safetensors.index.json"), Json.pretty(index));
        return target;
    }

    @Test
    void anIndexMayNameTensorsThatNoShardHasAndTheReverse() throws IOException {
        Path model = sharded(Map.of("model.rotary.inv_freq", "a.safetensors", Q, ""));
        assertThat(bytes(model)).isEqualTo(bytes(Golden.path("tiny-llama")));
    }

    @Test
    void aShardWithoutATensorOfTheModelIsNamed() throws IOException {
        Path model = sharded(Map.of());
        try (SafeTensors s = SafeTensors.open(Golden.path("tiny-llama/model.safetensors"))) {
            var a = new SafeTensorsWriter();
            s.names().stream().filter(n -> n.contains("layers.0") && !n.equals(Q))
                    .forEach(n -> a.add(SafeTensorsWriter.Entry.copy(s, n)));
            a.write(model.resolve("a.safetensors"));
        }
        assertThatThrownBy(() -> ModelDir.open(model)).isInstanceOf(FormatException.class)
                .hasMessageContaining("tensor '" + Q + "'").hasMessageContaining("is missing");
    }

    @Test
    void aTiedModelMayStoreOnlyTheHead() throws IOException {
        Path model = copyOf("tiny-llama");
        var config = Json.readObject(model.resolve("config.json")).put("tie_word_embeddings", true);
        Files.writeString(model.resolve("config.json"), Json.pretty(config));
        float[] embedding;
        try (SafeTensors s = SafeTensors.open(model.resolve("model.safetensors"))) {
            embedding = s.f32("model.embed_tokens.weight");
            var w = new SafeTensorsWriter();
            for (String n : s.names())
                if (n.equals("model.embed_tokens.weight"))
                    w.add(SafeTensorsWriter.Entry.floats("lm_head.weight", TensorType.F32, () -> embedding,
                            s.info(n).shape().stream().mapToLong(x -> x).toArray()));
                else
                    if (!n.equals("lm_head.weight"))
                        w.add(SafeTensorsWriter.Entry.copy(s, n));
            w.write(model.resolve("model.safetensors"));
        }
        try (ModelDir m = ModelDir.open(model)) {
            assertThat(((HostData.F32) m.weight("model.embed_tokens.weight")).values).isEqualTo(embedding);
            assertThat(m.warnings()).isEmpty();
            // the copy holds it under the model's name
            ModelDirWriter.like(m).write(dir.resolve("copy"));
        }
        try (ModelDir m = ModelDir.open(dir.resolve("copy"))) {
            assertThat(((HostData.F32) m.weight("model.embed_tokens.weight")).values).isEqualTo(embedding);
        }
    }

    @Test
    void unusedTensorsMayHaveTypesThatAreNotRead() throws IOException {
        Path model = copyOf("tiny-llama");
        Path file = model.resolve("model.safetensors");
        try (SafeTensors s = SafeTensors.open(file)) {
            var w = new SafeTensorsWriter();
            s.names().forEach(n -> w.add(SafeTensorsWriter.Entry.copy(s, n)));
            w.add(new SafeTensorsWriter.Entry("extra.scale", TensorType.F8_E4M3, List.of(3L), 3,
                    out -> out.write(java.nio.ByteBuffer.wrap(new byte[] {1, 2, 3}))));
            w.write(file);
        }
        try (ModelDir m = ModelDir.open(model)) {
            assertThat(m.warnings()).singleElement().asString().contains("extra.scale");
            ModelDirWriter.like(m).write(dir.resolve("copy"));
        }
        try (SafeTensors s = SafeTensors.open(dir.resolve("copy/model.safetensors"))) {
            assertThat(s.bytes("extra.scale")).containsExactly(1, 2, 3);
            assertThatThrownBy(() -> s.f32("extra.scale")).hasMessageContaining("is F8_E4M3, expected");
        }
    }

    @Test
    void dropoutInsideTheModelIsNamedAsWithoutEffect() throws IOException {
        Path model = copyOf("tiny-llama");
        Path config = model.resolve("config.json");
        String text = Files.readString(config).replaceAll("\"attention_dropout\": [0-9.]+,", "");
        Files.writeString(config, text.replaceFirst("\\{", "{\"attention_dropout\": 0.1, \"resid_pdrop\": 0.0,"));
        try (ModelDir m = ModelDir.open(model)) {
            assertThat(m.warnings()).singleElement().asString().contains("config.json", "attention_dropout 0.1",
                    "no effect");
        }
    }

    @Test
    void onlyFilesOfTheModelAreCopied() throws IOException {
        Path secret = Files.writeString(dir.resolve("secret.txt"), "secret");
        Path model = copyOf("tiny-llama");
        Files.createSymbolicLink(model.resolve("tokenizer_extra.txt"), secret);
        assertThatThrownBy(() -> ModelDirWriter.of(ModelDir.open(model).config()).filesFrom(model))
                .isInstanceOf(FormatException.class).hasMessageContaining("tokenizer_extra.txt")
                .hasMessageContaining("link to a file outside the model's directory");
        Files.delete(model.resolve("tokenizer_extra.txt"));
        Files.writeString(model.resolve("real.json"), "{}");
        Files.createSymbolicLink(model.resolve("tokenizer_config.json"), Path.of("real.json"));
        ModelDirWriter.of(ModelDir.open(model).config()).filesFrom(model);

        // a snapshot of the cache links into the blobs of its own model, and of no other
        Path cache = Files.createDirectories(dir.resolve("hub/models--a/snapshots/1")).getParent().getParent();
        Path blob = Files.writeString(Files.createDirectory(cache.resolve("blobs")).resolve("b"), "{}");
        Path snapshot = cache.resolve("snapshots/1");
        Files.createSymbolicLink(snapshot.resolve("tokenizer.json"), Path.of("../../blobs/b"));
        assertThat(ModelDir.requireInside(snapshot, snapshot.resolve("tokenizer.json")).toRealPath())
                .isEqualTo(blob.toRealPath());
        // or into those that the models of a cache share
        Path shared = Files.createDirectories(dir.resolve("hub/blobs/ab")).resolve("abc");
        Files.writeString(shared, "{}");
        Files.createSymbolicLink(cache.resolve("blobs/s"), Path.of("../../blobs/ab/abc"));
        Files.createSymbolicLink(snapshot.resolve("merges.txt"), Path.of("../../blobs/s"));
        assertThat(ModelDir.requireInside(snapshot, snapshot.resolve("merges.txt")).toRealPath())
                .isEqualTo(shared.toRealPath());
        Path other = Files.createDirectories(dir.resolve("hub/models--b/blobs"));
        Files.writeString(other.resolve("c"), "{}");
        Files.createSymbolicLink(snapshot.resolve("vocab.json"), other.resolve("c"));
        assertThatThrownBy(() -> ModelDir.requireInside(snapshot, snapshot.resolve("vocab.json")))
                .isInstanceOf(FormatException.class);
    }

    @Test
    void aPipeInPlaceOfAFileIsRefusedAtOnce() throws Exception {
        Path model = copyOf("tiny-llama");
        for (String name : List.of("model.safetensors", "config.json")) {
            Path file = model.resolve(name);
            Files.delete(file);
            assertThat(new ProcessBuilder("mkfifo", file.toString()).start().waitFor()).isZero();
            assertThatThrownBy(() -> ModelDir.open(model)).isInstanceOf(FormatException.class)
                    .hasMessageContaining(name + ": is a pipe, a socket or a device");
        }
    }
}
