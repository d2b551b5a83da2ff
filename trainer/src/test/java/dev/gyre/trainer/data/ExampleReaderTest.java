package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.trainer.config.RunConfig.Format;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ExampleReaderTest {
    @TempDir
    Path dir;

    private List<String> read(String name, String content) throws IOException {
        return read(name, content.getBytes(StandardCharsets.UTF_8));
    }

    private List<String> read(String name, byte[] content) throws IOException {
        Path file = dir.resolve(name);
        Files.write(file, content);
        List<String> out = new ArrayList<>();
        ExampleReader.read(file, Format.AUTO, (e, line) -> out.add(line + " " + e));
        return out;
    }

    @Test
    void threeKindsOfLinesMayBeMixed() throws IOException {
        assertThat(read("a.jsonl", "\uFEFF{\"text\": \"ä\", \"id\": 3}\r\n\n{\"prompt\":\"p\",\"completion\":\"c\"}\n"
                + "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}]}"))
                .containsExactly("1 Text[text=ä]", "3 Completion[prompt=p, completion=c]",
                        "4 Chat[messages=[Message[role=user, content=u, trained=true, fields={}], Message[role=assistant, content=a, trained=true, fields={}]], variables={}]");
    }

    @Test
    void dataSetsForOtherTrainersAreRead() throws IOException {
        assertThat(read("a.jsonl", """
                {"instruction":"Add.","input":"1 2","output":"3","text":"all of it"}
                {"instruction":"Greet.","input":"","output":"Hi"}
                {"conversations":[{"from":"system","value":"s"},{"from":"human","value":"u"},{"from":"gpt","value":"a"}]}
                """)).containsExactly(
                "1 Completion[prompt=Below is an instruction that describes a task, paired with an input that provides"
                        + " further context. Write a response that appropriately completes the request.\n\n"
                        + "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n, completion=3]",
                "2 Completion[prompt=Below is an instruction that describes a task. Write a response that appropriately"
                        + " completes the request.\n\n### Instruction:\nGreet.\n\n### Response:\n, completion=Hi]",
                "3 Chat[messages=[Message[role=system, content=s, trained=true, fields={}], Message[role=user, content=u, trained=true, fields={}],"
                        + " Message[role=assistant, content=a, trained=true, fields={}]], variables={}]");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "{\"text\": 3}                     | 'text' must be a string",
        "{\"text\": \"a\"} x               | not valid JSON at column",
        "{\"text\": \"a\"                  | not valid JSON",
        "{\"text\":\"a\",\"text\":\"b\"}   | not valid JSON at column 19: Duplicate Object property \"text\"",
        "[1]                               | not a JSON object",
        "{\"text\": \"a                     | not valid JSON at column 12: the line ends inside a string",
        "{\"txt\": \"a\"}                  | has none of: text; prompt and completion; messages; instruction and output; conversations. Give exactly one (keys here: txt)",
        "{\"text\":\"a\",\"prompt\":\"b\"} | has more than one of",
        "{\"prompt\": \"a\"}               | 'completion' is missing",
        "{\"messages\": []}                | 'messages' must be a list",
        "{\"messages\": [{\"role\":\"u\"}]}| 'content' is missing",
        "{\"instruction\": \"a\"}          | 'output' is missing",
        "{\"conversations\": [3]}          | 'conversations' must be a list of {\"from\"",
        "{\"conversations\":[], \"text\":\"\"}| has more than one of",
    })
    void aBadLineIsNamedWithFileAndLine(String line, String message) {
        assertThatThrownBy(() -> read("b.jsonl", "{\"text\":\"good\"}\n" + line + "\n"))
                .isInstanceOf(DataException.class).hasMessageContaining("b.jsonl:2: " + message)
                .satisfies(e -> assertThat(e.getMessage()).doesNotContain("\n", "Source"));
    }

    @Test
    void listsAndTablesAreNotTakenForLinesOrText() {
        assertThatThrownBy(() -> read("f.json", "[\n{\"text\":\"a\"}\n]"))
                .hasMessageContaining("f.json:1: a JSON list; write one object a line");
        assertThatThrownBy(() -> read("t.csv", "prompt,completion\na,b\n")).hasMessageContaining("t.csv: is a table");
    }

    @Test
    void emptyToolsAreNoTools() throws IOException {
        assertThat(read("e.jsonl", "{\"messages\": [{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":null,"
                + "\"reasoning_content\":\"\"}], \"tools\": \"[]\", \"functions\": []}")).hasSize(1);
    }

    @Test
    void bytesThatAreNotUtf8AreNamedWithTheirLine() {
        assertThatThrownBy(() -> read("c.jsonl", new byte[] {'\n', '"', (byte) 0xff, '"', '\n'}))
                .hasMessageContaining("c.jsonl:2: not UTF-8");
    }

    @Test
    void plainTextComesBackWholeInPiecesCutBeforeWords() throws IOException {
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < 30_000; i++)
            s.append(i % 7 == 0 ? "\n" : i % 5 == 0 ? "  word " + i + "\n" : "word " + i + "\n");
        Path file = dir.resolve("d.txt");
        Files.writeString(file, s);
        StringBuilder again = new StringBuilder();
        List<Integer> lengths = new ArrayList<>();
        ExampleReader.read(file, Format.AUTO, (e, line) -> {
            String t = ((Example.Text) e).text();
            assertThat(s.toString().lines().toList().get(line - 1)).isEqualTo(t.lines().findFirst().orElseThrow());
            assertThat(t).doesNotStartWith(" ").matches(x -> lengths.isEmpty() || !x.startsWith("\n"));
            lengths.add(t.length());
            again.append(t);
        });
        assertThat(again.toString()).isEqualTo(s.toString());
        assertThat(lengths).hasSizeGreaterThan(3).allMatch(n -> n < (1 << 16) + 100);
    }

    @Test
    void aMissingFileOrADirectorySaysSo() {
        assertThatThrownBy(() -> ExampleReader.read(dir.resolve("no.jsonl"), Format.AUTO, (e, l) -> {
        })).isInstanceOf(DataException.class).hasMessageContaining("no.jsonl: no such file; paths are relative to");
        assertThatThrownBy(() -> ExampleReader.read(dir, Format.TEXT, (e, l) -> {
        })).isInstanceOf(DataException.class).hasMessageContaining("is a directory");
    }
}
