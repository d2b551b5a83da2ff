package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What a newcomer does otherwise than it is meant, and what is said then.
class StumblesTest {
    @TempDir
    static Path dir;
    private static TinyModel tiny;
    private static Path file;

    @BeforeAll
    static void train() throws IOException {
        tiny = TinyModel.in(dir, "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1");
        file = Files.writeString(dir.resolve("run.yaml"), """
                model: {path: %s}
                adapter: {method: oft, block_size: 8}
                data: {train: %s}
                train: {steps: 2, seq_len: 32, micro_batch: 2}
                results: {answers: 0, report: false}
                output: {dir: %s}
                device: cpu:1
                """.formatted(tiny.model(), tiny.train(), dir.resolve("run")));
        Cli c = Cli.gyre("train", file);
        assertThat(c.code).as(c.toString()).isZero();
    }

    @Test
    void aBlockSizeThatIsMovedIsSaid() {
        Cli c = Cli.gyre("check", file, "--set", "adapter.block_size=7", "--set", "output.dir=" + dir.resolve("new"));
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(c.err).contains("note: block_size: 7 -> 6 on inputs of width 24",
                "note: block_size: 7 -> 8 on inputs of width 40");
        assertThat(c.out).endsWith("run.yaml: ok, 2 notes\n");
        Cli trained = Cli.gyre("train", file, "--set", "adapter.block_size=7", "--set",
                "output.dir=" + dir.resolve("moved"));
        assertThat(trained.out).contains("note      block_size: 7 -> 6 on inputs of width 24");
    }

    @Test
    void checkAnswersFirstAndPrintsEveryKeyWhenAsked() {
        Cli c = Cli.gyre("check", file, "--set", "output.dir=" + dir.resolve("new"));
        assertThat(c.out).startsWith("device    cpu").doesNotContain("min_lr_ratio").endsWith("run.yaml: ok\n");
        Cli full = Cli.gyre("check", file, "--full", "--set", "output.dir=" + dir.resolve("new"));
        assertThat(full.out).startsWith("model:\n").contains("  min_lr_ratio: 0").endsWith("run.yaml: ok\n");
    }

    @Test
    void anAdapterIsNoModel() {
        for (String command : new String[] {"chat", "generate"}) {
            Cli c = command.equals("chat") ? Cli.gyre(command, dir.resolve("run/adapter"))
                    : Cli.gyre(command, dir.resolve("run/adapter"), "--prompt", "x");
            assertThat(c.code).isEqualTo(ExitCode.USAGE);
            assertThat(c.err).contains("run/adapter: is an adapter, not a model; name its base model, and this folder"
                    + " with --adapter, or the run that made it").hasLineCount(1);
        }
    }

    @Test
    void aRunThatIsResumedWithAnotherMethodSaysThat() {
        Cli c = Cli.gyre("train", file, "--resume", "--set", "adapter.method=lora");
        assertThat(c.code).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains("was started with adapter.method: oft, now it is lora");
    }

    @Test
    void logitsThatAreNotFiniteAreNoResult() throws IOException {
        Path broken = dir.resolve("broken");
        KilledTest.copy(tiny.model(), broken);
        Path weights = broken.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(weights);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putFloat(bytes.length - 4, Float.NaN);
        Files.write(weights, bytes);
        Path tokens = Files.writeString(dir.resolve("some.json"), "{\"input_ids\": [[1, 2, 3]]}");
        Path out = dir.resolve("logits.safetensors");
        Cli c = Cli.gyre("logits", broken, "--tokens", tokens, "--out", out);
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.NUMERIC);
        assertThat(c.err).contains("logits: row 0, position ", " holds NaN", "nothing was written");
        assertThat(out).doesNotExist();
        Cli said = Cli.gyre("generate", broken, "--prompt", "a");
        assertThat(said.code).as(said.toString()).isEqualTo(ExitCode.NUMERIC);
        assertThat(said.err).contains("the model's logits hold NaN");
    }

    /// Blocks of one feature have nothing that could turn.
    @Test
    void anAdapterWithoutParametersHasNoGradients() throws IOException {
        Path adapter = Files.createDirectories(dir.resolve("blocks-of-1"));
        Files.writeString(adapter.resolve("adapter_config.json"),
                "{\"peft_version\": \"0.21.0\", \"peft_type\": \"OFT\", \"target_modules\": [\"q_proj\"], \"oft_block_size\": 1, \"r\": 0, \"use_cayley_neumann\": true, \"num_cayley_neumann_terms\": 5}");
        SafeTensorsWriter weights = new SafeTensorsWriter();
        for (int i = 0; i < 2; i++)
            weights.f32("base_model.model.model.layers." + i + ".self_attn.q_proj.oft_R.weight", new float[0], 24, 0);
        weights.write(adapter.resolve("adapter_model.safetensors"));
        Path tokens = Files.writeString(dir.resolve("t.json"),
                "{\"input_ids\": [[1, 2, 3]], \"labels\": [[1, 2, 3]]}");
        Cli c = Cli.gyre("logits", tiny.model(), "--adapter", adapter, "--tokens", tokens, "--out",
                dir.resolve("o.safetensors"), "--gradients");
        assertThat(c.code).as(c.toString()).isEqualTo(ExitCode.USAGE);
        assertThat(c.err).contains("nothing is trainable here: the adapter has no parameters, as with orthogonal blocks"
                + " of size 1").hasLineCount(1);
        assertThat(dir.resolve("o.safetensors")).doesNotExist();
    }
}
