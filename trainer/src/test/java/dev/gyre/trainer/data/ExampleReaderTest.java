package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.trainer.config.DataFiles;
import dev.gyre.trainer.config.RunConfig.Format;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPOutputStream;
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
        "{\"txt\": \"a\"}                  | has none of: text; prompt and completion; messages; instruction and output; conversations. Give exactly one; data.keys maps other names (keys here: txt)",
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
    void aJsonListIsReadLikeLinesWithTheLinesOfItsElements() throws IOException {
        assertThat(read("f.json", "\uFEFF\n [\n{\"text\":\"a\"},\n\n  {\"prompt\":\n\"p\",\"completion\":\"c\"}\n]\n"))
                .containsExactly("3 Text[text=a]", "5 Completion[prompt=p, completion=c]");
        assertThat(read("g.jsonl", "[{\"text\":\"a\"}]")).containsExactly("1 Text[text=a]");
        assertThat(read("h.json", "[]")).isEmpty();
        assertThat(read("i.json", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n")).hasSize(2);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "[\\n{\"text\":\"a\"},\\n3]      | f.json:3: not a JSON object; each element of the list",
        "[\\n{\"text\":\"a\"}\\n         | f.json:3: not valid JSON at column",
        "[\\n{\"text\":\"a\"},\\n{\"txt\":1}]| f.json:3: has none of: text;",
        "[{\"text\":\"a\"}]\\n{}         | f.json:2: more follows behind the list",
        "[\\n{\"text\":\"a\" \"b\"}]      | f.json:2: not valid JSON at column",
        "[\\n{\"text\":\"a\",\"text\":\"b\"}]| f.json:2: not valid JSON at column",
    })
    void aBadElementOfAListIsNamedWithItsLine(String text, String message) {
        assertThatThrownBy(() -> read("f.json", text.replace("\\n", "\n"))).isInstanceOf(DataException.class)
                .hasMessageContaining(message)
                .satisfies(e -> assertThat(e.getMessage()).doesNotContain("\n", "Source"));
    }

    @Test
    void csvIsReadByItsFirstLine() throws IOException {
        assertThat(read("a.csv", "\uFEFFid,prompt,completion\r\n1,p,c\r\n\r\n2,\"a, \"\"b\"\"\n\u00e4\",\"\"\r\n3,p,c"))
                .containsExactly("2 Completion[prompt=p, completion=c]",
                        "4 Completion[prompt=a, \"b\"\n\u00e4, completion=]",
                        "6 Completion[prompt=p, completion=c]");
        assertThat(read("b.csv", "prompt;completion\n1,5;2\n")).containsExactly(
                "2 Completion[prompt=1,5, completion=2]");
        assertThat(read("c.tsv", "text\tn\na b\t3\n")).containsExactly("2 Text[text=a b]");
        assertThat(read("d.csv", "\"text\"\n\"a\nb\"\nc\n")).containsExactly("2 Text[text=a\nb]", "4 Text[text=c]");
        assertThat(read("e.csv", "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"u\"\"},"
                + "{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"a\"\"}]\"\n").getFirst())
                .startsWith("2 Chat[messages=[Message[role=user, content=u,");
        assertThat(read("f.csv", "prompt,completion\n\"[1, 2]\",3\n")).as("a prompt that looks like a list")
                .containsExactly("2 Completion[prompt=[1, 2], completion=3]");
        assertThat(read("g.csv", "text,prompt,completion\nt,,\n,p,c\n")).as("kinds mixed in a table").containsExactly(
                "2 Text[text=t]", "3 Completion[prompt=p, completion=c]");
        assertThat(read("h.csv", "")).isEmpty();
        assertThat(read("i.csv", "text\n")).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "prompt,completion\\na,b\\na,b,c      | t.csv:3: has 3 cells where the first line names 2 columns",
        "prompt,completion\\na                | t.csv:2: has 1 cells where",
        "prompt,completion\\na,               | t.csv:2: 'completion' is missing",
        "prompt,completion\\n\\n\"a,b\\n        | t.csv:3: a quotation mark is not closed",
        "prompt,completion\\n\"a\"b,c        | t.csv:2: 'b' follows a closing quotation mark",
        "prompt,prompt\\na,b                 | t.csv:1: two columns are called 'prompt'",
        "a,b\\n1,2                           | t.csv:2: has none of: text; prompt and completion;",
        "a,,b\\n1,2,3                        | t.csv:1: column 2 has no name",
    })
    void aBadRowOfCsvIsNamedWithItsLine(String text, String message) {
        assertThatThrownBy(() -> read("t.csv", text.replace("\\n", "\n"))).isInstanceOf(DataException.class)
                .hasMessageContaining(message);
    }

    @Test
    void gzipIsUnpackedAndOtherPackingsAndTablesAreNamed() throws IOException {
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
            out.write("{\"text\":\"a\"}\n".getBytes(StandardCharsets.UTF_8));
        }
        assertThat(read("a.jsonl.gz", packed.toByteArray())).containsExactly("1 Text[text=a]");
        assertThatThrownBy(() -> read("b.jsonl.gz", Arrays.copyOf(packed.toByteArray(), packed.size() - 9)))
                .hasMessageContaining("b.jsonl.gz: ends before its content does");
        assertThatThrownBy(() -> read("c.jsonl.gz", "{}".getBytes(StandardCharsets.UTF_8)))
                .hasMessageContaining("c.jsonl.gz: cannot be read: Not in GZIP format");
        assertThatThrownBy(() -> read("d.jsonl.zst", "x")).hasMessageContaining("unpack it, or pack it with gzip");
        assertThatThrownBy(() -> read("e.xlsx", "x")).hasMessageContaining("is a table of a kind that is not read");
    }

    /// Files written by pyarrow 25: plain columns packed with Snappy in groups of two rows, conversations packed with gzip.
    @Test
    void parquetIsReadRowByRow() throws IOException {
        List<String> out = new ArrayList<>();
        ExampleReader.read(resource("pairs.parquet"), Format.AUTO, (e, row) -> out.add(row + " " + e));
        assertThat(out).containsExactly("1 Completion[prompt=p1, completion=c1]",
                "2 Completion[prompt=p\u00e4 \u6f22, completion=c2]", "3 Text[text=only text]",
                "4 Completion[prompt=p4, completion=]", "5 Completion[prompt=p5, completion=c5]");
        List<Example> chats = new ArrayList<>();
        ExampleReader.read(resource("chats.parquet"), Format.AUTO, (e, _) -> chats.add(e));
        assertThat(chats).hasSize(2).first().satisfies(e -> assertThat(((Example.Chat) e).messages())
                .extracting(m -> m.role() + ":" + m.content()).containsExactly("user:u", "assistant:a"));
        Path broken = dir.resolve("broken.parquet");
        byte[] bytes = Files.readAllBytes(resource("pairs.parquet"));
        Files.write(broken, Arrays.copyOf(bytes, bytes.length / 2));
        assertThatThrownBy(() -> ExampleReader.read(broken, Format.AUTO, (e, l) -> {
        })).isInstanceOf(DataException.class).hasMessageContaining("broken.parquet: cannot be read as Parquet");
        assertThatThrownBy(() -> ExampleReader.read(resource("zstd.parquet"), Format.AUTO, (e, l) -> {
        })).isInstanceOf(DataException.class).hasMessageContaining("zstd.parquet: cannot be read as Parquet")
                .hasMessageContaining("write it with compression 'snappy' or 'gzip'");
        assertThatThrownBy(() -> ExampleReader.read(dir.resolve("no.parquet"), Format.AUTO, (e, l) -> {
        })).hasMessageContaining("no.parquet: no such file");
    }

    private static Path resource(String name) {
        return Path.of("src/test/resources/dev/gyre/trainer/data").resolve(name);
    }

    private List<String> read(Map<String, String> keys, String name, String content) throws IOException {
        Path file = dir.resolve(name);
        Files.writeString(file, content);
        List<String> out = new ArrayList<>();
        ExampleFiles.of(DataFiles.of(file.toString()), Format.AUTO, keys).read((e, _, line) -> out.add(line + " " + e));
        return out;
    }

    @Test
    void columnsMayHaveOtherNames() throws IOException {
        Map<String, String> keys = Map.of("prompt", "question", "completion", "answer");
        assertThat(read(keys, "a.csv", "question,answer,text\nq,a,t\n")).as("the named columns decide")
                .containsExactly("2 Completion[prompt=q, completion=a]");
        assertThat(read(keys, "b.jsonl", "{\"question\":\"q\",\"answer\":\"a\",\"prompt\":\"no\"}\n"
                + "{\"prompt\":\"p\",\"completion\":\"c\"}\n")).as("Gyre's own names beside").containsExactly(
                        "1 Completion[prompt=q, completion=a]", "2 Completion[prompt=p, completion=c]");
        assertThat(read(Map.of("prompt", "question"), "c.jsonl", "{\"question\":\"q\",\"completion\":\"c\"}\n"))
                .containsExactly("1 Completion[prompt=q, completion=c]");
        assertThat(read(Map.of("text", "content"), "d.csv", "content,prompt\nx,y\n")).containsExactly("2 Text[text=x]");
        assertThat(read(Map.of("messages", "dialog"), "e.csv",
                "dialog\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"u\"\"}]\"\n"))
                .hasSize(1);
        assertThat(read(Map.of("prompt", "completion", "completion", "prompt"), "f.jsonl",
                "{\"prompt\":\"a\",\"completion\":\"b\"}\n")).as("exchanged").containsExactly(
                        "1 Completion[prompt=b, completion=a]");
        assertThatThrownBy(() -> read(keys, "g.csv", "question,reply\nq,a\n")).hasMessageContaining(
                "g.csv:2: 'answer' (data.keys: completion) is missing (keys here: question, reply)");
    }

    @Test
    void foldersAndPatternsAreReadByName() throws IOException {
        Path folder = Files.createDirectory(dir.resolve("many"));
        for (String name : List.of("b.jsonl", "a.jsonl", "c.csv", ".hidden.jsonl", "_SUCCESS", "notes.pdf"))
            Files.writeString(folder.resolve(name),
                    name.endsWith(".csv") ? "text\nc\n" : "{\"text\":\"" + name + "\"}\n");
        Files.createDirectory(folder.resolve("below"));
        Files.writeString(folder.resolve("below/d.jsonl"), "{\"text\":\"d\"}\n");
        assertThat(DataFiles.of(folder.toString()).paths()).extracting(p -> folder.relativize(p).toString())
                .containsExactly("a.jsonl", "b.jsonl", "c.csv");
        assertThat(DataFiles.of(folder + "/*.jsonl").paths()).extracting(p -> folder.relativize(p).toString())
                .containsExactly("a.jsonl", "b.jsonl");
        assertThat(DataFiles.of(folder + "/**/*.jsonl").paths()).extracting(p -> folder.relativize(p).toString())
                .containsExactly("below/d.jsonl");
        assertThat(DataFiles.of(folder.resolve("c.csv").toString(), folder + "/a*").paths())
                .extracting(p -> folder.relativize(p).toString()).containsExactly("c.csv", "a.jsonl");
        assertThatThrownBy(() -> DataFiles.of(folder.toString(), folder.resolve("a.jsonl").toString()).paths())
                .hasMessageContaining("a.jsonl is named twice");
        assertThatThrownBy(() -> DataFiles.of(folder + "/*.parquet").paths()).hasMessageContaining("matches no file");
        List<String> out = new ArrayList<>();
        ExampleFiles.of(DataFiles.of(folder.toString()), Format.AUTO, Map.of())
                .read((e, file, line) -> out.add(file + ":" + line + " " + ((Example.Text) e).text()));
        assertThat(out).containsExactly("0:1 a.jsonl", "1:1 b.jsonl", "2:2 c");
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
