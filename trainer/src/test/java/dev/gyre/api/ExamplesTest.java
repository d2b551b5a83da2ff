package dev.gyre.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.data.DataException;
import dev.gyre.trainer.data.Example;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExamplesTest {
    @TempDir
    Path dir;

    @BeforeEach
    void files() throws IOException {
        Files.writeString(dir.resolve("a.csv"), "question,answer\ntwice ab = ,abab\ntwice q = ,qq\n");
        Files.writeString(dir.resolve("b.jsonl"), "{\"prompt\": \"twice xyz = \", \"completion\": \"xyzxyz\"}\n");
    }

    @Test
    void filesAreReadAsARunReadsThem() {
        Examples e = Examples.of(dir.toString()).with("prompt", "question").with("completion", "answer");
        assertThat(e).containsExactly(new Example.Completion("twice ab = ", "abab"),
                new Example.Completion("twice q = ", "qq"), new Example.Completion("twice xyz = ", "xyzxyz"));
        assertThat(e).as("a second time").hasSize(3);
        assertThat(e.tasks(1)).hasSize(1);
        Iterator<Example> i = Examples.of(dir.resolve("b.jsonl").toString()).iterator();
        i.next();
        assertThat(i.hasNext()).isFalse();
        assertThatThrownBy(i::next).isInstanceOf(NoSuchElementException.class);
    }

    @Test
    void aModelIsTrainedOnThem() {
        try (LanguageModel model = LanguageModel.load(Path.of("../examples/small-llama"))) {
            model.adapt("twice", Oft.of(Targets.allLinear(), 8), 1);
            Examples e = Examples.of(dir + "/*.csv").with("prompt", "question").with("completion", "answer");
            double before = model.evaluate(e, 2, 24).loss();
            model.train(e, TrainOptions.steps(4).with("lr", 1e-2).with("seq_len", 24).with("micro_batch", 2), s -> {
            });
            assertThat(model.evaluate(e, 2, 24).loss()).isLessThan(before);
        }
    }

    @Test
    void whatIsWrongIsNamed() throws IOException {
        assertThatThrownBy(() -> Examples.of(dir.toString()).iterator().next()).isInstanceOf(DataException.class)
                .hasMessageContaining("a.csv:2: has none of: text;");
        assertThatThrownBy(() -> Examples.of("x").with("answer", "y")).isInstanceOf(ConfigException.class)
                .hasMessageContaining("'answer' is no name that Gyre reads");
        assertThatThrownBy(() -> Examples.of(dir.resolve("none.csv").toString()).iterator())
                .isInstanceOf(DataException.class).hasMessageContaining("none.csv: no such file");
    }
}
