package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.trainer.cli.screen.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A run on conversations: what it says, answers and measures.
class ChatRunTest {
    private static final String ROW = """
            {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "bad", "weight": 0}, {"role": "user", "content": "%s"}, {"role": "assistant", "content": "yes"}]}
            """;

    @Test
    void conversationsAreAnsweredWhileTrainingAfterItAndByEval(@TempDir Path dir) throws IOException {
        TinyModel tiny = TinyModel.in(dir, "hidden_size: 16, intermediate_size: 16, heads: 2, kv_heads: 1");
        Files.writeString(tiny.model().resolve("chat_template.jinja"), "{{ strftime_now('%d.%m.%y') }}"
                + "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<|eos|>{% endfor %}"
                + "{% if add_generation_prompt %}<a>{% endif %}");
        Path train = Files.writeString(dir.resolve("train.jsonl"), ROW.formatted("v") + ROW.formatted("w"));
        Path text = Files.writeString(dir.resolve("text.jsonl"), "{\"text\": \"abc\"}\n");
        Path file = Files.writeString(dir.resolve("run.yaml"), """
                model: {path: %s}
                adapter: {method: lora, r: 2}
                data: {train: %s, valid: %s, date: 2025-07-26}
                train: {steps: 2, seq_len: 60, micro_batch: 2}
                eval: {every: 1, samples: 1}
                results: {report: false}
                output: {dir: %s, log_every: 1}
                """.formatted(tiny.model(), train, train, dir.resolve("run")));
        Cli c = Cli.gyre("train", file);
        assertThat(c.code).as(c.toString()).isZero();
        assertThat(Files.readString(dir.resolve("run/results.json"))).contains("\"answered\": 2");
        assertThat(Files.readString(dir.resolve("run/log.txt"))).contains("yes");
        assertThat(c.toString()).doesNotContain("has no tasks");
        // the date of the run is the one that its model is asked with
        Cli eval = Cli.gyre("eval", dir.resolve("run"), train, "--exact", 5);
        assertThat(eval.toString()).contains("of 2 (");
        assertThat(Cli.gyre("eval", tiny.model(), train, "--exact", 5).code).isEqualTo(ExitCode.USAGE);
        assertThat(Cli.gyre("eval", tiny.model(), train, "--exact", 5, "--date", "2025-07-26").code).isZero();
        assertThat(Cli.gyre("eval", tiny.model(), train, "--date", "today").toString())
                .contains("--date today is not a date; write 2025-07-26");
        assertThat(Cli.gyre("check", file, "--set", "data.date=today").toString())
                .contains("date 'today' is not a date");
        assertThat(Cli.gyre("check", file, "--set", "data.valid=" + text, "--set", "output.dir=" + dir.resolve("new"))
                .toString()).contains("data.valid has no tasks (prompt and completion, or messages with an answer)");
    }
}
