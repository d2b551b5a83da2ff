package dev.gyre.model.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.GyreException;
import dev.gyre.model.adapter.PeftConfig;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.format.SafeTensors;
import dev.gyre.model.token.HfTokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

/// Readers against files that were changed at random, with their structure mostly kept. An input is read, refused by our own
/// exception, or too big; all else is a fault, an end of the process first of all. `-Pfuzz` gives each reader
/// `-Dfuzz.minutes=N` (1 if absent), `-Dfuzz.seed=N` is another start; a build takes the same few inputs every time.
class FuzzTest {
    private static final long SEED = Long.getLong("fuzz.seed", 1);
    private static final long SECONDS = Math.round(60 * Double.parseDouble(System.getProperty("fuzz.minutes", "0")));
    private static final List<String> TEXTS = List.of("", "a", "Hello, world!  The 3 quick\n\n\tfoxes.", "a".repeat(60),
            "   ", "é漢字🙂👩‍👧", "<s></s><unk>", "\uFDFA ﬀ \u0000");

    private enum Result {
        RIGHT, REFUSED, TOO_BIG, FAULT
    }

    private interface Reader {
        void read(Path file);
    }

    @TempDir
    Path dir;

    private void run(String file, int inputs, List<byte[]> documents, boolean binary, Reader reader)
            throws IOException {
        List<ObjectNode> parsed = new ArrayList<>();
        if (!binary)
            documents.forEach(b -> parsed.add(Json.parseObject(Path.of(file), "", b, 0, b.length)));
        Map<Result, Integer> counts = new EnumMap<>(Result.class);
        List<String> faults = new ArrayList<>();
        long end = System.nanoTime() + SECONDS * 1_000_000_000;
        Path at = dir.resolve(file);
        for (long i = 0; SECONDS == 0 ? i < inputs : System.nanoTime() < end; i++) {
            SplittableRandom random = new SplittableRandom(SEED * 1_000_003 + i);
            int which = random.nextInt(documents.size());
            byte[] input = binary ? safetensors(documents.get(which), random)
                    : Mutations.bytes(Mutations.of(parsed.get(which), random), random);
            Files.write(at, input); // what ends the process is there to be looked at
            if (SECONDS > 0)
                Files.writeString(Path.of(System.getProperty("java.io.tmpdir"), "gyre-fuzz-last"), file + " " + i);
            Result r;
            try {
                reader.read(at);
                r = Result.RIGHT;
            } catch (GyreException e) {
                r = Result.REFUSED;
            } catch (OutOfMemoryError e) {
                r = Result.TOO_BIG;
            } catch (RuntimeException | StackOverflowError e) {
                r = Result.FAULT;
                if (faults.size() < 5)
                    faults.add("input " + i + ": " + e + " at "
                            + (e.getStackTrace().length > 0 ? e.getStackTrace()[0] : "")
                            + "\n" + new String(input, 0, Math.min(input.length, 2000), StandardCharsets.UTF_8));
            }
            counts.merge(r, 1, Integer::sum);
        }
        if (SECONDS > 0)
            System.out.println(file + ": " + counts);
        assertThat(faults).as(counts.toString()).isEmpty();
        assertThat(counts.keySet()).contains(Result.RIGHT, Result.REFUSED);
    }

    private static byte[] resource(String name) {
        try (InputStream in = Objects.requireNonNull(FuzzTest.class.getResourceAsStream(name))) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] golden(String name) throws IOException {
        return Files.readAllBytes(Golden.path(name));
    }

    @Test
    void tokenizers() throws IOException {
        run("tokenizer.json", 1000, List.of(resource("unigram.json"), resource("bpe.json"), resource("bytes.json"),
                resource("wordpiece.json")), false,
                file -> {
                    try (HfTokenizer t = HfTokenizer.open(file)) {
                        for (String s : TEXTS) {
                            int[] ids = t.encodeWithOffsets(s, true).ids();
                            t.decode(ids);
                            t.decodeWithSpecial(ids);
                        }
                    }
                });
    }

    @Test
    void configurations() throws IOException {
        run("config.json", 700, List.of(golden("tiny-llama/config.json"), golden("tiny-llama-nf4/config.json")), false,
                file -> HfConfig.read(file).tensorShapes());
    }

    @Test
    void adapters() throws IOException {
        run("adapter_config.json", 500, List.of(resource("adapter_config.json"), resource("lora_config.json")), false,
                file -> {
                    PeftConfig c = PeftConfig.read(file);
                    c.options().targets().matches("model.layers.0.self_attn.q_proj");
                    c.toJson();
                });
    }

    @Test
    void weights() throws IOException {
        Files.copy(Golden.path("tiny-llama/config.json"), dir.resolve("config.json"));
        run("model.safetensors", 200, List.of(golden("tiny-llama/model.safetensors")), true, file -> {
            try (SafeTensors s = SafeTensors.open(file)) {
                s.tensors().keySet().stream().limit(3).forEach(s::bytes);
            }
            ModelDir.open(dir).close();
        });
    }

    /// Changes the header and keeps the data.
    private static byte[] safetensors(byte[] file, SplittableRandom random) {
        ByteBuffer b = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int length = (int) b.getLong(0);
        ObjectNode header = Json.parseObject(Path.of("model.safetensors"), "", file, 8, length);
        byte[] changed = Mutations.bytes(Mutations.of(header, random), random);
        int data = file.length - 8 - length;
        if (random.nextInt(8) == 0)
            data = random.nextInt(data);
        ByteBuffer out = ByteBuffer.allocate(8 + changed.length + data).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(random.nextInt(20) == 0 ? random.nextLong() : changed.length).put(changed).put(file, 8 + length,
                data);
        return out.array();
    }
}
