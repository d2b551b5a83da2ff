package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What `gyre plan` says of a run on a device, against the peak of such a run on the stand-in, whose device memory is the
/// process's as well: a model that is nearly all embedding and output head, in BF16, of zeros.
class DeviceHostMemoryTest {
    private static final int V = 1 << 16;
    private static final int C = 512;
    /// Bytes of both.
    private static final double WEIGHTS = 2.0 * 2 * V * C;

    @TempDir
    Path dir;

    @Test
    void theHostTakesWhatIsPlannedAndHoldsTheWeightsOnlyForTheCheck() throws IOException, InterruptedException {
        assumeTrue(System.getProperty("os.name").equals("Linux"), "peaks are measured on Linux");
        TinyModel tiny = TinyModel.in(dir, "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1, layers: 1");
        enlarge(tiny.model());
        Path run = Files.writeString(dir.resolve("run.yaml"), """
                model: {path: %s}
                adapter: {method: oft, block_size: 8}
                data: {train: %s}
                train: {steps: 1, seq_len: 16, micro_batch: 1}
                output: {dir: %s}
                results: {report: false}
                device: jvm
                """.formatted(tiny.model(), tiny.train(), dir.resolve("out")));
        Cli plan = Cli.gyre("plan", run);
        assertThat(plan.code).as(plan.toString()).isZero();
        double device = line(plan.out, "device");
        double without = peak(run, "false");
        double with = peak(run, "true");
        assertThat(line(plan.out, "with check") - line(plan.out, "beside it")).isGreaterThan(0.99 * WEIGHTS);
        assertThat(without).isBetween(0.75 * (device + line(plan.out, "beside it")),
                1.1 * (device + line(plan.out, "beside it")));
        assertThat(with).isBetween(0.75 * (device + line(plan.out, "with check")),
                1.1 * (device + line(plan.out, "with check")));
        assertThat(with - without).isGreaterThan(0.8 * WEIGHTS);
    }

    /// Gives the model a large vocabulary, and zeros for weights in a file that takes no space.
    private static void enlarge(Path model) throws IOException {
        Path config = model.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceAll("\"vocab_size\" ?: ?\\d+", "\"vocab_size\": " + V)
                .replaceAll("\"hidden_size\" ?: ?\\d+", "\"hidden_size\": " + C)
                .replaceAll("\"head_dim\" ?: ?\\d+", "\"head_dim\": 8")
                .replaceAll("\"tie_word_embeddings\" ?: ?true", "\"tie_word_embeddings\": false"));
        StringBuilder header = new StringBuilder("{");
        long at = 0;
        String layer = "model.layers.0.";
        Object[][] tensors = {{"model.embed_tokens", V, C}, {"lm_head", V, C}, {"model.norm", C},
            {layer + "input_layernorm", C}, {layer + "post_attention_layernorm", C},
            {layer + "self_attn.q_proj", 24, C}, {layer + "self_attn.k_proj", 8, C},
            {layer + "self_attn.v_proj", 8, C}, {layer + "self_attn.o_proj", C, 24},
            {layer + "mlp.gate_proj", 40, C}, {layer + "mlp.up_proj", 40, C}, {layer + "mlp.down_proj", C, 40}};
        for (Object[] t : tensors) {
            long n = 2;
            List<Object> shape = new ArrayList<>();
            for (int i = 1; i < t.length; i++) {
                n *= (int) t[i];
                shape.add(t[i]);
            }
            header.append(at == 0 ? "" : ",").append('"').append(t[0])
                    .append(".weight\":{\"dtype\":\"BF16\",\"shape\":")
                    .append(shape).append(",\"data_offsets\":[").append(at).append(',').append(at + n).append("]}");
            at += n;
        }
        byte[] h = header.append('}').toString().getBytes(StandardCharsets.UTF_8);
        Path file = model.resolve("model.safetensors");
        Files.delete(file);
        try (FileChannel c = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE,
                StandardOpenOption.SPARSE)) {
            c.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, h.length));
            c.write(ByteBuffer.wrap(h));
            c.write(ByteBuffer.allocate(1), 8 + h.length + at - 1);
        }
    }

    /// Peak of the process that trains.
    private double peak(Path run, String check) throws IOException, InterruptedException {
        Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "--add-exports",
                "java.base/jdk.internal.vm=ALL-UNNAMED", "-XX:+UseParallelGC", "-XX:ParallelGCThreads=1", "-Xmn16m",
                "-Xmx1500m", "-cp", System.getProperty("java.class.path"), "dev.gyre.trainer.cli.Main", "train",
                run.toString(), "--set", "check_device=" + check, "--set", "output.dir=" + dir.resolve("out-" + check))
                .redirectErrorStream(true).start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(p.waitFor(5, TimeUnit.MINUTES)).isTrue();
        assertThat(p.exitValue()).as(said).isZero();
        Matcher m = Pattern.compile("peak of the process ([0-9.]+ \\w+)").matcher(said);
        assertThat(m.find()).as(said).isTrue();
        return bytes(m.group(1));
    }

    private static double line(String text, String name) {
        Matcher m = Pattern.compile("(?m)^ +" + name + " +([0-9.]+ [kMG]?B)").matcher(text);
        assertThat(m.find()).as(text).isTrue();
        return bytes(m.group(1));
    }

    private static double bytes(String text) {
        String[] parts = text.split(" ");
        return Double.parseDouble(parts[0]) * switch (parts[1]) {
            case "kB" -> 1e3;
            case "MB" -> 1e6;
            case "GB" -> 1e9;
            default -> throw new IllegalArgumentException(text);
        };
    }
}
