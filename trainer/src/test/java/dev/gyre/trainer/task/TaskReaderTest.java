package dev.gyre.trainer.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.trainer.config.TaskRunConfig;
import dev.gyre.trainer.data.DataException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TaskReaderTest {
    @TempDir
    Path dir;

    private List<TaskExample> read(String name, String text, TaskRunConfig.Kind kind, String pair) throws Exception {
        Path file = dir.resolve(name);
        Files.writeString(file, text);
        return TaskReader.read(file, new TaskRunConfig.Task(kind, List.of()),
                new TaskRunConfig.Data("", null, "text", pair, "label", false));
    }

    @Test
    void csvCellsMayHoldSeparatorsQuotesAndLineEnds() throws Exception {
        for (String separator : List.of(",", ";", "\t"))
            assertThat(
                    read("q.csv", "\uFEFFtext|label\r\n\"x| \"\"y\"\"\"|\"1\n2\"\n\n\"\"|last".replace("|", separator),
                            TaskRunConfig.Kind.CLASS, null))
                    .containsExactly(
                            TaskExample.text(List.of("x" + separator + " \"y\""), List.of("1\n2"), Float.NaN),
                            TaskExample.text(List.of(""), List.of("last"), Float.NaN));
    }

    @Test
    void csvThatIsNotATableIsRefusedWithItsLine() {
        for (String[] wrong : new String[][] {
            {"text,label\na,b\nc, d,e\n", "t.csv:3: has 3 cells where the first line names 2 columns"},
            {"text,label\na,b\nc\n", "t.csv:3: has 1 cells"},
            {"text,label\na,\n", "t.csv:2: has no 'label'; it has text"},
            {"text,label\n,yes\n", "t.csv:2: has no 'text'; it has label"},
            {"text,label\n\"a,b\nc,d\n", "t.csv:2: a quotation mark is not closed"},
            {"text,label\n\"a\"b,c\n", "t.csv:2: 'b' follows a closing quotation mark"},
            {"text,text,label\na,b,c\n", "two columns are called 'text'"}})
            assertThatThrownBy(() -> read("t.csv", wrong[0], TaskRunConfig.Kind.CLASS, null)).as(wrong[0])
                    .isInstanceOf(DataException.class).hasMessageContaining(wrong[1]);
    }

    @Test
    void namedColumnsOfCsvAndJsonGiveTheSame() throws Exception {
        List<TaskExample> csv = read("a.csv", "label,text,other\nyes,one,two\n", TaskRunConfig.Kind.CLASS, "other");
        List<TaskExample> json = read("a.jsonl", "\n{\"text\":\"one\",\"other\":\"two\",\"label\":\"yes\"}\n",
                TaskRunConfig.Kind.CLASS, "other");
        assertThat(csv).isEqualTo(json);
        assertThat(csv.getFirst().texts()).containsExactly("one", "two");
    }

    @Test
    void severalLabelsAndWordsAreListsOrTexts() throws Exception {
        assertThat(read("l.csv", "text,label\na,x|y\nb,\n", TaskRunConfig.Kind.LABELS, null))
                .extracting(TaskExample::labels).containsExactly(List.of("x", "y"), List.of());
        TaskExample words = read("w.jsonl", "{\"text\":[\"New\",\"York\"],\"label\":[\"B\",\"I\"]}",
                TaskRunConfig.Kind.TOKENS, null).getFirst();
        assertThat(words.texts()).containsExactly("New", "York");
        assertThat(words.labels()).containsExactly("B", "I");
    }

    @Test
    void whatIsWrongIsNamedWithItsLine() {
        assertThatThrownBy(() -> read("n.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":\"x\"}",
                TaskRunConfig.Kind.NUMBER, null)).isInstanceOf(DataException.class).hasMessageContaining("n.jsonl:2")
                .hasMessageContaining("expected a number");
        assertThatThrownBy(() -> read("k.jsonl", "{\"sentence\":\"a\"}", TaskRunConfig.Kind.CLASS, null))
                .isInstanceOf(DataException.class).hasMessageContaining("has no 'text'; it has sentence");
        assertThatThrownBy(() -> read("t.csv", "text,label\na b,X\n", TaskRunConfig.Kind.TOKENS, null))
                .isInstanceOf(DataException.class).hasMessageContaining("2 words have 1 labels");
        assertThatThrownBy(() -> read("e.jsonl", "\n", TaskRunConfig.Kind.CLASS, null))
                .isInstanceOf(DataException.class).hasMessageContaining("has no examples");
    }

    @Test
    void labelsThatAreNumbersAreInTheOrderOfNumbers() {
        List<TaskExample> all = List.of(TaskExample.text(List.of("a"), List.of("10"), 0),
                TaskExample.text(List.of("b"), List.of("9"), 0));
        assertThat(TaskReader.names(all)).containsExactly("9", "10");
    }
}
